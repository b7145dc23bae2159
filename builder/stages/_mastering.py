"""Mastering: the clips of a dialogue, with one lead, one tail and, for each speaker, one loudness.

Loudness is that of EBU R 128 (ITU-R BS.1770-4); the true peak is the highest sample of the waveform sampled four times as often.
A clip is cut, faded in and out over 5 ms where it was cut, and multiplied by the one gain of its speaker.
Law of the file: no sample of a finished clip is digital silence in 16 bits, which stands between clips and nowhere else
(`builder.core.speech.cut`). What would be, such as a lead that was not spoken, alternates between one step up and one down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from builder.core.sound import stretches
from builder.core.speech import Mastering, Waveform
from builder.errors import extra

_FADE_S = 0.005
_BLOCK_S = 0.4
_STEP = 1 / 32767


@dataclass(frozen=True, eq=False)
class Mastered:
    """A finished clip."""

    waveform: Waveform
    loudness_lufs: float | None
    """Of the finished clip, to 0.01; None where it is shorter than a block of 0.4 s, or nowhere louder than -70 LUFS."""
    gain_db: float
    """What it was made louder by, to 0.01: the same for all clips of a speaker."""


def master(clips: Sequence[Waveform], speakers: Sequence[int], mastering: Mastering) -> list[Mastered]:
    """Finishes the clips of one dialogue.

    Args:
        clips: as the engine spoke them, in order, all at one sampling rate. One without sound is left as it is.
        speakers: who speaks each.
        mastering: how.

    Returns:
        One for each. All of a speaker's clips together are as loud as wanted, or as loud as their true peak allows.

    Raises:
        ConfigError: the extra `mastering` is not installed.
    """
    cuts = [_cut(clip, mastering) for clip in clips]
    gains = {}
    for speaker in dict.fromkeys(speakers):
        said = [cut for cut, whose in zip(cuts, speakers, strict=True) if cut and whose == speaker]
        gains[speaker] = _gain_db(said, mastering) if said else 0.0
    return [
        _finished(cut, gains[speaker]) if cut else Mastered(clip, None, gains[speaker])
        for clip, cut, speaker in zip(clips, cuts, speakers, strict=True)
    ]


def _cut(clip: Waveform, mastering: Mastering) -> Waveform | None:
    """The clip from its lead to its tail; None where it has no sound. Zeros stand where the engine spoke less of them."""
    sound = stretches(clip)
    if not sound:
        return None
    rate_hz = clip.sampling_rate_hz
    begin = sound[0][0] - round(mastering.lead_s * rate_hz)
    end = sound[-1][1] + round(mastering.tail_s * rate_hz)
    kept = clip.samples[max(0, begin) : end].copy()
    fade = min(round(_FADE_S * rate_hz), len(kept) // 2)
    ramp = (np.sin(np.linspace(0, np.pi / 2, fade)) ** 2).astype(np.float32)
    kept[:fade] *= ramp
    kept[len(kept) - fade :] *= ramp[::-1]
    missing = max(0, -begin), max(0, end - len(clip.samples))
    return Waveform(np.pad(kept, missing), rate_hz)


def _gain_db(clips: Sequence[Waveform], mastering: Mastering) -> float:
    """Rounded down to 0.01, so that the gain on record is the gain applied and the peak stays below its bound."""
    samples, rate_hz = np.concatenate([clip.samples for clip in clips]), clips[0].sampling_rate_hz
    loudness = _loudness_lufs(samples, rate_hz)
    if loudness is None:
        # Too short for a block: BS.1770's formula without its weighting and gates.
        loudness = -0.691 + 10 * math.log10(float(np.mean(samples.astype(np.float64) ** 2)))
    oversampled = soxr.resample(samples, rate_hz, 4 * rate_hz, quality="HQ")
    peak = max(float(np.abs(samples).max()), float(np.abs(oversampled).max()))
    highest = mastering.peak_db - 20 * math.log10(peak)
    return math.floor(100 * min(mastering.loudness_lufs - loudness, highest)) / 100


def _finished(cut: Waveform, gain_db: float) -> Mastered:
    samples = cut.samples * np.float32(10 ** (gain_db / 20))
    steps = np.where(np.arange(len(samples)) % 2, -_STEP, _STEP).astype(np.float32)
    finished = Waveform(np.where(np.rint(samples / _STEP) == 0, steps, samples), cut.sampling_rate_hz)
    loudness = _loudness_lufs(finished.samples, cut.sampling_rate_hz)
    return Mastered(finished, None if loudness is None else round(loudness, 2), gain_db)


def _loudness_lufs(samples: NDArray[np.float32], rate_hz: int) -> float | None:
    """Integrated loudness; None where there is no block, or none above the absolute gate."""
    if len(samples) < _BLOCK_S * rate_hz:
        return None
    with np.errstate(divide="ignore"):
        meter = extra("pyloudnorm", "mastering").Meter(rate_hz)
        loudness = float(meter.integrated_loudness(samples.astype(np.float64)))
    return loudness if math.isfinite(loudness) else None
