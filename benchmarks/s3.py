"""S3: what it costs to check a clip and to master it, beside its duration and beside encoding it as FLAC.

    python -m benchmarks.s3 [--dialogues 8]

The clips are the rehearsal voice's, in dialogues of six turns.
Law of the file: the only figures are CPU time in this one process, so that what else the machine does counts as little as it can;
a check has no verb of its own, so here alone it is called as a function.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

from builder.core.emotion import Emotion
from builder.core.speech import Line, Mastering, Voice, Waveform
from builder.plugins import find, names
from builder.plugins.checks import Check
from builder.plugins.tts.espeak import Espeak
from builder.run.audio import encode
from builder.stages._mastering import master

TURNS = (
    "Honestly, I was so surprised when the letter arrived this morning that I had to sit down and read it twice.",
    "Oh, that is wonderful news! I always knew that you would get the place, you have worked so hard for it.",
    "Thank you. It still feels like a dream, and I keep thinking that they will call and say it was a mistake.",
    "They won't. Have you told your parents yet, or am I really the first to hear about it?",
    "You are the first! I wanted to tell someone who would understand how much it means to me.",
    "Then let us celebrate tonight, just the two of us, and tomorrow you can tell the rest of the world.",
)
VOICES = (Voice(name="Anna", sex="female"), Voice(name="Robert", sex="male"))
MOODS = ((0.7, 0.8), (0.6, 0.4), (-0.6, 0.5), (0.3, 0.0))

Dialogue = tuple[list[Waveform], list[Line]]


def main() -> None:
    """Prints one line for each check, for mastering and for FLAC."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s3")
    parser.add_argument("--dialogues", type=int, default=8, help="%(default)s")
    dialogues = asyncio.run(spoken(parser.parse_args().dialogues))
    clips = [clip for said, _ in dialogues for clip in said]
    audio_s = sum(len(clip.samples) / clip.sampling_rate_hz for clip in clips)
    speakers = [place % 2 for place in range(len(TURNS))]
    work: dict[str, Callable[[Dialogue], Any]] = {
        "FLAC": lambda dialogue: [encode(clip.pcm(), clip.sampling_rate_hz) for clip in dialogue[0]],
        **{name: checking(find(Check, name, "benchmark")()) for name in names(Check)},
        "mastering": lambda dialogue: master(dialogue[0], speakers, Mastering()),
    }
    costs = {name: cost_s(one, dialogues) for name, one in work.items()}
    costs["all checks"] = sum(costs[name] for name in names(Check))
    print(
        f"S3  {len(clips)} clips, {audio_s / len(clips):.1f} s each; the first use of a library is not counted"
    )
    print(f"{'':12}{'ms a clip':>10}{'over its duration':>20}{'over FLAC':>11}")
    for name, seconds in costs.items():
        print(
            f"{name:12}{1000 * seconds / len(clips):10.2f}{seconds / audio_s:20.5f}{seconds / costs['FLAC']:11.2f}"
        )


async def spoken(count: int) -> list[Dialogue]:
    """So many dialogues, each with its own moods and seeds."""
    moods = cycle(MOODS)
    dialogues = []
    async with Espeak().open() as synthesizer:
        for number in range(count):
            lines = [
                Line(
                    text=text,
                    voice=VOICES[place % 2],
                    emotion=Emotion(
                        ravdess="neutral", valence=valence, arousal=arousal, successors=("other",)
                    ),
                    seed=number,
                )
                for place, (text, (valence, arousal)) in enumerate(
                    zip(TURNS, islice(moods, len(TURNS)), strict=True)
                )
            ]
            dialogues.append(([await synthesizer.speak(line) for line in lines], lines))
    return dialogues


def checking(check: Check) -> Callable[[Dialogue], Any]:
    """One check, of which no clip here may fail."""

    def run(dialogue: Dialogue) -> None:
        faults = check.faults(*dialogue)
        assert not any(faults), faults

    return run


def cost_s(work: Callable[[Dialogue], Any], dialogues: list[Dialogue]) -> float:
    """CPU seconds to do it to every dialogue, after one that does not count."""
    work(dialogues[0])
    begin = time.process_time()
    for dialogue in dialogues:
        work(dialogue)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
