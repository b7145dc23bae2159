"""Pace: as many characters a second as a person speaks.

Too slow is an engine that rambled on after the text or fell silent; too fast is one that left words out.
A class acted slowly or fast may have bounds of its own: `ravdess = { sad = { min_characters_per_s = 7 } }`.
Law of the file: it counts what is said: "$75,000" is 28 characters, and a Han character counts three.
"""

import math
from typing import Annotated

import msgspec

from builder.core.emotion import Ravdess
from builder.core.speech import Line, Waveform
from builder.core.spoken import spoken
from builder.core.word import characters
from builder.plugins.checks import Check
from builder.records import Record


class Bounds(Record):
    """The bounds of one acted class; None leaves the check's own."""

    min_characters_per_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    max_characters_per_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None


class Pace(Check):
    """A fault is a clip too long or too short for its text."""

    min_characters_per_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 8.0
    """11.3 at least in the published sample."""
    max_characters_per_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 25.0
    """21.8 at most in the published sample."""
    grace_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.5
    """How far past either bound a clip may be: half a second decides about a word, not about a sentence."""
    ravdess: dict[Ravdess, Bounds] = {}
    """Other bounds for an acted class."""

    def __post_init__(self) -> None:
        for ravdess in (None, *self.ravdess):
            lowest, highest = self._bounds(ravdess)
            if lowest >= highest:
                where = f"ravdess.{ravdess}: " if ravdess else ""
                raise ValueError(
                    f"{where}min_characters_per_s is {lowest:g} and max_characters_per_s is {highest:g}: "
                    "the minimum must be the smaller"
                )

    def _bounds(self, ravdess: Ravdess | None) -> tuple[float, float]:
        own = self.ravdess.get(ravdess, Bounds()) if ravdess else Bounds()
        return (
            own.min_characters_per_s or self.min_characters_per_s,
            own.max_characters_per_s or self.max_characters_per_s,
        )

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """How far the clip is from its text."""
        seconds = len(waveform.samples) / waveform.sampling_rate_hz
        said = characters(spoken(line.text))
        pace = said / seconds if seconds else math.inf
        lowest, highest = self._bounds(line.emotion.ravdess)
        if said < lowest * (seconds - self.grace_s):
            return f"{pace:.1f} characters per second, fewer than {lowest:g}"
        if said > highest * (seconds + self.grace_s):
            return f"{pace:.1f} characters per second, more than {highest:g}"
        return None
