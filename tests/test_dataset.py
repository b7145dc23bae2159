"""What the packaged folder's files promise: where shards and row groups end, and how they lie on the disk."""

import pyarrow.parquet as pq
import pytest

import deepdialogue
from builder import dataset
from builder.dataset import GROUP_BYTES, Manifest, describe, read_manifest, write_manifest, write_shards
from builder.errors import DatasetError

CONFIG, SPLIT, DOMAIN = "xtts", "train", "travel"
CLIP = bytes(range(256)) * 40


def row(index, clips=3):
    return {
        "id": f"phi4-mini/travel_{index}_{clips}",
        "split": 0,
        "domain": 0,
        "pairing": 0,
        "first_model": 0,
        "second_model": 0,
        "first_checkpoint": "a/b",
        "second_checkpoint": "a/b",
        "rehearsal": False,
        "num_turns": clips,
        "engine": "none",
        "first_voice": "v",
        "second_voice": "w",
        "duration": 1.0,
        "scores": [],
        "turns": [
            {"speaker": 0, "text": "Hello.", "emotion": 0, "ravdess": 0, "start": 0.0, "end": 1.0}
            for _ in range(clips)
        ],
        "audio": [{"bytes": CLIP, "path": f"travel_{index}_{clip}.flac"} for clip in range(clips)],
    }


def written(folder, rows):
    schema = deepdialogue.schema(CONFIG)
    return write_shards(folder, config=CONFIG, split=SPLIT, domain=DOMAIN, rows=rows, schema=schema)


@pytest.fixture
def small_files(monkeypatch):
    """About two dialogues a row group, about four a file."""
    monkeypatch.setattr(dataset, "GROUP_BYTES", 2 * 3 * len(CLIP))
    monkeypatch.setattr(dataset, "FILE_BYTES", 4 * 3 * len(CLIP))


def test_a_full_shard_is_followed_by_the_next_and_every_row_is_in_one_of_them_in_order(tmp_path, small_files):
    shards = written(tmp_path, map(row, range(11)))
    assert [shard.path for shard in shards] == [f"xtts/train/travel-0000{n}.parquet" for n in range(3)]
    assert [shard.rows for shard in shards] == [4, 4, 3]
    held = [pq.read_table(tmp_path / shard.path).to_pylist() for shard in shards]
    assert [one for rows in held for one in rows] == [row(index) for index in range(11)]


def test_a_row_group_closes_at_a_dialogue_however_large_that_one_is(tmp_path, small_files):
    sizes = [1, 1, 9, 1, 1, 1, 1, 1]
    shards = written(tmp_path, (row(index, clips) for index, clips in enumerate(sizes)))
    groups = []
    for shard in shards:
        file = pq.ParquetFile(tmp_path / shard.path)
        groups += [
            [one["num_turns"] for one in file.read_row_group(group).to_pylist()]
            for group in range(file.num_row_groups)
        ]
    assert groups == [[1, 1, 9], [1, 1, 1, 1, 1]]


def test_a_shard_takes_the_row_groups_that_are_there_and_no_empty_one(tmp_path, small_files):
    (shard,) = written(tmp_path, map(row, range(4)))
    assert pq.ParquetFile(tmp_path / shard.path).metadata.num_row_groups == 2


def test_audio_lies_as_it_is_and_the_rest_is_compressed_with_statistics(tmp_path):
    (shard,) = written(tmp_path, map(row, range(5)))
    group = pq.ParquetFile(tmp_path / shard.path).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    audio = [column for column in columns if column.path_in_schema.startswith("audio.")]
    assert len(audio) == 2
    for column in audio:
        assert column.compression == "UNCOMPRESSED"
        assert set(column.encodings) == {"PLAIN", "RLE"}, "RLE is of the levels"
        assert column.statistics is None
    others = [column for column in columns if column not in audio]
    assert {column.compression for column in others} == {"ZSTD"}
    assert all(column.is_stats_set for column in others)
    data = (tmp_path / shard.path).read_bytes()
    assert data.count(CLIP) == 15, "every clip is there, byte for byte, for whoever cuts by content"


def test_a_row_group_is_one_page_though_it_is_larger_than_a_page_otherwise_is(tmp_path):
    """A page more would put its header between two clips, and push all bytes after it along."""
    rows = [row(index, 60) for index in range(4)]
    size = 4 * 60 * len(CLIP)
    assert 2 * 2**20 < size < GROUP_BYTES
    (shard,) = written(tmp_path, rows)
    data = (tmp_path / shard.path).read_bytes()
    begin, end = data.index(CLIP), data.rindex(CLIP) + len(CLIP)
    assert end - begin == 4 * 60 * (len(CLIP) + 4) - 4, (
        "between two clips lies a length of four bytes, no more"
    )


def test_the_same_rows_give_the_same_bytes(tmp_path):
    first, second = (written(tmp_path / name, map(row, range(9))) for name in "ab")
    assert first == second


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"study":"\xff"}'])
def test_a_folder_without_a_manifest_that_can_be_read_is_no_dataset(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"manifest\.json: .*not a "):
        read_manifest(tmp_path)


def test_the_line_that_leads_to_a_folder_with_a_space_can_be_pasted_as_it_stands(tmp_path):
    folder = tmp_path / "my data/deepdialogue"
    shards = written(folder, [row(1)])
    write_manifest(folder, Manifest(study="s", rehearsal=False, card_sha256="", shards=tuple(shards)))
    assert f"cd '{folder.parent}'" in describe(folder)
