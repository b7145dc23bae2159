"""What the page says of the listening study: its own figures, with their counts, or why there are none."""

import pytest

from builder.evidence.findings import Absent, Finding, gather
from builder.evidence.findings.listening import find
from builder.people.listening import results
from tests.listened import CONFIGS, opened, say, speak, study
from tests.runs import held


@pytest.fixture
def run(tmp_path):
    with held(tmp_path / "run", study()) as run:
        speak(run)
        yield run


def listen(run, trials):
    """One listener hears xtts as it is intended and orpheus never, and prefers xtts where it sounds better."""
    with opened(run, trials=trials) as listening:
        for number, trial in enumerate(listening.plan.listeners["ash"], 1):
            sides = trial.a, trial.b
            marks = {"xtts": 3 + number % 3, "orpheus": 4}
            better = marks["xtts"] > marks["orpheus"]
            say(
                listening,
                heard=tuple(trial.spoken.ravdess if side == "xtts" else None for side in sides),
                naturalness=tuple(marks[side] for side in sides),
                prefers="none"
                if trial.is_check or number % 3 == 1
                else "ab"[sides.index("xtts" if better else "orpheus")],
            )


def test_a_run_that_nobody_listens_to_says_how_to_begin(run):
    finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert f"`deepdialogue listen {run.folder}` begins one" in finding.reason


def test_too_few_answers_are_said_with_their_number(run):
    listen(run, trials=5)
    finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert "5 answers are too few: 5 dialogues, and at least 10 are needed" in finding.reason


def test_every_figure_of_the_study_is_a_row_and_the_whole_is_a_sentence(run):
    listen(run, trials=80)
    finding, whole = find(gather(run)), results(run)
    assert isinstance(finding, Finding)
    rows = {(table.name, *row[:3]): row for table in finding.tables for row in table.rows if len(row) > 5}
    for one in whole.results:
        scale = 100 if one.what in {"recognition", "preference"} else 1
        row = rows[one.what, one.kind, one.group, one.config]
        assert row[3:5] == (one.answers, one.dialogues)
        assert row[5] == (None if one.value is None else one.value * scale)
    tables = {table.name: table for table in finding.tables}
    assert {"confusion_xtts", "confusion_orpheus", "listeners", "agreement"} < tables.keys()
    assert all(len(row) == len(table.columns) for table in finding.tables for row in table.rows)
    assert "in xtts in 100.0 % (" in finding.says
    assert "of 80)" in finding.says
    assert "in orpheus in 0.0 % (" in finding.says
    assert "by the sign test" in finding.says
    recognition = next(chart for chart in finding.charts if chart.name == "recognition")
    assert set(recognition.labels) <= set(whole.confusions[0].intended)
    assert [one.name for one in recognition.series] == list(CONFIGS)
    assert max(value for value in recognition.series[0].values if value is not None) == 100
    heat = next(chart for chart in finding.charts if chart.name == "confusion_xtts")
    assert [sum(row) for row in heat.values] == pytest.approx([100] * len(heat.rows))
