"""generate: two models hold every scenario.

Law of the file: the journal is the truth. A turn is asked for only if the journal lacks it, and dialogues that have turns go
before dialogues that have none, so that whatever stops the run, half a run is half the dialogues.
"""

from contextlib import AsyncExitStack

from builder.core.chat import Actor, conversation
from builder.core.dialogue import Turn
from builder.core.prompt import Completion, Prompt
from builder.errors import ConfigError
from builder.run import Run, Tally, TurnEntry

_MOST_AT_ONCE = 4096


async def generate(run: Run) -> Tally:
    """Holds every dialogue that is planned and not finished.

    Raises:
        ConfigError: the study has no script, or the site does not serve a model.
        EndpointError: a model cannot be reached.
    """
    study = run.study
    if study.script is None:
        raise ConfigError(
            f"study {study.name!r} has no [script]: its dialogues come from `deepdialogue ingest`"
        )
    script = study.script
    owed = [id for id in run.scenarios.ids() if id not in run.dialogues]
    before = len(run.scenarios) - len(owed)
    if not owed:
        return Tally(skipped=before)
    journal = _journal(run)
    owed.sort(key=lambda id: id not in journal)

    pairings = {run.scenarios[id].pairing for id in owed}
    models = {model for name in pairings for model in _models(run, name)}
    run.pin_rehearsal("text", any(run.backend(model).rehearsal for model in models))
    async with AsyncExitStack() as opened:
        endpoints = await run.endpoints(models, opened)

        def actor(model: str) -> Actor:
            return Actor(
                model=model,
                checkpoint=endpoints[model].checkpoint,
                rehearsal=run.backend(model).rehearsal,
                system_role=study.vocabulary.models[model].system_role,
            )

        casts = {name: tuple(actor(model) for model in _models(run, name)) for name in pairings}

        async def hold(id: str) -> None:
            scenario = run.scenarios[id]
            first, second = casts[scenario.pairing]
            domain = study.vocabulary.domains[scenario.domain]
            turns = journal.pop(id, ())
            talk = conversation(scenario, domain, script, (first, second), study.seed, turns)
            index, answer = len(turns), None
            while True:
                try:
                    step: Prompt | Turn = talk.send(answer)
                except StopIteration as end:
                    run.dialogues.append(id, end.value)
                    return
                answer = await _answer(step)
                if isinstance(step, Turn):
                    run.turns.append(id, TurnEntry(id=id, index=index, turn=step))
                    index += 1

        async def _answer(step: Prompt | Turn) -> Completion | None:
            return await endpoints[step.model].complete(step) if isinstance(step, Prompt) else None

        at_once = min(_MOST_AT_ONCE, sum(endpoint.limit for endpoint in endpoints.values()))
        return await run.work("generate", owed, hold, total=len(owed), at_once=at_once, done=before)


def _models(run: Run, pairing: str) -> tuple[str, str]:
    pair = run.study.vocabulary.pairings[pairing]
    return pair.first, pair.second


def _journal(run: Run) -> dict[str, tuple[Turn, ...]]:
    """The finished turns of every unfinished dialogue; where a turn was written twice, the first counts."""
    turns: dict[str, tuple[Turn, ...]] = {}
    for entry in run.turns.lines():
        if entry.id not in run.dialogues and entry.index == len(turns.get(entry.id, ())):
            turns[entry.id] = (*turns.get(entry.id, ()), entry.turn)
    return turns
