import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.dataset.reader.voices import voices_apart

NAMES = st.sampled_from([f"v{number}" for number in range(12)])


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=40), st.floats(0.01, 0.5), st.integers(0, 9))
def test_no_voice_is_on_both_sides_and_what_is_lost_is_counted(pairs, share, seed):
    try:
        apart = voices_apart(pairs, share, seed)
    except ValueError:
        assume(False)
    train, test = set(apart.train), set(apart.test)
    assert not train & test
    assert train | test == {voice for pair in pairs for voice in pair}
    tested = sum(set(pair) <= test for pair in pairs)
    assert tested >= share * len(pairs)
    assert len(pairs) - tested - sum(set(pair) <= train for pair in pairs) == apart.lost


def test_voices_that_speak_with_each_other_are_kept_together_and_nothing_is_lost():
    pairs = [(f"a{n}", f"b{n}") for n in range(10)] * 3
    apart = voices_apart(pairs, 0.2, seed=4)
    assert (len(apart.test), apart.lost) == (4, 0)
    assert {voice[1:] for voice in apart.test} == {voice[1:] for voice in apart.test if voice[0] == "a"}


def test_the_seed_says_which_voices_are_for_testing():
    pairs = [(f"a{n}", f"b{n}") for n in range(10)]
    assert voices_apart(pairs, seed=1) == voices_apart(pairs, seed=1)
    assert len({voices_apart(pairs, seed=seed).test for seed in range(9)}) > 1


def test_voices_that_cannot_be_divided_are_refused_with_the_repair():
    with pytest.raises(ValueError, match=r"2 voices in 5 dialogues cannot be divided .*smaller share"):
        voices_apart([("a", "b")] * 5)
