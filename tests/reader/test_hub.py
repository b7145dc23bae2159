"""The reader against the loopback Hub, in a process of its own, for the Hub's address is read when its library is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.dataset.index import read_index
from tests.servers.hub import Hub, cut, refuse
from tests.streamed import DOMAINS, write

CHILD = """
import json, sys, deepdialogue
def load(split="train", config="xtts", **asked):
    usual = {"data_dir": "lab/speech", "decode": False, "level": "dialogue"}
    return deepdialogue.load(config, split, streaming=True, **(usual | asked))
def ids(rows):
    return [row["id"] for row in rows]
def tried(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Reading:
    """A process that reads from a Hub, and what the Hub was asked meanwhile."""

    def __init__(self, hub, folder, home, token=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        self.hub, self.folder = hub, folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            cwd=Path(__file__).parents[2],
            env=environment | hub.environment(home, token),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, code):
        """What the code gives there, how many bytes the Hub sent, and for how many requests."""
        before = len(self.hub.calls)
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        calls = self.hub.calls[before:]
        return answer, sum(call.sent for call in calls), len(calls)

    def size(self, pattern):
        return sum(path.stat().st_size for path in self.folder.glob(pattern))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(240)


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    place = tmp_path_factory.mktemp("hub")
    folder = write(place / "packaged", count=5, samples=6_000, group_bytes=100_000, file_bytes=400_000)
    with Hub() as hub:
        hub.commit_folder("lab/speech", folder)
        hub.tag("lab/speech", "v1.0.0")
        reading = Reading(hub, folder, place / "home")
        yield reading
        reading.close()


def local(reading, **asked):
    import deepdialogue

    asked = {"config": "xtts", "split": "train", "level": "dialogue", "decode": False} | asked
    return list(deepdialogue.load(data_dir=reading.folder, streaming=True, **asked))


def test_what_comes_over_the_line_is_what_lies_on_the_disk(reading):
    code = "[hash_of(row) for row in load(level='turn')]".replace(
        "hash_of(row)", "[row['id'], row['text'], row['audio']['bytes'].hex()[-200:]]"
    )
    expected = [
        [row["id"], row["text"], row["audio"]["bytes"].hex()[-200:]] for row in local(reading, level="turn")
    ]
    assert reading(code)[0] == expected
    assert len(expected) > 50


def test_one_domain_costs_its_own_bytes(reading):
    read, sent, _ = reading("ids(load(domain='travel'))")
    assert read == [row["id"] for row in local(reading, domain="travel")]
    assert sent <= 1.2 * reading.size("xtts/train/travel-*.parquet")


def test_text_alone_costs_its_own_bytes(reading):
    read, sent, _ = reading("ids(load(config='text-only'))")
    assert len(read) == 5 * len(DOMAINS)
    assert sent <= 1.2 * (reading.size("text-only/train/*.parquet") + reading.size("index/text-only.parquet"))


def test_the_text_of_an_audio_config_does_not_pull_its_audio(reading):
    read, sent, _ = reading("ids(load(columns=['id', 'turns']))")
    assert len(read) == 5 * len(DOMAINS)
    own = 0
    for path in (reading.folder / "xtts" / "train").glob("*.parquet"):
        footer = pq.read_metadata(path)
        own += footer.serialized_size + 8
        for group in range(footer.num_row_groups):
            columns = [footer.row_group(group).column(leaf) for leaf in range(footer.num_columns)]
            own += sum(
                one.total_compressed_size for one in columns if not one.path_in_schema.startswith("audio")
            )
    # Each footer comes with the tail of its file that is fetched at once.
    files = len(list((reading.folder / "xtts" / "train").glob("*.parquet")))
    assert sent <= 1.2 * own + files * 32 * 2**10 + reading.size("index/xtts.parquet")
    assert sent < reading.size("xtts/train/*.parquet") / 5


def test_turns_of_one_emotion_cost_their_own_clips(reading):
    code = "[[row['id'], len(row['audio']['bytes'])] for row in load(level='turn', emotion='happy', columns=['id', 'audio'])]"
    read, sent, _ = reading(code)
    clips = read_index(reading.folder / "index" / "xtts.parquet", ["emotion", "length", "split"]).to_pylist()
    own = [clip["length"] for clip in clips if clip["emotion"] == "happy" and clip["split"] == "train"]
    assert sorted(size for _, size in read) == sorted(own)
    tails = len({id.split("/")[1].split("_")[0] for id, _ in read}) * 32 * 2**10
    assert sent <= 1.2 * sum(own) + tails + 2 * 32 * 2**10


def test_the_first_sample_takes_few_requests(reading):
    reading("len(load())")
    for stream in ("load(level='turn', memory_mb=1)", "load(level='turn', memory_mb=1).shuffle(1)"):
        _, _, asked = reading(f"next(iter({stream}))['id']")
        assert asked <= 12, "the commit, a footer, and for the runs that are read ahead their text and clips"
    _, _, asked = reading("len(load(domain='travel', emotion='happy'))")
    assert asked <= 5, (
        "a length is known from the commit, the index and a footer; the Hub sends on to where the latter lie"
    )


@pytest.mark.parametrize("fault", [refuse(503), refuse(429, retry_after=0), cut], ids=["503", "429", "cut"])
def test_a_fault_of_the_line_is_tried_again_and_nothing_is_lost(reading, fault):
    reading("len(load())")
    for index in (2, 6, 10):  # each time another request, which is tried again a second later
        reading.hub.fail_call(index, fault)
    read, _, _ = reading("ids(load(domain='travel'))")
    assert read == [row["id"] for row in local(reading, domain="travel")]


def test_a_revision_is_pinned_however_the_branch_moves(reading, tmp_path):
    pinned, _, _ = reading("[stream := load(), ids(stream)][1]")
    other = write(tmp_path / "other", count=3)
    moved = reading.hub.commit_folder("lab/speech", other)
    try:
        assert reading("len(load())")[0] == 3 * len(DOMAINS)
        assert reading("ids(stream)")[0] == pinned
        assert reading("ids(load(revision='v1.0.0'))")[0] == pinned
        assert reading("ids(load(data_dir='hf://datasets/lab/speech@v1.0.0'))")[0] == pinned
        assert reading(f"len(load(revision={moved!r}))")[0] == 3 * len(DOMAINS)
    finally:
        reading.hub.commit_folder("lab/speech", reading.folder)


def test_what_the_hub_does_not_have_is_one_line(reading):
    said, _, _ = reading("tried(lambda: load(revision='v9.9.9'))")
    assert said == (
        "FileNotFoundError: hf://datasets/lab/speech has no revision 'v9.9.9': name one of its tags or branches"
    )
    said, _, _ = reading("tried(lambda: load(data_dir='lab/speach'))")
    assert said.startswith("FileNotFoundError: there is no folder and on the Hub no dataset 'lab/speach', or")
    said, _, _ = reading("tried(lambda: load(config='orpheus'))")
    assert said.startswith("FileNotFoundError: hf://datasets/lab/speech@")
    assert "has no index/orpheus.parquet" in said


def test_what_stays_broken_ends_in_one_line_that_names_the_file(reading):
    reading.hub.fail("GET .*travel", refuse(403), times=50)
    try:
        said, _, _ = reading("tried(lambda: ids(load(domain='travel')))")
    finally:
        reading.hub._failing.clear()
    assert said.startswith("DatasetError: hf://datasets/lab/speech@")
    assert "travel-00000.parquet" in said
    assert "\n" not in said


def test_the_plain_stream_of_datasets_takes_a_revision_too(reading):
    code = "ids(deepdialogue.load('text-only', 'train', data_dir='lab/speech', revision='v1.0.0', streaming=True))"
    assert reading(code)[0] == [row["id"] for row in local(reading, config="text-only")]
