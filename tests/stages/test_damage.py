"""What a flipped bit costs: it is told, what it damaged is done again, and the dataset is byte for byte what it was."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from builder.config import load_site, load_study
from builder.evidence import gallery
from builder.pipeline import STAGES, stage
from builder.run.folder import Run
from tests.commands import REHEARSAL, site, study, tree

LEDGERS = (
    "scenarios",
    "turns",
    "dialogues",
    "votes",
    "reviews",
    "recordings/xtts",
    "measures/xtts",
)


def build(folder: Path, what: Path, where: Path) -> dict[str, bytes]:
    """Brings every stage of a run up to date, and gives the dataset."""
    out = folder.with_name(f"{folder.name}-out")
    with Run(folder, load_study(str(what)), load_site(str(where)), out) as run:
        for name in STAGES:
            assert not asyncio.run(stage(name)(run)).failed
    return tree(out)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    what = study(folder, domains='["travel"]', turns="{ min = 3, max = 3 }")
    text = what.read_text()
    speech, rest = text.index("[speech.orpheus]"), text.index("[splits]")
    what.write_text(f"{text[:speech]}[measures.prosody]\n\n{text[rest:]}")
    where = site(folder, REHEARSAL)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gallery, "LIBRARY", "no_such_library")
        yield folder, what, where, build(folder / "run", what, where)


@pytest.mark.parametrize("name", LEDGERS)
def test_a_bit_that_flips_in_a_ledger_is_told_and_the_next_build_makes_the_same_dataset(
    calm, tmp_path, capsys, name
):
    folder, what, where, dataset = calm
    shutil.copytree(folder / "run", tmp_path / "run")
    ledger = tmp_path / f"run/{name}.jsonl"
    content = bytearray(ledger.read_bytes())
    bit = random.Random(name).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    ledger.write_bytes(content)
    capsys.readouterr()
    assert build(tmp_path / "run", what, where) == dataset, f"bit {bit}"
    said = capsys.readouterr().err
    assert f"{ledger}: damaged in line" in said or f"{ledger}: a torn last line was cut off" in said
