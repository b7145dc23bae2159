"""Clipping: the tops of the wave are cut off.

Law of the file: it finds the cut at full scale, and lower where the sound was turned down afterwards.
"""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.speech import Line, Waveform
from builder.plugins.checks import Check

_FULL_SCALE = 0.999
_TOPS = 2  # the highest and the lowest sample of a clip made as loud as can be
_TURNED_DOWN = 0.5  # below it, 16 bits are coarse enough for a round top to look flat


class Clipping(Check):
    """A fault is too many samples at full scale, or a flat top."""

    max_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1e-4
    """The greatest share of samples at full scale."""
    max_equal: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 2
    """The most samples in a row that all equal the highest or the lowest of the clip."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:  # noqa: ARG002 - no words excuse it
        """How much is cut off."""
        samples = waveform.samples
        if not samples.size:
            return None
        full = int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE))
        share = full / samples.size
        if full > _TOPS and share > self.max_share:
            return f"{share:.2%} of the samples at full scale, more than {self.max_share:.2%}"
        extremes = [extreme for extreme in (samples.max(), samples.min()) if abs(extreme) >= _TURNED_DOWN]
        equal = max((_longest(samples == extreme) for extreme in extremes), default=0)
        if equal > self.max_equal:
            return f"{equal} equal samples in a row at the peak, more than {self.max_equal}"
        return None


def _longest(true: NDArray[np.bool_]) -> int:
    """The most true values in a row; at least one is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return int(np.max(edges[1::2] - edges[::2]))
