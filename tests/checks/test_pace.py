"""A clip too long or too short for its text is found; a word is forgiven what a sentence is not."""

import numpy as np
import pytest

from builder.core.speech import Waveform
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.checks import Check
from builder.plugins.checks.pace import Bounds, Pace

SENTENCE = "x" * 100


@pytest.fixture
def fault(a_line):
    def measure(text, seconds, ravdess="neutral", ravdess_bounds=None, **settings):
        return Pace(ravdess=ravdess_bounds or {}, **settings).fault(
            Waveform(np.zeros(round(seconds * 1000), np.float32), 1000), a_line(text, ravdess=ravdess)
        )

    return measure


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_passes(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        assert Pace().fault(waveform, line) is None


def test_real_speech_cut_to_a_third_does_not_pass(spoken):
    for waveform, line in spoken:
        if len(line.text) > 50:
            third = Waveform(waveform.samples[: len(waveform.samples) // 3], waveform.sampling_rate_hz)
            assert "characters per second, more than 25" in Pace().fault(third, line)


def test_a_voice_that_rambles_on_is_too_slow(fault):
    assert fault(SENTENCE, 32.0) == "3.1 characters per second, fewer than 8"


def test_a_voice_that_swallows_words_is_too_fast(fault):
    assert fault(SENTENCE, 2.0) == "50.0 characters per second, more than 25"


def test_the_bounds_are_settings(fault):
    assert fault(SENTENCE, 32.0, min_characters_per_s=3) is None
    assert fault(SENTENCE, 2.0, max_characters_per_s=50) is None
    assert fault(SENTENCE, 10.0) is None
    assert fault(SENTENCE, 10.0, min_characters_per_s=11) == "10.0 characters per second, fewer than 11"


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.8])
def test_a_short_text_may_be_drawn_out_or_hurried(fault, seconds):
    assert fault("Oh!", seconds) is None
    assert fault("Thank you", seconds) is None


def test_a_short_text_that_goes_on_and_on_is_too_slow(fault):
    assert fault("Oh!", 3.0) == "1.0 characters per second, fewer than 8"


def test_without_grace_the_bounds_are_exact(fault):
    assert fault("Oh!", 0.38, grace_s=0) == "7.9 characters per second, fewer than 8"
    assert fault("Oh!", 0.37, grace_s=0) is None


def test_no_sound_at_all_is_infinitely_fast(fault):
    assert fault(SENTENCE, 0.0) == "inf characters per second, more than 25"


def test_an_acted_class_may_have_bounds_of_its_own(fault):
    bounds = {"sad": Bounds(min_characters_per_s=6), "angry": Bounds(max_characters_per_s=15)}
    assert fault(SENTENCE, 15.0, "sad") == "6.7 characters per second, fewer than 8"
    assert fault(SENTENCE, 15.0, "sad", ravdess_bounds=bounds) is None
    assert fault(SENTENCE, 15.0, "happy", ravdess_bounds=bounds) == "6.7 characters per second, fewer than 8"
    assert fault(SENTENCE, 5.0, "happy", ravdess_bounds=bounds) is None
    assert fault(SENTENCE, 5.0, "angry", ravdess_bounds=bounds) == "20.0 characters per second, more than 15"
    assert fault(SENTENCE, 15.0, "angry", ravdess_bounds=bounds) == "6.7 characters per second, fewer than 8"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"sad": {"min_characters_per_s": 25}}, r"ravdess\.sad: min_characters_per_s is 25 and max_.* is 25"),
        (
            {"sad": {"max_characters_per_s": 7.5}},
            r"ravdess\.sad: min_characters_per_s is 8 and max_.* is 7.5",
        ),
        ({"sorrowful": {}}, "sorrowful"),
        ({"sad": {"min": 3}}, "unknown key 'ravdess.sad.min'"),
    ],
)
def test_bounds_of_a_class_that_make_no_sense_are_refused_when_they_are_read(table, reason):
    with pytest.raises(ConfigError, match=reason):
        make(Check, {"check": "pace", "ravdess": table}, "study.toml")


def test_bounds_the_wrong_way_round_are_refused_when_they_are_read():
    with pytest.raises(ConfigError, match="the minimum must be the smaller"):
        make(Check, {"check": "pace", "min_characters_per_s": 30}, "study.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("I just got a raise to $75,000 a year, starting in January 2025!", 6.5),
        ("It was 1999, 2004, 2011 and 2016: we won 4 times!", 6.0),
        ("我简直不敢相信我们终于到了罗马, 今天真是太好了!", 4.5),
        ("信じられない、やっとローマに着いたね、すごくうれしい!", 3.0),
    ],
)
def test_what_is_said_is_counted_and_not_what_is_written(fault, text, seconds):
    assert fault(text, seconds) is None
    assert "fewer than 8" in fault(text, 5 * seconds)
