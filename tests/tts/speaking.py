"""What the tests of the engines share: a line, and one way to have it spoken.

Law of the file: nothing here knows an engine by name.
"""

import asyncio
from collections.abc import Sequence

from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice, Waveform
from builder.plugins.tts import Engine

TEXT = "I really thought we were friends. What am I supposed to tell them now?"


def line(text=TEXT, voice="tara", *, seed=7, **more) -> Line:
    emotion = Emotion(ravdess="neutral", valence=0, arousal=0, successors=("other",))
    return Line(text=text, voice=Voice(name=voice, sex="female"), emotion=emotion, seed=seed, **more)


def speak(engine: Engine, *lines: Line) -> Sequence[Waveform]:
    """Opens, speaks all at once, closes."""

    async def main() -> Sequence[Waveform]:
        async with engine.open() as synthesizer:
            return await asyncio.gather(*map(synthesizer.speak, lines))

    return asyncio.run(main())


def opened(engine: Engine) -> tuple[str, int]:
    """The name and the limit of the opened engine."""

    async def main() -> tuple[str, int]:
        async with engine.open() as synthesizer:
            return synthesizer.name, synthesizer.limit

    return asyncio.run(main())
