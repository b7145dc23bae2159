"""`load_dataset(..., revision=...)` gives exactly that version, in every `datasets` its readers have.

Law of the file: each test starts another environment's Python, which `make test` makes; where one is missing, it says so.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import interpreter
from tests.releases import SHARDS, _rows, add, dataset, edit
from tests.servers.hub import Hub

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ["test", "datasets-4.8", "datasets-3.6"]
CODE = """
import hashlib
import json
import datasets

found = {}
for config in ("xtts", "text-only", "xtts-turns"):
    for revision in ("v1.0.0", "v2.0.0", "main"):
        for streaming in (False, True):
            splits = datasets.load_dataset("lab/speech", config, revision=revision, streaming=streaming)
            for split, rows in splits.items():
                if config == "xtts":
                    rows = rows.cast_column("audio", [datasets.Audio(decode=False)])
                if config == "xtts-turns":
                    rows = rows.cast_column("audio", datasets.Audio(decode=False))
                held = found.setdefault(f"{config} {revision} {streaming}", {}).setdefault(split, [])
                for row in rows:
                    turns = row["turns"] if "turns" in row else [row]
                    clips = row.get("audio", [])
                    clips = clips if isinstance(clips, list) else [clips]
                    digests = [hashlib.sha256(clip["bytes"]).hexdigest() for clip in clips]
                    held.append([row["id"], [turn["text"] for turn in turns], digests])
print(json.dumps(found))
"""


def edit_and_add(held):
    edit(held)
    add(held)


def expected(config, change):
    """Id, texts and digests of the clips of every row, by split."""
    import deepdialogue

    held = {name: _rows(name, deepdialogue.LABELS) for name in ("text-only", "xtts")}
    if change:
        change(held)
    found = {split: [] for split in SHARDS}
    for row in sorted(held[config.removesuffix("-turns")], key=lambda row: (row["domain"], row["id"])):
        texts = [turn["text"] for turn in row["turns"]]
        digests = [hashlib.sha256(clip["bytes"]).hexdigest() for clip in row.get("audio", ())]
        if config.endswith("-turns"):
            clips = enumerate(zip(texts, digests, strict=True), start=1)
            found[row["split"]] += [
                [f"{row['id']}/{turn:02d}", [text], [digest]] for turn, (text, digest) in clips
            ]
        else:
            found[row["split"]].append([row["id"], texts, digests])
    return found


@pytest.fixture(scope="module")
def hub(base, tmp_path_factory):
    """A Hub with two versions, pushed as a user pushes them."""
    home = tmp_path_factory.mktemp("home")
    later = dataset(tmp_path_factory.mktemp("later") / "small", edit_and_add)
    with Hub() as hub:
        for folder in (base, later):
            done = subprocess.run(
                [sys.executable, "-m", "builder", "push", folder, "lab/speech"],
                cwd=ROOT,
                env=os.environ | hub.environment(home),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        yield hub


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_revision_is_exactly_that_version_loaded_and_streamed(hub, tmp_path, name):
    python = interpreter(name)
    done = subprocess.run(
        [python, "-c", CODE],
        cwd=tmp_path,
        env=os.environ | hub.environment(tmp_path / "hf") | {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 18
    for key, splits in found.items():
        config, revision, _ = key.split(" ")
        assert splits == expected(config, None if revision == "v1.0.0" else edit_and_add), key
