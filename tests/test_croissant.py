"""What croissant.json promises: it names what the shards hold, is read by the reference reader, and contradicts no feature."""

import asyncio
import json
import warnings

import pytest

import deepdialogue
from builder.dataset.manifest import read_manifest
from builder.evidence.card import contract_of
from builder.stages.package import package
from tests.heard import heard


@pytest.fixture
def described(tmp_path):
    with heard(tmp_path / "run") as run:
        asyncio.run(package(run))
        yield run, json.loads((run.out / "croissant.json").read_bytes())


def leaves(fields):
    return [
        leaf for field in fields for leaf in (leaves(field["subField"]) if "subField" in field else [field])
    ]


def test_every_column_is_a_field_of_its_name_and_every_file_is_named(described):
    run, found = described
    records = {one["@id"]: one for one in found["recordSet"]}
    configs = dict.fromkeys(shard.config for shard in read_manifest(run.out).shards)
    for config in configs:
        names = [field["@id"] for field in records[config]["field"]]
        assert names == [f"{config}/{name}" for name in deepdialogue.features(*contract_of(run, config))]
    files = {
        path.relative_to(run.out).as_posix()
        for one in found["distribution"]
        for pattern in one.get("includes", [one.get("contentUrl", "")])
        for path in run.out.glob(pattern or "nothing")
    }
    listed = read_manifest(run.out)
    assert files == {file.path for file in (*listed.shards, *listed.indexes)}


def test_a_label_refers_to_its_names_in_the_order_of_their_numbers(described):
    run, found = described
    records = {one["@id"]: one for one in found["recordSet"]}
    labels = [field for field in leaves(records["xtts"]["field"]) if "references" in field]
    assert len(labels) == 8
    for field in labels:
        names = records[field["references"]["field"]["@id"].partition("/")[0]]
        assert [row[names["key"]["@id"]] for row in names["data"]] == list(range(len(names["data"])))
    emotions = [row["labels-emotion/name"] for row in records["labels-emotion"]["data"]]
    assert emotions == list(run.study.vocabulary.emotions)


def test_the_reference_reader_finds_no_error_and_reads_what_the_shards_hold(described):
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant, of the extra test, is not installed")
    run, _ = described
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that it stands on
        dataset = croissant.Dataset(str(run.out / "croissant.json"))
        row = next(iter(dataset.records("xtts")))
    assert not dataset.metadata.ctx.issues.errors
    dialogue = run.dialogues[row["xtts/id"].decode()]
    assert [turn["xtts/turns/text"].decode() for turn in row["xtts/turns"]] == [
        turn.text for turn in dialogue.turns
    ]
    assert all(clip[:4] == b"fLaC" for clip in row["xtts/audio"])
    assert len(row["xtts/audio"]) == len(dialogue.turns)
