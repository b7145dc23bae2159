"""What the count of emotions promises: it is of the turns, and what the graph expects is what it draws."""

import re

import msgspec
import numpy as np
import pytest

from builder.core.emotion import RAVDESS
from builder.core.scenario import parse_id
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.emotions import _transitions, find
from builder.run.folder import Run
from tests.evidence.judging import broken, chart, judged, review, study, table
from tests.runs import held, small


@pytest.fixture
def run(tmp_path):
    def judge(dialogue):
        return broken(dialogue) if parse_id(dialogue.id).index == 1 else review(dialogue)

    with judged(tmp_path / "run", study(4), judge) as opened:
        yield opened


def test_turns_are_counted_as_planned_held_and_accepted(run):
    found = find(gather(run))
    rows = {row["emotion"]: row for row in table(found, "by_emotion")}
    turns = [
        (turn.emotion, parse_id(dialogue.id).index > 1)
        for dialogue in run.dialogues
        for turn in dialogue.turns
    ]
    for name, row in rows.items():
        every = sum(emotion == name for emotion, _ in turns)
        assert (row["turns planned"], row["turns held"]) == (every, every)
        assert row["turns accepted"] == sum(emotion == name and kept for emotion, kept in turns)
    assert sum(row["share accepted"] for row in rows.values()) == pytest.approx(100)
    acted = {row["class"]: row["turns held"] for row in table(found, "by_ravdess")}
    ravdess = run.study.vocabulary.ravdess()
    assert acted == {name: sum(ravdess[emotion] == name for emotion, _ in turns) for name in RAVDESS}


def test_a_run_that_nobody_planned_or_judged_has_what_is_held_alone(tmp_path):
    with held(tmp_path / "made", small(judges=())) as made, Run(tmp_path / "run", small(judges=())) as run:
        for dialogue in made.dialogues:
            run.dialogues.append(dialogue.id, dialogue)
        found = find(gather(run))
    assert [series.name for series in chart(found, "by_emotion").series] == ["held"]


def test_the_heat_map_holds_the_share_of_each_next_emotion_and_marks_the_edges(run):
    found = chart(find(gather(run)), "transitions")
    pairs = [
        (former.emotion, later.emotion)
        for dialogue in run.dialogues
        for former, later in zip(dialogue.turns, dialogue.turns[1:], strict=False)
    ]
    for at, source in enumerate(found.rows):
        after = [later for former, later in pairs if former == source]
        for place, target in enumerate(found.columns):
            share = 100 * after.count(target) / len(after) if target in after else None
            assert found.values[at][place] == (share if share is None else pytest.approx(share))
    graph = run.study.vocabulary.graph().opened()
    assert {(found.rows[at], found.columns[place]) for at, place in found.marked} == graph.edges()


def test_dialogues_drawn_by_the_graph_lie_as_far_from_it_as_chance_has_it(tmp_path):
    made = study(plan={"dialogues_per_cell": 60, "domains": ("travel", "work", "news")})
    with held(tmp_path / "run", made) as run:
        evidence = gather(run)
        says = find(evidence).says
        observed, expected = _transitions(evidence)
    chi_square, free = (
        float(text.replace(",", "")) for text in re.search(r"chi-square ([\d,]+) on (\d+)", says).groups()
    )
    assert free - 4 * np.sqrt(2 * free) < chi_square < free + 4 * np.sqrt(2 * free)
    assert "0 follow no edge of it" in says
    assert expected.sum(axis=1) == pytest.approx(observed.sum(axis=1))


def test_turns_that_leave_the_graph_are_counted(tmp_path):
    made = study(2)
    with held(tmp_path / "made", made) as drawn, Run(tmp_path / "run", made) as run:
        stuck = 0
        for one in drawn.dialogues:
            turns = tuple(msgspec.structs.replace(turn, emotion="happy") for turn in one.turns)
            run.dialogues.append(one.id, msgspec.structs.replace(one, turns=turns))
            stuck += len(turns) - 1
        says = find(gather(run)).says
    assert f"{stuck} follow no edge of it" in says
    assert f"Of {stuck} transitions 100.00 % would have to be others" in says


def test_words_a_turn_are_of_dialogues(run):
    found = find(gather(run))
    for row in table(found, "words"):
        per_dialogue = [
            np.mean([len(turn.text.split()) for turn in dialogue.turns if turn.emotion == row["emotion"]])
            for dialogue in run.dialogues
            if any(turn.emotion == row["emotion"] for turn in dialogue.turns)
        ]
        assert (row["mean"], row["dialogues"]) == (pytest.approx(np.mean(per_dialogue)), len(per_dialogue))


def test_nothing_held_is_said(tmp_path):
    with Run(tmp_path / "run", small()) as run:
        assert isinstance(find(gather(run)), Absent)
