"""Where there is sound in a waveform, and where there is none.

Sound is every frame within 40 dB of the loudest one, so that it stays the same however loud the clip is. Most pauses of the
published sample lie 60 dB below its voices, those of its noisiest voice 45 dB.
Law of the file: what is empty, silent or not finite has no sound; it is never an error.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from builder.core.speech import Waveform

FRAME_S = 0.01
RANGE_DB = 40.0
"""How far below the loudest frame there is still sound."""


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
    frames = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    energy = np.mean(frames**2, axis=1)
    within: NDArray[np.bool_] = energy > energy.max(initial=0.0) * 10 ** (-RANGE_DB / 10)
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
