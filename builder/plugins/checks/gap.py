"""Gap: the voice falls silent inside a turn.

Law of the file: only what lies between sound and sound is a gap; before and after it silence is another check's business.
"""

from typing import Annotated

import msgspec

from builder.core.sound import silences, stretches
from builder.core.speech import Line, Waveform
from builder.plugins.checks import Check


class Gap(Check):
    """A fault is a silence inside the clip that is too long for a pause."""

    max_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 1.0
    """The longest silence between two sounds, in seconds; 7 of 92 clips of the published sample have a longer one."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:  # noqa: ARG002 - no words need so long a pause
        """How long the longest silence is, and where."""
        rate_hz = waveform.sampling_rate_hz
        gaps = [((stop - start) / rate_hz, start / rate_hz) for start, stop in silences(stretches(waveform))]
        longest_s, at_s = max(gaps, default=(0.0, 0.0))
        if longest_s <= self.max_s:
            return None
        return f"{longest_s:.2f} s of silence at {at_s:.1f} s, more than {self.max_s:g} s"
