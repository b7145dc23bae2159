"""What the count of duplicates promises: it is what the judge itself recorded."""

import asyncio

import pytest

from builder.core.scenario import scenarios
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.duplicates import find
from builder.plugins.judges import Twin
from builder.plugins.judges.duplicate import twin_of
from builder.run.folder import Run
from builder.stages.judge import judge
from tests.evidence.judging import judged, table
from tests.runs import small, spoken


@pytest.fixture
def run(tmp_path):
    """Two dialogues of one length that say the same, one that says nearly the same, and others."""
    study = small(judges=("duplicate",))
    with Run(tmp_path / "run", study) as opened:
        drawn = list(scenarios(study.plan, study.vocabulary, study.seed))
        length = len(drawn[0].emotions)
        alike = [
            type(one)(
                id=one.id.rpartition("_")[0] + f"_{length}",
                domain=one.domain,
                pairing=one.pairing,
                emotions=drawn[0].emotions,
            )
            for one in drawn[:3]
        ]
        words = " ".join(f"word{place}" for place in range(300))
        for one, said in zip(alike, (words, words, f"{words} other"), strict=True):
            opened.dialogues.append(one.id, spoken(one, said))
        for one in drawn[3:]:
            opened.dialogues.append(one.id, spoken(one))
        asyncio.run(judge(opened))
        yield opened


def test_each_twin_is_counted_in_its_pairing_with_its_similarity(run):
    found = find(gather(run))
    rows = table(found, "twins")
    assert len(rows) == 2
    assert rows[0]["similarity"] == 1
    assert 0.8 <= rows[1]["similarity"] < 1
    first = min(
        run.dialogues.ids(), key=lambda id: (id not in {row["says much the same as"] for row in rows}, id)
    )
    assert {row["says much the same as"] for row in rows} == {first}
    by_pairing = {row["pairing"]: row for row in table(found, "by_pairing")}
    assert sum(round(row["duplicates"] * row["judged"] / 100) for row in by_pairing.values()) == 2
    assert f"{100 * 2 / 8:.2f} % (" in found.says
    assert "1 of these 2 say all the same" in found.says


def test_the_twin_is_read_as_the_judge_wrote_it():
    assert twin_of("says the same words as phi4-mini/travel_1_3") == Twin("phi4-mini/travel_1_3", 1)
    assert twin_of("says nearly the same words as a/b_2_4: similarity 0.873") == Twin("a/b_2_4", 0.873)
    assert twin_of("too long") is None


def test_where_nobody_looked_it_is_said(tmp_path):
    with judged(tmp_path / "run", small(judges=("length",)), judge=lambda _: None) as run:
        found = find(gather(run))
    assert isinstance(found, Absent)
    assert "nobody looked" in found.reason
