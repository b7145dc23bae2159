"""Checks: what makes a clip unfit. The folder is the registry: one file, one `Check` record.

    [speech.xtts.checks.pace]       # in a study
    max_characters_per_s = 25       # the record's fields are its settings

Law of the folder: a check is a pure function of the clips of one dialogue and the lines they should be. It repairs nothing.
"""

from collections.abc import Sequence

from builder.core.speech import Line, Waveform
from builder.records import Record


class Check(Record):
    """The settings of a check. One that looks at each clip for itself says `fault`, one that compares says `faults`."""

    def faults(self, clips: Sequence[Waveform], lines: Sequence[Line]) -> list[str | None]:
        """What is wrong with each clip of one dialogue, in a few words with the measure; None where nothing is.

        Args:
            clips: as the engine spoke them, in order.
            lines: what each should be.
        """
        return [self.fault(clip, line) for clip, line in zip(clips, lines, strict=True)]

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """What is wrong with one clip."""
        raise TypeError(f"{type(self).__name__} does not say what a fault is")
