"""Where there is sound in a waveform, and where there is none.

Sound is every frame within 40 dB of the loudest one, so that it stays the same however loud the clip is; a constant offset,
which nobody hears, is none. Most pauses of the published sample lie 60 dB below its voices, those of its noisiest voice 45 dB.
Law of the file: what is empty, silent, constant or not finite has no sound; it is never an error.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from builder.core.speech import Waveform

FRAME_S = 0.01
RANGE_DB = 40.0
"""How far below the loudest frame there is still sound."""
_SILENT = 1e-20  # of an offset, once it is taken away, rounding is left


def sounding(waveform: Waveform, frame_s: float = FRAME_S) -> NDArray[np.bool_]:
    """Whether there is sound in each frame.

    Args:
        waveform: any.
        frame_s: the length of a frame, in seconds.

    Returns:
        Of shape (frames,); the last frame may reach past the end.
    """
    frame = max(1, round(frame_s * waveform.sampling_rate_hz))
    samples = waveform.samples.astype(np.float64)
    if not np.isfinite(samples).all():
        samples = np.zeros_like(samples)
    if not samples.size:
        return np.zeros(0, np.bool_)
    offset = samples.mean()
    frames = np.pad(samples, (0, -len(samples) % frame), mode="edge").reshape(-1, frame)
    # Silence lies at the offset; or at zero, where it was spliced in or the voice alone is one-sided.
    energy = np.minimum(np.mean(frames**2, axis=1), np.mean((frames - offset) ** 2, axis=1))
    within: NDArray[np.bool_] = energy > max(energy.max() * 10 ** (-RANGE_DB / 10), _SILENT)
    return within


def stretches(waveform: Waveform) -> list[tuple[int, int]]:
    """The stretches of sound, in order, each as its first sample and the one after its last.

    Both are ends of frames, so that the very last may lie less than a frame past the end of the waveform.
    """
    frame = max(1, round(FRAME_S * waveform.sampling_rate_hz))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounding(waveform), [False]])))
    ends = (edges * frame).tolist()
    return list(zip(ends[::2], ends[1::2], strict=True))


def silences(sound: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What lies between stretches of sound, in order."""
    return [(before[1], after[0]) for before, after in pairwise(sound)]
