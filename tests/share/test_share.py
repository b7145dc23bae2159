"""What a share promises: what is published is there once and whole, and is read as it was published."""

import hashlib
import logging
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.core.part import Part
from builder.errors import ConfigError, RunError, StorageError
from builder.run import share as module
from builder.run.folder import Run
from builder.run.share import Share
from tests.commands import tree
from tests.servers.s3 import BUCKET, KEYS
from tests.share.parts import all_ids, begun, published, work

HALF, OTHER = Part.parse("1/2"), Part.parse("2/2")


def view_of(share, folder):
    share.pull(folder, audio=True)
    return {name: content for name, content in tree(folder).items() if not name.startswith(".lock")}


def test_what_parts_publish_is_together_the_whole(share, tmp_path):
    for part in (HALF, OTHER):
        work(share, part, "ann")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids()
    assert share.parts() == ["1-of-2", "2-of-2"]
    assert {name: share.head(name) for name in share.parts()} == share.pull(tmp_path / "view")


def test_a_view_is_a_run_that_every_reader_opens(share, tmp_path):
    work(share, HALF, "ann")
    share.pull(tmp_path / "view")
    with Run(tmp_path / "view", writable=False) as run:
        assert set(run.dialogues.ids()) == set(run.recorded("xtts").ids()) == all_ids(HALF)


def test_of_many_who_create_one_object_exactly_one_does_and_readers_see_it_whole(share):
    contents = [bytes([number]) * 200_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda content: share.create("twins/a.json", content), contents))
    assert won.count(True) == 1
    assert share.read("twins/a.json") == contents[won.index(True)]


def test_what_is_not_there_is_none(place):
    share = Share(place.url)
    assert share.read("run.json") is None
    assert share.parts() == []
    assert share.head("1-of-2") == 0


def test_nothing_is_pulled_from_where_no_run_is_shared(place, tmp_path):
    with pytest.raises(RunError, match=r"no run is shared there: it has no run\.json"):
        Share(place.url).pull(tmp_path / "view")
    assert not (tmp_path / "view").exists()


def test_a_pull_brings_what_is_new_and_leaves_what_is_there(share, tmp_path, monkeypatch):
    placed = []
    place = module._place
    monkeypatch.setattr(module, "_place", lambda path, *rest: (placed.append(path.name), place(path, *rest)))
    work(share, HALF, "ann")
    share.pull(tmp_path / "view")
    first = len(placed)
    share.pull(tmp_path / "view")
    assert len(placed) == first > 0
    work(share, OTHER, "bob")
    share.pull(tmp_path / "view")
    assert all("2-of-2" in name for name in placed[first:])
    assert not (tmp_path / "view/audio").exists()
    assert view_of(share, tmp_path / "view") == view_of(share, tmp_path / "fresh")


def test_only_the_parts_that_are_named_are_pulled(share, tmp_path):
    for part in (HALF, OTHER):
        work(share, part, "ann")
    assert list(share.pull(tmp_path / "view", ["2-of-2"])) == ["2-of-2"]
    with Run(tmp_path / "view", writable=False) as run:
        assert set(run.dialogues.ids()) == all_ids(OTHER)


@pytest.mark.parametrize("after", [0, 5])
def test_a_pull_that_is_killed_is_mended_by_the_next(share, tmp_path, after):
    for part in (HALF, OTHER):
        work(share, part, "ann", every=2)
    placed, place = [], module._place

    def placing(path, piece, content):
        place(path, piece, content)
        placed.append(path)
        if len(placed) > after:
            os.truncate(path, path.stat().st_size - 7)
            raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_place", placing)
        with pytest.raises(InterruptedError):
            share.pull(tmp_path / "view", audio=True)
    assert view_of(share, tmp_path / "view") == view_of(share, tmp_path / "fresh")


def test_clips_are_read_where_they_are_and_those_never_published_are_refused(share, tmp_path):
    work(share, HALF, "ann")
    reader = Share(share.url)
    heads = share.pull(tmp_path / "view")
    with Run(tmp_path / "view", writable=False) as run:
        clips = [clip for recording in run.recorded("xtts") for clip in recording.clips]
    work(share, OTHER, "bob")
    for clip in clips:
        assert reader.clip(f"audio/xtts/{clip.file}", clip.offset, clip.num_bytes)[:4] == b"fLaC"
    assert heads == {"1-of-2": share.head("1-of-2")}
    end = clips[-1].offset + clips[-1].num_bytes
    for file, offset, num_bytes in (
        (clips[-1].file, end, 1),
        (clips[-1].file, end - 1, 2),
        ("00000.1-of-2.000099.flacs", 0, 1),
        ("00000.flacs", 0, 1),
    ):
        with pytest.raises(RunError, match=f"of audio/xtts/{file} were never published there"):
            reader.clip(f"audio/xtts/{file}", offset, num_bytes)


def test_clips_published_after_the_first_was_read_are_found(share, tmp_path):
    work(share, HALF, "ann", limit=1)
    reader = Share(share.url)
    for limit in (1, None):
        work(share, HALF, "ann", limit=limit)
        share.pull(tmp_path / "view")
        with Run(tmp_path / "view", writable=False) as run:
            for recording in run.recorded("xtts"):
                for clip in recording.clips:
                    assert reader.clip(f"audio/xtts/{clip.file}", clip.offset, clip.num_bytes)


def test_a_clip_costs_its_own_bytes_alone(s3, tmp_path):
    share = begun(f"s3://{BUCKET}/ranges/run")
    work(share, HALF, "ann", every=100)
    share.pull(tmp_path / "view")
    with Run(tmp_path / "view", writable=False) as run:
        clip = next(iter(run.recorded("xtts"))).clips[1]
    s3.sent.clear()
    assert share.clip(f"audio/xtts/{clip.file}", clip.offset, clip.num_bytes)
    assert [count for path, count in s3.sent if path.endswith(".audio")] == [clip.num_bytes]


@pytest.mark.parametrize("pattern", [r"\.ledgers$", r"\.audio$"])
def test_a_torn_download_is_fetched_again_and_is_an_error_when_it_stays_torn(s3, tmp_path, pattern):
    share = begun(f"s3://{BUCKET}/torn-{pattern[2]}/run")
    work(share, HALF, "ann", every=100)
    whole = view_of(share, tmp_path / "whole")
    s3.faults += [("GET", pattern, "half")] * 2
    assert view_of(share, tmp_path / "mended") == whole
    assert not s3.faults
    s3.faults += [("GET", pattern, "half")] * 3
    with pytest.raises(StorageError, match="arrived torn 3 times: run the same command again"):
        share.pull(tmp_path / "torn", audio=True)
    assert not s3.faults
    assert view_of(share, tmp_path / "torn") == whole


def test_an_object_that_is_gone_is_named(tmp_path, environment):
    share = begun(str(tmp_path / "run"))
    work(share, HALF, "ann")
    gone = next((tmp_path / "run/parts/1-of-2").glob("*.ledgers"))
    gone.unlink()
    with pytest.raises(
        RunError, match=f"has no parts/1-of-2/{gone.name}, which a commit names: bring it back"
    ):
        share.pull(tmp_path / "view")


def test_storage_that_replaces_objects_though_asked_not_to_is_refused_at_the_start(s3):
    s3.conditional = False
    with pytest.raises(StorageError, match=r"replaces objects though it is asked not to \(If-None-Match\)"):
        Share(f"s3://{BUCKET}/careless/run").begin(b"{}")


def test_a_view_of_what_was_shared_before_under_the_same_name_is_not_mixed_with_what_is_now(
    tmp_path, environment
):
    disk = tmp_path / "disk/run"
    share = begun(str(disk))
    work(share, HALF, "ann")
    share.pull(tmp_path / "view")
    assert share.view() == share.scratch() / "view"
    shutil.rmtree(disk)
    begun(str(disk))
    work(share, HALF, "bob")
    with pytest.raises(
        RunError, match=r"was pulled from another run that was shared at .* before: pull into"
    ):
        share.pull(tmp_path / "view")
    who, _ = published(share, tmp_path / "new")
    assert set(who.values()) == {"bob"}
    with Run(share.view(), writable=False) as run:
        assert next(iter(run.dialogues)).turns[0].text.startswith("bob")


def test_a_run_of_its_own_and_the_view_of_another_share_are_never_pulled_over(share, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "run.json").write_bytes(share.read("run.json"))
    with pytest.raises(RunError, match="is a run of its own: pull into another folder"):
        share.pull(own)
    begun(str(tmp_path / "other")).pull(tmp_path / "view")
    with pytest.raises(RunError, match=r"was pulled from .*other: pull into another folder"):
        share.pull(tmp_path / "view")


def test_another_rule_that_a_view_was_decided_by_is_kept_and_what_is_pinned_since_is_added(share, tmp_path):
    share.pull(tmp_path / "view")
    with Run(tmp_path / "view") as run:
        run.pin.accept(run.study.acceptance)
    share.create("rehearsal/text.json", b"true")
    share.pull(tmp_path / "view")
    with Run(tmp_path / "view", writable=False) as run:
        assert len(run.pin.former_rules) == 1
        assert run.pin.rehearsal


@pytest.mark.parametrize(
    "url", ["s3://AKIA5ECRETKEY:5ecret@runs/paper", "s3://AKIA5ECRETKEY@runs/paper", "s3://runs/a?key=5ecret"]
)
def test_a_url_with_a_key_in_it_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match="credentials come from the environment") as refused:
        Share(url)
    assert "5ecret" not in str(refused.value)
    assert "AKIA" not in str(refused.value)


@pytest.mark.parametrize("url", ["gs://runs/paper", "s3://", "memory://x", "file://"])
def test_what_is_no_storage_with_conditional_writes_is_refused(url):
    with pytest.raises(ConfigError, match="is no storage that a run can be shared on"):
        Share(url)


def test_a_path_and_its_url_are_one_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Share("run").url == Share(f"file://{tmp_path}/run").url == str(tmp_path / "run")
    assert Share("s3://runs/paper/").url == Share("s3://runs/paper").url


def test_without_the_library_for_s3_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[s3\]'"):
        Share("s3://runs/paper").parts()


def test_a_bucket_that_is_not_there_and_a_server_that_is_not_are_one_line_each(s3, monkeypatch, reconnected):
    with pytest.raises(StorageError, match="s3://nowhere/run: does not answer as it should"):
        Share("s3://nowhere/run").begin(b"{}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    reconnected()
    with pytest.raises(
        StorageError, match="s3://runs/a: does not answer as it should: Could not connect"
    ) as away:
        Share("s3://runs/a").read("run.json")
    assert "\n" not in str(away.value)


def test_no_credentials_at_all_are_one_line_with_the_repair(s3, monkeypatch, tmp_path, reconnected):
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    reconnected()
    with pytest.raises(ConfigError, match=r"s3://runs/a: refused: .*: give AWS_ACCESS_KEY_ID and"):
        Share("s3://runs/a").read("run.json")


def test_no_secret_reaches_a_log_a_file_an_object_or_a_message(s3, tmp_path, caplog, capfd):
    secret = KEYS["AWS_SECRET_ACCESS_KEY"]
    with caplog.at_level(logging.INFO):
        share = begun(f"s3://{BUCKET}/secret/run")
        work(share, HALF, "ann")
        view = view_of(share, tmp_path / "view")
        s3.faults += [("GET", "run.json", "refused")]
        with pytest.raises(ConfigError, match=r"refused: .*\$AWS_SECRET_ACCESS_KEY") as refused:
            share.read("run.json")
    said = "".join(capfd.readouterr()) + caplog.text + str(refused.value)
    held = [*view.values(), *tree(tmp_path / "scratch").values()]
    for key in (secret, KEYS["AWS_ACCESS_KEY_ID"]):
        assert key not in said
        assert not any(key.encode() in content for content in held)


def test_what_a_commit_names_is_what_is_there(share, place, tmp_path):
    work(share, HALF, "ann")
    commit = share.chain("1-of-2").commit(1)
    for one in commit.objects():
        assert hashlib.sha256(share.read(f"parts/1-of-2/{one.name}")).hexdigest() == one.sha256
