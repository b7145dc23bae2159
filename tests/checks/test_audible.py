"""What cannot be heard is named, and what can passes."""

import numpy as np
import pytest

from builder.core.speech import Waveform
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.checks import Check
from builder.plugins.checks.audible import Audible

RATE_HZ = 24000


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(5).normal(0, level, round(seconds * RATE_HZ)).astype(np.float32)


@pytest.fixture
def fault(a_line):
    return lambda samples, **settings: Audible(**settings).fault(Waveform(samples, RATE_HZ), a_line("Hello."))


@pytest.mark.parametrize("clips", ["spoken", "published"])
def test_real_speech_passes(clips, request):
    for waveform, line in request.getfixturevalue(clips):
        assert Audible().fault(waveform, line) is None


def test_samples_that_are_not_numbers_are_counted(fault):
    samples = noise(1)
    samples[[3, 40, 500]] = np.nan, np.inf, -np.inf
    assert fault(samples) == "3 samples are not finite"


def test_an_empty_clip_is_too_short(fault):
    assert fault(noise(0)) == "0 s, shorter than 0.2 s"
    assert fault(noise(0.19)) == "0.19 s, shorter than 0.2 s"
    assert fault(noise(0.2)) is None


def test_a_clip_shorter_than_one_frame_is_judged_by_its_level(fault):
    assert fault(noise(0.01), min_s=0.005) is None


def test_digital_silence_is_too_quiet(fault):
    assert fault(np.zeros(RATE_HZ, np.float32)) == "-200.0 dBFS, quieter than -50 dBFS"


def test_a_whisper_too_quiet_to_hear_is_named_with_its_level(fault):
    whisper = np.tile(np.array([1e-3, -1e-3], np.float32), RATE_HZ // 2)
    assert fault(whisper) == "-60.0 dBFS, quieter than -50 dBFS"
    assert fault(whisper, min_level_db=-70.0) is None


def test_an_offset_is_not_heard(fault):
    assert fault(np.full(RATE_HZ, 0.3, np.float32)) == "-200.0 dBFS, quieter than -50 dBFS"


def test_a_voice_that_stops_early_leaves_too_much_silence(fault):
    clip = np.concatenate([noise(1), np.zeros(3 * RATE_HZ, np.float32)])
    assert fault(clip) == "75% silence, more than 60%"
    assert fault(clip, max_silent_share=0.8) is None


def test_silence_is_found_wherever_it_lies(fault):
    hole = np.concatenate([noise(0.5), noise(3, level=1e-4), noise(0.5)])
    assert fault(hole) == "75% silence, more than 60%"


def test_a_bound_that_makes_no_sense_is_refused_when_it_is_read():
    with pytest.raises(ConfigError, match="max_silent_share"):
        make(Check, {"check": "audible", "max_silent_share": 1.5}, "study.toml")
