"""What an index promises to those who read it: sorted, small, the same bytes every time, and an error that names it."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.dataset.index import CLIPS, DIALOGUES, digests, path_of, read_index, write_index
from builder.errors import DatasetError
from deepdialogue import DOMAINS, EMOTIONS, PAIRINGS, RAVDESS, SPEAKERS
from tests.spoken import text_row


def clips(count):
    """As many dialogues' clips as a real index has, in the order of files."""
    draw = random.Random(0)
    rows = []
    for index in range(count):
        pairing, domain, turns = draw.choice(PAIRINGS), draw.choice(DOMAINS), draw.randint(3, 10)
        at = draw.randrange(400 * 2**20)
        for turn in range(1, turns + 1):
            length = draw.randint(80_000, 300_000)
            at += length + 4
            rows.append(
                {
                    "id": f"{pairing}/{domain}_{index}_{turns}",
                    "turn": turn,
                    "split": "train",
                    "domain": domain,
                    "pairing": pairing,
                    "speaker": SPEAKERS[1 - turn % 2],
                    "emotion": draw.choice(EMOTIONS),
                    "ravdess": draw.choice(RAVDESS),
                    "file": f"xtts/train/{domain}-0000{draw.randint(0, 2)}.parquet",
                    "offset": at,
                    "length": length,
                    "num_samples": draw.randint(40_000, 400_000),
                    "sha256": draw.randbytes(32),
                }
            )
    return rows


def test_an_index_is_sorted_and_the_same_bytes_in_whatever_order_the_files_were_written(tmp_path):
    rows = clips(300)
    tables = [
        pa.Table.from_pylist(rows[begin : begin + 100], schema=CLIPS) for begin in range(0, len(rows), 100)
    ]
    for name, entries in (("a", tables), ("b", tables[::-1])):
        assert write_index(tmp_path / name / "index.parquet", entries) == len(rows)
    assert (tmp_path / "a/index.parquet").read_bytes() == (tmp_path / "b/index.parquet").read_bytes()
    held = read_index(tmp_path / "a/index.parquet")
    assert held.to_pylist() == sorted(rows, key=lambda row: (row["id"], row["turn"]))


def test_a_clip_costs_fifty_bytes_of_which_its_checksum_is_most(tmp_path):
    rows = clips(5_000)
    path = tmp_path / "index.parquet"
    write_index(path, [pa.Table.from_pylist(rows, schema=CLIPS)])
    assert path.stat().st_size < 50 * len(rows)


def test_of_an_index_only_the_columns_wanted_are_given(tmp_path):
    path = tmp_path / "index.parquet"
    write_index(path, [pa.Table.from_pylist(clips(10), schema=CLIPS)])
    assert read_index(path, ["file", "offset"]).column_names == ["file", "offset"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1PAR1PAR1PAR1"])
def test_an_index_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / path_of("xtts")
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"index/xtts\.parquet: cannot be read: .*: fetch the index again"):
        read_index(path)


def test_another_parquet_file_is_no_index(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DatasetError, match=r"its columns \['id'\] are not those of an index"):
        read_index(tmp_path / "other.parquet")


def test_a_digest_is_of_what_is_said_and_another_of_the_rest():
    text, rest = digests(text_row(1))
    said = text_row(1, words="Goodbye.")
    assert digests(said) == (digests(said)[0], rest)
    assert digests(said)[0] != text
    spoken = text_row(1)
    spoken["turns"][0]["emotion"], spoken["turns"][1]["emotion"] = "sad", "sad"
    assert digests(spoken)[0] != text
    for change in ({"split": "test"}, {"second_checkpoint": "x"}, {"scores": []}, {"rehearsal": True}):
        assert digests(text_row(1) | change)[0] == text
        assert digests(text_row(1) | change)[1] != rest
    acted = text_row(1)
    acted["turns"][2]["ravdess"] = "sad"
    assert digests(acted) == (text, digests(acted)[1])
    assert digests(acted)[1] != rest


def test_a_digest_of_what_is_stored_is_that_of_what_was_written():
    """Scores are 32-bit floats in the file, and 0.1 is not one."""
    stored = text_row(1)
    column = pa.array([score["score"] for score in stored["scores"]], pa.float32())
    stored["scores"] = [
        score | {"score": value} for score, value in zip(stored["scores"], column.to_pylist(), strict=True)
    ]
    assert stored != text_row(1)
    assert digests(stored) == digests(text_row(1))


def test_an_index_of_texts_keeps_the_emotions_of_every_turn(tmp_path):
    text, rest = digests(text_row(1))
    row = text_row(1) | {
        "emotions": ["sad", "happy"],
        "file": "f",
        "row_group": 0,
        "text_sha256": text,
        "rest_sha256": rest,
    }
    write_index(tmp_path / "index.parquet", [pa.Table.from_pylist([row], schema=DIALOGUES)])
    (held,) = read_index(tmp_path / "index.parquet").to_pylist()
    assert held == {name: row[name] for name in DIALOGUES.names}
