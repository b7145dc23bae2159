import hashlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.emotion import Transitions
from builder.core.scenario import Name, Plan, Scenario, Splits, TurnRange, parse_id, scenarios, split_of
from builder.errors import ConfigError
from builder.records import convert, encode

SEED = 2505


def steps(plan):
    for scenario in plan:
        for emotion, after in pairwise(scenario.emotions):
            yield scenario.domain, emotion, after


def test_the_whole_plan_is_65600_dialogues_each_with_an_id_of_its_own(whole_plan, vocabulary):
    assert len(whole_plan) == 65_600
    assert len({scenario.id for scenario in whole_plan}) == 65_600
    cells = Counter((scenario.pairing, scenario.domain) for scenario in whole_plan)
    assert cells == {
        (pairing, domain): 100 for pairing in vocabulary.pairings for domain in vocabulary.domains
    }


def test_the_whole_plan_is_drawn_the_same_on_every_machine(whole_plan):
    digest = hashlib.sha256()
    for scenario in whole_plan:
        digest.update(encode(scenario) + b"\n")
    assert digest.hexdigest() == "4e255b0d1f253d34ed6cbe54d71535b6b001fb399d64994c68dca532142c48a3"


def test_another_seed_draws_another_plan(whole_plan, vocabulary):
    other = list(scenarios(Plan(dialogues_per_cell=1), vocabulary, SEED + 1))
    assert sum(one == two for one, two in zip(other, whole_plan, strict=False)) < 10


def test_every_transition_is_an_edge_and_no_emotion_follows_itself(whole_plan, vocabulary):
    moves = {(emotion, after) for _, emotion, after in steps(whole_plan)}
    assert moves <= vocabulary.graph().edges()
    assert all(emotion != after for emotion, after in moves)


def test_the_first_emotion_is_one_of_the_domains_own(whole_plan, vocabulary):
    firsts = {(scenario.domain, scenario.emotions[0]) for scenario in whole_plan}
    assert firsts == {
        (name, emotion) for name, domain in vocabulary.domains.items() for emotion in domain.emotions
    }


def test_the_numbers_of_turns_are_uniform_from_3_to_10(whole_plan):
    counts = Counter(len(scenario.emotions) for scenario in whole_plan)
    assert sorted(counts) == list(range(3, 11))
    expected = len(whole_plan) / 8
    # Chi-square with 7 degrees of freedom: 24.32 is exceeded with p = 0.001.
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 24.32


def test_transitions_favour_the_domain_as_much_as_promised(whole_plan, vocabulary):
    """A step goes inside with 0.8, and with the domain's part of the successors in the remaining 0.2."""
    graph = vocabulary.graph()
    inside = expected = variance = 0.0
    for domain, emotion, after in steps(whole_plan):
        favoured = set(graph[emotion]) & set(vocabulary.domains[domain].emotions)
        if favoured:
            probability = 0.8 + 0.2 * len(favoured) / len(graph[emotion])
            inside += after in favoured
            expected += probability
            variance += probability * (1 - probability)
    # Four standard deviations: exceeded with p = 0.00006.
    assert abs(inside - expected) < 4 * variance**0.5


def test_under_the_papers_rule_18_of_20_emotions_occur(whole_plan, vocabulary):
    occurring = {emotion for scenario in whole_plan for emotion in scenario.emotions}
    assert set(vocabulary.emotions) - occurring == {"bored", "embarrassed"}


def test_under_the_reachable_rule_all_20_emotions_occur(vocabulary):
    plan = Plan(dialogues_per_cell=2, transitions=Transitions(rule="reachable"))
    occurring = {emotion for scenario in scenarios(plan, vocabulary, SEED) for emotion in scenario.emotions}
    assert occurring == set(vocabulary.emotions)


@given(st.data())
def test_any_selection_holds_the_same_scenarios_in_the_same_order(whole_plan, vocabulary, data):
    domains = data.draw(
        st.none() | st.sets(st.sampled_from(sorted(vocabulary.domains)), max_size=4).map(tuple)
    )
    pairings = data.draw(
        st.none() | st.sets(st.sampled_from(sorted(vocabulary.pairings)), max_size=4).map(tuple)
    )
    per_cell = data.draw(st.integers(min_value=1, max_value=3))
    plan = Plan(dialogues_per_cell=per_cell, domains=domains, pairings=pairings)
    assert list(scenarios(plan, vocabulary, SEED)) == [
        scenario
        for scenario in whole_plan[: per_cell * 41 * 16]
        if (domains is None or scenario.domain in domains)
        and (pairings is None or scenario.pairing in pairings)
    ]


def test_a_name_selected_twice_is_held_once(vocabulary):
    plan = Plan(dialogues_per_cell=1, domains=("travel", "art", "travel"), pairings=("llama3-8B",))
    assert [scenario.domain for scenario in scenarios(plan, vocabulary, SEED)] == ["art", "travel"]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"domains": ("trvel",)}, "plan.domains selects unknown domain 'trvel': did you mean 'travel'?"),
        (
            {"pairings": ("llama3-8",)},
            "plan.pairings selects unknown pairing 'llama3-8': did you mean 'llama3-8B'?",
        ),
    ],
)
def test_selecting_what_does_not_exist_is_refused(vocabulary, selection, message):
    with pytest.raises(ValueError, match="selects unknown") as refusal:
        list(scenarios(Plan(dialogues_per_cell=1, **selection), vocabulary, SEED))
    assert str(refusal.value) == message


def test_all_models_have_work_from_the_first_to_the_last(whole_plan, vocabulary):
    for start in range(0, len(whole_plan), 16):
        assert {scenario.pairing for scenario in whole_plan[start : start + 16]} == set(vocabulary.pairings)


@given(st.integers(min_value=1, max_value=9), st.integers(min_value=0, max_value=4))
def test_dialogues_keep_to_any_range_of_turns(vocabulary, least, more):
    plan = Plan(
        dialogues_per_cell=3,
        turns=TurnRange(min=least, max=least + more),
        domains=("art",),
        pairings=("cohere7B",),
    )
    assert all(least <= len(one.emotions) <= least + more for one in scenarios(plan, vocabulary, SEED))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"dialogues_per_cell": 0}, "dialogues_per_cell"),
        ({"dialogues_per_cell": 1, "turns": {"min": 5, "max": 4}}, "turns.min is 5, more than turns.max, 4"),
        ({"dialogues_per_cell": 1, "turns": {"min": 0}}, "key 'turns.min' is 0"),
    ],
)
def test_a_plan_that_cannot_be_drawn_is_refused(table, message):
    with pytest.raises(ConfigError) as refusal:
        convert(table, Plan, "study.toml")
    assert message in str(refusal.value)


def test_an_id_comes_apart_into_what_it_was_made_of():
    name = Name(pairing="llama3-70B_qwen2.5-72B", domain="social_media", index=15, num_turns=6)
    assert parse_id("llama3-70B_qwen2.5-72B/social_media_15_6") == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "travel_17_4",
        "llama3-8B/travel_17",
        "llama3-8B/travel_17_4/x",
        "llama3-8B/travel_17_4\n",
        "llama3-8B/Travel_17_4",
        "llama3-8B/travel_-1_4",
        "llama3 8B/travel_17_4",
        "../travel_17_4",
        "a/../travel_17_4",
        "/travel_17_4",
    ],
)
def test_a_text_that_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="is not <pairing>/<domain>_<index>_<turns>"):
        parse_id(text)


@pytest.mark.parametrize(
    "change",
    [{"pairing": "phi4-mini"}, {"domain": "art"}, {"emotions": ("happy",)}, {"id": "llama3-8B/travel_1_3"}],
)
def test_a_scenario_that_contradicts_its_id_is_refused(change):
    fields = {
        "id": "llama3-8B/travel_1_2",
        "domain": "travel",
        "pairing": "llama3-8B",
        "emotions": ("happy", "sad"),
    }
    assert Scenario(**fields)
    with pytest.raises(ValueError, match="contradicts its own pairing, domain or number of turns"):
        Scenario(**{**fields, **change})


@pytest.mark.parametrize("shares", [(0.9, 0.1, 0.1), (1.2, -0.1, -0.1), (0.5, 0.2, 0.2)])
def test_splits_that_do_not_share_out_the_whole_are_refused(shares):
    with pytest.raises(ValueError, match="three shares of at least 0 that sum to 1 are needed"):
        Splits(train=shares[0], validation=shares[1], test=shares[2])


def test_every_cell_of_the_whole_plan_gets_its_splits_to_within_two_dialogues(whole_plan):
    splits = Splits()
    cells = Counter((s.pairing, s.domain, split_of(s.id, splits, SEED)) for s in whole_plan)
    for pairing, domain in {(scenario.pairing, scenario.domain) for scenario in whole_plan}:
        for name, share in (("train", 0.9), ("validation", 0.05), ("test", 0.05)):
            assert abs(cells[pairing, domain, name] - 100 * share) <= 2


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=1, max_value=500))
def test_a_cell_of_any_size_gets_its_splits_to_within_three_dialogues(seed, size):
    counts = Counter(split_of(f"llama3-8B/travel_{index}_4", Splits(), seed) for index in range(1, size + 1))
    for name, share in (("train", 0.9), ("validation", 0.05), ("test", 0.05)):
        assert abs(counts[name] - size * share) <= 3


@given(
    st.integers(min_value=0, max_value=2**32),
    st.integers(min_value=1, max_value=500),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0, max_value=1),
)
def test_a_cell_gets_any_other_splits_to_within_four_dialogues(seed, size, cut, other_cut):
    first, second = sorted((cut, other_cut))
    splits = Splits(test=first, validation=second - first, train=1 - second)
    counts = Counter(split_of(f"llama3-8B/travel_{index}_4", splits, seed) for index in range(1, size + 1))
    for name in ("train", "validation", "test"):
        assert abs(counts[name] - size * getattr(splits, name)) <= 4


@given(
    st.integers(min_value=1, max_value=10**6),
    st.integers(min_value=3, max_value=10),
    st.integers(min_value=3, max_value=10),
)
def test_a_dialogue_keeps_its_split_however_many_turns_it_was_drawn_with(index, turns, others):
    """So a plan drawn again with other lengths cannot carry a dialogue from training to test."""
    placed = {split_of(f"llama3-8B/travel_{index}_{number}", Splits(), SEED) for number in (turns, others)}
    assert len(placed) == 1


def test_a_split_with_no_share_gets_no_dialogue(whole_plan):
    splits = Splits(train=1, validation=0, test=0)
    assert {split_of(scenario.id, splits, SEED) for scenario in whole_plan[:5000]} == {"train"}
