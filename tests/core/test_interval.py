"""What intervals promise: known answers, and the shares and means that they are of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.interval import FEWEST, Interval, mean, share


@st.composite
def counts(draw):
    whole = draw(st.integers(1, 10**6))
    return draw(st.integers(0, whole)), whole


@given(counts())
def test_the_interval_of_a_share_is_wilsons_as_statsmodels_has_it(count):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    found = share(*count)
    low, high = proportion.proportion_confint(*count, method="wilson")
    assert found[:3] == pytest.approx((count[0] / count[1], low, high), abs=1e-12)
    assert found.items == count[1]


@given(counts())
def test_a_share_lies_in_its_interval_and_that_in_0_to_1(count):
    value, low, high, _ = share(*count)
    assert 0 <= low <= value <= high <= 1


def test_a_share_of_none_or_of_all_ends_where_shares_end():
    assert share(0, 20).low == 0
    assert share(20, 20).high == 1


def test_of_nothing_there_is_no_share_and_no_mean():
    assert share(0, 0) == Interval(None, None, None, 0)
    assert mean([]) == mean([math.nan]) == Interval(None, None, None, 0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=FEWEST, max_size=60))
def test_the_interval_of_a_mean_is_the_normal_one_as_statsmodels_has_it(values):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    low, high = weightstats.DescrStatsW(values).zconfint_mean() if np.std(values) else (np.mean(values),) * 2
    assert mean(values)[:3] == pytest.approx((np.mean(values), low, high), rel=1e-9, abs=1e-6)


def test_a_missing_value_is_left_out_of_a_mean_and_of_its_count():
    values = [*map(float, range(FEWEST)), math.nan]
    assert mean(values) == mean(values[:-1])
    assert mean(values).items == FEWEST


def test_of_few_values_there_is_a_mean_and_no_interval():
    assert mean([1.0] * (FEWEST - 1)) == Interval(1.0, None, None, FEWEST - 1)
    assert mean([1.0] * FEWEST).low is not None
