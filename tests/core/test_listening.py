from collections import Counter
from itertools import chain

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from builder.core.emotion import RAVDESS
from builder.core.listening import (
    CHECK_EVERY,
    Spoken,
    draw_shared,
    draw_trials,
    effective,
    sign_test,
)

CONFIGS = ("xtts", "orpheus")
SEED = 2505


def spoken(dialogue, turn, emotion):
    """The emotions `e0`, `e1` and so on are acted in the RAVDESS classes by turns."""
    return Spoken(
        id=f"llama3-8B/travel_{dialogue}_9", turn=turn, emotion=f"e{emotion}", ravdess=RAVDESS[emotion % 3]
    )


emotions = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5), min_size=1, max_size=30)
pools = emotions.map(
    lambda dialogues: [
        spoken(number, turn, emotion)
        for number, turns in enumerate(dialogues)
        for turn, emotion in enumerate(turns, 1)
    ]
)
names = st.sampled_from(["ash", "birch", "cedar"])


def drawn(turns, count, overlap, listener, seed=SEED):
    shared = draw_shared(turns, round(count * overlap), seed)
    return shared, draw_trials(turns, shared, count, CONFIGS, seed, listener)


def heard(trials):
    return [trial.spoken for trial in trials if not trial.is_check]


@given(pools, st.integers(1, 60), st.floats(0, 1), names)
def test_every_emotion_is_heard_as_often_as_any_other_while_its_clips_last(turns, count, overlap, listener):
    _, trials = drawn(turns, count, overlap, listener)
    there = Counter(one.emotion for one in turns)
    chosen = Counter(one.emotion for one in heard(trials))
    assert chosen.total() == min(count, len(turns))
    most = max(chosen.values())
    assert all(chosen[emotion] >= min(most - 1, there[emotion]) for emotion in there)


@given(pools, st.integers(1, 60), st.floats(0, 1), names)
def test_no_turn_is_heard_twice_and_every_listener_hears_the_shared_ones(turns, count, overlap, listener):
    shared, trials = drawn(turns, count, overlap, listener)
    assert len(set(heard(trials))) == len(heard(trials))
    assert set(heard(trials)) >= set(shared)
    assert len(shared) == min(round(count * overlap), len(turns))


@given(pools, st.integers(1, 60), st.floats(0, 1), names)
def test_either_config_is_a_as_often_as_the_other_in_all_in_every_class_and_in_every_emotion(
    turns, count, overlap, listener
):
    _, trials = drawn(turns, count, overlap, listener)
    real = [trial for trial in trials if not trial.is_check]
    assert all({trial.a, trial.b} == set(CONFIGS) for trial in real)
    for group in (lambda _: "", lambda one: one.ravdess, lambda one: one.emotion):
        lead = Counter()
        for trial in real:
            lead[group(trial.spoken)] += 1 if trial.a == CONFIGS[0] else -1
        assert set(lead.values()) <= {-1, 0, 1}


@given(pools, st.integers(1, 60), st.floats(0, 1), names, st.randoms())
def test_the_trials_are_the_same_in_whatever_order_the_turns_were_recorded(
    turns, count, overlap, listener, random
):
    before = drawn(turns, count, overlap, listener)
    again = random.sample(turns, len(turns))
    assert drawn(again, count, overlap, listener) == before


@given(pools, st.integers(1, 60), st.floats(0, 1))
def test_checks_are_of_one_clip_and_of_turns_not_heard_otherwise_while_there_are_any(turns, count, overlap):
    _, trials = drawn(turns, count, overlap, "ash")
    checks = [trial for trial in trials if trial.is_check]
    assert len(checks) == max(1, round(len(heard(trials)) / CHECK_EVERY))
    assert Counter(check.a for check in checks)["xtts"] == (len(checks) + 1) // 2
    if len(turns) >= count + len(checks):
        assert not {check.spoken for check in checks} & set(heard(trials))


@given(st.integers(1, 7), st.integers(1, 40))
def test_of_a_dialogue_a_second_turn_is_heard_only_where_no_other_has_the_emotion(count, dialogues):
    turns = [spoken(number, turn, turn % 3) for number in range(dialogues) for turn in range(1, 6)]
    assume(count <= dialogues)
    chosen = draw_shared(turns, count, SEED)
    assert len({one.id for one in chosen}) == count


def test_a_rare_emotion_is_given_its_dialogues_before_another_uses_them_up():
    rare = [spoken(number, 1, 5) for number in range(4)]
    common = [spoken(number, turn, emotion) for number in range(12) for turn, emotion in ((2, 0), (3, 1))]
    for seed in range(20):
        chosen = draw_shared([*rare, *common], 12, seed)
        assert Counter(one.emotion for one in chosen) == {"e0": 4, "e1": 4, "e5": 4}
        assert len({one.id for one in chosen}) == 12


def test_listeners_hear_other_turns_in_another_order_beside_the_shared_ones():
    turns = [spoken(number, 1, number % 7) for number in range(700)]
    shared, ash = drawn(turns, 50, 0.2, "ash")
    _, birch = drawn(turns, 50, 0.2, "birch")
    common = set(heard(ash)) & set(heard(birch))
    assert common >= set(shared)
    assert len(common) < 20
    assert [one for one in heard(ash) if one in shared] != [one for one in heard(birch) if one in shared]
    assert drawn(turns, 50, 0.2, "ash", seed=1)[1] != ash


def test_where_checks_stand_cannot_be_foreseen():
    turns = [spoken(number, 1, number % 7) for number in range(300)]
    places = [
        [place for place, trial in enumerate(drawn(turns, 100, 0.2, name)[1]) if trial.is_check]
        for name in ("ash", "birch", "cedar")
    ]
    assert len(set(chain(*places))) > 6


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_sign_test_is_the_exact_binomial_test(wins, losses):
    assume(wins + losses)
    assert sign_test(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


def test_without_a_lead_either_way_the_sign_test_finds_nothing():
    assert sign_test(0, 0) == 1
    assert sign_test(5000, 5000) == 1


def test_answers_about_one_dialogue_are_worth_one_and_about_many_dialogues_one_each():
    assert effective([7]) == 1
    assert effective([1] * 12) == 12
    assert effective([3, 1]) == 1.6
