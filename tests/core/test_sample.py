"""Samples and deals: everyone has the same chance, every stratum its share, and nobody loses what was done."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from builder.core.sample import deal, joined, sample

names = st.lists(st.sampled_from(["anna", "ben", "cora", "dan", "eva"]), min_size=1, unique=True)
seeds = st.integers(0, 2**31 - 1)


@st.composite
def dialogues(draw):
    """Ids in strata of very different sizes."""
    strata = draw(
        st.dictionaries(
            st.tuples(st.sampled_from("PQR"), st.sampled_from(["travel", "work"]), st.integers(3, 5)),
            st.integers(1, 40),
            min_size=1,
        )
    )
    ids = [
        f"{pairing}/{domain}_{index}_{turns}"
        for (pairing, domain, turns), count in strata.items()
        for index in range(count)
    ]
    return draw(st.permutations(ids)) if len(ids) < 30 else ids


def stratum(id):
    pairing, _, rest = id.partition("/")
    domain, _, turns = rest.rsplit("_", 2)
    return pairing, domain, turns


@given(dialogues(), st.integers(1, 300), seeds)
def test_every_stratum_gets_its_share_to_within_one_and_nothing_is_drawn_twice(ids, size, seed):
    drawn = sample(ids, size, seed)
    assert len(set(drawn)) == len(drawn) == min(size, len(ids))
    got = Counter(map(stratum, drawn))
    for name, held in Counter(map(stratum, ids)).items():
        assert abs(got[name] - held * len(drawn) / len(ids)) < 1 + 1e-9


@given(dialogues(), st.integers(1, 60), seeds)
def test_the_sample_is_the_same_in_whatever_order_the_dialogues_were_held(ids, size, seed):
    assert sample(ids, size, seed) == sample(reversed(ids), size, seed)


def test_every_dialogue_has_the_same_chance_and_another_seed_draws_another_sample():
    ids = [f"P/travel_{index}_{3 + index % 7 % 2}" for index in range(30)]
    times, seeds = Counter(), range(2000)
    for seed in seeds:
        times.update(sample(ids, 9, seed))
    expected = len(seeds) * 9 / 30
    # Binomial: four standard deviations are 82 of 600.
    assert all(abs(times[id] - expected) < 82 for id in ids)
    assert len({frozenset(sample(ids, 9, seed)) for seed in range(50)}) > 40


@given(dialogues(), names, st.integers(0, 20), seeds)
def test_everybody_gets_what_is_shared_and_somebody_one_each_of_the_rest(ids, annotators, overlap, seed):
    drawn = sample(ids, 80, seed)
    shared = set(sample(drawn, overlap, seed, "overlap")) if overlap else set()
    dealt = deal(drawn, shared, annotators, seed)
    assert set(dealt) == set(annotators)
    assert all(len(set(own)) == len(own) and shared <= set(own) for own in dealt.values())
    times = Counter(id for own in dealt.values() for id in own)
    assert times == {id: len(annotators) if id in shared else 1 for id in drawn}
    loads = [len(own) for own in dealt.values()]
    assert max(loads) - min(loads) <= 1


def test_what_is_shared_comes_in_between_and_in_an_order_of_everyones_own():
    drawn = sample([f"P/travel_{index}_3" for index in range(100)], 100, 1)
    shared = drawn[::5]
    dealt = deal(drawn, shared, ["anna", "ben"], 1)
    orders = [[id for id in own if id in shared] for own in dealt.values()]
    assert orders[0] != orders[1]
    places = [place for place, id in enumerate(dealt["anna"]) if id in shared]
    assert places != list(range(20))
    assert places[0] < 20
    assert places[-1] > 40


@given(dialogues(), names, st.integers(0, 20), seeds, st.data())
def test_a_newcomer_shares_what_is_left_and_takes_nothing_that_was_begun(
    ids, annotators, overlap, seed, data
):
    drawn = sample(ids, 80, seed)
    shared = set(sample(drawn, overlap, seed, "overlap")) if overlap else set()
    before = deal(drawn, shared, annotators, seed)
    begun = set(data.draw(st.lists(st.sampled_from(drawn), unique=True)))
    after = joined(before, "zoe", shared, begun, seed)
    assert shared <= set(after["zoe"])
    for name, own in before.items():
        assert [id for id in own if id in shared or id in begun] == [
            id for id in after[name] if id in shared or id in begun
        ]
        assert set(after[name]) <= set(own)
    times = Counter(id for own in after.values() for id in own)
    assert all(times[id] == (len(after) if id in shared else 1) for id in drawn)
    left = {name: sum(id not in shared and id not in begun for id in own) for name, own in after.items()}
    assert left["zoe"] == sum(id not in shared for id in after["zoe"])
    assert max(left.values()) - left["zoe"] in {0, -1}
