from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from builder.core.draw import Draw, seed_of

seeds = st.integers(min_value=0, max_value=2**64)
keys = st.lists(st.text(max_size=8), max_size=4)


def test_a_seed_is_the_same_on_every_machine():
    assert seed_of(2505, "reply", "llama3-8B/travel_17_4", "0", "0") == 667_576_041
    assert seed_of(2505, "scenario", bits=53) == 205_178_436_362_531


def test_a_stream_is_the_same_on_every_machine():
    draw = Draw(2505, "scenario", "llama3-8B", "travel", "17")
    assert [draw.index(1000) for _ in range(6)] == [763, 100, 928, 627, 284, 772]


def test_the_words_of_a_key_do_not_run_together():
    assert seed_of(1, "ab", "c") != seed_of(1, "a", "bc")
    assert seed_of(1, "2") != seed_of(12)


@given(seeds, keys, st.integers(min_value=1, max_value=128))
def test_a_seed_fits_the_bits_it_was_asked_for(seed, key, bits):
    assert 0 <= seed_of(seed, *key, bits=bits) < 2**bits


@given(seeds, keys)
def test_a_seed_fits_what_every_inference_server_accepts(seed, key):
    assert 0 <= seed_of(seed, *key) < 2**31


@given(seeds, keys, st.integers(min_value=1, max_value=10**6))
def test_an_index_lies_below_its_count(seed, key, count):
    draw = Draw(seed, *key)
    assert all(0 <= draw.index(count) < count for _ in range(20))


@given(seeds, keys)
def test_a_draw_depends_on_its_seed_and_key_alone(seed, key):
    first, second, other = Draw(seed, *key), Draw(seed, *key), Draw(seed, *key, "other")
    drawn = [first.uniform() for _ in range(5)]
    assert [other.uniform() for _ in range(5)] != drawn
    assert [second.uniform() for _ in range(5)] == drawn
    assert all(0 <= number < 1 for number in drawn)


def test_every_item_is_as_likely_as_the_next():
    items = "abcdefghij"
    draw = Draw(2505, "likely")
    counts = Counter(draw.choice(items) for _ in range(20_000))
    expected = 20_000 / len(items)
    # Chi-square with 9 degrees of freedom: 27.88 is exceeded with p = 0.001.
    assert sum((counts[item] - expected) ** 2 / expected for item in items) < 27.88
