"""Audible: there is sound, enough of it, loud enough to hear.

Law of the file: its defaults let every clip of the published sample pass, with room to spare.
"""

from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.speech import Line, Waveform
from builder.plugins.checks import Check

_FRAME_S = 0.02


class Audible(Check):
    """A fault is sound that is not finite, too short, too quiet, or mostly silence."""

    min_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 0.2
    """The shortest clip, in seconds."""
    min_level_db: Annotated[float, msgspec.Meta(ge=-200, lt=0)] = -50.0
    """The lowest level, root mean square without offset, in decibels relative to full scale."""
    max_silent_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.6
    """The greatest share of 20 ms frames below that level; at most 0.39 in the published sample."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:  # noqa: ARG002 - whatever is said must be heard
        """What keeps the clip from being heard."""
        samples = waveform.samples.astype(np.float64)
        if odd := int(np.count_nonzero(~np.isfinite(samples))):
            return f"{odd} samples are not finite"
        seconds = len(samples) / waveform.sampling_rate_hz
        if seconds < self.min_s:
            return f"{seconds:.3g} s, shorter than {self.min_s:g} s"
        level_db = _level_db(samples - samples.mean())
        if level_db < self.min_level_db:
            return f"{level_db:.1f} dBFS, quieter than {self.min_level_db:g} dBFS"
        frame = max(1, round(_FRAME_S * waveform.sampling_rate_hz))
        frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
        silent = float(np.mean(_level_db(frames) < self.min_level_db)) if len(frames) else 0.0
        if silent > self.max_silent_share:
            return f"{silent:.0%} silence, more than {self.max_silent_share:.0%}"
        return None


def _level_db(samples: NDArray[np.float64]) -> Any:
    """Root mean square along the last axis, in decibels relative to full scale; -200 for digital silence."""
    return 10 * np.log10(np.mean(samples**2, axis=-1) + 1e-20)
