"""Loop: the engine says a stretch of sound twice or more in a row.

Two stretches are as alike as their spectra are, frame by frame: the levels of 24 bands of equal width on the mel scale, less the
mean of the frame, so that loudness does not count, and less that of the band, so that the voice does not. 1 is the same sound.
Law of the file: what the text says twice in a row, the clip may say twice in a row.
"""

from itertools import accumulate
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.sound import sounding
from builder.core.speech import Line, Waveform
from builder.core.spoken import spoken
from builder.core.word import characters, share, words
from builder.plugins.checks import Check

_HOP_S = 0.02
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7600.0
_FLOOR_DB = 60.0
_TINY = 1e-30
_LEAST_SOUND = 0.6
_MOST_WORDS = 100
"""Of what is looked for twice: nobody says more of them in a clip, and no text is to take longer than linear time."""
_WORD_S, _CHARACTERS_PER_S = 0.5, 8.0

Spectra = NDArray[np.float32]
"""Of shape (frames, bands): a unit vector where there is sound, else zero."""


class Loop(Check):
    """A fault is a stretch of sound that comes twice in a row though its words do not."""

    min_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 0.5
    """The shortest stretch, in seconds. What is shorter but comes often enough is found as a longer one."""
    min_likeness: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    """How alike two stretches are that are the same; at most 0.66 in the published sample, 0.83 in a tongue twister."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """What is repeated: how long it is and where."""
        shortest_s = max(self.min_s, _allowed_s(line.text))
        likeness, lag, at = _likest(_spectra(waveform), round(shortest_s / _HOP_S))
        if likeness < self.min_likeness:
            return None
        where = f"the {lag * _HOP_S:.2f} s from {at * _HOP_S:.1f} s on come twice"
        return f"{where}: {likeness:.2f} alike, at least {self.min_likeness:g}"


def _allowed_s(text: str) -> float:
    """The longest time that what the text itself says twice in a row may take to be said once; 0 where it does not."""
    said = words(spoken(text))
    times = (_WORD_S * share(word) + characters(word) / _CHARACTERS_PER_S for word in said)
    until = [0.0, *accumulate(times)]
    longest = 0.0
    for count in range(1, min(len(said) // 2, _MOST_WORDS) + 1):
        again = 0
        for end in range(count, len(said)):
            again = again + 1 if said[end - count] == said[end] else 0
            if again >= count:
                longest = max(longest, until[end + 1] - until[end + 1 - count])
    return longest


def _spectra(waveform: Waveform) -> Spectra:
    hop = round(_HOP_S * waveform.sampling_rate_hz)
    sound = sounding(waveform, _HOP_S)
    if not sound.any():
        return np.zeros((0, _BANDS), np.float32)
    samples = np.pad(waveform.samples, (0, (len(sound) + 1) * hop - len(waveform.samples)))
    window = np.hanning(2 * hop).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(window))[::hop] * window
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    power = np.add.reduceat(power, _bands(waveform.sampling_rate_hz, len(window)), axis=1)[:, :-1]
    levels = 10 * np.log10(np.maximum(power, power.max() * 10 ** (-_FLOOR_DB / 10) + _TINY))
    levels -= levels.mean(axis=1, keepdims=True)
    levels -= levels[sound].mean(axis=0)
    lengths = np.linalg.norm(levels, axis=1, keepdims=True)
    unit: Spectra = (levels / np.maximum(lengths, 1e-9) * sound[:, None]).astype(np.float32)
    return unit


def _bands(rate_hz: int, window: int) -> NDArray[np.intp]:
    """The first bin of each band, equally wide on the mel scale, and the one after the last: of shape (bands + 1,)."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST_HZ, min(_HIGHEST_HZ, rate_hz / 2)))
    hertz = 700 * (10 ** (np.linspace(lowest, highest, _BANDS + 1) / 2595) - 1)
    return np.rint(hertz * window / rate_hz).astype(np.intp)


def _likest(spectra: Spectra, shortest: int) -> tuple[float, int, int]:
    """The likeliest repetition: the mean likeness of two neighbouring stretches, their length and the first's start, in frames.

    Silence is like nothing, and a stretch that is mostly silence is not much like another.
    """
    heard = np.concatenate([[0], np.cumsum(spectra.any(axis=1))])
    best = (0.0, 0, 0)
    for lag in range(shortest, len(spectra) // 2 + 1):
        alike = np.einsum("fb,fb->f", spectra[:-lag], spectra[lag:])
        shared = np.concatenate([[0.0], np.cumsum(alike)])
        sound = (heard[2 * lag :] - heard[: -2 * lag]) / 2
        likeness = (shared[lag:] - shared[:-lag]) / np.maximum(sound, _LEAST_SOUND * lag)
        at = int(likeness.argmax())
        best = max(best, (float(likeness[at]), lag, at))
    return best
