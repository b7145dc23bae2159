"""Runs that are spoken and measured, by hand: no voice, and numbers that are drawn."""

import msgspec
import numpy as np

from builder.core.scenario import scenarios
from builder.core.speech import Measured, Take
from builder.run.folder import Run
from builder.run.recorder import Recorder
from tests.runs import small, spoken

RATE = 16_000


def heard(folder, emotions=("angry", "sad"), spoken_again=(), loudness_lufs=None):
    """A run whose turns have these emotions in a random order, all but its last dialogue spoken.

    Args:
        folder: of the run.
        emotions: to draw from.
        spoken_again: the checks that the first clip of the first recording failed before.
        loudness_lufs: of every clip.
    """
    study = small(judges=())
    run = Run(folder, study, out=folder.parent / "out")
    draw = np.random.default_rng(5)
    for scenario in scenarios(study.plan, study.vocabulary, study.seed):
        drawn = tuple(draw.choice(emotions, len(scenario.emotions)).tolist())
        run.scenarios.append(scenario.id, scenario)
        run.dialogues.append(scenario.id, spoken(msgspec.structs.replace(scenario, emotions=drawn)))
    ids = run.dialogues.ids()
    with Recorder(run.audio("xtts"), run.recorded("xtts")) as recorder:
        for id in ids[:-1]:
            faults = spoken_again if id == ids[0] else ()
            speak(recorder, run, id, faults, loudness_lufs=loudness_lufs)
    return run


def speak(recorder, run, id, faults, engine="buzz", voices=("Anna", "Karl"), loudness_lufs=None):
    takes = [
        Take(
            samples=np.arange(1, 400, dtype=np.int16),
            pause_samples=100,
            ravdess=run.study.vocabulary.emotions[turn.emotion].ravdess,
            attempts=1 + (0 if position else len(faults)),
            faults=() if position else tuple(faults),
            loudness_lufs=loudness_lufs,
        )
        for position, turn in enumerate(run.dialogues[id].turns)
    ]
    recorder.keep(id, engine=engine, rehearsal=True, voices=voices, sampling_rate_hz=RATE, takes=takes)


def measured(run, effect=0.0, not_run=None):
    """Measures every recording: angry clips are louder by so many decibels, and every speaker has a level of their own."""
    draw = np.random.default_rng(7)
    for id in run.recordings["xtts"].ids():
        levels = draw.normal(-30, 8, 2)
        clips = tuple(
            {
                "level_db": float(
                    levels[position % 2] + effect * (turn.emotion in {"angry", "excited"}) + draw.normal()
                )
            }
            for position, turn in enumerate(run.dialogues[id].turns)
        )
        record = Measured(id=id, clips=clips, done=("prosody",), not_run=not_run or {})
        run.measured("xtts").append(id, record)
    return run
