"""What the scores promise: each mean is of what it says, with its dialogues counted once."""

import pytest

from builder.core.scenario import parse_id
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.quality import find
from tests.evidence.judging import broken, chart, judged, review, study, table
from tests.runs import small


def falling(dialogue):
    """The emotion scores 5 in the first turn, 4 in the second and 3 in every other; phi4-mini's dialogues are incoherent."""
    turns = (5, 4, *[3] * len(dialogue.turns))[: len(dialogue.turns)]
    return review(dialogue, 2.0 if dialogue.pairing == "phi4-mini" else 4.0, turns)


@pytest.fixture
def found(tmp_path):
    with judged(tmp_path / "run", study(12), falling) as run:
        yield find(gather(run))


def test_by_place_in_the_dialogue_every_dialogue_counts_once(found):
    rows = table(found, "by_position")
    assert [row["mean"] for row in rows][:4] == [5, 4, 3, 3]
    assert rows[0]["dialogues"] == rows[2]["dialogues"] == 48
    assert rows[-1]["turn"] == 10
    assert rows[-1]["dialogues"] < 48
    assert (rows[0]["mean from"], rows[0]["mean to"]) == (5, 5)


def test_the_step_from_the_first_turn_to_the_last_is_within_dialogues(found):
    assert "the score for emotion moves by -2.00 points (-2.00 to -2.00, of 48)" in found.says


def test_by_size_a_dialogue_counts_for_the_smaller_of_its_models(found):
    coherence = {
        row["smaller model"]: row for row in table(found, "by_size") if row["criterion"] == "coherence"
    }
    # phi4-mini has 4 billion parameters, as has gemma3-4B, the smaller one beside llama3-8B.
    assert coherence.keys() == {4}
    assert coherence[4]["mean"] == 3
    assert coherence[4]["dialogues"] == 48
    assert not [one for one in found.charts if one.name == "by_size"], "one size is no axis"


def test_a_model_is_scored_by_its_own_turns(tmp_path):
    def second_is_poor(dialogue):
        return review(dialogue, 4.0, [5 if place % 2 == 0 else 2 for place in range(len(dialogue.turns))])

    with judged(tmp_path / "run", study(12), second_is_poor) as run:
        found = find(gather(run))
    means = {row["model"]: row for row in table(found, "by_model")}
    assert means["llama3-8B"]["mean"] == 5
    assert means["gemma3-4B"]["mean"] == 2
    assert 2 < means["phi4-mini"]["mean"] < 5
    assert means["gemma3-4B"]["dialogues"] == 24
    assert chart(found, "by_model").labels == ("gemma3-4B (4 B)", "phi4-mini (4 B)", "llama3-8B (8 B)")
    assert chart(found, "by_model").axis == "mean score for emotion (1 to 5)", "no legend names a single one"


def test_what_rules_rejected_is_in_no_mean_and_is_said(tmp_path):
    def first_broken(dialogue):
        return broken(dialogue) if parse_id(dialogue.id).index == 1 else review(dialogue)

    with judged(tmp_path / "run", study(2), first_broken) as run:
        found = find(gather(run))
    assert "The panel scored 4 of 8 dialogues" in found.says
    assert sum(row["dialogues"] for row in table(found, "by_turns") if row["criterion"] == "coherence") == 4


def test_without_a_model_that_judges_there_is_no_quality(tmp_path):
    rules_only = small(judges=("length",))
    with judged(tmp_path / "run", rules_only, broken) as run:
        found = find(gather(run))
    assert isinstance(found, Absent)
    assert "no model scored" in found.reason
