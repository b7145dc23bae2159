"""A silence inside a clip is found, and one before or after it is not."""

import pytest

from builder.plugins.checks.gap import Gap


def test_real_speech_passes(spoken):
    for waveform, line in spoken:
        assert Gap().fault(waveform, line) is None


def test_just_the_published_clips_that_fall_silent_are_found(dialogues):
    found = {
        (name, turn): fault
        for name, dialogue in dialogues.items()
        for turn, fault in enumerate(Gap().faults(*zip(*dialogue, strict=True)), 1)
        if fault
    }
    assert found == {
        ("orpheus/cars_4_3", 3): "1.07 s of silence at 6.7 s, more than 1 s",
        ("xtts/politics_58_4", 2): "1.97 s of silence at 1.3 s, more than 1 s",
        ("xtts/spirituality_23_4", 4): "1.55 s of silence at 4.7 s, more than 1 s",
        ("xtts/travel_98_4", 1): "1.15 s of silence at 3.5 s, more than 1 s",
        ("xtts/travel_98_4", 2): "1.20 s of silence at 1.5 s, more than 1 s",
        ("xtts/events_28_3", 3): "1.75 s of silence at 5.2 s, more than 1 s",
        ("xtts/art_22_4", 4): "2.44 s of silence at 4.2 s, more than 1 s",
    }


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_a_silence_put_into_the_middle_of_real_speech_is_found(clips, request, spliced):
    for waveform, line in request.getfixturevalue(clips):
        end_s = len(waveform.samples) / waveform.sampling_rate_hz
        halves = spliced(waveform, (0, end_s / 2), 1.03, (end_s / 2, end_s))
        assert "s of silence at" in Gap().fault(halves, line)


def test_silence_before_and_after_is_no_gap(spoken, spliced):
    for waveform, line in spoken:
        assert Gap().fault(spliced(waveform, 3.0, (0, 99), 3.0), line) is None


def test_noise_in_the_pause_hides_it_only_if_it_is_nearly_as_loud_as_a_voice(say, spliced):
    import numpy as np

    waveform, line = say("I never thought that we would meet again.")
    halves = spliced(waveform, (0, 1.0), 1.5, (1.0, 9.0))
    noise = np.random.default_rng(1).normal(0, 1, len(halves.samples)).astype(np.float32)
    hissing = type(halves)(halves.samples + noise * np.float32(0.001), halves.sampling_rate_hz)
    roaring = type(halves)(halves.samples + noise * np.float32(0.1), halves.sampling_rate_hz)
    assert Gap().fault(hissing, line) is not None
    assert Gap().fault(roaring, line) is None


def test_the_bound_is_a_setting(say, spliced):
    waveform, line = say("I never thought that we would meet again.")
    halves = spliced(waveform, (0, 1.0), 1.5, (1.0, 9.0))
    assert Gap(max_s=2.0).fault(halves, line) is None
    assert Gap(max_s=0.5).fault(halves, line).endswith("more than 0.5 s")
