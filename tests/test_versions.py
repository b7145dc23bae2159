"""The proof that one packaged folder reads alike in every `datasets` its readers have.

Law of the file: each test starts another environment's Python, which `make test` makes; where one is missing, it says so.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.environments import interpreter, place
from tests.loading import CONFIGS, fingerprint
from tests.packaged import RATE, SHARDS, package, rows

ROOT = Path(__file__).resolve().parents[1]
TORCH = (
    "torch",
    "torchgen",
    "functorch",
    "torchcodec",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
)
"""torchcodec and what it imports, lent by one environment to another."""

ENVIRONMENTS = {
    "5.2, light": "light",
    "5.2, with torchcodec": "test",
    "4.8": "datasets-4.8",
    "4.8, with torchcodec": "datasets-4.8",
    "3.6": "datasets-3.6",
}
DECODING = [name for name in ENVIRONMENTS if "torchcodec" in name or name == "3.6"]
"""Where `datasets` can decode audio by itself."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return package(tmp_path_factory.mktemp("packaged") / "deepdialogue")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a named environment's Python, offline and with a cache of its own."""

    def run(name, *arguments, cwd):
        python = interpreter(ENVIRONMENTS[name])
        home = tmp_path_factory.mktemp("home")
        environment = os.environ | {
            "HF_HOME": str(home),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": _lent(home) if name == "4.8, with torchcodec" else "",
        }
        environment.pop("DEEPDIALOGUE_DATA", None)
        done = subprocess.run(
            [python, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def _lent(home):
    """A folder of links to the torchcodec of the test environment."""
    (packages,) = place("test").glob("lib/python3.*/site-packages")
    lent = home / "lent"
    lent.mkdir()
    for module in TORCH:
        for part in (packages / module, *packages.glob(f"{module}-*.dist-info")):
            (lent / part.name).symlink_to(part)
    return str(lent)


@pytest.fixture(scope="module")
def loaded(folder, run):
    """What an environment loads and says of it; each environment runs once."""
    seen = {}

    def loaded(name):
        if name not in seen:
            *said, found = run(
                name, ROOT / "tests" / "loading.py", folder, "--json", cwd=folder.parent
            ).stdout.splitlines()
            seen[name] = json.loads(found) | {"said": said}
        return seen[name]

    return loaded


def expected(config):
    """The rows that were packaged, as loading.py describes them."""
    packaged = {split: rows(config, split) for split in SHARDS}
    for row in [row for some in packaged.values() for row in some if "audio" in row]:
        audio = row["audio"]
        row["audio"] = list(map(heard, audio)) if isinstance(audio, list) else heard(audio)
    return packaged


def heard(clip):
    return fingerprint(clip["samples"] / 2**15, RATE)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_way_of_loading_gives_the_rows_that_were_packaged(loaded, name, config):
    ways = {
        way: rows
        for way, rows in loaded(name)["ways"][config].items()
        if not way.startswith("decoded by datasets")
    }
    assert len(ways) == 6
    for way, found in ways.items():
        assert found == expected(config), way


@pytest.mark.parametrize("config", [config for config in CONFIGS if config != "text-only"])
@pytest.mark.parametrize("name", DECODING)
def test_datasets_itself_decodes_the_samples_that_were_packaged(loaded, name, config):
    ways = {
        way: rows
        for way, rows in loaded(name)["ways"][config].items()
        if way.startswith("decoded by datasets")
    }
    assert len(ways) == 2
    for way, found in ways.items():
        if isinstance(found, str):
            pytest.skip(f"torchcodec does not load here, FFmpeg's libraries may be missing: {found}")
        assert found == expected(config), way


def test_the_light_environment_needs_no_torchcodec(loaded):
    assert "torchcodec" in loaded("5.2, light")["ways"]["xtts"]["decoded by datasets"]


def test_the_loading_program_says_in_words_that_the_ways_agree(loaded):
    said = loaded("5.2, light")["said"]
    assert "xtts: 4 train, 2 validation, 2 test" in said
    assert "  deepdialogue.load, streaming: same" in said
    assert not any("DIFFERENT" in line for line in said)


def test_datasets_3_runs_the_module_as_a_loading_script(folder, run):
    code = f"""
import datasets, sys
options = {{"data_dir": {str(folder)!r}, "trust_remote_code": True}}
table = datasets.load_dataset({str(ROOT / "deepdialogue.py")!r}, "text-only", **options)
stream = datasets.load_dataset({str(ROOT / "deepdialogue.py")!r}, "text-only", streaming=True, **options)
assert "deepdialogue" not in sys.modules
print([[row["id"] for row in split["test"]] for split in (table, stream)])
"""
    ids = [row["id"] for row in rows("text-only", "test")]
    assert run("3.6", "-c", code, cwd=folder.parent).stdout.splitlines()[-1] == str([ids, ids])


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_turns_of_one_emotion_are_picked_by_a_filter_and_a_clip_is_cast_to_another_rate(loaded, name):
    wanted = [row["id"] for row in rows("xtts-turns", "train") if row["emotion"] == "worried"]
    assert wanted
    assert loaded(name)["picked"] == [wanted, 16_000]
