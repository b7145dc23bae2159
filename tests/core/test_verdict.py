import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.verdict import Abstention, Acceptance, Review, Verdict, decide, heard, panel_score
from builder.errors import ConfigError
from builder.records import convert, encode


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


def weighed(rule, scores, weights, threshold=3.0, quorum=1):
    """The outcome for judges 0, 1, 2 ... with these weights."""
    acceptance = Acceptance(
        thresholds={"coherence": threshold},
        rule=rule,
        quorum=quorum,
        weights={f"judge {n}": weight for n, weight in enumerate(weights)},
    )
    return decide(coherence(*scores), acceptance).outcome


@pytest.mark.parametrize(
    ("rule", "scores", "weights", "outcome"),
    [
        ("majority", (5, 1, 1), (), "rejected"),
        ("majority", (5, 1, 1), (3,), "accepted"),
        ("majority", (5, 1, 1), (2,), "rejected"),
        ("majority", (5, 5, 1), (1, 1, 2.5), "rejected"),
        ("majority", (5, 5, 1), (0.1, 0.2, 0.3), "rejected"),
        ("majority", (1, 1, 5), (0.1, 0.2, 0.3), "rejected"),
        ("majority", (5, 5, 1), (0.1, 0.2, 0.2999), "accepted"),
        ("majority", (5, 5, 1), (1e-9, 1e-9, 1e-9), "accepted"),
        ("mean", (5, 1, 1), (), "rejected"),
        ("mean", (5, 1, 1), (2,), "accepted"),
        ("mean", (5, 1), (0.1, 0.1), "accepted"),
        ("mean", (5, 1), (0.1, 0.11), "rejected"),
        ("unanimous", (5, 1), (100, 0.01), "rejected"),
    ],
)
def test_a_vote_or_a_score_counts_as_much_as_its_judge(rule, scores, weights, outcome):
    assert weighed(rule, scores, weights) == outcome


@pytest.mark.parametrize("rule", ["majority", "unanimous", "mean"])
def test_a_judge_of_weight_0_has_no_vote_under_any_rule_nor_a_place_in_the_quorum(rule):
    assert weighed(rule, (5, 1, 1), (1, 0, 0)) == "accepted"
    assert weighed(rule, (1, 5, 5), (1, 0, 0)) == "rejected"
    assert weighed(rule, (5, 5, 5), (1, 0, 0), quorum=2) == "undecided"
    assert weighed(rule, (5, 5), (0, 0)) == "undecided"
    assert weighed(rule, (1, 1), (0, 0), quorum=0) == "accepted"


def test_a_broken_rule_rejects_whatever_its_weight():
    broken = Review(id="a/travel_1_3", verdicts=(Verdict(judge="length", scores={"length": 0.0}),))
    assert decide(broken, Acceptance(weights={"length": 0.0})) == ("rejected", ("length",))


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match="weights"):
        convert({"weights": {"rubric": -1}}, Acceptance, "study.toml")


@given(
    st.lists(
        st.tuples(st.integers(min_value=1, max_value=5), st.integers(min_value=1, max_value=4)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([0.1, 1, 7]),
    st.sampled_from(["majority", "unanimous", "mean"]),
)
def test_a_weight_of_n_is_as_good_as_n_judges_whatever_the_unit(given_scores, unit, rule):
    scores, weights = zip(*given_scores, strict=True)
    many = [score for score, weight in given_scores for _ in range(weight)]
    assert weighed(rule, scores, [weight * unit for weight in weights]) == weighed(rule, many, ())


WEIGHT = st.sampled_from([0, 0.1, 0.2, 0.3, 1, 2.5])
SCORED = st.lists(
    st.fixed_dictionaries({"coherence": st.integers(1, 5), "emotion": st.integers(1, 5)}),
    min_size=1,
    max_size=4,
)
RULE = st.sampled_from(["majority", "unanimous", "mean"])
THRESHOLDS = {"coherence": 3, "emotion": 4}


@given(SCORED, st.lists(WEIGHT, min_size=4, max_size=4), RULE)
def test_one_number_is_the_same_as_that_number_on_every_criterion(scored, numbers, rule):
    judges = [f"judge {n}" for n in range(4)]
    by_judge = dict(zip(judges, numbers, strict=True))
    by_criterion = {judge: dict.fromkeys(THRESHOLDS, number) for judge, number in by_judge.items()}
    one, other = (
        decide(review(*scored), Acceptance(thresholds=THRESHOLDS, rule=rule, weights=weights))
        for weights in (by_judge, by_criterion)
    )
    assert one == other


@given(SCORED, st.lists(st.tuples(WEIGHT, WEIGHT), min_size=4, max_size=4), RULE)
def test_a_weight_on_one_criterion_says_nothing_of_another(scored, weights, rule):
    together = Acceptance(
        thresholds=THRESHOLDS,
        rule=rule,
        weights={f"judge {n}": dict(zip(THRESHOLDS, pair, strict=True)) for n, pair in enumerate(weights)},
    )
    alone = [
        decide(
            review(*({criterion: scores[criterion]} for scores in scored)),
            Acceptance(
                thresholds={criterion: threshold},
                rule=rule,
                weights={f"judge {n}": pair[place] for n, pair in enumerate(weights)},
            ),
        )
        for place, (criterion, threshold) in enumerate(THRESHOLDS.items())
    ]
    outcomes = {one.outcome for one in alone}
    worst = next(name for name in ("rejected", "undecided", "accepted") if name in outcomes)
    reasons = {name for one in alone if one.outcome == worst for name in one.reasons}
    decision = decide(review(*scored), together)
    assert (decision.outcome, set(decision.reasons)) == (worst, reasons)


def test_what_a_table_of_weights_leaves_out_counts_1_and_with_0_it_has_no_vote_there():
    scores = review({"coherence": 5, "emotion": 1}, {"coherence": 1, "emotion": 5})
    weights = {"judge 0": {"coherence": 1.1}, "judge 1": {"emotion": 0}}
    assert decide(scores, Acceptance(thresholds=THRESHOLDS, weights=weights)) == ("rejected", ("emotion",))
    assert decide(
        scores, Acceptance(thresholds=THRESHOLDS, weights=weights | {"judge 0": {"emotion": 0}})
    ) == ("rejected", ("coherence",))


def test_a_tie_on_paper_is_one_by_criterion_too():
    weights = {f"judge {n}": {"coherence": weight} for n, weight in enumerate((0.1, 0.2, 0.3))}
    tied = Acceptance(thresholds={"coherence": 3}, weights=weights)
    assert decide(coherence(5, 5, 1), tied).outcome == decide(coherence(1, 1, 5), tied).outcome == "rejected"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            {"rubric": {"coherense": 1}},
            r"weights\.rubric names the criterion 'coherense', which has no threshold: did you mean 'coherence'\?",
        ),
        (
            {"rubric": {"coherence": -1}},
            r"key 'weights\.rubric\.coherence' is -1: a number from 0 to 1000000 is needed",
        ),
        ({"rubric": {"coherence": "1"}}, r"key 'weights\.rubric\.coherence' is '1': a number"),
    ],
)
def test_a_weight_by_criterion_that_cannot_be_is_refused_by_its_name(weights, said):
    with pytest.raises(ConfigError, match=said):
        convert({"thresholds": {"coherence": 3}, "weights": weights}, Acceptance, "study.toml")


def test_a_rule_with_weights_of_both_kinds_is_read_back_as_it_was_written():
    written = Acceptance(
        thresholds={"coherence": 3}, weights={"rubric-a": 0.5, "rubric-b": {"coherence": 0.25}}
    )
    assert msgspec.json.decode(encode(written), type=Acceptance) == written
    old = b'{"thresholds":{"coherence":3.0},"rule":"mean","quorum":2,"weights":{"rubric-a":2}}'
    assert msgspec.json.decode(old, type=Acceptance).weight("rubric-a", "coherence") == 2


@given(SCORED, st.lists(st.tuples(WEIGHT, WEIGHT), min_size=4, max_size=4), st.integers(2, 5))
def test_the_panels_score_is_what_the_mean_holds_against_the_threshold(scored, weights, threshold):
    acceptance = Acceptance(
        thresholds={"coherence": threshold, "emotion": 1},
        rule="mean",
        weights={f"judge {n}": dict(zip(THRESHOLDS, pair, strict=True)) for n, pair in enumerate(weights)},
    )
    score = panel_score(review(*scored), "coherence", acceptance)
    decision = decide(review(*scored), acceptance)
    if score is None:
        assert "coherence" in decision.reasons
    else:
        assert ("coherence" in decision.reasons) == (score < threshold)


def test_the_panels_score_is_the_weighted_mean_of_those_who_scored():
    given = review({"coherence": 5, "emotion": 2}, {"coherence": 2}, {"emotion": 1})
    weights = {"judge 0": {"coherence": 2}, "judge 2": 0}
    acceptance = Acceptance(thresholds=THRESHOLDS, weights=weights)
    assert panel_score(given, "coherence", acceptance) == 4
    assert panel_score(given, "emotion", acceptance) == 2
    assert panel_score(given, "safety", acceptance) is None


def test_another_rule_needs_only_the_recorded_votes():
    recorded = encode(review({"coherence": 4.0}, {"coherence": 1.0}))
    read = msgspec.json.decode(recorded, type=Review)
    outcomes = [
        decide(read, Acceptance(thresholds={"coherence": 3}, rule=rule, weights=weights)).outcome
        for rule, weights in (("majority", {}), ("majority", {"judge 0": 2.0}), ("mean", {"judge 0": 2.0}))
    ]
    assert outcomes == ["rejected", "accepted", "accepted"]


def test_a_review_recorded_before_there_were_rubrics_swaps_and_scores_of_turns_is_read_as_it_was():
    line = (
        b'{"id":"llama3-8B/travel_1_3","verdicts":[{"judge":"rubric-llama","scores":{"coherence":4.0},'
        b'"reason":"fine"}],"abstentions":[]}'
    )
    (verdict,) = msgspec.json.decode(line, type=Review).verdicts
    assert verdict == Verdict(judge="rubric-llama", scores={"coherence": 4.0}, reason="fine")
    assert (verdict.rubric, verdict.swapped, verdict.turns) == ("", None, {})


def test_a_verdict_is_read_back_with_its_scores_in_the_order_they_were_asked_in():
    scores = {"safety": 5.0, "coherence": 4.0, "emotion": 3.5}
    verdict = Verdict(judge="j", scores=scores, rubric="2 0a", swapped=True, turns={"emotion": (3, 4)})
    read = msgspec.json.decode(encode(verdict), type=Verdict)
    assert read == verdict
    assert list(read.scores) == ["safety", "coherence", "emotion"]


@pytest.mark.parametrize("rule", ["majority", "unanimous", "mean"])
def test_a_judge_of_its_own_dialogue_has_a_vote_or_none_as_the_rule_says(rule):
    review = Review(
        id="p/d_1_3",
        verdicts=(
            Verdict(judge="own", scores={"coherence": 5}, own=True),
            Verdict(judge="other", scores={"coherence": 2}),
        ),
    )
    counting = Acceptance(thresholds={"coherence": 3}, rule=rule, weights={"own": 3.0})
    abstaining = msgspec.structs.replace(counting, own="abstain")
    assert decide(review, counting).outcome == ("rejected" if rule == "unanimous" else "accepted")
    assert decide(review, abstaining).outcome == "rejected"
    assert panel_score(review, "coherence", abstaining) == 2
    quorate = msgspec.structs.replace(abstaining, quorum=2)
    assert decide(review, quorate).outcome == "undecided"


def test_a_verdict_older_than_what_judged_is_read_as_not_its_own():
    old = msgspec.json.decode(b'{"judge": "a", "scores": {"coherence": 4}}', type=Verdict)
    assert (old.checkpoint, old.rehearsal, old.own) == ("", False, False)
    abstained = msgspec.json.decode(b'{"judge": "a", "reason": "no JSON"}', type=Abstention)
    assert (abstained.checkpoint, abstained.rehearsal, abstained.own) == ("", False, False)


def test_verdicts_of_one_checkpoint_are_heard_as_one_and_those_of_none_or_another_apart():
    one = Verdict(
        judge="a", scores={"coherence": 4, "domain": 5}, turns={"coherence": (3, 5)}, checkpoint="org/x"
    )
    other = Verdict(
        judge="b", scores={"coherence": 2}, turns={"coherence": (1, 3)}, checkpoint="org/x@abc1234"
    )
    third = Verdict(judge="c", scores={"coherence": 1}, checkpoint="org/y")
    old = Verdict(judge="d", scores={"coherence": 1})
    first, *rest = heard([one, other, third, old, msgspec.structs.replace(old, judge="e")])
    assert first == (("a", "b"), {"coherence": 3, "domain": 5}, {"coherence": (2, 4)})
    assert [voice.judges for voice in rest] == [("c",), ("d",), ("e",)]
