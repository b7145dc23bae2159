"""Engines: what speaks a turn. The folder is the registry: one file, one `Engine` record.

    [speech.xtts]               # in a site
    engine = "espeak"           # the file
                                # the record's fields are its settings

Law of the folder: a clip depends on its line alone (text, voice, emotion, seed) and the engine's settings, never on the
lines spoken before it or beside it. An engine may batch the lines it is asked for at once as it likes.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol, Self

from builder.core.emotion import Emotion
from builder.core.part import Part
from builder.core.speech import Line, Voice, Waveform
from builder.records import Record


class Synthesizer(Protocol):
    """An opened engine, ready to speak."""

    name: str
    """What speaks, with its version."""
    limit: int
    """Lines that keep it busy. More may come at once; what is too much for it waits inside."""

    async def speak(self, line: Line) -> Waveform:
        """Speaks one line. Safe to call any number of times at once.

        Raises:
            SynthesisError: this line cannot be spoken.
        """
        ...


class Engine(Record):
    """The settings of an engine; `open` makes it a synthesizer."""

    rehearsal: ClassVar[bool] = False
    """Whether it only stands in for a voice, so that what it speaks is not training data."""

    def prepare(self, voices: Sequence[Voice], emotions: Sequence[Emotion]) -> None:
        """Looks, before anything is loaded, whether it has what these voices need to speak in these emotions.

        Raises:
            ConfigError: says what is missing.
        """

    def among(self, place: Part) -> Self:
        """The settings of one of several processes that ask the same server; an engine in the process is its own."""
        return self

    def open(self) -> AbstractAsyncContextManager[Synthesizer]:
        """Loads what speaks, and lets go of it at the end.

        Raises:
            ConfigError: the settings cannot work here, such as a missing extra.
        """
        raise TypeError(f"{type(self).__name__} does not say how to open")
