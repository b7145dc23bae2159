import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ConfigError


@given(counts=st.lists(st.integers(0, 70), min_size=1, max_size=6))
def test_a_fault_is_found_exactly_where_a_count_or_the_mean_is_out_of_bounds(fault, held, counts):
    found = fault("length", held(*(" ".join(["word"] * count) for count in counts)))
    outside = [number for number, count in enumerate(counts, 1) if not 2 <= count <= 60]
    if outside:
        assert found == f"turn {outside[0]}: {counts[outside[0] - 1]} words, not 2 to 60"
    else:
        assert (found is not None) == (sum(counts) < 5 * len(counts))


def test_one_short_turn_among_long_ones_passes(fault, held):
    assert (
        fault("length", held("No way!", "We really did drive all the way to Lisbon, and it rained.")) is None
    )


def test_a_dialogue_terse_throughout_is_named_with_its_mean(fault, held):
    assert fault("length", held("No way!", "Oh yes, really!", "Tell me more.")) == (
        "2.7 words a turn on average, fewer than 5"
    )
    assert fault("length", held("No way!", "Oh yes, really!"), min_mean_words=0) is None


@pytest.mark.parametrize("name", ["min_words", "min_mean_words"])
def test_bounds_that_nothing_can_meet_are_refused(fault, held, name):
    with pytest.raises(ConfigError, match=f"{name} is 9.*, more than max_words, 8"):
        fault("length", held("Hello there!"), **{name: 9, "max_words": 8})


@pytest.mark.parametrize(("count", "passes"), [(1, False), (2, True), (60, True), (61, False)])
def test_the_bounds_themselves_are_allowed(fault, held, count, passes):
    found = fault("length", held(" ".join(["word"] * count)), min_mean_words=0)
    assert (found is None) == passes
