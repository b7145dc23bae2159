"""What `kill -9` costs: nothing that was answered, and not a byte of the dataset."""

from tests.killed import killed


def test_a_build_that_is_killed_at_many_moments_asks_for_nothing_twice_that_was_answered(tmp_path):
    found = killed(tmp_path, kills=8, dialogues=12, seed=1)
    assert found.kills >= 5
    assert found.rejected > 5
    assert not found.repeated
    assert found.same
