"""Checks: what makes a clip unfit. The folder is the registry: one file, one `Check` record.

    [speech.xtts.checks.pace]       # in a study
    max_characters_per_s = 25       # the record's fields are its settings

Law of the folder: a check is a pure function of the sound and the line it should be. It repairs nothing.
"""

from builder.core.speech import Line, Waveform
from builder.records import Record


class Check(Record):
    """The settings of a check."""

    def fault(self, waveform: Waveform, line: Line) -> str | None:
        """What is wrong with the clip, in a few words with the measure; None if nothing is."""
        raise TypeError(f"{type(self).__name__} does not say what a fault is")
