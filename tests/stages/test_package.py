"""What packaging promises of the folder it writes, of the one it replaces, and of what was there before."""

import ast
import asyncio
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.core.verdict import Review, Verdict
from builder.dataset.manifest import file_sha256, read_manifest
from builder.dataset.validation import validate
from builder.errors import DatasetError
from builder.files import hold
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.run.work import Tally
from builder.stages import package as package_module
from builder.stages.judge import judge
from builder.stages.package import package
from tests.commands import tree
from tests.heard import heard
from tests.heard import speak as spoken_again
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


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edited(old, new):
    return lambda path: path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


DAMAGE = {
    "no README.md": ("README.md", Path.unlink),
    "an edited README.md": ("README.md", edited("# ", "# My ")),
    "no manifest": ("manifest.json", Path.unlink),
    "a manifest that is no rehearsal": ("manifest.json", edited('"rehearsal": true', '"rehearsal": false')),
    "a manifest of another study": ("manifest.json", edited('"quickstart"', '"another"')),
    "a manifest that is cut off": ("manifest.json", lambda path: path.write_bytes(path.read_bytes()[:99])),
    "no index": ("index/xtts.parquet", Path.unlink),
    "no shard": ("xtts/train/travel-00000.parquet", Path.unlink),
    "a shard that is cut off": ("xtts/train/travel-00000.parquet", lambda path: path.write_bytes(b"PAR1")),
    "a shard with a flipped bit": ("xtts-turns/train/travel-00000.parquet", flipped),
    "no folder of a config": ("text-only", shutil.rmtree),
    "an empty folder": (".", lambda path: [shutil.rmtree(path), path.mkdir()]),
    "no folder": (".", shutil.rmtree),
    "no metadata": ("croissant.json", Path.unlink),
}


@pytest.fixture(scope="module")
def packaged_once(tmp_path_factory):
    """A run that was heard and packaged."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patched, heard(folder / "run") as run:
        patched.setattr("builder.evidence.gallery.LIBRARY", "no_such_library")
        packaged(run)
    return folder


@pytest.mark.parametrize(("file", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_dataset_that_was_damaged_edited_or_half_deleted_is_noticed_and_mended(
    packaged_once, file, damage, capsys
):
    out = packaged_once / "out"
    with Run(packaged_once / "run", out=out) as run:
        before = tree(out)
        assert packaged(run) == Tally(skipped=8)
        assert (
            f"{out} is up to date, by the sizes and times of its {len(before)} files"
            in capsys.readouterr().err
        )
        damage(out / file)
        assert packaged(run) == Tally(done=8)
        assert tree(out) == before
        assert packaged(run) == Tally(skipped=8)


def test_a_file_that_is_whole_but_newer_is_found_so_by_its_checksum_and_remembered(packaged_once):
    out = packaged_once / "out"
    with Run(packaged_once / "run", out=out) as run:
        packaged(run)
        kept = packaged_once / "run/package.json"
        for path in (out / "README.md", out / "manifest.json", out / "xtts/train/travel-00000.parquet"):
            os.utime(path, ns=(1, 1))
        before = kept.read_bytes()
        assert packaged(run) == Tally(skipped=8)
        assert kept.read_bytes() != before


def test_what_keeps_its_size_and_time_is_found_where_every_byte_is_read(packaged_once, capsys):
    shard = packaged_once / "out/xtts/train/travel-00000.parquet"
    with Run(packaged_once / "run", out=packaged_once / "out") as run:
        packaged(run)
        before, whole = shard.stat(), shard.read_bytes()
        flipped(shard)
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert packaged(run) == Tally(skipped=8)
        run.verify = True
        assert packaged(run) == Tally(done=8)
        assert f"{shard} was changed: the dataset is packaged again" in capsys.readouterr().err
        assert shard.read_bytes() == whole
        assert packaged(run) == Tally(skipped=8)


def test_a_stray_file_is_named_before_anything_is_called_up_to_date(packaged_once):
    stray = packaged_once / "out/xtts/train/mine.parquet"
    with Run(packaged_once / "run", out=packaged_once / "out") as run:
        packaged(run)
        stray.write_bytes(b"PAR1")
        with pytest.raises(DatasetError, match=r"mine\.parquet is not the dataset's"):
            packaged(run)
        stray.rename(stray.with_name("._mine.parquet"))
        assert packaged(run) == Tally(skipped=8)


def test_another_study_s_dataset_that_took_the_place_of_ours_is_not_taken_away(packaged_once, tmp_path):
    shutil.copytree(packaged_once / "run", tmp_path / "run")
    with Run(tmp_path / "run", out=tmp_path / "out") as run:
        packaged(run)
        shutil.rmtree(tmp_path / "out")
        with held(tmp_path / "other/run", small(judges=(), name="another")) as other:
            other.out = tmp_path / "out"
            packaged(other)
        before = tree(tmp_path / "out")
        with pytest.raises(DatasetError, match="holds the dataset of study 'another'"):
            packaged(run)
        assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("kept", ["with the checksum of its bytes", "as before there was one"])
def test_a_recording_with_a_flipped_bit_is_left_out_by_name_and_spoken_again(tmp_path, capsys, kept):
    with heard(tmp_path / "run") as run:
        lost, *others = run.recordings["xtts"].ids()
        clip = run.recordings["xtts"][lost].clips[1]
    if kept == "as before there was one":
        ledger = tmp_path / "run/recordings/xtts.jsonl"
        told = re.sub(r'"flac_sha256":"\w+"', '"flac_sha256":""', ledger.read_text())
        ledger.write_text(re.sub(r'"crc":"\w+",', "", told).replace('"schema":2', '"schema":1'))
    audio = tmp_path / "run/audio/xtts" / clip.file
    whole, damaged = audio.read_bytes(), bytearray(audio.read_bytes())
    damaged[clip.offset + clip.num_bytes - 3] ^= 1
    audio.write_bytes(damaged)
    with Run(tmp_path / "run", out=tmp_path / "out") as run:
        assert packaged(run) == Tally(done=8, failed=1)
        assert (
            f"package: left out of xtts: turn 2 of {lost}, at byte {clip.offset}" in capsys.readouterr().err
        )
        assert run.failures.damaged("xtts") == {lost}
        rows = pq.read_table(tmp_path / "out/xtts").to_pylist()
        assert sorted(row["id"] for row in rows) == sorted(others)
        assert validate(tmp_path / "out") == []
        audio.write_bytes(whole)
        assert packaged(run) == Tally(done=8)
        assert run.failures.damaged("xtts") == set()
        audio.write_bytes(damaged)
        assert packaged(run).failed == 1
    with Run(tmp_path / "run", out=tmp_path / "out") as run:
        with Recorder(run.audio("xtts"), run.recorded("xtts"), run.failures.damaged("xtts")) as recorder:
            spoken_again(recorder, run, lost, ())
            run.failures.mended("xtts", lost)
        assert run.recordings["xtts"][lost].number == 1
        assert packaged(run) == Tally(done=8)
    assert pq.read_table(tmp_path / "out/xtts").num_rows == len(others) + 1
    assert validate(tmp_path / "out") == []


def test_a_dataset_is_made_again_by_another_version_only_of_what_shapes_it(run, monkeypatch):
    """And the list of what shapes it lacks nothing that packaging imports, but for what brings data."""
    assert packaged(run).done == 8
    for name, tally in {
        "openai.py": Tally(skipped=8),
        "card.py": Tally(done=8),
        "doctor.py": Tally(done=8),
        "row.py": Tally(done=8),
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(
                "builder.stages.package.file_sha256",
                lambda file, name=name: "changed" if file.name == name else file_sha256(file),
            )
            assert packaged(run) == tally
    brings = {
        "annotations",
        "config",
        "destination",
        "errors",
        "files",
        "folder",
        "records",
        "terminal",
        "values",
        "work",
    }
    builder, due, seen = Path(package_module.__file__).parents[1], [Path(package_module.__file__)], set()
    while due:
        path = due.pop()
        if path.stem not in brings and path not in seen:
            seen.add(path)
            due += imported(builder, path)
    named = {builder / f"{name}.py" for line in package_module._SHAPING for name in line.split()}
    assert seen == named, f"package._SHAPING is to name {seen - named}, and not {named - seen}"


def imported(builder, path):
    """The files of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("builder."):
            for name in node.names:
                module = builder.parent.joinpath(*node.module.split("."))
                places = (module / f"{name.name}.py", module.with_suffix(".py"), module / "__init__.py")
                yield next(place for place in places if place.is_file())


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
    with ExitStack() as other:
        hold(run.out.with_name(".out.lock"), other)
        with pytest.raises(DatasetError, match="another process packages into"):
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
    monkeypatch.setattr("builder.files.sync", lambda path: os.fsync(os.open(path, os.O_PATH)))
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
