"""Parts: every dialogue falls into exactly one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.part import Part


@given(st.text(), st.integers(1, 40))
def test_every_dialogue_falls_into_exactly_one_part(id, count):
    assert sum(id in Part(index=index, count=count) for index in range(1, count + 1)) == 1


def test_parts_are_about_equal():
    sizes = Counter(
        index
        for number in range(4000)
        for index in range(1, 5)
        if f"a/b_{number}_3" in Part(index=index, count=4)
    )
    assert min(sizes.values()) > 900


@given(st.integers(1, 500), st.integers(1, 40))
def test_parts_have_all_places_together_or_one_each(limit, count):
    shares = [Part(index=index, count=count).of(limit) for index in range(1, count + 1)]
    assert min(shares) >= 1
    assert sum(shares) == max(limit, count)
    assert max(shares) - min(shares) <= 1


def test_a_part_is_written_as_its_number_and_theirs():
    part = Part.parse("3/16")
    assert (part.index, part.count, part.name) == (3, 16, "3-of-16")


@pytest.mark.parametrize(
    "written", ["0/4", "5/4", "1/0", "1", "/4", "1/4 ", "one/four", "-1/4", "01/4", "1/4/4"]
)
def test_what_is_no_part_is_refused_with_an_example(written):
    with pytest.raises(ValueError, match="is not a part such as 3/16"):
        Part.parse(written)
