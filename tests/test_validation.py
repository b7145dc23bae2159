"""What `validate` finds: every fault is planted in a dataset that was sound, with its checksums made to fit."""

import itertools
import shutil

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.core.version import Release
from builder.dataset.manifest import CARD, file_sha256, read_manifest, write_manifest
from builder.dataset.validation import validate
from builder.errors import DatasetError
from tests.commands import REHEARSAL, deepdialogue, site, study


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A dataset of two domains, text and two voices."""
    folder = tmp_path_factory.mktemp("sound")
    what = study(
        folder,
        dialogues_per_cell="2",
        edits=[("train = 0.7\nvalidation = 0.15", "train = 0.5\nvalidation = 0.35")],
    )
    done = deepdialogue(
        "build", what, "--site", site(folder, REHEARSAL), "--run", "run", "--out", "out", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def dataset(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "dataset")


def resealed(folder, **changes):
    """Makes manifest and checksums fit what the files are now."""
    manifest = read_manifest(folder)
    shards, indexes = (
        tuple(
            msgspec.structs.replace(
                file,
                num_bytes=(folder / file.path).stat().st_size,
                sha256=file_sha256(folder / file.path),
            )
            for file in files
        )
        for files in (manifest.shards, manifest.indexes)
    )
    changes = {"shards": shards, "indexes": indexes, "card_sha256": file_sha256(folder / CARD)} | changes
    write_manifest(folder, msgspec.structs.replace(manifest, **changes))


def rewritten(folder, config, change, only=None):
    """Changes the rows of the first shard of a config, or of this one, and makes the checksums fit."""
    shards = [only] if only else [one for one in read_manifest(folder).shards if one.config == config]
    for shard in shards[:1]:
        table = pq.read_table(folder / shard.path)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / shard.path)
    resealed(folder)
    return shards[0]


def the_fault(folder):
    faults = validate(folder)
    assert len(faults) == 1, faults
    return faults[0]


def test_a_sound_dataset_has_no_fault(dataset):
    assert validate(dataset) == []
    resealed(dataset)
    assert validate(dataset) == []


def test_what_a_system_or_a_clone_leaves_in_a_dataset_is_no_fault_and_any_other_file_is(dataset):
    shard = dataset / read_manifest(dataset).shards[0].path
    for path in (shard.with_name(f"._{shard.name}"), shard.with_name(".nfs01"), dataset / "index/Thumbs.db"):
        path.write_bytes(b"")
    for path in (dataset / ".git/HEAD", dataset / "@eaDir/README.md@SynoEAStream"):
        path.parent.mkdir()
        path.write_text("left here")
    assert validate(dataset) == []
    shard.with_name("mine.parquet").write_bytes(b"")
    assert any(
        fault.startswith(f"{shard.with_name('mine.parquet')}: not in the manifest")
        for fault in validate(dataset)
    )


def test_what_a_manifest_claims_and_the_rows_deny_is_found_without_reading_every_row(dataset):
    manifest = read_manifest(dataset)
    (speaker, *others), (index, *rest) = manifest.speakers, manifest.indexes
    version = Release(version="9.9.9", step="major", changes=(), source="")
    for changes, said in {
        "no rehearsal": ({"rehearsal": False}, "says that it is no rehearsal, and"),
        "a speaker": (
            {"speakers": (msgspec.structs.replace(speaker, served="ORG/BETTER"), *others)},
            f"says that ORG/BETTER spoke as {speaker.model} in {speaker.count} dialogues, the rows say in 0",
        ),
        "a count": (
            {"speakers": (msgspec.structs.replace(speaker, count=speaker.count + 1), *others)},
            f"spoke as {speaker.model} in {speaker.count + 1} dialogues, the rows say in {speaker.count}",
        ),
        "rows of an index": (
            {"indexes": (msgspec.structs.replace(index, rows=1), *rest)},
            f"says that {index.path} has 1 rows, it has {index.rows}",
        ),
        "a study": ({"study": "another"}, "says that its study is 'another', croissant.json says "),
        "a version": ({"versions": (version,)}, "says that its version is '9.9.9', croissant.json says ''"),
    }.values():
        write_manifest(dataset, msgspec.structs.replace(manifest, **changes))
        assert any(said in fault for fault in validate(dataset, rows=False)), said
    write_manifest(dataset, manifest)
    assert validate(dataset, rows=False) == []


def test_two_clips_that_changed_places_are_found_even_if_they_last_as_long(dataset):
    def swap(rows):
        first, second = rows[0]["audio"][:2]
        rows[0]["audio"][:2] = second, first

    rewritten(dataset, "xtts", swap)
    faults = validate(dataset)
    assert sum("it belongs elsewhere" in fault for fault in faults) == 2
    assert sum("lasts" in fault for fault in faults) == 2


def test_the_sound_of_another_clip_under_the_right_name_is_found_by_its_length(dataset):
    def swap(rows):
        first, second = rows[0]["audio"][:2]
        first["bytes"], second["bytes"] = second["bytes"], first["bytes"]

    rewritten(dataset, "xtts", swap)
    assert all("lasts" in fault for fault in validate(dataset))
    assert len(validate(dataset)) == 2


def test_a_text_edited_in_one_config_says_other_words_than_the_rest(dataset):
    def edit(rows):
        rows[0]["turns"][0]["text"] += " And I never said so."

    rewritten(dataset, "orpheus", edit)
    faults = validate(dataset)
    assert any(
        "orpheus: " in fault and "says other words than in text-only (1 such)" in fault for fault in faults
    )
    assert any("is not turn for turn what it is in orpheus-turns (1 such)" in fault for fault in faults)


def test_a_turn_that_says_sounds_or_is_placed_otherwise_than_in_its_dialogue_is_found(dataset):
    def swap(rows):
        rows[0]["audio"]["bytes"], rows[1]["audio"]["bytes"] = [row["audio"]["bytes"] for row in rows[1::-1]]

    changes = [
        lambda rows: rows[0].update(text="Something else."),
        lambda rows: rows[0].update(voice="another"),
        lambda rows: rows[0].update(start=0.5),
        swap,
        lambda rows: rows.pop(1),
        lambda rows: rows.insert(0, rows.pop(1)),
    ]
    (*_, shard) = (shard for shard in read_manifest(dataset).shards if shard.config == "xtts-turns")
    whole = pq.read_table(dataset / shard.path).to_pylist()
    for change in changes:
        before = (dataset / shard.path).read_bytes()
        rewritten(dataset, "xtts-turns", change, only=shard)
        assert any(
            f"xtts: {whole[0]['dialogue']!r} is not turn for turn what it is in xtts-turns (1 such)" in fault
            for fault in validate(dataset)
        )
        (dataset / shard.path).write_bytes(before)


def test_dialogues_in_another_order_turn_by_turn_are_found_and_so_is_one_in_two_pieces(dataset):
    def turn_round(rows):
        rows.sort(key=lambda row: row["dialogue"], reverse=True)

    sizes = {shard.rows: shard for shard in read_manifest(dataset).shards if shard.config == "orpheus-turns"}
    shard = sizes[max(sizes)]
    rewritten(dataset, "orpheus-turns", turn_round, only=shard)
    assert "orpheus: its dialogues are in another order than in orpheus-turns" in the_fault(dataset)
    rewritten(dataset, "orpheus-turns", lambda rows: rows.append(rows.pop(0)), only=shard)
    assert any("is in the dataset twice, or is not in one piece" in fault for fault in validate(dataset))


def test_a_dataset_without_turn_rows_or_an_index_is_not_whole(dataset):
    manifest = read_manifest(dataset)
    shards = tuple(shard for shard in manifest.shards if shard.config != "xtts-turns")
    indexes = tuple(index for index in manifest.indexes if index.config != "orpheus")
    shutil.rmtree(dataset / "xtts-turns")
    (dataset / "index/orpheus.parquet").unlink()
    write_manifest(dataset, msgspec.structs.replace(manifest, shards=shards, indexes=indexes))
    faults = validate(dataset)
    assert any("is not turn for turn what it is in xtts-turns" in fault for fault in faults)
    assert f"{dataset}/index/orpheus.parquet: not in the manifest: package the dataset again" in faults


@pytest.mark.parametrize(
    ("config", "change", "said"),
    [
        ("xtts", {"offset": 1}, "turn 1 of {id} is not at byte 1 of {file} (1 such)"),
        ("xtts", {"length": 50}, "{id!r} is not there as the shards have it (1 such)"),
        ("orpheus", {"emotion": "bored"}, "{id!r} is not there as the shards have it (1 such)"),
        ("orpheus", {"file": "../../etc/passwd"}, "{id!r} is not there as the shards have it (1 such)"),
        ("orpheus", {"id": "a/b_1_1"}, "{id!r} is not there as the shards have it (2 such)"),
        ("text-only", {"text_sha256": bytes(32)}, "{id!r} is not there as the shards have it (1 such)"),
    ],
)
def test_an_index_that_says_otherwise_than_the_shards_is_named_with_what_it_misplaces(
    dataset, config, change, said
):
    path = dataset / "index" / f"{config}.parquet"
    table = pq.read_table(path)
    first, *rest = table.to_pylist()
    pq.write_table(pa.Table.from_pylist([first | change, *rest], schema=table.schema), path)
    resealed(dataset)
    assert the_fault(dataset) == f"{path}: {said.format(**first)}"


def test_a_file_that_is_no_index_is_named(dataset):
    path = dataset / "index/xtts.parquet"
    path.write_bytes(b"PAR1")
    resealed(dataset)
    assert f"{path}: cannot be read" in the_fault(dataset)


def test_a_clip_that_does_not_decode_is_named(dataset):
    def damage(rows):
        rows[0]["audio"][1]["bytes"] = rows[0]["audio"][1]["bytes"][:100]

    rewritten(dataset, "xtts", damage)
    assert "clip 2 does not decode" in the_fault(dataset)


@pytest.mark.parametrize("earlier_s", [0.5, float("nan")])
def test_a_turn_that_begins_before_the_last_one_ends_is_found_and_so_is_one_that_begins_at_no_number(
    dataset, earlier_s
):
    def move(rows):
        rows[0]["turns"][1]["start"] -= earlier_s
        rows[0]["turns"][1]["end"] -= earlier_s

    rewritten(dataset, "xtts", move)
    assert any("turn 2 lies at" in fault for fault in validate(dataset))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": 1}, "lies in test and says validation"),
        ({"domain": 0}, "is not what its id says"),
        ({"num_turns": 1}, "is not what its id says"),
        ({"domain": 4000}, "a label is a number without a name"),
        ({"pairing": -1}, "a label is a number without a name"),
        ({"domain": None}, "a label is a number without a name"),
        ({"turns": None}, "a value is missing"),
        ({"id": "../../etc/passwd"}, "is not <pairing>/<domain>_<index>_<turns>"),
        ({"scores": [{"judge": "a", "criterion": "b", "score": float("nan")}]}, "a score is not a number"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(dataset, change, said):
    shard = rewritten(dataset, "text-only", lambda rows: rows[0].update(change))
    assert shard.split == "test"
    assert any(said in fault for fault in validate(dataset)), validate(dataset)


def test_speakers_that_do_not_take_turns_are_found(dataset):
    def repeat(rows):
        rows[0]["turns"][1]["speaker"] = 0

    rewritten(dataset, "text-only", repeat)
    assert any("its speakers do not take turns" in fault for fault in validate(dataset))


def test_a_dialogue_that_is_there_twice_is_found_and_so_is_the_row_that_the_manifest_does_not_know(dataset):
    rewritten(dataset, "text-only", lambda rows: rows.append(rows[0]))
    faults = validate(dataset)
    assert any("is in the dataset twice" in fault for fault in faults)
    assert any("rows, the manifest says" in fault for fault in faults)


def test_a_dialogue_in_one_split_as_text_and_in_another_as_speech_is_found(dataset):
    shards = read_manifest(dataset).shards
    texts = [shard for shard in shards if shard.config == "text-only"]
    train, test = (next(one for one in texts if one.split == split) for split in ("train", "validation"))
    held = [pq.read_table(dataset / shard.path) for shard in (train, test)]
    rows = [table.to_pylist() for table in held]
    moved = [row | {"split": 1} for row in rows[0]], [row | {"split": 0} for row in rows[1]]
    for shard, table, there in zip((train, test), held, moved[::-1], strict=True):
        pq.write_table(pa.Table.from_pylist(there, schema=table.schema), dataset / shard.path)
    resealed(dataset)
    assert any("is not in the same split of text-only" in fault for fault in validate(dataset))


def edited(folder, old, new):
    path = folder / CARD
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    resealed(folder)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_examples: ", "num_examples: 1", r"says 1"),
        ("  - name: validation\n", "  - name: dev\n", "rows in xtts/dev, there are 0"),
        ("- config_name: orpheus\n  data_files", "- config_name: opheus\n  data_files", "names the configs"),
        ("xtts/train/*", "orpheus/train/*", "its data_files of xtts are not the shards of xtts"),
        ('"0": train', '"0": treino', "its features of xtts are not those of"),
        ("dataset_info:\n- config_name: xtts", "dataset_info:\n- config_name: other", "rows in other/"),
        ("dataset_info:", "dataset_inf:", "its YAML cannot be read"),
        ("configs:\n", "configs: [\n", "its YAML cannot be read"),
        ("splits:", "splits: 3\n  was:", "its YAML cannot be read"),
    ],
)
def test_a_card_that_says_what_is_not_so_is_found(dataset, old, new, said):
    edited(dataset, old, new)
    faults = validate(dataset)
    assert faults
    assert all(str(dataset / CARD) in fault for fault in faults)
    assert any(said in fault for fault in faults), faults


def test_a_card_that_leaves_out_a_split_is_found_though_all_it_says_is_so(dataset):
    text = (dataset / CARD).read_text(encoding="utf-8")
    begin = text.index("  - name: validation\n    num_bytes")
    end = text.index("  - name: ", begin + 10)
    edited(dataset, text[begin:end], "")
    assert "says 0 rows in xtts/validation, there are" in the_fault(dataset)


def test_a_card_that_is_missing_or_no_text_is_one_fault_and_nobody_is_asked_for_another(dataset):
    (dataset / CARD).write_bytes(b"\xff\xfe---\n")
    resealed(dataset)
    assert "its YAML cannot be read" in the_fault(dataset)
    (dataset / CARD).unlink()
    assert the_fault(dataset) == f"{dataset / CARD}: missing"


def test_a_shard_that_readers_would_take_for_another_split_is_found(dataset):
    manifest = read_manifest(dataset)
    shard = next(one for one in manifest.shards if (one.config, one.split) == ("text-only", "train"))
    path = shard.path.replace("train", "validation").replace("0.parquet", "7.parquet")
    (dataset / shard.path).rename(dataset / path)
    moved = tuple(msgspec.structs.replace(one, path=path) if one is shard else one for one in manifest.shards)
    write_manifest(dataset, msgspec.structs.replace(manifest, shards=moved))
    assert any("is not where readers look for text-only/train" in fault for fault in validate(dataset))


def test_a_parquet_file_of_something_else_is_named_not_opened_any_further(dataset):
    shard = read_manifest(dataset).shards[0]
    for table in (pa.table({"a": [1]}), pa.table({"id": ["x"], "domain": [1], "turns": [[1]]})):
        pq.write_table(table, dataset / shard.path)
        resealed(dataset)
        assert any(
            f"its columns are not those of a {shard.config} shard" in fault for fault in validate(dataset)
        )
    metadata = pa.table({"a": [1]}).replace_schema_metadata({"huggingface": "{"})
    pq.write_table(metadata, dataset / shard.path)
    resealed(dataset)
    assert any("its columns are not those of" in fault for fault in validate(dataset))


def test_any_flipped_byte_is_found_by_its_checksum_and_ends_in_no_traceback(dataset):
    manifest = read_manifest(dataset)
    shard = next(one for one in manifest.shards if one.config == "text-only")
    write_manifest(dataset, msgspec.structs.replace(manifest, shards=(shard,)))
    for config in ("xtts", "orpheus"):
        shutil.rmtree(dataset / config)
    path = dataset / shard.path
    whole = path.read_bytes()
    for place in itertools.chain(range(0, len(whole), 997), range(len(whole) - 40, len(whole))):
        harmed = bytearray(whole)
        harmed[place] ^= 0x55
        path.write_bytes(harmed)
        assert any("its checksum is not the manifest's" in fault for fault in validate(dataset))


def test_what_is_no_dataset_at_all_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="not a packaged dataset"):
        validate(tmp_path)
