"""What shards promise: where they and their row groups end, how they lie on the disk, and what the index says of them."""

import hashlib
import threading
from pathlib import Path

import hf_xet
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import deepdialogue
from builder.dataset import shards
from builder.dataset.index import CLIPS, DIALOGUES, digests, offsets
from builder.dataset.shards import FILE_BYTES, GROUP_BYTES, TURN_BYTES, write_shards
from builder.errors import DatasetError
from tests.spoken import CONTRACT, RATE, TEXTS, row, text_row

SIZE = 10_000
DIALOGUE_BYTES = 3 * (SIZE + 4 + TURN_BYTES)
VIEWS = ("xtts", "xtts-turns")


def written(folder, rows, contract=CONTRACT):
    return write_shards(folder, contract, split="train", domain="travel", rows=rows)


@pytest.fixture
def small(monkeypatch):
    """About four dialogues a row group, about eight a file."""
    monkeypatch.setattr(shards, "GROUP_BYTES", 4 * DIALOGUE_BYTES)
    monkeypatch.setattr(shards, "FILE_BYTES", 8 * DIALOGUE_BYTES)


def of(config, written):
    return [shard for shard in written.shards if shard.config == config]


def groups(path, columns):
    with pq.ParquetFile(path) as file:
        return [
            file.read_row_group(number, columns=columns).to_pylist() for number in range(file.num_row_groups)
        ]


def test_a_full_shard_is_followed_by_the_next_and_every_dialogue_is_in_one_of_them_in_order(tmp_path, small):
    found = of("xtts", written(tmp_path, map(row, range(40))))
    assert len(found) > 3
    assert [shard.path for shard in found] == [
        f"xtts/train/travel-{number:05}.parquet" for number in range(len(found))
    ]
    rows = [one for shard in found for one in pq.read_table(tmp_path / shard.path).to_pylist()]
    assert [one["id"] for one in rows] == [row(index)["id"] for index in range(40)]
    features = deepdialogue.features("xtts")
    for index, one in enumerate(rows):
        named = one | {"domain": features["domain"].int2str(one["domain"])}
        assert named["domain"] == "travel"
        assert one["audio"] == row(index)["audio"]
        assert [turn["text"] for turn in one["turns"]] == [turn["text"] for turn in row(index)["turns"]]


def test_both_views_have_the_same_clips_in_the_same_order_row_group_by_row_group(tmp_path, small):
    made = written(tmp_path, (row(index, 1 + index % 5) for index in range(40)))
    dialogues, turns = (of(view, made) for view in VIEWS)
    assert [shard.path.replace("xtts/", "xtts-turns/") for shard in dialogues] == [
        shard.path for shard in turns
    ]
    assert len(made.entries) > len(dialogues) > 1, "row groups and files"
    for one, other in zip(dialogues, turns, strict=True):
        whole = groups(tmp_path / one.path, ["id", "audio"])
        apart = groups(tmp_path / other.path, ["dialogue", "turn", "id", "audio"])
        for held, clips in zip(whole, apart, strict=True):
            assert [clip["audio"] for clip in clips] == [clip for each in held for clip in each["audio"]]
            assert [(clip["dialogue"], clip["turn"]) for clip in clips] == [
                (each["id"], turn) for each in held for turn in range(1, 1 + len(each["audio"]))
            ]
            assert all(clip["id"] == f"{clip['dialogue']}/{clip['turn']:02}" for clip in clips)


def test_a_turn_has_its_own_speakers_model_voice_and_checkpoint_and_its_clips_duration(tmp_path):
    source = row(0) | {"second_model": "llama3-8B"}
    (shard,) = of("xtts-turns", written(tmp_path, [source]))
    features = deepdialogue.features("xtts-turns")
    first, second, third = pq.read_table(tmp_path / shard.path).to_pylist()
    assert [features["model"].int2str(turn["model"]) for turn in (first, second)] == [
        "phi4-mini",
        "llama3-8B",
    ]
    assert [turn["voice"] for turn in (first, second, third)] == ["v", "w", "v"]
    assert [turn["checkpoint"] for turn in (first, second, third)] == ["a/b", "c/d", "a/b"]
    assert (third["start"], third["duration"], third["num_turns"]) == (2.0, 0.5, 3)
    assert features["emotion"].int2str(third["emotion"]) == source["turns"][2]["emotion"]


def test_no_row_group_and_no_file_tears_a_dialogue_however_large_it_is(tmp_path, small):
    sizes = [1, 1, 60, 1, 1, 1, 1, 1]
    made = written(tmp_path, (row(index, clips) for index, clips in enumerate(sizes)))
    files = [pq.read_table(tmp_path / shard.path)["num_turns"].to_pylist() for shard in of("xtts", made)]
    assert files == [[1, 1, 60], [1, 1, 1, 1, 1]]


def test_clips_come_out_byte_for_byte_also_where_a_dialogue_is_larger_than_any_before(tmp_path, small):
    sizes = [1, 1, 60, 1, 200, 1, 1, 1]
    made = written(tmp_path, (row(index, clips) for index, clips in enumerate(sizes)))
    for view in VIEWS:
        found = [pq.read_table(tmp_path / shard.path)["audio"].to_pylist() for shard in of(view, made)]
        clips = [clip for table in found for one in table for clip in (one if view == "xtts" else [one])]
        assert clips == [clip for index, count in enumerate(sizes) for clip in row(index, count)["audio"]]


def test_a_clip_is_let_go_once_it_was_taken_over(tmp_path, small):
    """However many dialogues a row group has, and though the next is gathered while one is written."""
    held, most = set(), 0

    class Clip(bytes):
        def __del__(self):
            held.discard(id(self))

    def rows():
        nonlocal most
        for index in range(40):
            most = max(most, len(held))
            one = row(index)
            one["audio"] = [{"bytes": Clip(clip["bytes"]), "path": clip["path"]} for clip in one["audio"]]
            held.update(id(clip["bytes"]) for clip in one["audio"])
            yield one

    assert len(of("xtts", written(tmp_path, rows()))) > 3
    assert 0 < most <= 2 * 3, "clips of two dialogues"


def test_a_row_that_cannot_be_had_ends_it_with_its_own_error_and_every_file_closed(tmp_path, small):
    def rows():
        yield from map(row, range(30))
        raise DatasetError("no more of them")

    open_files = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(DatasetError, match="no more of them"):
        written(tmp_path, rows())
    left = {str(fd.readlink()) for fd in set(Path("/proc/self/fd").iterdir()) - open_files if fd.is_symlink()}
    assert not [name for name in left if name.startswith(str(tmp_path))]
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


@pytest.mark.parametrize("config", VIEWS)
def test_audio_lies_as_it_is_and_the_rest_is_compressed_with_statistics(tmp_path, config):
    (shard,) = of(config, written(tmp_path, map(row, range(5))))
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


@pytest.mark.parametrize("config", VIEWS)
@pytest.mark.parametrize(("dialogues", "clips", "size"), [(4, 60, 10_000), (5_000, 5, 10)])
def test_a_row_group_is_one_page_though_it_has_more_bytes_or_more_rows_than_a_page_otherwise_has(
    tmp_path, config, dialogues, clips, size
):
    """A page more would put its header between two clips, and push all bytes after it along."""
    made = written(tmp_path, (row(index, clips, size) for index in range(dialogues)))
    (shard,) = of(config, made)
    data = (tmp_path / shard.path).read_bytes()
    held = [group.column("length").to_pylist() for group in made.entries]
    assert sum(map(len, held)) == dialogues * clips
    at = 0
    for lengths in held:
        first = data.index(b"fLaC", at)
        for length in lengths:
            assert data[first : first + 4] == b"fLaC"
            assert data[first - 4 : first] == length.to_bytes(4, "little")
            at, first = first + length, first + length + 4


def test_real_row_groups_and_files_are_far_below_what_the_hubs_viewer_refuses():
    assert 1.25 * GROUP_BYTES < 100 * 2**20 < FILE_BYTES < 500 * 2**20
    assert 1.25 * GROUP_BYTES / TURN_BYTES < 20_000, "rows of a page"


def test_the_same_rows_give_the_same_bytes_and_the_checksums_are_those_of_the_files(tmp_path, small):
    first, second = (written(tmp_path / name, map(row, range(20))) for name in "ab")
    assert first == second
    for shard in first.shards:
        data = (tmp_path / "a" / shard.path).read_bytes()
        assert (shard.num_bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_changing_one_dialogue_changes_one_file_of_each_config(tmp_path, small):
    """Its own, whichever of the forty grows by half: the boundaries after it stay."""
    before = {shard.path: shard.sha256 for shard in written(tmp_path / "before", map(row, range(40))).shards}
    assert len(before) > 2 * 3
    for changed in range(40):
        rows = (row(index, size=SIZE + 5_000 * (index == changed)) for index in range(40))
        after = {shard.path: shard.sha256 for shard in written(tmp_path / str(changed), rows).shards}
        assert before.keys() == after.keys()
        turns, dialogues = sorted(path for path in before if before[path] != after[path])
        assert turns.replace("xtts-turns/", "xtts/") == dialogues


def test_the_index_gives_every_clip_byte_for_byte(tmp_path, small):
    made = written(tmp_path, (row(index, 1 + index % 5) for index in range(40)))
    entries = pa.concat_tables(made.entries)
    assert entries.schema.equals(CLIPS)
    assert len({entry["file"] for entry in entries.to_pylist()}) > 1
    clips = iter(entries.to_pylist())
    for index in range(40):
        source = row(index, 1 + index % 5)
        for position, (turn, clip) in enumerate(zip(source["turns"], source["audio"], strict=True), start=1):
            entry = next(clips)
            assert (entry["id"], entry["turn"]) == (source["id"], position)
            said = {name: entry[name] for name in ("split", "domain", "pairing")}
            assert said.items() <= source.items()
            assert {name: entry[name] for name in ("speaker", "emotion", "ravdess")}.items() <= turn.items()
            data = (tmp_path / entry["file"]).read_bytes()
            assert data[entry["offset"] : entry["offset"] + entry["length"]] == clip["bytes"]
            assert entry["sha256"] == hashlib.sha256(clip["bytes"]).digest()
            assert entry["num_samples"] == RATE // 2
    assert next(clips, None) is None


def test_the_index_of_texts_says_where_every_dialogue_lies_and_a_digest_of_all_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "GROUP_BYTES", 4 * 3 * TURN_BYTES)
    made = written(tmp_path, map(text_row, range(30)), TEXTS)
    assert {shard.config for shard in made.shards} == {"text-only"}
    entries = pa.concat_tables(made.entries)
    assert entries.schema.equals(DIALOGUES)
    for index, entry in enumerate(entries.to_pylist()):
        group = groups(tmp_path / entry["file"], ["id"])[entry["row_group"]]
        assert {"id": entry["id"]} in group
        assert (entry["text_sha256"], entry["rest_sha256"]) == digests(text_row(index))
        assert entry["emotions"] == [turn["emotion"] for turn in text_row(index)["turns"]]
    assert entries["row_group"].to_pylist()[-1] > 0


@pytest.mark.parametrize("pages", [{"data_page_size": 20_000}, {"max_rows_per_page": 2}])
def test_a_shard_of_more_pages_than_one_a_row_group_is_not_indexed(tmp_path, pages):
    (shard,) = of("xtts", written(tmp_path, map(row, range(5))))
    path = tmp_path / shard.path
    lengths = [[10_004] * 15]
    assert len(offsets(path, lengths)) == 15
    plain = {"compression": "none", "use_dictionary": False, "write_batch_size": 1}
    pq.write_table(pq.read_table(path), path, **plain, **pages)
    with pytest.raises(
        DatasetError, match=r"no clip of 10004 bytes at byte \d+: row group 0 is not one plain"
    ):
        offsets(path, lengths)


def new_bytes(store, files):
    """How many bytes of the files the store did not have, and how many they are, told by the Hub's own client."""
    commit = hf_xet.XetSession().new_upload_commit(endpoint=f"local://{store}")
    for file in files:
        commit.start_upload_file(str(file))
    said = commit.wait_to_finish().dedup_metrics
    return said.new_bytes, said.total_bytes


def test_the_turn_view_adds_two_percent_of_new_bytes_to_the_dialogue_view(tmp_path):
    """Clips of 3 to 8 seconds, as a store of the Hub takes them in."""
    made = written(tmp_path, (row(index, 6, (80_000, 240_000)) for index in range(70)))
    fresh, total = new_bytes(tmp_path / "store", [tmp_path / shard.path for shard in of("xtts", made)])
    assert fresh == total > 60_000_000
    fresh, total = new_bytes(tmp_path / "store", [tmp_path / shard.path for shard in of("xtts-turns", made)])
    assert total > 60_000_000
    assert fresh <= 0.02 * total
