"""What is said of the panel: judges against judges and against people, and the rule that follows, on simulated opinions."""

import random
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import builder.evidence.panel
from builder.core.agreement import Resamples, alpha, calibrate, consensus, is_fitted_on
from builder.core.annotation import Annotation
from builder.core.verdict import Abstention, Acceptance, Review, Verdict, decide, panel_score
from builder.evidence.panel import asked, calibrated, calibration, panel, toml
from builder.records import convert
from tests.runs import held, small

SEED = 2505
JUDGES = ("sharp", "harsh", "blind")
RULE = Acceptance(thresholds={"coherence": 3, "emotion": 3}, quorum=2)


def ids(count):
    return [f"llama3-8B/travel_{place}_3" for place in range(1, count + 1)]


def bounded(score):
    return float(min(5, max(1, score)))


def opinions(count=200, seed=3, judges=JUDGES):
    """Two people who nearly agree on two criteria, and judges: one as people, one a point lower, one that does not look."""
    draw = random.Random(seed)
    annotations, reviews = [], {}
    for id in ids(count):
        truth = {name: draw.choice([1, 2, 2, 3, 4, 4, 5]) for name in RULE.thresholds}
        for person in ("ada", "ben"):
            scores = {name: int(bounded(score + draw.choice([0, 0, 0, 1]))) for name, score in truth.items()}
            annotations.append(Annotation(id=id, annotator=person, scores=scores))
        seen = {
            "sharp": {name: bounded(score + draw.choice([0, 0, 0, 1, -1])) for name, score in truth.items()},
            "harsh": {name: bounded(score - 1 - draw.choice([0, 0, 0, 1])) for name, score in truth.items()},
            "blind": {name: float(draw.randint(1, 5)) for name in truth},
        }
        verdicts = tuple(Verdict(judge=judge, scores=seen[judge]) for judge in judges)
        reviews[id] = Review(id=id, verdicts=verdicts)
    return reviews, annotations


def held_against(reviews, annotations, rule=RULE, judges=JUDGES, **changes):
    return calibrated(reviews, annotations, judges, rule, SEED, **changes)


def test_every_verdict_and_abstention_of_those_who_are_asked_is_counted_and_no_rules():
    reviews = [
        Review(
            id=id,
            verdicts=(
                Verdict(judge="length", scores={"length": 1.0}),
                Verdict(judge="sharp", scores={"coherence": 4.0}, rubric="2 0a"),
            ),
            abstentions=(Abstention(judge="harsh", reason="no JSON"),) if place < 3 else (),
        )
        for place, id in enumerate(ids(10))
    ]
    found = panel(reviews, JUDGES, SEED)
    assert {name: (one.verdicts, one.abstentions) for name, one in found.judges.items()} == {
        "sharp": (10, 0),
        "harsh": (0, 3),
    }
    assert found.judges["sharp"].rubrics == ("2 0a",)
    assert (found.judges["sharp"].abstained, found.judges["harsh"].abstained) == (0, 1)
    assert (found.shared, found.alphas) == (0, {})


def test_agreement_among_judges_is_krippendorffs_alpha_of_their_scores():
    reviews, _ = opinions()
    found = panel(reviews.values(), JUDGES, SEED)
    ratings = {
        (id, 0): {verdict.judge: verdict.scores["emotion"] for verdict in review.verdicts}
        for id, review in reviews.items()
    }
    assert found.alphas["emotion"] == alpha(ratings, "ordinal", Resamples(SEED))
    assert found.shared == found.drawn == 200
    alike, _ = opinions(judges=("sharp", "sharp"))
    assert found.alphas["emotion"].value < 0.6
    assert panel(opinions(judges=("sharp",))[0].values(), JUDGES, SEED).alphas == {}
    twins = [
        Review(id=id, verdicts=(one.verdicts[0], Verdict(judge="harsh", scores=one.verdicts[0].scores)))
        for id, one in alike.items()
    ]
    assert panel(twins, JUDGES, SEED).alphas["emotion"].value == 1


def test_where_turns_are_scored_their_agreement_is_of_turns():
    draw = random.Random(1)
    reviews = []
    for id in ids(50):
        turns = {judge: tuple(draw.randint(1, 5) for _ in range(3)) for judge in ("sharp", "harsh")}
        verdicts = tuple(
            Verdict(judge=judge, scores={"emotion": sum(scores) / 3}, turns={"emotion": scores})
            for judge, scores in turns.items()
        )
        reviews.append(Review(id=id, verdicts=verdicts))
    assert panel(reviews, JUDGES, SEED).alphas["emotion"].items == 150


def test_of_many_dialogues_a_fixed_number_is_drawn_the_same_whatever_their_order(monkeypatch):
    reviews, _ = opinions()
    whole = panel(reviews.values(), JUDGES, SEED)
    monkeypatch.setattr(builder.evidence.panel, "MOST_DIALOGUES", 60)
    some = panel(reviews.values(), JUDGES, SEED)
    assert (some.shared, some.drawn, some.alphas["emotion"].items) == (200, 60, 60)
    assert some == panel(list(reviews.values())[::-1], JUDGES, SEED)
    assert some.alphas["emotion"].value == pytest.approx(whole.alphas["emotion"].value, abs=0.15)


def test_a_judge_is_heard_as_far_as_it_agrees_with_people_and_one_that_does_not_look_hardly_at_all():
    found = held_against(*opinions())
    weights = found.suggested.weights
    for criterion in RULE.thresholds:
        assert weights["sharp"][criterion] > weights["harsh"][criterion] > weights["blind"][criterion] >= 0
        assert weights["blind"][criterion] < 0.1
        assert sum(weights[judge][criterion] for judge in JUDGES) == pytest.approx(1, abs=0.02)


def test_the_judges_on_the_table_are_those_of_calibrate():
    reviews, annotations = opinions()
    found = held_against(reviews, annotations)
    harsh = {id: review.verdicts[1].scores["coherence"] for id, review in reviews.items()}
    assert found.judges["coherence"]["harsh"] == calibrate(
        harsh, consensus(annotations)["coherence"], 3.0, SEED
    )
    assert found.judges["coherence"]["harsh"].threshold == 2, "it scores a point lower"
    assert (found.dialogues, found.annotators) == (200, 2)


def test_the_rule_that_is_suggested_decides_more_as_people_do_than_the_one_in_force():
    found = held_against(*opinions())
    assert found.suggested.rule == "mean"
    assert found.by_suggested.value > found.in_force.value + 0.1
    assert found.by_suggested.items == found.in_force.items
    assert found.by_suggested.items == sum(not is_fitted_on(id, SEED) for id in ids(200))


def test_what_people_say_of_the_half_that_is_reported_on_changes_no_weight_and_no_threshold():
    reviews, annotations = opinions()
    turned = [
        one
        if is_fitted_on(one.id, SEED)
        else Annotation(
            id=one.id, annotator=one.annotator, scores={name: 6 - score for name, score in one.scores.items()}
        )
        for one in annotations
    ]
    one, other = held_against(reviews, annotations), held_against(reviews, turned)
    assert one.suggested == other.suggested
    assert one.by_suggested.value > 0.5
    assert other.by_suggested.value < 0


@given(
    st.lists(st.integers(10, 50), min_size=1, max_size=4),
    st.lists(st.integers(1, 100), min_size=4, max_size=4),
    st.integers(10, 50),
)
def test_a_mean_in_tenths_reaches_a_threshold_in_tenths_if_and_only_if_the_mean_does(scores, weights, tenth):
    rule = Acceptance(
        thresholds={"coherence": tenth / 10},
        rule="mean",
        weights={f"judge {n}": {"coherence": weight / 100} for n, weight in enumerate(weights)},
    )
    verdicts = tuple(
        Verdict(judge=f"judge {n}", scores={"coherence": score / 10}) for n, score in enumerate(scores)
    )
    review = Review(id=ids(1)[0], verdicts=verdicts)
    reached = builder.evidence.panel._tenths(panel_score(review, "coherence", rule)) >= tenth / 10
    assert reached == (decide(review, rule).outcome == "accepted")


def test_where_no_judge_agrees_with_people_the_criterion_is_left_as_it_is_and_why_is_said():
    reviews, annotations = opinions()
    draw = random.Random(5)
    contrary = [
        Annotation(id=one.id, annotator=one.annotator, scores={**one.scores, "emotion": draw.randint(1, 5)})
        for one in annotations
    ]
    reviews = {
        id: Review(
            id=id,
            verdicts=tuple(
                Verdict(judge=one.judge, scores={"coherence": one.scores["coherence"], "emotion": 3.0})
                for one in review.verdicts
            ),
        )
        for id, review in reviews.items()
    }
    rule = Acceptance(
        thresholds={"coherence": 3, "emotion": 2.5, "safety": 4}, weights={"sharp": {"emotion": 2.0}}
    )
    found = held_against(reviews, contrary, rule)
    assert found.left == {
        "emotion": "no judge agrees with people beyond chance",
        "safety": "people did not score it",
    }
    assert (found.suggested.thresholds["emotion"], found.suggested.thresholds["safety"]) == (2.5, 4)
    assert found.suggested.weight("sharp", "emotion") == 2
    assert found.suggested.weight("blind", "emotion") == found.suggested.weight("sharp", "safety") == 1


def test_the_quorum_never_asks_for_more_judges_than_are_heard():
    reviews, annotations = opinions(judges=("sharp",))
    found = held_against(reviews, annotations)
    assert found.suggested.quorum == 1
    decided = {decide(review, found.suggested).outcome for review in reviews.values()}
    assert decided == {"accepted", "rejected"}


def test_a_sample_of_accepted_dialogues_only_is_known_as_such():
    reviews, annotations = opinions()
    assert not held_against(reviews, annotations).accepted_only
    accepted = {id: one for id, one in reviews.items() if decide(one, RULE).outcome == "accepted"}
    assert 20 < len(accepted) < 200
    assert held_against(accepted, annotations).accepted_only


def test_people_pass_what_they_score_high_enough_and_that_is_for_the_caller_to_say():
    strict, lenient = (held_against(*opinions(), passing=passing) for passing in (5.0, 2.0))
    for criterion in RULE.thresholds:
        assert strict.suggested.thresholds[criterion] > lenient.suggested.thresholds[criterion]


def test_a_run_is_calibrated_by_its_own_reviews_and_not_where_nobody_annotated_a_judged_dialogue(tmp_path):
    with held(tmp_path / "run", small(judges=("length", "rubric-llama"), acceptance=RULE)) as run:
        assert asked(run) == ("rubric-llama",)
        first, second, *_ = run.dialogues.ids()
        turns = len(run.dialogues[first].turns)
        said = [Annotation(id=second, annotator="ada", scores={"coherence": 4})]
        run.reviews.append(
            first, Review(id=first, verdicts=(Verdict(judge="rubric-llama", scores={"coherence": 4.0}),))
        )
        assert calibration(run, said) is None
        only_heard = Annotation(id=first, annotator="ada", emotions=("happy",) * turns)
        assert calibration(run, [*said, only_heard]) is None
        scored = Annotation(id=first, annotator="ben", scores={"coherence": 4})
        found = calibration(run, [*said, only_heard, scored])
    assert (found.dialogues, found.annotators) == (1, 1)
    assert found.suggested.thresholds == RULE.thresholds
    assert found.by_suggested.value is None


@pytest.mark.parametrize(
    "rule",
    [
        Acceptance(),
        Acceptance(thresholds={"coherence": 3.4, "on.topic": 1 / 3}, rule="mean", quorum=0),
        Acceptance(
            thresholds={"coherence": 3},
            weights={"a": 0.5, "b c": {"coherence": 1e-9}, "d": {}, "ü": 2.0, "e": 2},
        ),
    ],
)
def test_the_toml_of_a_rule_reads_back_as_that_rule(rule):
    assert convert(tomllib.loads(toml(rule))["acceptance"], Acceptance, "printed") == rule


def test_judges_of_one_checkpoint_do_not_agree_with_themselves():
    def review(id, *checkpoints):
        verdicts = (
            Verdict(judge=name, scores={"coherence": score}, checkpoint=checkpoint)
            for name, score, checkpoint in zip("abc", (4, 4, 2), checkpoints, strict=True)
        )
        return Review(id=id, verdicts=tuple(verdicts))

    reviews = [review(f"p/d_{number}_3", "org/x", "org/x", "org/y") for number in range(20)]
    found = panel(reviews, "abc", 1)
    assert found.same == [("a", "b")]
    assert (found.alphas["coherence"].raters, found.shared) == (2, 20)
    alone = panel([review(f"p/d_{number}_3", *3 * ["org/x"]) for number in range(20)], "abc", 1)
    assert (alone.shared, alone.alphas) == (0, {})
    assert "The judges a, b, c are one judge in different words" in alone.told[0]
    apart = panel([review(f"p/d_{number}_3", "", "", "") for number in range(20)], "abc", 1)
    assert (apart.same, apart.alphas["coherence"].raters) == ([], 3)
