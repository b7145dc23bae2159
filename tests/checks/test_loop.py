"""A phrase said twice is found, unless the text says it twice."""

import pytest

from builder.core.sound import stretches
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.checks import Check
from builder.plugins.checks.loop import Loop

TEXT = "I never thought that we would meet again, after all these years. How are you?"
MANNERS = ((0.0, 0.0, 0), (-0.6, 0.8, 1), (0.7, 0.8, 2), (-0.7, -0.5, 1))


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_passes(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        assert Loop().fault(waveform, line) is None


@pytest.mark.parametrize("length_s", [0.613, 1.0, 1.487])
def test_real_speech_whose_middle_comes_twice_does_not(spoken, spliced, length_s):
    long = [(waveform, line) for waveform, line in spoken if len(line.text) > 50]
    assert long
    for waveform, line in long:
        middle_s = len(waveform.samples) / waveform.sampling_rate_hz / 2
        twice = spliced(waveform, (0, middle_s + length_s / 2), (middle_s - length_s / 2, 99))
        assert f"the {round(length_s / 0.02) * 0.02:.2f} s from" in Loop().fault(twice, line)


def test_published_speech_whose_middle_comes_twice_is_found_wherever_that_is_not_a_pause(published, spliced):
    looped = found = 0
    for waveform, line in published:
        rate_hz = waveform.sampling_rate_hz
        middle_s = len(waveform.samples) / rate_hz / 2
        begin, end = (round((middle_s + side) * rate_hz) for side in (-0.5, 0.5))
        heard = sum(max(0, min(stop, end) - max(start, begin)) for start, stop in stretches(waveform))
        if heard > 0.8 * rate_hz:
            looped += 1
            twice = spliced(waveform, (0, middle_s + 0.5), (middle_s - 0.5, 99))
            found += Loop().fault(twice, line) is not None
    assert looped > 40
    assert found == looped


def test_nearly_every_phrase_spoken_twice_in_another_melody_is_found(say, a_line):
    phrases = ("How are you?", "It is such a lovely day today.", "I bought some bread.", "See you soon.")
    found = [
        Loop().fault(
            say(f"Well, listen to me. {phrase} {phrase}", *manner)[0], a_line(f"Well, listen to me. {phrase}")
        )
        for phrase in phrases
        for manner in MANNERS
    ]
    assert sum("come twice" in (fault or "") for fault in found) >= 14


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize(
    "text",
    [
        "No, no, no! I said no.",
        "No, no, no, no, no, no, you cannot do that to me now.",
        "It was very, very, very good, and I mean it.",
        "Really? Really? I mean, really?",
        "I love you. I love you. I love you, you know.",
        "She sells sea shells by the sea shore, and the shells she sells are sea shells.",
        "I went home and I went to bed and I went to sleep.",
        "You know what I mean, you know what I feel, you know what I want.",
        "Ha ha ha ha ha ha!",
    ],
)
def test_what_the_text_repeats_may_be_repeated(say, manner, text):
    assert Loop().fault(*say(text, *manner)) is None


def test_a_text_that_repeats_a_word_does_not_excuse_a_phrase_that_is_repeated(say, spliced):
    waveform, line = say("It was very very good, and I never thought that we would meet again like this.")
    twice = spliced(waveform, (0, 3.8), (1.8, 99))
    assert "the 2.00 s from" in Loop().fault(twice, line)


def test_a_short_sound_over_and_over_is_found_as_a_longer_one(say, spliced):
    waveform, line = say(TEXT)
    stutter = spliced(waveform, (0, 1.2), *[(0.9, 1.2)] * 5, (1.2, 99))
    assert "come twice" in Loop().fault(stutter, line)


def test_what_is_shorter_than_the_least_is_let_pass(say, spliced):
    waveform, line = say(TEXT)
    twice = spliced(waveform, (0, 2.0), (1.0, 99))
    assert Loop().fault(twice, line) is not None
    assert Loop(min_s=1.1).fault(twice, line) is None
    assert Loop(min_likeness=1.0).fault(twice, line) is None


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 48000])
def test_a_loop_is_found_at_any_sampling_rate(say, spliced, rate_hz):
    import soxr

    waveform, line = say(TEXT)
    other = type(waveform)(soxr.resample(waveform.samples, waveform.sampling_rate_hz, rate_hz), rate_hz)
    assert Loop().fault(other, line) is None
    assert "the 1.00 s from" in Loop().fault(spliced(other, (0, 2.5), (1.5, 99)), line)


def test_a_bound_that_makes_no_sense_is_refused_when_it_is_read():
    with pytest.raises(ConfigError, match="min_s"):
        make(Check, {"check": "loop", "min_s": 0.0}, "study.toml")
