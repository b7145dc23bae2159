"""Pace: as many characters a second as a person speaks.

Too slow is an engine that rambled on after the text or fell silent; too fast is one that left words out.
Law of the file: it counts the characters of the text as written.
"""

import math
from typing import Annotated

import msgspec

from builder.checks import Check
from builder.core.speech import Line, Waveform


class Pace(Check):
    """A fault is a clip too long or too short for its text."""

    min_characters_per_s: Annotated[float, msgspec.Meta(gt=0)] = 8.0
    """11.3 at least in the published sample."""
    max_characters_per_s: Annotated[float, msgspec.Meta(gt=0)] = 25.0
    """21.8 at most in the published sample."""
    grace_s: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    """How far past either bound a clip may be: half a second decides about a word, not about a sentence."""

    def __post_init__(self) -> None:
        if self.min_characters_per_s >= self.max_characters_per_s:
            raise ValueError(
                f"min_characters_per_s is {self.min_characters_per_s:g} and max_characters_per_s is "
                f"{self.max_characters_per_s:g}: the minimum must be the smaller"
            )

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """How far the clip is from its text."""
        seconds = len(waveform.samples) / waveform.sampling_rate_hz
        characters = len(line.text)
        pace = characters / seconds if seconds else math.inf
        if characters < self.min_characters_per_s * (seconds - self.grace_s):
            return f"{pace:.1f} characters per second, fewer than {self.min_characters_per_s:g}"
        if characters > self.max_characters_per_s * (seconds + self.grace_s):
            return f"{pace:.1f} characters per second, more than {self.max_characters_per_s:g}"
        return None
