"""Tail: the engine went on after the text was said, in silence or with a noise of its own.

XTTS does either in one clip of ten (coqui-ai/TTS #3598, #4171 and #4172).
Law of the file: a noise is told from the last words by its length alone, where nobody could say them in so short a time.
"""

import re
from typing import Annotated

import msgspec

from builder.core.sound import silences, stretches
from builder.core.speech import Line, Waveform
from builder.core.spoken import spoken
from builder.core.word import characters
from builder.plugins.checks import Check

_PHRASE = re.compile(r"\w[\w\s'’]*")


class Tail(Check):
    """A fault is too long a silence at the end, or a burst of sound after a pause that the last words do not explain."""

    max_silence_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 0.6
    """The longest silence after the last sound, in seconds; at most 0.56 in the published sample."""
    min_pause_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 0.4
    """The shortest silence that a burst comes after, in seconds."""
    max_burst_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 1.0
    """The longest burst, in seconds; what lasts longer is taken for speech."""
    max_characters_per_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 40.0
    """Faster than this nobody says the last phrase, from its mark of punctuation on; at most 29 in the published sample."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """How the clip goes on after its text."""
        sound = stretches(waveform)
        if not sound:
            return None
        rate_hz, end = waveform.sampling_rate_hz, sound[-1][1]
        silence_s = (len(waveform.samples) - end) / rate_hz
        if silence_s > self.max_silence_s:
            return f"{silence_s:.2f} s of silence at the end, more than {self.max_silence_s:g} s"
        pauses = [
            (start, stop) for start, stop in silences(sound) if stop - start >= self.min_pause_s * rate_hz
        ]
        if not pauses:
            return None
        start, stop = pauses[-1]
        burst_s = (end - stop) / rate_hz
        last = round(characters((_PHRASE.findall(spoken(line.text)) or [""])[-1]))
        if burst_s > self.max_burst_s or last <= self.max_characters_per_s * burst_s:
            return None
        pause_s = (stop - start) / rate_hz
        return f"{burst_s:.2f} s of sound after {pause_s:.2f} s of silence, too short for the last {last} characters"
