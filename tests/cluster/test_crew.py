"""What is refused before a cluster works."""

import socket
import sys

import pytest

from builder.config import load_site
from builder.errors import ConfigError
from builder.pipeline.ray._crew import Crew
from tests.commands import site


def crew(folder, text=""):
    return Crew(load_site(str(site(folder, f'engine = "ray"\n{text}'))), "nowhere")


def test_without_ray_what_to_install_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[ray\]'"):
        crew(tmp_path)


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path):
    pytest.importorskip("ray", reason="Ray, of the extra ray, is not installed")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with (
            pytest.raises(
                ConfigError, match=rf"^site 'site', ray.address: {address} is not reached: .*refused"
            ),
            crew(tmp_path, f'[ray]\naddress = "{address}"'),
        ):
            pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('engine = "rey"', "key 'engine' is 'rey'"),
        ("[ray]\nworkers = 0", "key 'ray.workers' is 0"),
        ("[ray.needs.synthesise]\nnum_gpus = 1", "did you mean 'synthesize'"),
        ("[ray.needs.judge]\nnum_cpu = 1", "unknown key 'ray.needs.judge.num_cpu': did you mean 'num_cpus'?"),
    ],
)
def test_what_a_site_says_wrongly_of_its_cluster_is_named(tmp_path, text, said):
    with pytest.raises(ConfigError) as error:
        load_site(str(site(tmp_path, text)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
