"""Small runs made in this process, their dialogues written by hand: no model, no voice, no waiting."""

from pathlib import Path

import msgspec

from builder.config import Study, load_study
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.scenario import scenarios
from builder.core.verdict import Acceptance
from builder.run import Run


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
