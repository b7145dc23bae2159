"""Runs that are spoken in two configs, by hand, and listened to: no voice, and clips of noise."""

import msgspec
import numpy as np

from builder.core.listening import Reply
from builder.core.speech import Take, pauses
from builder.people.listening import Listening, Wanted
from builder.run.recorder import Recorder
from tests.runs import small

RATE = 8000
CONFIGS = ("xtts", "orpheus")


def study():
    quick = small(judges=())
    return msgspec.structs.replace(quick, plan=msgspec.structs.replace(quick.plan, dialogues_per_cell=6))


def speak(run, configs=CONFIGS, only=slice(None)):
    """Every clip is of its own length, so that no two are the same bytes."""
    for number, config in enumerate(configs):
        with Recorder(run.audio(config), run.recorded(config)) as recorder:
            for id in run.dialogues.ids()[only]:
                texts = tuple(turn.text for turn in run.dialogues[id].turns)
                noise = np.random.default_rng([number, *id.encode()])
                takes = [
                    Take(
                        samples=noise.integers(-9000, 9000, 300 + position).astype(np.int16),
                        pause_samples=pause,
                        ravdess="neutral",
                    )
                    for position, pause in enumerate(pauses(texts, RATE))
                ]
                recorder.keep(
                    id,
                    engine="noise",
                    rehearsal=True,
                    voices=("Anna", "Karl"),
                    sampling_rate_hz=RATE,
                    takes=takes,
                )


def opened(run, *listeners, **wanted):
    return Listening(run, listeners or ("ash",), Wanted(**wanted))


def say(listening, listener="ash", **said):
    """Answers the next trial; its number."""
    reply = replied(listening.following(listener), **said)
    listening.answer(listener, reply)
    return reply.number


def replied(number, heard=("happy", None), naturalness=(4, 2), prefers="a", seconds=9.5, played=(True, True)):
    return Reply(
        number=number, heard=heard, naturalness=naturalness, prefers=prefers, seconds=seconds, played=played
    )
