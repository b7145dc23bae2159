"""Agreement: held against published worked examples, other implementations, and a bootstrap done the long way."""

import math
import random
import re
from itertools import combinations, count, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

import builder.core.agreement
from builder.core.agreement import (
    FEWEST_DIALOGUES,
    Resamples,
    agreement,
    alpha,
    calibrate,
    cohen,
    consensus,
    fleiss,
    heard_agreement,
    weights,
)
from builder.core.annotation import Annotation
from builder.core.draw import seed_of

SEED = 2505
RESAMPLED = Resamples(SEED)
BOTH = ("r0", "r1")
FOUR = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
"""Krippendorff 2011, C and D: four observers, twelve units, `.` where a rating is missing."""
DIAGNOSES = re.findall(
    r"\d+",
    """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
    333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555""",
)
"""Fleiss 1971, table 1: thirty patients, six psychiatrists each, five diagnoses."""
COHEN = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
"""Cohen 1968, table 1: two judges, 200 patients, three diagnoses."""


def by_rater(rows):
    """Ratings from one text a rater, with a character an item."""
    return by_item("".join(column) for column in zip(*rows, strict=True))


def by_item(items):
    """Ratings from one sequence an item, with a value a rater."""
    return {
        (f"p/travel_{place:04}_3", 0): {
            f"r{rater}": float(ord(value) if isinstance(value, str) else value)
            for rater, value in enumerate(values)
            if value not in {".", None}
        }
        for place, values in enumerate(items)
    }


def pairs_of(table):
    return by_item(
        (row, column) for row, line in enumerate(table) for column, n in enumerate(line) for _ in range(n)
    )


def coefficients(ratings, level="ordinal"):
    return [
        alpha(ratings, level, RESAMPLED),
        fleiss(ratings, RESAMPLED),
        *(cohen(ratings, pair, level, RESAMPLED) for pair in combinations(["r0", "r1", "r2"], 2)),
    ]


def values_of(ratings, level="ordinal"):
    return [one.value for one in coefficients(ratings, level)]


def rated(values, raters=3, fewest=2):
    """Ratings with some missing."""
    one = st.lists(st.one_of(st.none(), st.sampled_from(values)), min_size=raters, max_size=raters)
    return st.lists(one, min_size=fewest, max_size=14).map(by_item)


def relabelled(ratings, name):
    return {
        item: {rater: float(name(value)) for rater, value in given.items()} for item, given in ratings.items()
    }


def noisy(dialogues, raters=3, turns=1, missing=0.1, seed=1):
    """Ratings of a common truth, off by one now and then."""
    draw = random.Random(seed)
    ratings = {}
    for place in range(dialogues):
        truth = draw.choice([2, 3, 4])
        for turn in range(turns):
            ratings[f"p/travel_{place:04}_9", turn] = {
                f"r{rater}": float(truth + draw.choice([-1, 0, 0, 0, 1]))
                for rater in range(raters)
                if draw.random() >= missing
            }
    return ratings


@pytest.mark.parametrize(
    ("rows", "level", "published"),
    [
        (["0100000010", "1110010000"], "nominal", 0.095),  # A: binary data, two observers
        (["aabbdcccedda", "babbbccceddd"], "nominal", 0.692),  # B: nominal data, two observers
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
    ],
)
def test_alpha_is_that_of_krippendorffs_worked_examples(rows, level, published):
    assert alpha(by_rater(rows), level, RESAMPLED).value == pytest.approx(published, abs=5e-4)


def test_fleiss_kappa_is_that_of_fleiss_own_table():
    # 0.430 in the paper; 0.4302445 by the R package irr.
    estimate = fleiss(by_item(DIAGNOSES), RESAMPLED)
    assert (estimate.value, estimate.items, estimate.raters) == (pytest.approx(0.4302445, abs=5e-8), 30, 6)


def test_cohens_kappa_is_that_of_cohens_own_table():
    assert cohen(pairs_of(COHEN), BOTH, "nominal", RESAMPLED).value == pytest.approx(0.492, abs=5e-4)


def test_weighted_kappa_is_that_of_cohens_own_table_and_weights():
    graver = np.array([[0.0, 1, 3], [1, 0, 6], [3, 6, 0]])
    assert builder.core.agreement._corrected(COHEN[None], graver) == pytest.approx(0.348, abs=5e-4)


@given(st.permutations([1, 1, 1, 2, 2, 3, 3, 3, 4, 5, 5]), st.permutations([1, 1, 1, 2, 2, 3, 3, 3, 4, 5, 5]))
def test_quadratic_kappa_is_the_correlation_where_both_raters_use_the_scale_alike(first, second):
    # Cohen 1968 proves it.
    estimate = cohen(by_item(zip(first, second, strict=True)), BOTH, "ordinal", RESAMPLED)
    assert estimate.value == pytest.approx(np.corrcoef(first, second)[0, 1])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=20))
def test_cohens_kappa_is_scikit_learns(pairs):
    first, second = zip(*pairs, strict=True)
    for level, scheme in (("nominal", None), ("ordinal", "quadratic")):
        value = cohen(by_item(pairs), BOTH, level, RESAMPLED).value
        if len({*first, *second}) == 1:
            assert value is None
        else:
            theirs = cohen_kappa_score(first, second, labels=[1, 2, 3, 4, 5], weights=scheme)
            assert value == pytest.approx(theirs)


@given(rated([1, 2, 3, 4, 5]), st.sampled_from(["nominal", "ordinal"]))
def test_alpha_is_the_krippendorff_librarys(ratings, level):
    library = pytest.importorskip("krippendorff", reason="the library `krippendorff` is not installed")
    value = alpha(ratings, level, RESAMPLED).value
    if value is not None:
        table = [[given.get(f"r{rater}", np.nan) for given in ratings.values()] for rater in range(3)]
        assert value == pytest.approx(library.alpha(np.array(table), level_of_measurement=level))


@given(st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=2, max_size=12))
def test_fleiss_kappa_is_its_definition_written_out(items):
    shares = [sum(item.count(value) for item in items) / (4 * len(items)) for value in range(1, 5)]
    chance = sum(share**2 for share in shares)
    agreed = sum(a == b for item in items for a, b in combinations(item, 2)) / (6 * len(items))
    value = fleiss(by_item(items), RESAMPLED).value
    assert (
        value is None if math.isclose(chance, 1) else value == pytest.approx((agreed - chance) / (1 - chance))
    )


@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 5]), min_size=2, max_size=30),
    st.sampled_from(["nominal", "ordinal"]),
)
def test_perfect_agreement_is_1_and_undefined_where_there_is_one_value_only(truth, level):
    values = values_of(by_item([one] * 3 for one in truth), level)
    assert values == ([None] * 5 if len(set(truth)) == 1 else [pytest.approx(1)] * 5)


@given(rated([1, 2, 3, 4, 5]), st.permutations([1, 2, 3, 4, 5]))
def test_names_of_labels_do_not_matter(ratings, names):
    renamed = relabelled(ratings, lambda value: names[int(value) - 1])
    assert values_of(renamed, "nominal") == pytest.approx(values_of(ratings, "nominal"))


@given(rated([1, 2, 3, 4, 5]))
def test_ordinal_alpha_knows_the_order_of_scores_only(ratings):
    stretched = relabelled(ratings, lambda value: value**3)
    assert alpha(stretched, "ordinal", RESAMPLED).value == pytest.approx(
        alpha(ratings, "ordinal", RESAMPLED).value
    )


@given(rated([1, 2, 3, 4, 5]), st.permutations(["r0", "r1", "r2"]), st.randoms(use_true_random=False))
def test_neither_who_rated_first_nor_the_order_of_items_matters(ratings, names, order):
    items = list(ratings)
    order.shuffle(items)
    moved = {item: {names[int(rater[1])]: value for rater, value in ratings[item].items()} for item in items}
    assert alpha(moved, "ordinal", RESAMPLED) == alpha(ratings, "ordinal", RESAMPLED)
    assert fleiss(moved, RESAMPLED) == fleiss(ratings, RESAMPLED)
    kappa = cohen(moved, (names[1], names[0]), "ordinal", RESAMPLED).value
    assert kappa == pytest.approx(cohen(ratings, BOTH, "ordinal", RESAMPLED).value)


def test_the_order_of_turns_does_not_matter_to_the_last_digit():
    # Four raters, for their thirds, unlike halves, do not add up to the same in any order.
    ratings = noisy(12, raters=4, turns=9)
    turned = dict(reversed(ratings.items()))
    assert coefficients(turned, "nominal") == coefficients(ratings, "nominal")


def test_ratings_at_random_agree_no_better_than_chance():
    draw = random.Random(5)
    ratings = by_item([draw.randrange(1, 6) for _ in range(3)] for _ in range(1000))
    for level in ("nominal", "ordinal"):
        # The largest standard error is 1/sqrt(1000) = 0.032.
        assert all(abs(value) < 0.1 for value in values_of(ratings, level))


def test_raters_who_always_differ_agree_worse_than_chance():
    ratings = by_item([(1, 5), (5, 1)] * 10)
    assert cohen(ratings, BOTH, "ordinal", RESAMPLED).value == pytest.approx(-1)
    assert alpha(ratings, "ordinal", RESAMPLED).value < 0


@given(rated([1, 2], fewest=0))
def test_a_number_is_finite_or_none_with_a_reason(ratings):
    for estimate in coefficients(ratings):
        low, high = estimate.interval or (None, None)
        assert all(number is None or math.isfinite(number) for number in (estimate.value, low, high))
        assert bool(estimate.reason) == (estimate.interval is None)
        assert estimate.value is not None or estimate.interval is None
        assert low is None or -1 <= low <= high <= 1


def test_items_with_a_single_rating_are_left_out_and_the_rest_are_counted():
    ratings = by_item([(1, 1, 2), (2, 2, None), (3, None, None), (4, 3, 4), (5, None, 5), (1, None, None)])
    found = alpha(ratings, "ordinal", RESAMPLED)
    assert (found.items, found.raters) == (4, 3)
    assert (fleiss(ratings, RESAMPLED).items, fleiss(ratings, RESAMPLED).raters) == (2, 3)
    assert cohen(ratings, ("r1", "r2"), "ordinal", RESAMPLED).items == 2


def test_fleiss_kappa_is_of_the_items_with_the_number_of_ratings_that_most_have():
    most = [(1, 2, None), (None, 2, 2), (4, None, 4)]
    assert fleiss(by_item([(1, 1, 2), (5, 4, 4), *most]), RESAMPLED) == fleiss(by_item(most), RESAMPLED)


def test_what_rests_on_fewer_than_two_items_is_undefined():
    estimate = alpha(by_item([(1, 2), (3, None)]), "ordinal", RESAMPLED)
    assert (estimate.value, estimate.reason) == (None, "items that two rated: 1, and at least 2 are needed")
    assert fleiss({}, RESAMPLED).reason == "items that two rated: 0, and at least 2 are needed"


def test_there_is_an_interval_from_the_tenth_dialogue_on():
    ratings = noisy(FEWEST_DIALOGUES, missing=0)
    assert alpha(ratings, "ordinal", RESAMPLED).interval is not None
    few = alpha(dict(list(ratings.items())[:-1]), "ordinal", RESAMPLED)
    assert few.value is not None
    assert (few.interval, few.reason) == (None, "no interval: 9 dialogues, and at least 10 are needed")


def test_there_is_no_interval_where_too_many_resamples_say_nothing():
    # Only the last dialogue varies, and about (11/12)**12 = 35 % of the resamples lack it.
    estimate = alpha(by_item([(3, 3)] * 11 + [(3, 4)]), "ordinal", RESAMPLED)
    assert estimate.value == pytest.approx(0)
    assert estimate.interval is None
    missing = int(estimate.reason.removeprefix("no interval: undefined in ").split()[0])
    assert 300 < missing < 400


@pytest.mark.parametrize(("turns", "missing"), [(1, 0), (4, 0.1)])
def test_the_interval_is_that_of_dialogues_drawn_again_the_long_way(monkeypatch, turns, missing):
    monkeypatch.setattr(builder.core.agreement, "RESAMPLES", 60)
    ratings, resamples = noisy(12, turns=turns, missing=missing), Resamples(SEED)
    drawn = resamples.counts(12).T.astype(int)
    assert (drawn.sum(1) == 12).all()
    wholes = sorted({id for id, _ in ratings})
    for coefficient in (
        lambda given: alpha(given, "ordinal", resamples),
        lambda given: alpha(given, "nominal", resamples),
        lambda given: cohen(given, BOTH, "ordinal", resamples),
    ):
        values = [
            coefficient(
                {
                    (f"{id} {copy}", turn): given
                    for (id, turn), given in ratings.items()
                    for copy in range(counts[wholes.index(id)])
                }
            ).value
            for counts in drawn
        ]
        assert coefficient(ratings).interval == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))


def test_turns_of_one_dialogue_count_as_one_when_the_interval_is_drawn():
    copied = {(id, turn): given for (id, _), given in noisy(30).items() for turn in range(5)}
    apart = {(f"{id} {turn}", 0): given for (id, turn), given in copied.items()}
    narrow, wide = (
        high - low for low, high in (alpha(one, "ordinal", RESAMPLED).interval for one in (apart, copied))
    )
    assert wide > 1.5 * narrow


def test_more_dialogues_narrow_the_interval_around_the_value():
    widths = []
    for dialogues in (20, 120, 720):
        estimate = alpha(noisy(dialogues), "ordinal", Resamples(SEED))
        low, high = estimate.interval
        assert low < estimate.value < high
        widths.append(high - low)
    assert all(wide > 2 * narrow for wide, narrow in pairwise(widths))


def annotations(dialogues=12, annotators=("ash", "birch", "cedar"), seed=1):
    draw = random.Random(seed)
    return [
        Annotation(
            id=f"p/travel_{place}_9",
            annotator=annotator,
            scores={
                criterion: min(5, max(1, truth + draw.choice([-1, 0, 0, 1])))
                for criterion in ("coherence", "safety")
            },
            emotions=tuple(
                draw.choice([emotion, emotion, "sad", None]) for emotion in ("happy", "sad", "angry") * 3
            ),
        )
        for place in range(dialogues)
        for truth in [draw.randrange(1, 6)]
        for annotator in annotators
    ]


def test_every_criterion_has_its_coefficients_and_every_pair_of_annotators_its_kappa():
    found = agreement(annotations(), SEED)
    assert list(found) == ["coherence", "safety"]
    names = [(pair.first, pair.second) for pair in found["safety"].cohen]
    assert names == [("ash", "birch"), ("ash", "cedar"), ("birch", "cedar")]
    ratings = {}
    for one in annotations():
        ratings.setdefault((one.id, 0), {})[one.annotator] = float(one.scores["safety"])
    assert found["safety"].alpha == alpha(ratings, "ordinal", Resamples(SEED))
    assert found["safety"].fleiss == fleiss(ratings, Resamples(SEED))
    assert found["safety"].cohen[1].kappa == cohen(ratings, ("ash", "cedar"), "ordinal", Resamples(SEED))


def test_the_same_annotations_give_the_same_numbers_in_any_order_and_others_by_another_seed():
    given_ = annotations(annotators=("ash", "birch", "cedar", "dogwood"))
    shuffled = list(given_)
    random.Random(3).shuffle(shuffled)
    assert agreement(shuffled, SEED) == agreement(given_, SEED)
    assert heard_agreement(shuffled, SEED) == heard_agreement(given_, SEED)
    first, other = (agreement(given_, seed)["safety"].alpha for seed in (SEED, SEED + 1))
    assert first.value == other.value
    assert first.interval != other.interval


def test_only_an_annotators_latest_scores_count():
    again = [
        Annotation(id=one.id, annotator=one.annotator, scores={"safety": 1, "withdrawn": 1})
        for one in annotations()
    ]
    assert agreement(again + annotations(), SEED) == agreement(annotations(), SEED)
    assert consensus(annotations() + again)["safety"] == dict.fromkeys(sorted({one.id for one in again}), 1.0)


def test_nobody_has_annotated_yet_is_no_error():
    assert agreement([], SEED) == {}
    assert heard_agreement([], SEED).alpha.value is None
    assert consensus([]) == {}


def test_heard_emotions_are_labels_of_turns_and_a_turn_nobody_named_is_missing():
    def hears(annotator, index, *emotions):
        return Annotation(id=f"p/travel_{index}_3", annotator=annotator, emotions=emotions)

    heard = heard_agreement(
        [
            hears("ash", 1, "happy", None, "sad"),
            hears("birch", 1, "happy", "sad", "sad"),
            hears("ash", 2, "angry", "angry", "calm"),
            hears("birch", 2, "angry", "calm", None),
        ],
        SEED,
    )
    # Four turns named by both: happy, sad and angry alike, and once angry against calm.
    ratings = by_item(["hh", "ss", "aa", "ac"])
    assert heard.alpha.value == pytest.approx(alpha(ratings, "nominal", RESAMPLED).value)
    assert (heard.alpha.items, heard.alpha.reason) == (
        4,
        "no interval: 2 dialogues, and at least 10 are needed",
    )


def test_the_peoples_score_is_the_median_and_the_lower_of_two_middle_ones():
    def scored(id, *scores):
        return [
            Annotation(id=id, annotator=f"annotator {n}", scores={"safety": score})
            for n, score in enumerate(scores)
        ]

    people = consensus(scored("p/a_1_3", 1, 4, 5) + scored("p/a_2_3", 2, 5) + scored("p/a_3_3", 3))
    assert people == {"safety": {"p/a_1_3": 4.0, "p/a_2_3": 2.0, "p/a_3_3": 3.0}}


def chosen_on(id):
    return seed_of(SEED, "calibration", id, bits=1) == 0


def held(judge_and_people, half=None):
    """A judge's and the people's scores of dialogues, all of them in one half if it is named."""
    every = (f"p/travel_{n}_3" for n in count())
    ids = (id for id in every if half is None or chosen_on(id) == half)
    judge, people = {}, {}
    for id, (one, other) in zip(ids, judge_and_people, strict=False):
        judge[id], people[id] = float(one), float(other)
    return judge, people


def test_a_judge_that_is_too_kind_by_one_gets_a_threshold_higher_by_one():
    judge, people = held([(min(5, score + 1), score) for score in (1, 2, 3, 4) for _ in range(30)])
    found = calibrate(judge, people, 3, SEED)
    assert (found.threshold, found.fitted, found.held_out.value) == (4, 1, 1)
    assert found.kappa.value < 1
    assert found.scores.judge == (2, 3, 4, 5)
    assert found.scores.people == (1, 2, 3, 4)
    assert found.scores.counts == ((30, 0, 0, 0), (0, 30, 0, 0), (0, 0, 30, 0), (0, 0, 0, 30))


def noisy_judge(dialogues=300, seed=2):
    draw = random.Random(seed)
    people = [draw.choice([1, 2, 3, 4, 5]) for _ in range(dialogues)]
    return held([(min(5, max(1, score + draw.choice([-1, 0, 1, 1]))), score) for score in people])


def test_the_threshold_is_the_best_in_its_half_and_its_kappa_is_reported_on_the_other():
    judge, people = noisy_judge()
    found = calibrate(judge, people, 3, SEED)

    def kappa(half, threshold):
        ids = [id for id in judge if chosen_on(id) == half]
        return cohen_kappa_score([judge[id] >= threshold for id in ids], [people[id] >= 3 for id in ids])

    assert found.fitted == pytest.approx(max(kappa(True, threshold) for threshold in range(1, 6)))
    assert found.fitted == pytest.approx(kappa(True, found.threshold))
    assert found.held_out.value == pytest.approx(kappa(False, found.threshold))
    assert found.held_out.items == sum(map(sum, found.votes.counts)) == sum(not chosen_on(id) for id in judge)


def test_what_is_reported_on_never_moves_the_threshold():
    judge, people = noisy_judge()
    turned = {id: score if chosen_on(id) else 6 - score for id, score in people.items()}
    honest, spoilt = calibrate(judge, people, 3, SEED), calibrate(judge, turned, 3, SEED)
    assert (spoilt.threshold, spoilt.fitted) == (honest.threshold, honest.fitted)
    assert spoilt.held_out.value < 0 < honest.held_out.value


def test_a_dialogue_keeps_its_half_whatever_is_annotated_later():
    judge, people = noisy_judge()
    some = dict(list(people.items())[:100])
    assert calibrate(judge, some, 3, SEED).held_out.items == sum(not chosen_on(id) for id in some)
    halves = [sum(seed_of(seed, "calibration", id, bits=1) for id in judge) for seed in range(20)]
    # 300 fair coins: 150, with a standard deviation of 8.7.
    assert all(105 < half < 195 for half in halves)
    assert len(set(halves)) > 1


def test_of_two_thresholds_as_good_the_stricter_is_taken():
    judge, people = held([(5, 4)] * 6 + [(4, 4), (4, 1)] + [(1, 1)] * 6, half=True)
    assert calibrate(judge, people, 3, SEED).threshold == 5


@pytest.mark.parametrize(
    "judge_and_people",
    [
        [],
        [(score, 4) for score in (1, 2, 3, 4, 5) * 10],
        [(3, score) for score in (1, 2, 3, 4, 5) * 10],
        [(6 - score, score) for score in (1, 2, 3, 4, 5) * 10],
    ],
    ids=["no dialogue", "people who accept all", "a judge with one score", "a judge that has it backwards"],
)
def test_a_judge_that_no_threshold_helps_has_none_and_the_reason_is_given(judge_and_people):
    found = calibrate(*held(judge_and_people, half=True), 3, SEED)
    assert (found.threshold, found.fitted, found.held_out.value, found.votes.counts) == (None, None, None, ())
    assert found.held_out.reason == (
        f"no threshold agrees with people beyond chance in the {len(judge_and_people)} dialogues to choose it on"
    )


def test_dialogues_that_only_one_side_scored_are_left_out():
    judge, people = noisy_judge()
    found = calibrate({**judge, "p/only-judge_1_3": 1.0}, {**people, "p/only-people_1_3": 1.0}, 3, SEED)
    assert found == calibrate(judge, people, 3, SEED)


def test_a_panels_decisions_are_held_against_people_in_the_same_way():
    judge, people = noisy_judge()
    decisions = {id: float(score >= 4) for id, score in judge.items()}
    accepted = {id: float(score >= 3) for id, score in people.items()}
    found = calibrate(decisions, accepted, 1, SEED)
    assert found.threshold == 1
    assert found.kappa.value == pytest.approx(
        cohen_kappa_score(list(decisions.values()), list(accepted.values()))
    )


def test_a_judge_weighs_as_much_as_it_agrees_with_people():
    given_ = {"good": 0.6, "fair": 0.2, "chance": 0.0, "worse": -0.3, "unknown": None}
    assert weights(given_) == pytest.approx(
        {"good": 0.75, "fair": 0.25, "chance": 0, "worse": 0, "unknown": 0}
    )


def test_judges_that_agree_no_better_than_chance_have_no_say_at_all():
    assert weights({"one": -0.1, "other": None}) == {"one": 0.0, "other": 0.0}
    assert weights({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.floats(-1, 1)), min_size=1))
def test_weights_are_shares_of_one_whole_in_the_order_of_the_kappas(kappas):
    shares = weights(kappas)
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(
        1 if any((kappa or 0) > 0 for kappa in kappas.values()) else 0
    )
    ranked = sorted(kappas, key=lambda judge: kappas[judge] or 0)
    assert all(shares[low] <= shares[high] for low, high in pairwise(ranked))
