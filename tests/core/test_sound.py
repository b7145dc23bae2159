"""Where sound is does not depend on how loud it is, and what has none is no error."""

import numpy as np
import pytest

from builder.core.sound import silences, sounding, stretches
from builder.core.speech import Waveform

RATE_HZ = 8000


def clip(*parts: tuple[float, float]) -> Waveform:
    """Tones of so many seconds at so high a peak, one after the other."""
    return Waveform(
        np.concatenate(
            [
                peak * np.sin(2 * np.pi * 500 * np.arange(round(length * RATE_HZ)) / RATE_HZ)
                for length, peak in parts
            ]
        ).astype(np.float32),
        RATE_HZ,
    )


def test_a_stretch_begins_and_ends_with_its_frames():
    sound = stretches(clip((0.1, 0), (0.5, 0.3), (0.25, 0), (0.15, 0.2), (0.05, 0)))
    assert sound == [(800, 4800), (6800, 8000)]
    assert silences(sound) == [(4800, 6800)]


@pytest.mark.parametrize("gain", [1e-3, 1.0, 3.0])
def test_where_sound_is_does_not_depend_on_how_loud_it_is(gain):
    speech = clip((0.1, 1e-4), (0.5, 0.3), (0.25, 1e-4), (0.15, 0.2))
    louder = Waveform(speech.samples * np.float32(gain), RATE_HZ)
    assert stretches(louder) == stretches(speech) == [(800, 4800), (6800, 8000)]


def test_where_sound_is_does_not_depend_on_an_offset():
    speech = clip((0.1, 0), (0.5, 0.3), (0.25, 0), (0.15, 0.2), (0.055, 0))
    moved = Waveform(speech.samples + np.float32(0.05), RATE_HZ)
    assert stretches(moved) == stretches(speech) == [(800, 4800), (6800, 8000)]


def test_a_one_sided_voice_does_not_hide_the_silence_between_its_words():
    speech = clip((0.1, 0), (0.5, 0.3), (0.25, 0), (0.15, 0.2))
    one_sided = Waveform(np.maximum(speech.samples, 0), RATE_HZ)
    assert one_sided.samples.mean() > 0.05
    assert stretches(one_sided) == [(800, 4800), (6800, 8000)]


def test_what_lies_more_than_40_db_below_the_loudest_is_no_sound():
    assert stretches(clip((0.5, 0.5), (0.5, 0.0051))) == [(0, 8000)]
    assert stretches(clip((0.5, 0.5), (0.5, 0.0049))) == [(0, 4000)]


def test_a_stretch_may_end_with_its_frame_past_the_end_of_the_waveform():
    speech = clip((0.105, 0.5))
    assert len(speech.samples) == 840
    assert stretches(speech) == [(0, 880)]
    assert len(sounding(speech)) == 11
    assert sounding(speech, 0.02).shape == (6,)


@pytest.mark.parametrize(
    "samples",
    [[], [0.0] * 500, [0.3] * 500, [0.1, np.nan] * 200, [0.1, -np.inf] * 200],
    ids=["empty", "silent", "constant", "nan", "inf"],
)
def test_what_is_empty_silent_constant_or_not_finite_has_no_sound(samples):
    waveform = Waveform(np.array(samples, np.float32), RATE_HZ)
    assert stretches(waveform) == silences([]) == []
    assert not sounding(waveform).any()
    assert len(sounding(waveform)) == -(-len(samples) // 80)
