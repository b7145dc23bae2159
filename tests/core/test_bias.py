import random
from statistics import fmean, variance

import pytest

from builder.core.bias import MIN_VERDICTS, Bias, bias
from builder.core.verdict import Review, Verdict

CRITERIA = ("coherence", "emotion", "safety")


def review(index, *verdicts):
    return Review(id=f"a/travel_{index}_3", verdicts=verdicts)


def verdict(scores, judge="rubric", *, swapped):
    return Verdict(judge=judge, scores=scores, swapped=swapped)


def panel(count, seed=1, swapped=0.0, late=0.0):
    """Reviews by one judge whose names and order are drawn; it adds so much to `emotion` where a cause is present."""
    draw = random.Random(seed)
    for index in range(1, count + 1):
        is_swapped, first = draw.random() < 0.5, draw.randrange(3)
        order = CRITERIA[first:] + CRITERIA[:first]
        scores = {name: draw.choice([2.0, 3.0, 3.0, 4.0]) for name in order}
        scores["emotion"] += swapped * is_swapped + late * (order.index("emotion") == 2)
        yield review(index, verdict(scores, swapped=is_swapped))


def found(reviews):
    return {(one.criterion, one.cause): one for one in bias(reviews)}


def test_a_preference_for_a_name_is_found_where_it_is_and_nowhere_else():
    compared = found(panel(2000, swapped=0.4))
    assert compared.keys() == {(name, cause) for name in CRITERIA for cause in ("swapped", "late")}
    one = compared.pop(("emotion", "swapped"))
    assert 0 < one.low < 0.4 < one.high < 0.8
    assert all(other.low < 0 < other.high for other in compared.values())


def test_harshness_with_what_stands_late_is_found_where_it_is_and_nowhere_else():
    compared = found(panel(2000, late=-0.5))
    one = compared.pop(("emotion", "late"))
    assert one.low < -0.5 < one.high < 0
    assert all(other.low < 0 < other.high for other in compared.values())


def test_the_difference_is_of_means_and_the_interval_is_welchs():
    present, absent = [5.0, 4.0, 4.5, 3.0, 5.0] * 4, [1.0, 2.0, 3.0, 3.5] * 6
    reviews = [
        review(index, verdict({"coherence": score}, swapped=index <= len(present)))
        for index, score in enumerate(present + absent, 1)
    ]
    (one,) = bias(reviews)
    assert (one.judge, one.criterion, one.cause) == ("rubric", "coherence", "swapped")
    assert one.verdicts == (20, 24)
    difference = fmean(present) - fmean(absent)
    error = 1.96 * (variance(present) / 20 + variance(absent) / 24) ** 0.5
    assert one[3:6] == pytest.approx((difference, difference - error, difference + error), abs=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "seen"), [(-0.1, 0.2, False), (0.1, 0.2, True), (-0.2, -0.1, True), (0.0, 0.2, False)]
)
def test_a_bias_is_seen_where_its_interval_leaves_out_0(low, high, seen):
    assert Bias("rubric", "coherence", "late", (low + high) / 2, low, high, (20, 20)).is_seen == seen


def test_19_of_20_intervals_hold_the_true_difference():
    runs = [found(panel(120, seed=seed, swapped=0.3)) for seed in range(300)]
    true = [run["emotion", "swapped"].low < 0.3 < run["emotion", "swapped"].high for run in runs]
    assert 0.91 <= fmean(true) <= 0.98


def test_nothing_is_said_of_too_few_and_every_judge_is_compared_with_itself():
    def asked(count):
        for index in range(1, count + 1):
            yield review(
                index,
                *(
                    verdict({"coherence": score}, judge, swapped=swapped)
                    for judge, score in (("harsh", 1.0), ("kind", 5.0))
                    for swapped in (True, False)
                ),
            )

    assert bias(asked(MIN_VERDICTS - 1)) == []
    assert [(one.judge, one.difference) for one in bias(asked(MIN_VERDICTS))] == [
        ("harsh", 0.0),
        ("kind", 0.0),
    ]


def test_the_middle_of_three_is_neither_early_nor_late():
    orders = [CRITERIA[first:] + CRITERIA[:first] for first in range(3)]
    reviews = [
        review(
            index,
            *(
                verdict({name: float(place) for place, name in enumerate(order)}, swapped=index % 2 == 0)
                for order in orders
            ),
        )
        for index in range(1, MIN_VERDICTS + 1)
    ]
    late = [one for one in bias(reviews) if one.cause == "late"]
    assert len(late) == 3
    assert all((one.difference, one.verdicts) == (2.0, (MIN_VERDICTS, MIN_VERDICTS)) for one in late)


def test_rules_and_verdicts_older_than_the_draw_do_not_count():
    old = [
        review(index, Verdict(judge="rubric", scores=dict.fromkeys(CRITERIA, 3.0))) for index in range(1, 99)
    ]
    assert bias(old) == []
    mixed = {key: one.verdicts for key, one in found([*old, *panel(200)]).items()}
    assert mixed == {key: one.verdicts for key, one in found(panel(200)).items()}
