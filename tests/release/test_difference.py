"""What changed between two versions is found from their manifests, cards and indexes, here and on the Hub."""

import json
import os
import shutil

import pytest

import deepdialogue
from builder.__main__ import main
from builder.core.version import Counts
from builder.errors import ConfigError, DatasetError, ReleaseError
from builder.hub.difference import difference
from builder.hub.snapshot import of_folder, opened
from tests.releases import add, dataset, edit, move, remove, rescore, respeak
from tests.servers.hub import READER


@pytest.fixture
def against(base, tmp_path):
    """The difference from the first version to one that is made with the given options."""
    return lambda *args, **options: difference(
        of_folder(base), of_folder(dataset(tmp_path / "new", *args, **options))
    )


EVERY = ("text-only", "xtts")


@pytest.mark.parametrize(
    ("change", "step", "configs"),
    [
        (None, "none", {}),
        (add, "minor", {config: {"travel": Counts(added=1)} for config in EVERY}),
        (remove, "major", {config: {"art": Counts(removed=1)} for config in EVERY}),
        (edit, "major", {config: {"art": Counts(text=1)} for config in EVERY}),
        (rescore, "patch", {config: {"art": Counts(rest=1)} for config in EVERY}),
        (respeak, "minor", {"xtts": {"art": Counts(audio=1, clips=1)}}),
        (move, "major", {config: {"work": Counts(moved=2)} for config in EVERY}),
    ],
)
def test_each_change_is_counted_where_it_is_and_nowhere_else(against, change, step, configs):
    found = against(change)
    assert (found.step, found.configs) == (step, configs)


def test_an_emotion_is_a_part_of_the_text_and_an_acted_class_is_not(against, base, tmp_path):
    def feel(held):
        for rows in held.values():
            rows[0]["turns"][0]["emotion"] = "proud"

    def act(held):
        for row in held["xtts"][:1]:
            row["turns"][0]["ravdess"] = "disgust"

    assert against(feel).configs["text-only"] == {"art": Counts(text=1)}
    found = difference(of_folder(base), of_folder(dataset(tmp_path / "acted", act)))
    assert (found.step, found.configs) == ("patch", {"xtts": {"art": Counts(rest=1)}})


def test_a_voice_that_comes_or_goes_is_a_config_and_no_single_row(base, against):
    found = against(configs=("text-only",))
    assert found.step == "major"
    assert found.changes == ("config xtts is gone", "config xtts-turns is gone")
    back = difference(of_folder(base.parent / base.name), of_folder(base))
    assert back.step == "none"
    found = difference(opened(found.new), of_folder(base))
    assert (found.step, found.changes) == ("minor", ("config xtts is new", "config xtts-turns is new"))


def test_labels_that_are_added_at_the_end_are_a_minor_step_and_renumbered_ones_a_major(
    against, base, tmp_path
):
    more = deepdialogue.LABELS._replace(domains=(*deepdialogue.DOMAINS, "zoos"))
    assert against(labels=more).changes[0] == "text-only: column domain has new labels at the end: zoos"
    other = deepdialogue.LABELS._replace(domains=("aaa", *deepdialogue.DOMAINS))
    found = difference(of_folder(base), of_folder(dataset(tmp_path / "other", labels=other)))
    assert found.step == "major"
    assert found.changes[0] == "text-only: column domain numbers its labels differently"


def test_words_of_the_card_alone_are_a_patch(against):
    found = against(note="A better word.")
    assert (found.step, found.changes) == (
        "patch",
        ("card or metadata only: 1 files changed, no text and no clip",),
    )


def test_new_bytes_are_the_new_clips_and_what_is_not_audio(against, base):
    silent, loud = against(rescore), None
    assert silent.files.new_bytes <= silent.files.num_bytes

    def lengthen(held):
        held["xtts"][0]["audio"][0]["bytes"] += bytes(1_000_000)

    shutil.rmtree(silent.new)
    loud = against(lengthen)
    assert loud.configs == {"xtts": {"art": Counts(audio=1, clips=1)}}
    assert loud.files.num_bytes > 2_000_000  # in both views
    assert 1_000_000 < loud.files.new_bytes < 1_500_000


def test_clips_in_a_view_of_their_own_are_not_new(base, tmp_path):
    """Turn rows that are added later hold clips that are known."""
    import msgspec

    from builder.dataset.manifest import read_manifest, write_manifest

    folder = shutil.copytree(base, tmp_path / "without")
    manifest = read_manifest(folder)
    kept = tuple(shard for shard in manifest.shards if shard.config != "xtts-turns")
    write_manifest(folder, msgspec.structs.replace(manifest, shards=kept))
    found = difference(of_folder(folder), of_folder(base))
    audio = sum(of_folder(base).table("xtts", ["length"])["length"].to_pylist())
    assert found.files.new_bytes == found.files.num_bytes - audio


def test_a_dataset_without_an_index_is_named_with_the_repair(base, tmp_path):
    import msgspec

    from builder.dataset.manifest import read_manifest, write_manifest

    folder = shutil.copytree(base, tmp_path / "old")
    write_manifest(folder, msgspec.structs.replace(read_manifest(folder), indexes=()))
    with pytest.raises(DatasetError, match=r"has no index of text-only: .* package it again"):
        difference(of_folder(folder), of_folder(base))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_versions_of_the_hub_are_compared_without_reading_a_shard(hub, push, base, grown, capsys):
    push(base)
    push(grown)
    calls = len(hub.calls)
    for old in ("lab/speech@v1.0.0", "hf://datasets/lab/speech@v1.0.0", str(base)):
        for new in ("lab/speech", "lab/speech@v1.1.0", str(grown)):
            assert main(["diff", old, new]) == 0
            said = capsys.readouterr().out.splitlines()
            assert said[:2] == [
                f"{old} -> {new}: a minor step",
                "  dialogues added: 1 in text-only, 1 in xtts",
            ]
            assert "xtts: 8 -> 9 rows" in said
            assert "  travel           added 1" in said
    assert main(["diff", "lab/speech", "lab/speech@v1.1.0"]) == 0
    assert "are the same" in capsys.readouterr().out
    fetched = [call for call in hub.calls[calls:] if "/resolve/" in call.path]
    assert fetched
    assert all("/index/" in call.path or call.path.endswith((".json", ".md")) for call in fetched)


def test_a_difference_is_one_json_object_for_programs(base, grown, capsys):
    assert main(["diff", str(base), str(grown), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["step"] == "minor"
    assert found["configs"]["xtts"]["travel"] == {
        "added": 1, "removed": 0, "moved": 0, "text": 0, "audio": 0, "clips": 0, "rest": 0
    }  # fmt: skip
    assert found["rows"]["xtts"] == [8, 9]
    assert found["files"]["changed"]


def test_what_is_neither_folder_nor_dataset_is_named(hub, base, tmp_path):
    with pytest.raises(ConfigError, match="'nowhere' is no name of a repository: write it as ORG/NAME"):
        opened("nowhere")
    with pytest.raises(ReleaseError, match="no such folder, and the Hub shows no dataset 'lab/none'"):
        opened("lab/none")
    hub.commit("lab/other", {"README.md": b"---\n---\n"})
    with pytest.raises(ReleaseError, match=r"shows no dataset 'lab/other' with a revision 'v9\.0\.0'"):
        opened("lab/other@v9.0.0")
    with pytest.raises(DatasetError, match=r"lab/other has no manifest\.json at .*: not a packaged dataset"):
        opened("lab/other")
    with pytest.raises(DatasetError, match="not a packaged dataset"):
        opened(str(tmp_path))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_private_dataset_is_shown_to_who_may_read_it(hub, push, base, monkeypatch):
    push(base)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert str(opened("lab/speech").version) == "1.0.0"
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ReleaseError, match="set HF_TOKEN to one that may read it"):
        opened("lab/speech")
    assert "HF_TOKEN" not in os.environ
