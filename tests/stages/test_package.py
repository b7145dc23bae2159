"""What packaging promises of the folder it writes, of the one it replaces, and of what was there before."""

import asyncio
import os
from pathlib import Path

import filelock
import pytest

from builder.core.verdict import Review, Verdict
from builder.dataset import file_sha256, read_manifest
from builder.errors import DatasetError
from builder.stages.judge import judge
from builder.stages.package import package
from builder.validation import validate
from tests.commands import tree
from tests.heard import heard
from tests.runs import held, small, speak


@pytest.fixture
def run(tmp_path):
    with held(tmp_path / "run", small(judges=())) as run:
        yield run


def packaged(run):
    return asyncio.run(package(run))


def test_the_order_of_the_ledgers_changes_no_byte_of_the_dataset(tmp_path):
    """Also not where two reasons for rejecting are as frequent as each other."""
    for name, order in (("a", 1), ("b", -1)):
        with held(tmp_path / name / "run", small(), order=order) as run:
            asyncio.run(judge(run))
            ids = sorted(run.reviews.ids())
            broken = dict(zip(ids, ("length", "duplicate"), strict=False))
            for id in ids[::order]:
                review = run.reviews[id]
                verdicts = [
                    verdict
                    if verdict.judge != broken.get(id)
                    else Verdict(judge=verdict.judge, scores={verdict.judge: 0.0})
                    for verdict in review.verdicts
                ]
                run.reviews.append(id, Review(id=id, verdicts=tuple(verdicts)))
            assert packaged(run).done == 6
    card = (tmp_path / "a/out/README.md").read_text()
    assert "| rejected: duplicate | 1 |\n| rejected: length | 1 |" in card
    assert tree(tmp_path / "a/out") == tree(tmp_path / "b/out")


def test_the_order_in_which_dialogues_were_spoken_changes_no_byte_of_either_view_or_of_the_index(tmp_path):
    for name, order in (("a", 1), ("b", -1)):
        with held(tmp_path / name / "run", small(judges=())) as run:
            speak(run, list(run.dialogues)[::order])
            assert packaged(run).done == 8
    assert tree(tmp_path / "a/run/audio") != tree(tmp_path / "b/run/audio")
    assert tree(tmp_path / "a/out") == tree(tmp_path / "b/out")


def test_what_is_packaged_in_both_views_at_any_sampling_rate_passes_every_check(tmp_path):
    with heard(tmp_path / "run") as run:
        assert packaged(run).done == 8
    manifest = read_manifest(tmp_path / "out")
    assert list(dict.fromkeys(shard.config for shard in manifest.shards)) == [
        *("text-only", "xtts", "xtts-turns"),
    ]
    assert [index.path for index in manifest.indexes] == ["index/text-only.parquet", "index/xtts.parquet"]
    assert validate(tmp_path / "out") == []
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert card.count("sampling_rate: 16000") == 2
    assert "The same clips lie one a row in `xtts-turns`" in card


def test_an_index_that_went_missing_is_written_again(tmp_path):
    with heard(tmp_path / "run") as run:
        packaged(run)
        before = tree(run.out)
        (run.out / "index/xtts.parquet").unlink()
        assert packaged(run).done == 8
        assert tree(run.out) == before


def test_packaging_the_same_again_does_nothing_and_a_shard_that_went_missing_or_was_cut_is_written_again(run):
    assert packaged(run).done == 8
    before = tree(run.out)
    assert packaged(run).done == 0
    shard, *others = [run.out / shard.path for shard in read_manifest(run.out).shards]
    shard.unlink()
    assert packaged(run).done == 8
    others[0].write_bytes(b"PAR1")
    assert packaged(run).done == 8
    assert tree(run.out) == before


def test_a_version_that_writes_the_card_otherwise_packages_the_same_ledgers_again(run, monkeypatch):
    assert packaged(run).done == 8
    monkeypatch.setattr(
        "builder.stages.package.file_sha256",
        lambda file: "changed" if file.name == "card.py" else file_sha256(file),
    )
    assert packaged(run).done == 8
    assert packaged(run).done == 0


@pytest.mark.parametrize(
    "stray", ["notes.txt", ".git/HEAD", "run/dialogues.jsonl", "text-only/train/mine.parquet"]
)
def test_what_is_not_the_datasets_own_is_never_taken_away_with_the_old_one(run, stray):
    packaged(run)
    path = run.out / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("years of work")
    before = tree(run.out)
    (run.folder / "package.json").unlink()
    with pytest.raises(DatasetError, match=f"{stray} is not the dataset's, and packaging would take it away"):
        packaged(run)
    assert tree(run.out) == before


def test_two_processes_that_package_to_one_place_are_refused(run):
    with (
        filelock.FileLock(run.out.with_name(".out.lock")),
        pytest.raises(DatasetError, match="another process packages into"),
    ):
        packaged(run)
    assert packaged(run).done == 8


def test_a_link_stays_a_link_and_the_dataset_lies_where_it_leads(run, tmp_path):
    (tmp_path / "big-disk").mkdir()
    run.out.symlink_to(tmp_path / "big-disk/dataset")
    for _ in range(2):
        (run.folder / "package.json").unlink(missing_ok=True)
        assert packaged(run).done == 8
        assert run.out.is_symlink()
        assert (tmp_path / "big-disk/dataset/manifest.json").is_file()


@pytest.mark.parametrize("out", ["/", ".", "..", os.fsdecode(b"caf\xe9")])
def test_a_place_that_no_dataset_can_take_is_refused_in_one_line(run, tmp_path, monkeypatch, out):
    here = tmp_path / "here/below"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    run.out = Path(out)
    with pytest.raises(DatasetError, match="name another"):
        packaged(run)
    assert not tree(here)


def test_a_write_that_fails_leaves_the_old_dataset_and_takes_nothing_of_the_disk(run, monkeypatch):
    packaged(run)
    before = tree(run.out)
    (run.folder / "package.json").unlink()
    monkeypatch.setattr("builder.whole.sync", lambda path: os.fsync(os.open(path, os.O_PATH)))
    with pytest.raises(OSError, match="Bad file descriptor"):
        packaged(run)
    assert tree(run.out) == before
    assert sorted(path.name for path in run.out.parent.iterdir()) == [".out.lock", "out", "run"]


def test_what_a_killed_process_left_half_moved_is_put_back_and_the_new_dataset_takes_its_place(run):
    packaged(run)
    before = tree(run.out)
    run.out.rename(run.out.with_name(".out.old"))
    run.out.with_name(".out.partial").mkdir()
    assert packaged(run).done == 0
    assert tree(run.out) == before


def test_an_interruption_between_two_files_leaves_the_old_dataset(run):
    packaged(run)
    before = tree(run.out)
    (run.folder / "package.json").unlink()

    async def interrupted():
        task = asyncio.create_task(package(run))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert tree(run.out) == before
    assert not (run.folder / "package.json").exists()
