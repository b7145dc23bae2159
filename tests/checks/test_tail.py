"""What an engine adds after the text is found, and the last words are not taken for it."""

import pytest

from builder.plugins.checks.tail import Tail

TEXT = "I never thought that we would meet again after all these years."


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_passes(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        assert Tail().fault(waveform, line) is None


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_silence_at_the_end_of_real_speech_is_found(clips, request, spliced):
    for waveform, line in request.getfixturevalue(clips):
        fault = Tail().fault(spliced(waveform, (0, 99), 0.7), line)
        assert "s of silence at the end, more than 0.6 s" in fault


def test_near_silence_at_the_end_is_silence(say, spliced):
    import numpy as np

    waveform, line = say(TEXT)
    longer = spliced(waveform, (0, 99), 0.8)
    noise = np.random.default_rng(1).normal(0, 5e-4, len(longer.samples)).astype(np.float32)
    assert "0.8" in Tail().fault(type(longer)(longer.samples + noise, longer.sampling_rate_hz), line)


@pytest.mark.parametrize("burst_s", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("pause_s", [0.45, 0.9, 2.0])
def test_a_burst_after_a_pause_is_found(say, spliced, pause_s, burst_s):
    waveform, line = say(TEXT)
    fault = Tail().fault(spliced(waveform, (0, 99), pause_s, (0.5, 0.5 + burst_s)), line)
    assert "s of sound after" in fault
    assert fault.endswith("too short for the last 62 characters")


def test_a_burst_that_follows_at_once_is_taken_for_speech(say, spliced):
    waveform, line = say(TEXT)
    assert Tail().fault(spliced(waveform, (0, 99), 0.1, (0.5, 0.8)), line) is None


def test_a_burst_that_is_as_long_as_speech_is_left_to_the_pace(say, spliced):
    waveform, line = say(TEXT)
    assert Tail().fault(spliced(waveform, (0, 99), 0.5, (0.5, 1.9)), line) is None


@pytest.mark.parametrize(
    "text",
    [
        "I never thought that we would meet again after all these years, right?",
        "I never thought that we would meet again after all these years — so good!",
        "“I never thought that we would meet again after all these years.” Ha!",
        "我从来没有想到过了这么多年以后我们还会在这里再次见面，对吗？",  # noqa: RUF001 - a comma of its own script
    ],
)
def test_a_short_last_phrase_after_a_pause_is_no_burst(say, a_line, spliced, text):
    waveform, _ = say(TEXT)
    assert Tail().fault(spliced(waveform, (0, 99), 0.6, (0.5, 0.9)), a_line(text)) is None


def test_a_text_without_a_word_has_no_last_phrase(say, a_line, spliced):
    waveform, _ = say(TEXT)
    assert Tail().fault(spliced(waveform, (0, 99), 0.6, (0.5, 0.9)), a_line("...")) is None


def test_the_bounds_are_settings(say, spliced):
    waveform, line = say(TEXT)
    silent, bursting = (spliced(waveform, (0, 99), 0.7, *more) for more in ((), ((0.5, 0.8),)))
    assert Tail(max_silence_s=0.9).fault(silent, line) is None
    assert Tail().fault(bursting, line) is not None
    assert Tail(min_pause_s=0.9).fault(bursting, line) is None
    assert Tail(max_burst_s=0.2).fault(bursting, line) is None
    assert Tail(max_characters_per_s=300).fault(bursting, line) is None
