"""A clip that is another turn's is found: the same sound, or a length that fits another text."""

from itertools import combinations

import numpy as np
import pytest

from builder.core.speech import Waveform
from builder.plugins.checks.distinct import Distinct

SHORT, LONG = "Oh, I see!", "I never thought that we would meet again, after all these years. How are you?"
TURNS = (
    LONG,
    "It is such a lovely day today, and I am glad that you came.",
    SHORT,
    "Tell me, then.",
    LONG[:-13],
)


@pytest.fixture(scope="session")
def held(say):
    """A dialogue of two voices, in changing moods."""
    return [
        say(text, *mood, place % 2)
        for place, (text, mood) in enumerate(
            zip(TURNS, [(0, 0), (0.7, 0.8), (-0.7, -0.5), (0, 0), (0, 0)], strict=True)
        )
    ]


def faults(clips, **settings):
    return Distinct(**settings).faults(*zip(*clips, strict=True))


def with_clip(clips, place, waveform):
    return [(waveform if at == place else clip, line) for at, (clip, line) in enumerate(clips)]


def swapped(clips, one, other):
    return with_clip(with_clip(clips, one, clips[other][0]), other, clips[one][0])


def test_real_dialogues_pass(held, dialogues):
    for dialogue in (held, *dialogues.values()):
        assert faults(dialogue) == [None] * len(dialogue)


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize(("before_s", "after_s"), [(0.0, 0.0), (0.1234, 0.0), (0.0, 0.3), (0.05, 0.15)])
def test_the_same_sound_louder_and_with_another_lead_and_tail_is_found(held, gain, before_s, after_s):
    waveform = held[0][0]
    padding = [round(seconds * waveform.sampling_rate_hz) for seconds in (before_s, after_s)]
    copy = Waveform(np.pad(waveform.samples * np.float32(gain), padding), waveform.sampling_rate_hz)
    found = faults(with_clip(held, 4, copy))
    assert found == ["the same sound as turn 5", None, None, None, "the same sound as turn 1"]


def test_the_same_sound_in_every_pair_of_the_published_sample_is_found(dialogues):
    for dialogue in dialogues.values():
        copied = with_clip(dialogue, 1, dialogue[0][0])
        found = faults(copied)
        assert found[:2] == ["the same sound as turn 2", "the same sound as turn 1"]


def test_the_same_voice_may_say_the_same_text_in_the_same_way(held):
    twice = [*held, held[0]]
    assert faults(twice) == [None] * 6


def test_another_voice_may_not(held, a_line):
    found = faults([*held, (held[0][0], a_line(LONG, voice=1))])
    assert (found[0], found[5]) == ("the same sound as turn 6", "the same sound as turn 1")


def test_the_same_text_in_another_melody_is_another_sound(say):
    assert faults([say(LONG), say(LONG, 0.3, 0.1), say(LONG, 0.0, 0.0, 1)]) == [None] * 3


def test_clips_of_very_different_length_that_are_swapped_are_both_named(held):
    found = faults(swapped(held, 0, 2))
    assert found[1:2] + found[3:] == [None] * 3
    assert "times likelier by its length to be turn 3, more than 100" in found[0]
    assert "times likelier by its length to be turn 1, more than 100" in found[2]


def test_published_clips_that_are_swapped_are_found_where_one_text_is_half_as_long_again(dialogues):
    looked = 0
    for dialogue in dialogues.values():
        for one, other in combinations(range(len(dialogue)), 2):
            lengths = sorted(len(dialogue[place][1].text) for place in (one, other))
            if lengths[1] > 1.5 * lengths[0]:
                looked += 1
                found = faults(swapped(dialogue, one, other))
                assert found[one] is not None
                assert found[other] is not None
    assert looked


def test_texts_about_as_long_as_each_other_are_not_told_apart(held):
    assert faults(swapped(held, 2, 3)) == [None] * 5


def test_the_bounds_are_settings(held):
    wrong = swapped(held, 0, 2)
    assert faults(wrong, spread=2.0) == [None] * 5
    assert faults(wrong, min_characters=100) == [None] * 5
    assert faults(wrong, min_odds=1e44) == [None] * 5
    noisy = held[0][0].samples + np.random.default_rng(1).normal(0, 3e-4, len(held[0][0].samples))
    copied = with_clip(held, 4, Waveform(noisy.astype(np.float32), held[0][0].sampling_rate_hz))
    assert faults(copied)[4] == "the same sound as turn 1"
    assert faults(copied, min_likeness=0.999999)[4] is None


def test_an_empty_dialogue_has_no_faults():
    assert Distinct().faults([], []) == []
