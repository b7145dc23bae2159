import os
import pickle
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from datasets.distributed import split_dataset_by_node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import deepdialogue
from builder.errors import DatasetError
from tests.streamed import DOMAINS, RATE, VOICES, write


def load(folder, split="train", config="xtts", **asked):
    return deepdialogue.load(
        config, split, data_dir=folder, streaming=True, **({"level": "dialogue"} | asked)
    )


def ids(stream):
    return [row["id"] for row in stream]


def plain(folder, config, split="train"):
    """What `datasets` reads of it, label numbers as they are, audio as its bytes."""
    return deepdialogue.load(config, split, data_dir=folder, decode=False)


# Subsets


def number(names, *wanted):
    return {names.index(name) for name in wanted}


TRAVEL = number(deepdialogue.DOMAINS, "travel", "art")
HAPPY = number(deepdialogue.EMOTIONS, "happy", "sad", "proud")
SUBSETS = [
    ({}, bool),
    ({"domain": ["travel", "art"]}, lambda row: row["domain"] in TRAVEL),
    ({"pairing": "phi4-mini"}, lambda row: row["pairing"] == deepdialogue.PAIRINGS.index("phi4-mini")),
    ({"turns": range(3, 6)}, lambda row: 3 <= row["num_turns"] < 6),
    ({"turns": 2}, lambda row: row["num_turns"] == 2),
    (
        {"domain": "work", "turns": [4]},
        lambda row: row["domain"] in number(deepdialogue.DOMAINS, "work") and row["num_turns"] == 4,
    ),
]


@pytest.mark.parametrize(("asked", "keeps"), SUBSETS, ids=[" ".join(asked) or "all" for asked, _ in SUBSETS])
@pytest.mark.parametrize(
    ("config", "level"), [("xtts", "dialogue"), ("xtts", "turn"), ("text-only", "dialogue")]
)
def test_a_subset_is_what_datasets_loads_and_python_filters(folder, config, level, asked, keeps):
    name = f"{config}-turns" if level == "turn" else config
    expected = [row for row in plain(folder, name) if keeps(row)]
    stream = load(folder, config=config, level=level, decode=False, **asked)
    assert len(stream) == len(expected) > 0
    assert list(stream) == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"emotion": ["happy", "sad", "proud"]},
        {"emotion": ["happy", "sad", "proud"], "speaker": "LLM2"},
        {"ravdess": "calm"},
    ],
    ids=" ".join,
)
def test_turns_of_an_emotion_are_those_that_python_filters_and_dialogues_those_that_have_one(folder, asked):
    def keeps(turn):
        return (
            ("emotion" not in asked or turn["emotion"] in HAPPY)
            and ("speaker" not in asked or turn["speaker"] == 1)
            and ("ravdess" not in asked or turn["ravdess"] == deepdialogue.RAVDESS.index("calm"))
        )

    turns = [row for row in plain(folder, "xtts-turns") if keeps(row)]
    dialogues = [row for row in plain(folder, "xtts") if any(map(keeps, row["turns"]))]
    assert 0 < len(dialogues) <= len(turns)
    assert list(load(folder, level="turn", decode=False, **asked)) == turns
    assert list(load(folder, config="xtts-turns", level=None, decode=False, **asked)) == turns
    assert list(load(folder, decode=False, **asked)) == dialogues


def test_turns_of_text_alone_have_what_was_not_spoken(folder):
    spoken = {row["id"]: row for row in plain(folder, "xtts-turns")}
    turns = list(load(folder, config="text-only", level="turn", speaker="LLM1"))
    assert len(turns) == sum(row["speaker"] == 0 for row in spoken.values())
    for row in turns:
        # Each config has its own RAVDESS class: of the emotion, and of what was spoken.
        assert row | {"ravdess": 0} == {name: spoken[row["id"]][name] for name in row} | {"ravdess": 0}
    assert "audio" not in turns[0]


def test_a_voice_is_asked_for_by_both_who_speak(folder):
    expected = [row["id"] for row in plain(folder, "xtts") if row["first_voice"] in {"ann", "cat"}]
    assert ids(load(folder, voice=["ann", "ben", "cat", "dan"])) == expected
    assert ids(load(folder, voice=["ann"])) == []


@pytest.mark.parametrize("columns", [["id", "turns"], ["audio"], ["emotion", "audio", "id"]])
def test_chosen_columns_come_alone_and_in_their_order(folder, columns):
    level = "turn" if "emotion" in columns else "dialogue"
    row = next(iter(load(folder, level=level, columns=columns)))
    assert list(row) == columns


def test_without_a_split_every_split_is_a_stream_of_its_own(folder):
    streams = load(folder, None, domain="art")
    assert isinstance(streams, datasets.IterableDatasetDict)
    assert {split: len(stream) for split, stream in streams.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }


def test_clips_are_decoded_to_the_sample_and_resampled(folder):
    row = next(iter(load(folder, domain="work")))
    stored = next(iter(load(folder, domain="work", decode=False)))
    for clip, held in zip(row["audio"], stored["audio"], strict=True):
        (folder / "clip.flac").write_bytes(held["bytes"])
        np.testing.assert_array_equal(clip["array"], soundfile.read(folder / "clip.flac", dtype="float32")[0])
        assert (clip["sampling_rate"], clip["path"], clip["array"].dtype) == (RATE, held["path"], np.float32)
    (folder / "clip.flac").unlink()
    turn = next(iter(load(folder, level="turn", sampling_rate=16_000)))
    assert (turn["audio"]["sampling_rate"], len(turn["audio"]["array"])) == (16_000, 400)


def test_the_names_of_labels_are_in_the_features(folder):
    stream = load(folder, level="turn")
    assert stream.features["domain"].int2str(next(iter(stream))["domain"]) == "art"
    assert stream.features["emotion"].names == list(deepdialogue.EMOTIONS)


# Order


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", [None, 5], ids=["as packaged", "shuffled"])
def test_every_row_comes_exactly_once_for_any_nodes_and_workers(folder, seed, workers):
    stream = load(folder, level="turn", columns=["id"])
    expected = sorted(ids(stream))
    stream = stream if seed is None else stream.shuffle(seed)
    for nodes in (1, 2, 3):
        shares = []
        for rank in range(nodes):
            part = split_dataset_by_node(stream, rank, nodes)
            loader = DataLoader(part, batch_size=4, num_workers=workers)
            shares.append([id for batch in loader for id in batch["id"]])
        assert sorted(chain(*shares)) == expected
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_number_of_nodes_that_divides_nothing_is_exact_too(folder):
    stream = load(folder, columns=["id"]).shuffle(1)
    shares = [ids(split_dataset_by_node(stream, rank, 11)) for rank in range(11)]
    assert sorted(chain(*shares)) == sorted(ids(stream))


def test_a_seed_is_an_order_and_an_epoch_another_and_both_come_again(folder):
    stream = load(folder, columns=["id"])
    orders = []
    for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0), (1, 1)):
        shuffled = stream.shuffle(seed)
        shuffled.set_epoch(epoch)
        orders.append(ids(shuffled))
    assert orders[:2] == orders[3:]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(ids(stream)) for order in orders)
    stream.set_epoch(4)
    assert ids(stream) == ids(load(folder, columns=["id"])), "an epoch does not shuffle what nobody shuffled"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_state_goes_on_exactly_where_it_was_taken(folder, data):
    seed = data.draw(st.none() | st.integers(0, 9), "seed")
    epoch, nodes = data.draw(st.integers(0, 2), "epoch"), data.draw(st.integers(1, 3), "nodes")
    mapped = data.draw(st.booleans(), "mapped")

    def fresh():
        stream = load(folder, level="turn", columns=["id"], memory_mb=1)
        stream = stream if seed is None else stream.shuffle(seed)
        stream = stream.map(lambda row: {"id": row["id"] + "!"}) if mapped else stream
        stream = split_dataset_by_node(stream, 0, nodes)
        stream.set_epoch(epoch)
        return stream

    whole = ids(fresh())
    at = data.draw(st.integers(0, len(whole)), "at")
    stopped = fresh()
    rows = iter(stopped)
    begun = [next(rows)["id"] for _ in range(at)]
    state = pickle.loads(pickle.dumps(stopped.state_dict()))
    resumed = fresh()
    resumed.load_state_dict(state)
    assert begun + ids(resumed) == whole


@pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes")
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize(
    ("workers", "level", "seed", "nodes", "epoch", "mapped"),
    [
        (0, "turn", None, 1, 0, False),
        (0, "turn", 3, 2, 2, True),
        (1, "dialogue", 3, 1, 1, False),
        (2, "turn", None, 1, 0, True),
        (3, "turn", 3, 11, 1, False),
        (4, "dialogue", None, 2, 0, False),
        (8, "turn", 3, 1, 2, False),
    ],
)
def test_a_loader_of_any_number_of_workers_goes_on_exactly_where_it_was_stopped_twice(
    folder, workers, level, seed, nodes, epoch, mapped
):
    loaders = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

    def loader(epoch=epoch):
        stream = load(folder, config="text-only", level=level, columns=["id"])
        stream = stream if seed is None else stream.shuffle(seed)
        stream = stream.map(_marked) if mapped else stream
        stream = stream if nodes == 1 else split_dataset_by_node(stream, 1, nodes)
        stream.set_epoch(epoch)
        return loaders.StatefulDataLoader(stream, batch_size=2, num_workers=workers, collate_fn=list)

    def some(batches, most=None):
        return [row["id"] for batch in islice(batches, most) for row in batch]

    whole = some(loader())
    stopped = loader()
    seen = some(iter(stopped), 1)  # all workers but one are still before their first row
    resumed = loader(epoch=0)  # the epoch is the state's
    resumed.load_state_dict(stopped.state_dict())
    state = resumed.state_dict()
    again = loader()
    again.load_state_dict(state)
    seen += some(iter(again), 1)
    last = loader()
    last.load_state_dict(again.state_dict())
    assert seen + some(last) == whole
    assert some(last) == whole, "the epoch after a resumed one is whole"
    anew = loader()
    anew.load_state_dict(last.state_dict())
    assert some(anew) == whole, "and so is one after a state of an epoch's end"


def _marked(row):
    return {"id": row["id"] + "!"}


def test_a_state_before_the_first_row_is_the_place_that_was_loaded(folder):
    stopped = load(folder, columns=["id"]).shuffle(1)
    rows = iter(stopped)
    seen = [next(rows)["id"] for _ in range(5)]
    for change in (lambda stream: stream, lambda stream: split_dataset_by_node(stream, 0, 1)):
        resumed = change(load(folder, columns=["id"]).shuffle(1))
        resumed.load_state_dict(stopped.state_dict())
        assert resumed.state_dict() == stopped.state_dict()
        rest = iter(resumed)
        assert resumed.state_dict() == stopped.state_dict()
        assert seen + [row["id"] for row in rest] == ids(resumed), "a state is used once"


def test_a_state_of_another_subset_is_refused(folder):
    stream = load(folder, columns=["id"]).shuffle(1)
    next(iter(stream))
    other = load(folder, columns=["id"], domain="art").shuffle(1)
    other.load_state_dict(stream.state_dict())
    with pytest.raises(ValueError, match=r"this state is of 24 rows with seed 1, and here are 6 with seed 1"):
        next(iter(other))


def test_what_datasets_can_do_works_on_a_stream(folder):
    stream = load(folder, level="turn", columns=["id", "text"])
    assert isinstance(stream, datasets.IterableDataset)
    assert isinstance(stream, torch.utils.data.IterableDataset)
    assert ids(stream.take(3)) == ids(stream)[:3]
    assert ids(stream.skip(70)) == ids(stream)[70:]
    assert ids(stream.filter(lambda row: row["id"].endswith("/01"))) == [
        id for id in ids(stream) if id.endswith("/01")
    ]
    assert next(iter(stream.map(lambda row: {"size": len(row["text"])})))["size"] > 0
    shuffled = stream.shuffle(3)
    assert ids(stream) != ids(shuffled), "shuffling leaves the stream that was shuffled as it is"


def test_a_stream_travels_to_a_process_that_imported_nothing(folder, tmp_path):
    stream = load(folder, columns=["id"]).shuffle(2)
    (tmp_path / "pickled").write_bytes(pickle.dumps(stream))
    code = "import pickle; print([row['id'] for row in pickle.load(open('pickled', 'rb'))])"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{ids(stream)}\n", done.stderr


TRAINING = """
import sys, deepdialogue
from torch.utils.data import DataLoader
if __name__ == "__main__":
    stream = deepdialogue.load("text-only", "train", data_dir=sys.argv[1], streaming=True, level="turn").shuffle(1)
    loader = DataLoader(stream, batch_size=8, num_workers=1, collate_fn=list, multiprocessing_context="spawn")
    print(sorted(row["id"] for batch in loader for row in batch))
    print(len(deepdialogue.messages("train", data_dir=sys.argv[1])))
    import builder
    print(builder.OWN)
"""


@pytest.mark.parametrize("name", ["builder.py", "builder/__init__.py"])
def test_a_script_beside_a_builder_of_its_own_streams_in_spawned_workers_too(folder, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("OWN = 1")
    (tmp_path / "train.py").write_text(TRAINING)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "train.py", folder],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    turns = load(folder, config="text-only", level="turn", columns=["id"])
    chats = deepdialogue.messages("train", data_dir=folder)
    assert done.stdout.splitlines() == [str(sorted(ids(turns))), str(len(chats)), "1"], done.stderr


MEMORY = """
import resource, sys, deepdialogue
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024
stream = deepdialogue.load(
    "xtts", "train", data_dir=sys.argv[1], streaming=True, level="turn", decode=False, memory_mb=8
).shuffle(1)
before, most, size = anonymous(), 0, 0
for row in stream:
    size += len(row["audio"]["bytes"])
    most = max(most, anonymous())
print(most - before, size / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
def test_shuffling_stays_within_its_memory_on_a_dataset_of_many_times_its_size(tmp_path):
    folder = write(
        tmp_path / "packaged", count=16, samples=20_000, group_bytes=4 * 2**20, file_bytes=64 * 2**20
    )
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, folder],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    held_mb, read_mb = map(float, done.stdout.split())
    assert read_mb > 20
    assert held_mb < 16, f"{held_mb:.0f} MB were held of {read_mb:.0f}"


# What is said when it cannot be


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"domain": "travle"}, r"domain='travle': did you mean 'travel'\?"),
        ({"emotion": ["happy", "hapy"]}, r"emotion='hapy': did you mean 'happy'\?"),
        ({"pairing": "phi4"}, r"pairing='phi4': did you mean 'phi4-14B'\?"),
        ({"ravdess": "clam"}, r"ravdess='clam': did you mean 'calm'\?"),
        ({"speaker": "LLM3"}, r"speaker='LLM3': did you mean"),
        ({"voice": "anna"}, r"voice='anna': did you mean 'ann'\?"),
        ({"level": "turns"}, r"level='turns': did you mean 'turn'\?"),
        ({"columns": ["audoi"]}, r"columns='audoi': did you mean 'audio'\?"),
        ({"split": "trian"}, r"split='trian': did you mean 'train'\?"),
        ({"domain": []}, r"domain=\[\]: name one or several, or leave it out"),
        ({"config": "xtts-turns", "level": "dialogue"}, r"xtts-turns has one turn a row: say 'xtts'"),
        (
            {"config": "text-only", "ravdess": "calm"},
            r"ravdess: text-only does not say .* ask a spoken config",
        ),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(folder, asked, said):
    with pytest.raises(ValueError, match=said) as caught:
        load(folder, **asked)
    assert "\n" not in str(caught.value)


def test_a_subset_that_is_not_streamed_is_refused_with_the_repair(folder):
    with pytest.raises(ValueError, match="domain: a subset is streamed: say streaming=True"):
        deepdialogue.load("xtts", "train", data_dir=folder, domain="art")


def test_a_revision_of_a_folder_is_refused(folder):
    with pytest.raises(ValueError, match=r"revision='v1.0.0': .* is no repository"):
        load(folder, revision="v1.0.0")


def test_a_dataset_without_an_index_says_what_makes_one(tmp_path):
    folder = write(tmp_path / "packaged", count=2)
    (folder / "index" / "xtts.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no index/xtts.parquet: .*package it again"):
        load(folder)


def test_a_clip_that_cannot_be_read_stops_with_its_name(tmp_path):
    folder = write(tmp_path / "packaged", count=2)
    path = folder / "xtts" / "train" / "art-00000.parquet"
    stored = next(iter(load(folder, decode=False)))
    clip = stored["audio"][1]
    damaged = path.read_bytes().replace(
        clip["bytes"], clip["bytes"][:60] + b"\xff" * (len(clip["bytes"]) - 60)
    )
    path.write_bytes(damaged)
    with pytest.raises(
        DatasetError, match=rf"art-00000.parquet: {stored['id']}: {clip['path']} cannot be decoded"
    ):
        list(load(folder))


def test_an_index_of_other_files_is_noticed(tmp_path):
    folder, other = write(tmp_path / "packaged", count=3), write(tmp_path / "other", count=3, samples=700)
    (other / "index" / "xtts.parquet").replace(folder / "index" / "xtts.parquet")
    with pytest.raises(DatasetError, match=r"package.* it again|package the dataset again"):
        list(load(folder, decode=False))


def test_a_shuffle_of_datasets_own_kind_is_refused(folder):
    with pytest.raises(TypeError, match="shuffle takes no buffer_size here"):
        load(folder).shuffle(1, buffer_size=10)


assert set(DOMAINS) <= set(deepdialogue.DOMAINS)
assert len(VOICES) == 6
