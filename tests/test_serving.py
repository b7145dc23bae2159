"""What is said and shipped about serving: the page, the compose file and the Slurm script agree with the study and the code."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
import yaml

from builder.config import load_study
from builder.hub.hosting import Host, Hosting, read_hosting
from builder.plugins import make
from builder.plugins.llm import Backend
from builder.plugins.llm.openai import OpenAI
from builder.plugins.llm.tgi import TGI
from tests.commands import wait_for
from tests.patience import PATIENCE_S

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "serving.md").read_text()
COMPOSE = yaml.safe_load((DOCS / "serving" / "compose.yaml").read_text())["services"]
SERVERS = {name: one for name, one in COMPOSE.items() if not name.startswith("ready-")}
SCRIPT = DOCS / "serving" / "serve.sbatch"
MODELS = load_study("deepdialogue").vocabulary.models
SITE, HOSTED = map(tomllib.loads, re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
NEEDS = {
    cells[0].strip("` "): [float(cell) for cell in cells[1:]]
    for line in PAGE.splitlines()
    if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 10
}


def gpus(server):
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    return device["device_ids"]


def served(server):
    """The hub id, how many GPUs share the model, and the share of each GPU's memory."""
    if "command" not in server:
        told = server["environment"]
        return told["MODEL_ID"], int(told.get("NUM_SHARD", 1)), float(told.get("CUDA_MEMORY_FRACTION", 0.9))
    flags = dict(re.findall(r"--([\w-]+) (\S+)", server["command"]))
    return (
        flags["model"],
        int(flags.get("tensor-parallel-size", 1)),
        float(flags.get("gpu-memory-utilization", 0.9)),
    )


def test_the_table_of_needs_has_every_model_and_its_arithmetic_is_right():
    assert NEEDS.keys() == MODELS.keys()
    for model, (parameters, weights, layers, heads, head, token, cache, together, cards) in NEEDS.items():
        # The study gives sizes as the models' names do.
        assert parameters == pytest.approx(MODELS[model].billion_parameters, rel=0.15)
        assert weights == pytest.approx(2 * parameters, abs=0.06)
        assert token == 2 * layers * heads * head * 2 / 1024
        assert cache == pytest.approx(64 * 1024 * token * 1024 / 1e9, abs=0.06)
        assert together == pytest.approx(weights + cache, abs=0.11)
        assert together <= 0.9 * 80 * cards
        assert cards == 1 or together > 0.9 * 80 * cards / 2


def test_the_compose_file_serves_every_model_of_the_study_on_as_many_gpus_as_the_page_says():
    assert SERVERS.keys() == MODELS.keys()
    for name, server in SERVERS.items():
        hub_id, shards, _ = served(server)
        assert hub_id == MODELS[name].hub_id
        assert shards == len(gpus(server)) == NEEDS[name][-1]


def test_no_gpu_of_a_node_is_given_away_twice_and_what_shares_one_fits():
    shares = defaultdict(float)
    for name, server in SERVERS.items():
        share = served(server)[2]
        for gpu in gpus(server):
            shares[server["profiles"][0], gpu] += share
        assert NEEDS[name][-2] <= share * 80 * len(gpus(server))
    assert max(shares.values()) <= 0.95
    assert {gpu for _, gpu in shares} == set("01234567")


def test_the_page_s_site_reaches_every_server_of_the_compose_file_by_its_protocol():
    assert SITE["models"].keys() == SERVERS.keys()
    nodes = {"large": "node1", "small": "node2"}
    for name, table in SITE["models"].items():
        server = SERVERS[name]
        outside, inside = server["ports"][0].split(":")
        assert table["url"] == f"http://{nodes[server['profiles'][0]]}:{outside}"
        backend = make(Backend, table, name)
        assert isinstance(backend, OpenAI if inside == "8000" else TGI)


def test_a_node_is_ready_when_each_of_its_servers_is():
    for profile in ("large", "small"):
        own = {
            f"{name}:{server['ports'][0].split(':')[1]}"
            for name, server in SERVERS.items()
            if server["profiles"] == [profile]
        }
        ready = COMPOSE[f"ready-{profile}"]
        words = re.search(r"for server in ([^;]*);", ready["command"][0])[1].split()
        assert set(words) == own
        assert {word.split(":")[0] for word in words} == set(ready["depends_on"])


def test_the_page_s_endpoints_are_read_as_they_stand():
    hosting = read_hosting(HOSTED["endpoints"], "my-cloud")
    assert hosting.models.keys() <= MODELS.keys()


def test_every_key_of_endpoints_is_told_with_its_default_and_no_other():
    def keys(record, prefix=""):
        for field in msgspec.structs.fields(record):
            if field.name == "models":
                yield from keys(Host, "models.NAME.")
            elif field.required:
                yield prefix + field.name, "required"
            else:
                default = field.default
                if default is msgspec.NODEFAULT:
                    default = field.default_factory()
                written = f'"{default}"' if isinstance(default, str) else f"{default:g}" if default else "{}"
                yield prefix + field.name, "none" if default is None else f"`{written}`"

    table = PAGE[PAGE.index("| key of `[endpoints]`") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert {key.strip("`"): default for key, _, default, _ in rows} == dict(keys(Hosting))


def test_the_slurm_script_serves_every_model_of_the_study():
    found = dict(re.findall(r"^  (\S+)\) +backend=\w+ +hub_id=(\S+) ;;", SCRIPT.read_text(), re.MULTILINE))
    assert found == {name: model.hub_id for name, model in MODELS.items()}


APPTAINER = """\
#!{python}
import http.server, json, sys
arguments = sys.argv[1:]
open("arguments.json", "w").write(json.dumps(arguments))
if {broken}:
    sys.exit(3)
port = int(arguments[arguments.index("--port") + 1])
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", port), Healthy).serve_forever()
"""


def free_port():
    """One of those that the script takes: 20000 to 39999."""
    for port in random.sample(range(20000, 40000), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def submit(folder, model, *, broken=False):
    """Runs the script as Slurm does, with a server in Apptainer's place that answers `/health`."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "apptainer"
    program.write_text(APPTAINER.format(python=sys.executable, broken=broken))
    program.chmod(0o755)
    host = folder / "bin" / "hostname"
    host.write_text("#!/bin/sh\necho 127.0.0.1\n")
    host.chmod(0o755)
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "SLURM_JOB_ID": str(free_port() - 20000),
        "SLURM_GPUS_ON_NODE": "2",
        "HEALTH_EVERY_S": "0.05",
    }
    return subprocess.Popen(
        ["bash", SCRIPT, model], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize("model", ["llama3-8B", "phi4-mini"])
def test_a_slurm_job_writes_its_table_when_it_answers_and_takes_it_away_when_it_ends(tmp_path, model):
    job = submit(tmp_path, model)
    servers = tmp_path / "servers"
    try:
        assert wait_for(lambda: list(servers.glob("*.toml")), job), job.communicate()
        (table,) = servers.glob("*.toml")
        backend = make(Backend, tomllib.loads(table.read_text())["models"][model], "site")
        assert backend.url.startswith("http://127.0.0.1:")
        said = (tmp_path / "arguments.json").read_text()
        assert MODELS[model].hub_id in said
        assert '-parallel-size", "2"' in said or '--num-shard", "2"' in said
    finally:
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=PATIENCE_S)
    assert list(servers.glob("*.toml")) == []


def test_a_slurm_job_whose_server_ends_fails_and_leaves_no_table(tmp_path):
    job = submit(tmp_path, "llama3-8B", broken=True)
    said, _ = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 1
    assert b"llama3-8B ended before it answered" in said
    assert list((tmp_path / "servers").glob("*.toml*")) == []


def test_a_model_that_the_script_does_not_know_is_refused(tmp_path):
    job = submit(tmp_path, "llama4")
    said, _ = job.communicate(timeout=PATIENCE_S)
    assert (job.returncode, said) == (2, b"no model is called llama4\n")
