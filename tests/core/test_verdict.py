import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.verdict import Abstention, Acceptance, Review, Verdict, decide
from builder.errors import ConfigError
from builder.records import convert


def review(*given_scores, abstentions=0):
    verdicts = tuple(Verdict(judge=f"judge {n}", scores=scores) for n, scores in enumerate(given_scores))
    silent = tuple(Abstention(judge=f"silent {n}", reason="no JSON") for n in range(abstentions))
    return Review(id="llama3-8B/travel_1_3", verdicts=verdicts, abstentions=silent)


def coherence(*scores, abstentions=0):
    return review(*({"coherence": float(score)} for score in scores), abstentions=abstentions)


@pytest.mark.parametrize(
    ("rule", "scores", "outcome"),
    [
        ("majority", (4, 4, 1), "accepted"),
        ("majority", (4, 1, 1), "rejected"),
        ("majority", (5, 1), "rejected"),
        ("majority", (3,), "accepted"),
        ("unanimous", (3, 4, 5), "accepted"),
        ("unanimous", (5, 5, 2.9), "rejected"),
        ("mean", (5, 1), "accepted"),
        ("mean", (5, 1, 2), "rejected"),
    ],
)
def test_the_rule_makes_a_decision_of_the_votes(rule, scores, outcome):
    decision = decide(coherence(*scores), Acceptance(thresholds={"coherence": 3}, rule=rule))
    assert decision == (outcome, () if outcome == "accepted" else ("coherence",))


def test_every_criterion_must_pass_and_those_that_fail_are_named():
    acceptance = Acceptance(thresholds={"coherence": 3, "emotion": 3, "safety": 3})
    decision = decide(review({"coherence": 5, "emotion": 1, "safety": 2}), acceptance)
    assert decision == ("rejected", ("emotion", "safety"))


def test_one_broken_rule_rejects_whatever_the_others_say():
    acceptance = Acceptance(thresholds={"coherence": 3}, rule="mean")
    decision = decide(review({"repetition": 0}, {"length": 1}, {"coherence": 5}), acceptance)
    assert decision == ("rejected", ("repetition",))
    assert (
        decide(review({"repetition": 1}, {"length": 1}, {"coherence": 5}), acceptance).outcome == "accepted"
    )


def test_a_criterion_without_a_threshold_needs_every_judge():
    assert decide(review({"repetition": 1}, {"repetition": 0}), Acceptance()) == ("rejected", ("repetition",))


@pytest.mark.parametrize(
    ("scores", "quorum", "outcome"),
    [
        ((5, 5), 2, "accepted"),
        ((5,), 2, "undecided"),
        ((1,), 2, "undecided"),
        ((1, 1), 2, "rejected"),
        ((), 1, "undecided"),
        ((), 0, "accepted"),
    ],
)
def test_without_a_quorum_nothing_is_decided_either_way(scores, quorum, outcome):
    decision = decide(
        coherence(*scores, abstentions=3), Acceptance(thresholds={"coherence": 3}, quorum=quorum)
    )
    assert decision == (outcome, () if outcome == "accepted" else ("coherence",))


def test_a_broken_rule_needs_no_quorum_and_outweighs_the_lack_of_one():
    acceptance = Acceptance(thresholds={"coherence": 3}, quorum=2)
    assert decide(review({"repetition": 0}, abstentions=2), acceptance) == ("rejected", ("repetition",))


@given(
    st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=7),
    st.integers(min_value=0, max_value=5),
    st.sampled_from(["majority", "unanimous", "mean"]),
)
def test_an_abstention_counts_neither_for_nor_against(scores, abstentions, rule):
    acceptance = Acceptance(thresholds={"coherence": 3}, rule=rule)
    assert decide(coherence(*scores, abstentions=abstentions), acceptance) == decide(
        coherence(*scores), acceptance
    )


@given(st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=7), st.permutations(range(7)))
def test_the_order_of_the_judges_does_not_matter(scores, order):
    shuffled = [scores[place] for place in order if place < len(scores)]
    acceptance = Acceptance(thresholds={"coherence": 3})
    assert decide(coherence(*shuffled), acceptance) == decide(coherence(*scores), acceptance)


@given(st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=7))
def test_what_is_unanimous_is_also_a_majority_and_a_mean(scores):
    unanimous, *others = (
        decide(coherence(*scores), Acceptance(thresholds={"coherence": 3}, rule=rule)).outcome
        for rule in ("unanimous", "majority", "mean")
    )
    assert unanimous == "rejected" or others == ["accepted", "accepted"]


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="key 'rule' is 'plurality'"):
        convert({"rule": "plurality"}, Acceptance, "study.toml")
