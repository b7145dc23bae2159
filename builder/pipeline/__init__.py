"""The pipeline, which is the whole project at a glance.

    plan        the study       ->  Scenario     which dialogues to hold, every emotion drawn, from the seed alone
    generate    Scenario        ->  Dialogue     two models hold it, turn by turn
    judge       Dialogue        ->  Review       rules, then a panel of models, mark it
    synthesize  Dialogue        ->  Recording    voices speak every accepted turn, and each clip is checked
    measure     Recording       ->  Measured     what can be heard in every clip, as numbers
    package     Recording       ->  dataset      Parquet shards per config, splits, checksums, the card with its figures
    push        dataset         ->  release      one commit and one tag on the Hub
    ingest      published data  ->  Dialogue, Recording     another way in: data that already exists
    annotate    Dialogue        ->  Annotation   people mark a sample; how far judges agree with them is measured

Law of the file: nothing but the stages and their order. The same dict is the command line's verbs and the rows of `status`;
the folder `stages` is the registry: each verb is the function of its own name in the file of its own name.
"""

import importlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from builder.run.folder import Run
    from builder.run.work import Tally

Stage: TypeAlias = "Callable[[Run], Coroutine[None, None, Tally]]"

STAGES: dict[str, str] = {
    "plan": "draw every scenario of a study from its seed, and show how they are distributed",
    "generate": "let two models hold every scenario, turn by turn",
    "judge": "mark every dialogue by rules and by a panel of models",
    "synthesize": "speak every accepted dialogue, and check each clip",
    "measure": "measure every clip: pitch, level, pace, and what models hear in it",
    "package": "write the dataset folder that load_dataset opens",
}
"""The stages in order, with what each does. `build` runs them all."""


def stage(name: str) -> Stage:
    """The stage of this name; what it needs is imported now, not before."""
    verb: Stage = getattr(importlib.import_module(f"builder.stages.{name}"), name)
    return verb
