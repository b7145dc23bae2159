"""A wave with its tops cut off is found, also when it was turned down afterwards."""

import numpy as np
import pytest

from builder.core.speech import Waveform
from builder.plugins.checks.clipping import Clipping

RATE_HZ = 24000


def tone(peak: float, hertz: float = 220.0) -> np.ndarray:
    times = np.arange(RATE_HZ) / RATE_HZ
    return (peak * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


@pytest.fixture
def fault(a_line):
    return lambda samples, **settings: Clipping(**settings).fault(
        Waveform(samples, RATE_HZ), a_line("Hello.")
    )


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_passes(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        assert Clipping().fault(waveform, line) is None


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_made_three_times_too_loud_does_not(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        loud = waveform.samples * (3 / np.abs(waveform.samples).max())
        assert "full scale" in Clipping().fault(
            Waveform(np.clip(loud, -1, 1), waveform.sampling_rate_hz), line
        )


def test_the_share_at_full_scale_is_named(fault):
    samples = tone(0.3)
    samples[100:2500:100] = 1.0
    assert fault(samples) == "0.10% of the samples at full scale, more than 0.01%"
    assert fault(samples, max_share=0.01) is None


def test_a_clip_may_touch_full_scale_with_its_highest_and_its_lowest_sample(fault):
    samples = tone(0.3)[:2400]
    samples[[100, 1700]] = 1.0, -1.0
    assert fault(samples) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_flat_top_is_found_though_the_sound_was_turned_down(fault, sign):
    samples = sign * np.minimum(tone(1.0), 0.99) * np.float32(0.7)
    assert fault(samples, max_share=1.0) == "5 equal samples in a row at the peak, more than 2"


def test_a_round_top_is_no_flat_top(fault):
    assert fault(tone(0.9)) is None


def test_the_round_top_of_a_quiet_tone_in_16_bits_is_no_flat_top(fault):
    quiet = np.rint(tone(0.02, hertz=100) * 32767).astype(np.float32) / 32767
    assert fault(quiet) is None


def test_an_empty_clip_is_left_to_another_check(fault):
    assert fault(np.zeros(0, np.float32)) is None
