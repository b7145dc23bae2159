"""Small runs made in this process, their dialogues written by hand: no model, no voice, no waiting."""

from pathlib import Path

import msgspec
import numpy as np

from builder.config import Study, load_study
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.scenario import scenarios
from builder.core.speech import Take
from builder.core.verdict import Acceptance
from builder.run.folder import Run
from builder.run.recorder import Recorder
from tests.published import noise

RATE = 24_000


def small(judges=("length", "duplicate"), **changes) -> Study:
    """The quickstart's study of text alone, with two domains, two pairings, two dialogues of each and these judges."""
    study = load_study("quickstart")
    plan = msgspec.structs.replace(
        study.plan, domains=("travel", "work"), pairings=("phi4-mini", "llama3-8B_gemma3-4B")
    )
    rules = {name: study.judges[name] for name in judges}
    return msgspec.structs.replace(
        study, **{"plan": plan, "speech": {}, "judges": rules, "acceptance": Acceptance()} | changes
    )


def held(folder: Path, study: Study, order=1, **dialogue) -> Run:
    """A run with every dialogue of the study's plan, as `dialogue` says; `order` is 1 or -1, the last first."""
    run = Run(folder, study, out=folder.parent / "out")
    for scenario in list(scenarios(study.plan, study.vocabulary, study.seed))[::order]:
        run.scenarios.append(scenario.id, scenario)
        run.dialogues.append(scenario.id, spoken(scenario, **dialogue))
    return run


def spoken(scenario, words=None, checkpoint="ORG/NAME") -> Dialogue:
    """A dialogue of a scenario; without `words` it says what no other says."""
    said = words or f"I have never told anybody about number {scenario.id.replace('/', ' ')} before"
    return Dialogue(
        id=scenario.id,
        domain=scenario.domain,
        pairing=scenario.pairing,
        first_checkpoint=checkpoint,
        second_checkpoint=checkpoint,
        rehearsal=False,
        turns=tuple(
            Turn(speaker=SPEAKERS[position % 2], text=f"{said}, not even {position} times.", emotion=emotion)
            for position, emotion in enumerate(scenario.emotions)
        ),
    )


def clips_of(dialogue):
    """Noise without a zero in it, longer with every turn."""
    return [
        noise([*dialogue.id.encode(), position], 900 + 300 * position)
        for position in range(len(dialogue.turns))
    ]


def silences_of(dialogue):
    return [RATE * 3 // 10] * (len(dialogue.turns) - 1) + [RATE // 2]


def laid(dialogue):
    """The dialogue of shape (samples, 2), LLM1 and LLM2, and the first sample of every turn and the first after it."""
    full, edges, at = [], [], 0
    for position, (clip, silence) in enumerate(zip(clips_of(dialogue), silences_of(dialogue), strict=True)):
        track = np.zeros((len(clip) + silence, 2), np.int16)
        track[: len(clip), position % 2] = clip
        full.append(track)
        edges.append((at, at + len(clip)))
        at += len(track)
    return np.concatenate(full), edges


def speak(run, dialogues):
    with Recorder(run.audio("xtts"), run.recorded("xtts")) as recorder:
        for dialogue in dialogues:
            recorder.keep(
                dialogue.id,
                engine="noise",
                rehearsal=True,
                voices=("ann", "bob"),
                sampling_rate_hz=RATE,
                takes=[
                    Take(clip, silence, "calm")
                    for clip, silence in zip(clips_of(dialogue), silences_of(dialogue), strict=True)
                ],
            )
