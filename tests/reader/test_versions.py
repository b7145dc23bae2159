"""A stream is the same rows in every `datasets` its readers have, each in another environment's Python."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

import deepdialogue
from tests.environments import interpreter

ROOT = Path(__file__).parents[2]
CODE = """
import json, pickle, sys
import deepdialogue
from datasets.distributed import split_dataset_by_node

def load(seed=None, epoch=0):
    stream = deepdialogue.load(
        "xtts", "train", data_dir=sys.argv[1], streaming=True, level="turn", columns=["id", "turn", "audio"]
    )
    stream = stream if seed is None else stream.shuffle(seed)
    stream.set_epoch(epoch)
    return stream

def ids(stream):
    return [row["id"] for row in stream]

rows = iter(load(1, 2))
begun = [next(rows)["id"] for _ in range(7)]
stopped = load(1, 2)
rows = iter(stopped)
for _ in range(7):
    next(rows)
resumed = load(1, 2)
resumed.load_state_dict(stopped.state_dict())
print(json.dumps({
    "plain": ids(load(None, 3)),
    "shuffled": ids(load(1)),
    "epoch": ids(load(1, 2)),
    "resumed": begun + ids(resumed),
    "nodes": sum((ids(split_dataset_by_node(load(1), rank, 3)) for rank in range(3)), []),
    "filtered": ids(load().filter(lambda row: row["turn"] == 1)),
    "mapped": ids(load(1).map(lambda row: {"id": row["id"] + "!"})),
    "pickled": ids(pickle.loads(pickle.dumps(load(1)))),
    "samples": [len(row["audio"]["array"]) for row in load()],
    "chats": deepdialogue.messages("test", data_dir=sys.argv[1])["messages"][0],
}))
"""


@pytest.mark.parametrize("environment", ["datasets-3.6", "datasets-4.8", "test"])
def test_a_stream_shuffles_splits_resumes_and_maps_alike_in_every_datasets(folder, tmp_path, environment):
    python = interpreter(environment)
    # These environments hold `datasets` alone; what else the reader imports is lent to them.
    found = importlib.util.find_spec("msgspec")
    (tmp_path / "msgspec").symlink_to(Path(found.origin).parent)
    done = subprocess.run(
        [python, "-W", "ignore", "-c", CODE, folder],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    here = list(
        deepdialogue.load("xtts", "train", data_dir=folder, streaming=True, level="turn", decode=False)
    )
    ids = [row["id"] for row in here]
    assert got["plain"] == ids
    assert got["resumed"] == got["epoch"] != got["shuffled"]
    for name in ("shuffled", "epoch", "nodes", "pickled"):
        assert sorted(got[name]) == sorted(ids), name
    assert got["filtered"] == [id for id in ids if id.endswith("/01")]
    assert got["mapped"] == [f"{id}!" for id in got["shuffled"]] == [f"{id}!" for id in got["pickled"]]
    assert got["samples"] == [round(row["duration"] * 24_000) for row in here]
    assert got["chats"] == deepdialogue.messages("test", data_dir=folder)["messages"][0]
