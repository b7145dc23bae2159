"""Distinct: every clip of a dialogue is a sound of its own, and the one of its own text.

Whether two clips are swapped is read off their lengths. If the logarithm of the time for a character is spread normally about one
mean, with standard deviation s, then swapping the texts makes the times t1 and t2 exp(-log(t1 / t2) log(c1 / c2) / s**2) times as
likely, for c1 and c2 characters: the mean cancels out, so that no pace is assumed. Measured on the 182 pairs of the published
sample: as they are none is named; swapped 8 are, 7 of them among the 14 pairs with one text 1.4 times as long as the other.
Law of the file: both clips of a pair are named, for nobody knows which is the wrong one.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

import msgspec
import numpy as np

from builder.core.sound import FRAME_S, stretches
from builder.core.speech import Line, Waveform
from builder.core.spoken import spoken
from builder.core.word import characters
from builder.plugins.checks import Check

_CERTAIN = 100.0

_Spoken = tuple[Waveform, list[tuple[int, int]], Line]
"""A clip, its stretches of sound, and what it should be."""


class Distinct(Check):
    """A fault is the sound of another clip, if need be louder or trimmed, or a length that is far likelier another turn's."""

    min_likeness: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.99
    """The normalized cross-correlation of two clips that are the same."""
    min_odds: Annotated[float, msgspec.Meta(gt=1, le=1_000_000)] = 100.0
    """How many times likelier the lengths of two clips are with their texts swapped than as they are."""
    spread: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 0.15
    """The standard deviation of the logarithm of the time for a character, within a dialogue; 0.11 in the published sample."""
    min_characters: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 30
    """Two texts whose lengths differ by less are not told apart by them."""

    def faults(self, clips: Sequence[Waveform], lines: Sequence[Line]) -> list[str | None]:
        """Which other clip each is the same as, or is swapped with: the likeliest pairs, each clip in one at most."""
        spoken = [(clip, stretches(clip), line) for clip, line in zip(clips, lines, strict=True)]
        heard = [place for place, (_, sound, _) in enumerate(spoken) if sound]
        pairs = [
            (self._odds(spoken[one], spoken[other]), one, other) for one, other in combinations(heard, 2)
        ]
        found: list[str | None] = [None] * len(spoken)
        for odds, one, other in sorted(pairs, reverse=True):
            if odds > self.min_odds and found[one] is None and found[other] is None:
                for place, turn in ((one, other + 1), (other, one + 1)):
                    found[place] = (
                        f"the same sound as turn {turn}"
                        if odds == math.inf
                        else f"{odds:.3g} times likelier by its length to be turn {turn}, more than {self.min_odds:g}"
                    )
        return found

    def _odds(self, one: _Spoken, other: _Spoken) -> float:
        """How much likelier it is that the two are swapped than that they are not; infinite where they are the same."""
        lines = one[2], other[2]
        repeated = lines[0].text == lines[1].text and lines[0].voice == lines[1].voice
        if not repeated and _likeness(one, other) >= self.min_likeness:
            return math.inf
        said, others = (max(1.0, characters(spoken(line.text))) for line in lines)
        if abs(said - others) < self.min_characters:
            return 1.0
        evidence = -math.log(_seconds(one) / _seconds(other)) * math.log(said / others) / self.spread**2
        return math.exp(min(evidence, _CERTAIN))


def _seconds(spoken: _Spoken) -> float:
    """The time there is sound."""
    waveform, sound, _ = spoken
    return sum(stop - start for start, stop in sound) / waveform.sampling_rate_hz


def _likeness(one: _Spoken, other: _Spoken) -> float:
    """The normalized cross-correlation of what lies between the first and the last sound, where it is highest.

    0 where the two differ in length by more than the ends of their sound are known to.
    """
    parts = [waveform.samples[sound[0][0] : sound[-1][1]] for waveform, sound, _ in (one, other)]
    longest = max(map(len, parts))
    if longest - min(map(len, parts)) > 2 * FRAME_S * one[0].sampling_rate_hz:
        return 0.0
    first, second = (np.fft.rfft(part, 1 << (2 * longest).bit_length()) for part in parts)
    energy = np.linalg.norm(parts[0]) * np.linalg.norm(parts[1])
    return float(np.fft.irfft(first * second.conj()).max() / energy)
