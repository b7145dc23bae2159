"""What `push` promises: one commit, one tag, the right number, and a line for everything it refuses."""

import re
import shutil

import msgspec
import pytest

from builder.dataset.manifest import Manifest, read_manifest, write_manifest
from builder.dataset.validation import validate
from tests.commands import tree
from tests.releases import add, dataset, edit, remove, rescore, respeak
from tests.servers.hub import READER, TOKEN, move

# How huggingface_hub hands a file to its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def manifest(hub, revision="main"):
    return msgspec.json.decode(hub.tree("lab/speech", revision)["manifest.json"], type=Manifest)


def data(files):
    """What a version holds beside the two files that tell of versions."""
    return {
        path: content
        for path, content in files.items()
        if path not in {"README.md", "manifest.json", ".gitattributes"}
    }


def test_the_first_push_makes_a_private_repository_with_one_commit_and_one_tag(hub, push, base):
    before = tree(base)
    status, said = push(base)
    assert status == 0, said
    repo = hub.repos["lab/speech"]
    assert repo.private
    assert [repo.commits[sha].title for sha in repo.commits] == ["initial commit", "Version 1.0.0"]
    assert repo.tags == {"v1.0.0": hub.head("lab/speech")}
    assert data(hub.tree("lab/speech", "v1.0.0")) == data(before)
    assert tree(base) == before
    assert said.splitlines()[-1] == f"{hub.url}/datasets/lab/speech/tree/v1.0.0"


def test_what_is_published_is_sound_and_says_which_version_it_is(hub, push, base, tmp_path):
    push(base)
    hub.repos["lab/speech"].private = False
    for path, content in hub.tree("lab/speech", "v1.0.0").items():
        file = tmp_path / "fetched" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert validate(tmp_path / "fetched") == []
    assert "holds just this as v1.0.0: nothing to publish" in push(tmp_path / "fetched")[1]
    card = (tmp_path / "fetched" / "README.md").read_text()
    assert "### v1.0.0\n\n- first version: 8 rows in text-only, 8 rows in xtts, 28 rows in xtts-turns" in card
    assert 'load_dataset("lab/speech", "xtts", revision="v1.0.0")' in card


def test_the_same_again_publishes_nothing_and_asks_for_no_right_to_write(hub, push, base):
    push(base)
    head, calls = hub.head("lab/speech"), len(hub.calls)
    status, said = push(base)
    assert (status, hub.head("lab/speech")) == (0, head)
    assert "holds just this as v1.0.0: nothing to publish" in said
    assert {call.method for call in hub.calls[calls:]} <= {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("change", "version"),
    [(add, "1.1.0"), (respeak, "1.1.0"), (remove, "2.0.0"), (edit, "2.0.0"), (rescore, "1.0.1")],
)
def test_the_next_version_is_decided_from_the_difference_and_both_stay(
    hub, push, base, tmp_path, change, version
):
    push(base)
    first = hub.tree("lab/speech", "v1.0.0")
    changed = dataset(tmp_path / "small", change)
    status, said = push(changed)
    assert status == 0, said
    assert hub.repos["lab/speech"].tags.keys() == {"v1.0.0", f"v{version}"}
    assert hub.tree("lab/speech", "v1.0.0") == first
    assert data(hub.tree("lab/speech", f"v{version}")) == data(tree(changed))
    assert [release.version for release in manifest(hub).versions] == ["1.0.0", version]
    card = hub.tree("lab/speech")["README.md"].decode()
    assert card.index(f"### v{version}") < card.index("### v1.0.0")


def test_only_what_changed_is_uploaded_and_what_is_gone_is_deleted(hub, push, base, tmp_path):
    push(base)
    uploaded = len(hub.asked("^PUT /lfs/"))

    def without_work(held):
        for rows in held.values():
            rows[:] = [row for row in rows if row["domain"] != "work"]

    push(dataset(tmp_path / "small", without_work))
    assert len(hub.asked("^PUT /lfs/")) - uploaded == 2  # the two indexes
    assert not any("/test/" in path for path in hub.tree("lab/speech"))


def test_turn_rows_are_uploaded_after_the_dialogues_whose_clips_they_share(hub, push, base):
    push(base)
    held = hub.repos["lab/speech"].commits[hub.head("lab/speech")].tree
    paths = {file.sha256: path for path, file in held.items()}
    sent = [paths[call.path.rpartition("/")[2]] for call in hub.asked("^PUT /lfs/")]
    views = [path.startswith("xtts-turns/") for path in sent]
    assert views == sorted(views)
    assert any(views)


def test_a_card_that_changed_alone_is_a_patch_without_an_upload(hub, push, base, tmp_path):
    push(base)
    uploaded = len(hub.asked("^PUT /lfs/"))
    push(dataset(tmp_path / "small", note="A better word."))
    assert hub.repos["lab/speech"].tags.keys() == {"v1.0.0", "v1.0.1"}
    assert len(hub.asked("^PUT /lfs/")) == uploaded


def test_a_dry_run_tells_what_would_change_and_changes_nothing(hub, push, base, grown):
    status, said = push(base, "--dry-run")
    assert status == 0
    assert "lab/speech, which is made, private: v1.0.0 on main, the first version" in said
    assert not hub.repos
    push(base)
    calls = len(hub.calls)
    status, said = push(grown, "--dry-run", "--rate", "1kB/s")
    assert status == 0
    assert "v1.1.0 on main, a minor step\n  dialogues added: 1 in text-only, 1 in xtts\n" in said
    assert "  0 files new, 7 changed, 0 deleted\n" in said  # card and manifest, too
    assert re.search(r"new to the Hub \(an estimate from the indexes\): 0:0[01]:[0-9]{2} at 0.001 MB/s", said)
    assert {call.method for call in hub.calls[calls:]} <= {"GET", "HEAD"}
    assert hub.repos["lab/speech"].tags.keys() == {"v1.0.0"}


def test_a_greater_number_may_be_asked_for_and_a_smaller_one_is_refused_with_the_reason(
    hub, push, base, grown
):
    push(base, "--version", "1.2.0")
    assert hub.repos["lab/speech"].tags.keys() == {"v1.2.0"}
    status, said = push(grown, "--version", "1.2.1")
    assert status == 1
    assert (
        "version 1.2.1 is too small: it has to be 1.3.0 at least, which is a minor step: dialogues added"
        in said
    )
    push(grown, "--version", "v2.0.0")
    assert hub.repos["lab/speech"].tags.keys() == {"v1.2.0", "v2.0.0"}
    status, said = push(grown, "--version", "3.0.0")
    assert status == 1
    assert "holds just this as 2.0.0: there is nothing to publish as 3.0.0" in said


def test_a_version_that_exists_with_other_content_is_never_overwritten(hub, push, base, grown, tmp_path):
    push(base)
    push(grown)
    hub.repos["lab/speech"].branches["main"] = hub.head("lab/speech", "v1.0.0")
    before = dict(hub.repos["lab/speech"].tags)
    status, said = push(dataset(tmp_path / "small", respeak))
    assert status == 1
    assert (
        "1.1.0 exists with other content, and a version never changes: name a later one with --version"
        in said
    )
    assert hub.repos["lab/speech"].tags == before
    assert push(tmp_path / "small", "--version", "1.2.0")[0] == 0


def test_a_branch_that_moved_is_refused_and_the_same_command_then_says_by_what(hub, push, base, grown):
    push(base)
    first = hub.head("lab/speech")
    hub.fail("POST .*/commit/main", move(hub, "lab/speech", {"LICENSE": b"..."}))
    status, said = push(grown)
    assert status == 1
    assert 'main moved while this was uploading ("another\'s commit"): nothing was published' in said
    assert hub.repos["lab/speech"].tags == {"v1.0.0": first}
    assert push(grown)[0] == 0
    assert hub.tree("lab/speech", "v1.1.0")["LICENSE"] == b"..."


def test_a_card_edited_on_the_hub_is_noted_before_it_is_replaced(hub, push, base, grown):
    push(base)
    hub.commit("lab/speech", {"README.md": hub.tree("lab/speech")["README.md"] + b"By hand.\n"})
    status, said = push(base)
    assert (status, "changed on the Hub since the last version: README.md" in said) == (0, True)
    assert b"By hand." in hub.tree("lab/speech")["README.md"]
    status, said = push(grown)
    assert (status, "changed on the Hub since the last version: README.md" in said) == (0, True)
    assert b"By hand." not in hub.tree("lab/speech", "v1.1.0")["README.md"]


def test_a_pull_request_is_opened_once_and_tagged_once_it_is_merged(hub, push, base, grown):
    push(base)
    head = hub.head("lab/speech")
    status, said = push(grown, "--pull-request")
    assert status == 0, said
    assert said.splitlines()[-1] == f"{hub.url}/datasets/lab/speech/discussions/1"
    status, said = push(grown, "--pull-request")
    assert said.splitlines()[-1] == f"{hub.url}/datasets/lab/speech/discussions/1"
    assert len(hub.repos["lab/speech"].pulls) == 1
    assert hub.head("lab/speech") == head
    assert hub.repos["lab/speech"].tags.keys() == {"v1.0.0"}
    hub.merge("lab/speech", 1)
    status, said = push(grown)
    assert "main holds v1.1.0 without its tag, which it gets" in said
    assert hub.repos["lab/speech"].tags["v1.1.0"] == hub.head("lab/speech")


def test_a_branch_of_its_own_leaves_main_where_it_is(hub, push, base, grown):
    push(base)
    head = hub.head("lab/speech")
    assert push(grown, "--branch", "next")[0] == 0
    assert hub.head("lab/speech") == head
    assert hub.head("lab/speech", "next") == hub.head("lab/speech", "v1.1.0") != head


def test_a_repository_that_is_there_keeps_who_may_see_it(hub, push, base):
    hub.create("lab/speech")
    push(base)
    assert not hub.repos["lab/speech"].private
    push(base, "--public", to="lab/open")
    assert not hub.repos["lab/open"].private


def test_the_commit_says_what_changed_or_what_it_is_told_to(hub, push, base, grown):
    push(base, "--message", "It begins.")
    push(grown)
    messages = [commit.message for commit in hub.repos["lab/speech"].commits.values()]
    assert messages == ["", "It begins.", "- dialogues added: 1 in text-only, 1 in xtts"]


def refusal(push, folder, *options, to="lab/speech"):
    status, said = push(folder, *options, to=to)
    assert status == 1
    (line,) = [line for line in said.splitlines() if "error:" in line]
    return line


def test_a_dataset_that_fails_validate_is_refused_before_anything_is_sent(hub, push, base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "small")
    shard = folder / "xtts" / "train" / "art-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9] + b"x" + shard.read_bytes()[-8:])
    line = refusal(push, folder)
    assert "its checksum is not the manifest's" in line or "cannot be read" in line
    assert not hub.repos


def test_what_was_found_sound_is_not_decoded_again_and_clips_may_be_trusted(hub, push, tmp_path, monkeypatch):
    from builder.hub import push as module

    grown, base = dataset(tmp_path / "grown", add), dataset(tmp_path / "base")

    asked = []
    monkeypatch.setattr(module, "validate", lambda _, rows: asked.append(rows) or [])
    hub.fail("POST .*/commit/main", move(hub, "lab/speech", {"LICENSE": b"..."}))
    assert push(grown)[0] == 1
    assert push(grown)[0] == 0
    push(base, "--trust-audio", to="lab/other")
    assert asked == [True, False, False]


def test_a_file_that_is_not_the_datasets_is_refused(hub, push, base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "small")
    (folder / "notes.txt").write_text("mine")
    assert "notes.txt: not in the manifest: take it out" in refusal(push, folder)
    (folder / "notes.txt").unlink()
    (folder / "speech.py").write_text("")
    assert "speech.py: a file of the repository's name breaks `datasets` 4 and 5" in refusal(push, folder)


def test_a_loading_script_or_shards_of_others_on_the_hub_are_refused(hub, push, base):
    hub.commit("lab/speech", {"speech.py": b""})
    assert "lab/speech holds speech.py, which breaks it" in refusal(push, base)
    hub.commit("lab/speech", {"speech.py": None, "data/train-00000.parquet": b"PAR1"})
    assert "lab/speech holds data/train-00000.parquet, which no version of this dataset has" in refusal(
        push, base
    )


def test_a_rehearsal_is_refused_unless_it_is_meant(hub, push, tmp_path):
    def rehearse(held):
        for rows in held.values():
            rows[0]["rehearsal"] = True

    folder = dataset(tmp_path / "small", rehearse)
    manifest = read_manifest(folder)
    write_manifest(folder, msgspec.structs.replace(manifest, rehearsal=False))
    assert "manifest.json: says that it is no rehearsal, and" in refusal(push, folder)
    write_manifest(folder, manifest)
    assert "is a rehearsal: stand-ins took part, and it is not training data" in refusal(push, folder)
    assert push(folder, "--rehearsal")[0] == 0


def test_a_licence_that_contradicts_the_voices_is_refused(hub, push, tmp_path):
    def act(held):
        for row in held["xtts"]:
            row["first_voice"] = "actor-07"

    folder = dataset(tmp_path / "free", act, licence="cc-by-4.0")
    line = refusal(push, folder)
    assert "the licence 'cc-by-4.0' allows commercial use" in line
    assert "set the study's licence to one for non-commercial use" in line
    assert push(dataset(tmp_path / "bound", act), "--dry-run")[0] == 0


@pytest.mark.parametrize("name", ["speech", "lab/speech/more", "lab/sp eech", "lab/-x", "lab/", ""])
def test_what_is_no_name_of_a_repository_is_refused_by_its_name(hub, push, base, name):
    assert f"{name!r} is no name of a repository" in refusal(push, base, to=name)
    assert not hub.calls


def test_a_folder_that_is_no_dataset_is_refused(hub, push, tmp_path):
    assert "not a packaged dataset" in refusal(push, tmp_path)


def test_a_token_that_is_missing_wrong_or_may_not_write_is_told_apart_and_never_shown(
    hub, push, base, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "the token may not write to 'lab'" in refusal(push, base)
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrongwrong")
    assert "the Hub knows no such token: set HF_TOKEN" in refusal(push, base)
    monkeypatch.delenv("HF_TOKEN")
    assert "the Hub needs a token to write: set HF_TOKEN, or log in with `hf auth login`" in refusal(
        push, base
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "the token may not write to 'elsewhere'" in refusal(push, base, to="elsewhere/speech")
    assert not hub.repos


def test_no_token_is_ever_said(hub, push, base, caplog):
    hub.fail("POST .*/commit/", move(hub, "lab/speech", {"a": b""}))
    said = push(base)[1] + push(base)[1]
    assert TOKEN not in said
    assert TOKEN not in caplog.text


def test_a_large_dataset_is_listed_page_by_page_and_uploaded_part_by_part(hub, push, base, grown):
    hub.page, hub.part = 3, 5_000
    assert push(base)[0] == 0
    assert hub.asked("^PUT /lfs/[0-9a-f]+/2$")
    assert hub.asked("^POST /lfs/[0-9a-f]+/complete$")
    assert push(grown)[0] == 0
    assert hub.asked("GET .*/tree/.*cursor=3")
    assert data(hub.tree("lab/speech", "v1.1.0")) == data(tree(grown))


@pytest.mark.parametrize("option", [("--version", "1.2"), ("--rate", "fast"), ("--rate", "0MB/s")])
def test_a_number_or_rate_that_is_none_is_wrong_usage(hub, push, base, option, capsys):
    with pytest.raises(SystemExit) as ended:
        push(base, *option)
    assert ended.value.code == 2
    assert repr(option[1]) in capsys.readouterr().err
    assert not hub.calls


def test_a_long_upload_says_how_far_it_is(hub, push, base, monkeypatch):
    from builder import terminal
    from builder.hub import push as module

    monkeypatch.setattr(terminal, "_LINE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "_BATCH_BYTES", 20_000)
    status, said = push(base)
    assert status == 0
    assert re.search(r"push, MB: 1 of 1, .*/s, 0:00:00 left", said)
