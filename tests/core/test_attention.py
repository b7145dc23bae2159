import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.attention import Attention, counted

SHARES = st.integers(0, 9).flatmap(lambda most: st.tuples(st.integers(0, most), st.just(most)))


def test_who_fails_checks_is_named_counts_by_default_and_is_left_out_by_the_plan_or_on_request():
    people = [
        Attention("anna", 40, 3, 3),
        Attention("ben", 1200, 0, 3),
        Attention("cid", 9, 2, 3, 5, 8),
        Attention("dot", 7, 0, 0),
    ]
    everybody = counted(people, 0)
    assert everybody.names == ("anna", "ben", "cid", "dot")
    assert everybody.notes == (
        "ben failed 3 of 3 attention checks, and 1,200 answers count.",
        "cid failed 1 of 3 attention checks and is more than 1 off in 3 of 8 gold scores, and 9 answers count.",
    )
    careful = counted(people, 0.6, ["dot"])
    assert careful.names == ("anna", "cid")
    assert careful.notes[0] == (
        "ben failed 3 of 3 attention checks: left out by min_checks = 0.6, which costs 1,200 answers."
    )
    assert careful.notes[-1] == "dot: left out as asked, which costs 7 answers."
    assert counted(people, 0.65).names == ("anna", "dot")


@given(SHARES, SHARES, st.floats(0, 1))
def test_both_shares_must_be_reached_and_of_none_they_are(checks, gold, least):
    one = Attention("a", 1, *checks, *gold)
    shares = [right / all_ for right, all_ in (checks, gold) if all_]
    assert one.has(least) == all(share >= least or share == pytest.approx(least) for share in shares)
    assert (one.failed == "") == all(share == 1 for share in shares)
