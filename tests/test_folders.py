"""A place that nothing can be written to, or where something else would be lost, is refused before any work is done."""

import os
from pathlib import Path

import pytest

from builder.__main__ import main
from builder.commands._folders import run_folder
from builder.dataset.destination import writable
from builder.errors import ConfigError, DatasetError
from tests.commands import tree

DATASET = '{"study":"quickstart","shards":[]}'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a file, a dataset, another folder with a file, a run, and a home beside it."""
    here = tmp_path / "here"
    for path, content in {
        "file": "",
        "dataset/manifest.json": DATASET,
        "dataset/README.md": "",
        "others/notes.txt": "years of work",
        "app/manifest.json": '{"name": "an app"}',
        "run/run.json": "{}",
    }.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_text(content)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    return here


REFUSED = {
    "/": "it is the root of the disk",
    "~": "it is your home folder",
    "file": "it is a file",
    "file/below": "file is a file",
    "file/far/below": "file is a file",
    "dataset/below": "dataset is a packaged dataset, and it lies in there",
    "x" * 300: "File name too long",
    "/proc/nowhere": "nothing can be written to /proc",
}
REFUSED_WHERE_IT_IS_REPLACED = {
    ".": "it is replaced as a whole, and this is run in it",
    "..": "it is replaced as a whole, and this is run in it",
    "/proc": "a disk is mounted there",
}


@pytest.mark.parametrize(("place", "why"), (REFUSED | REFUSED_WHERE_IT_IS_REPLACED).items())
def test_a_folder_that_cannot_be_replaced_or_would_take_something_away_is_refused_by_name(here, place, why):
    before = tree(here)
    place = Path(place).expanduser()
    with pytest.raises(DatasetError) as refused:
        writable(place, "--out", replaced=True, kind=DatasetError)
    said = str(refused.value)
    assert said.startswith(f"--out {str(place)!r}: ")
    assert why in said
    assert said.endswith(": name another folder with --out")
    assert tree(here) == before


@pytest.mark.parametrize(("place", "why"), REFUSED.items())
def test_a_run_goes_neither_there_nor_into_a_dataset(here, place, why):
    with pytest.raises(ConfigError, match=why):
        run_folder(Path(place).expanduser())
    with pytest.raises(ConfigError, match="it is a packaged dataset, and no run folder"):
        run_folder(Path("dataset"))


@pytest.mark.parametrize("place", ["new", "new/and/below", "others", "app/below", "run", "link"])
def test_any_other_folder_is_taken_and_nothing_is_left_in_it(here, place):
    (here / "link").symlink_to("others")
    before = tree(here)
    assert writable(Path(place), "--out", replaced=True) == Path(os.path.realpath(place))
    assert run_folder(Path(place)) == Path(place)
    assert tree(here) == before


@pytest.mark.skipif(not os.geteuid(), reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(here):
    (here / "others").chmod(0o500)
    with pytest.raises(ConfigError, match=r"nothing can be written to .*others \(Permission denied\)"):
        writable(here / "others/new", "--out")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("build quickstart --site rehearsal --run new --out /", "--out '/': it is the root"),
        ("build quickstart --site rehearsal --run new --out file", "--out 'file': it is a file"),
        ("build quickstart --site rehearsal --run new --out new", "the run new is there or around it"),
        ("build quickstart --site rehearsal --run new --out new/dist", "the run new is there or around it"),
        ("build quickstart --site rehearsal --run file", "--run 'file': it is a file"),
        ("plan quickstart --run dataset", "--run 'dataset': it is a packaged dataset"),
        ("ingest others --run file/below", "file is a file"),
        ("pull file:///nowhere file", "RUN 'file': it is a file"),
        ("export run --config xtts --out file", "--out 'file': it is a file"),
        ("export run --config xtts --out others", "others exists and is no export"),
    ],
)
def test_every_verb_refuses_such_a_place_before_it_makes_anything(here, capsys, arguments, why):
    before = tree(here)
    assert main(arguments.split()) == 1
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert tree(here) == before


def test_a_folder_of_others_is_found_before_a_build_begins_its_work(here, capsys):
    assert main(["build", "quickstart", "--site", "rehearsal", "--run", "new", "--out", "others"]) == 1
    assert (
        "others exists and is no packaged dataset: name another folder with --out" in capsys.readouterr().err
    )
    assert sorted(path.name for path in (here / "new").iterdir() if path.name[0] != ".") == ["run.json"]
