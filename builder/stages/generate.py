"""generate: two models hold every scenario.

Law of the file: the journal is the truth. A reply is asked for only if the journal lacks it, and dialogues that were begun go
before dialogues that were not, so that whatever stops the run, half a run is half the dialogues.
"""

from collections.abc import Container
from contextlib import AsyncExitStack

from builder.core.chat import Actor, conversation
from builder.core.prompt import Prompt
from builder.core.scenario import parse_id
from builder.errors import ConfigError
from builder.run.folder import Run
from builder.run.journal import Journal
from builder.run.work import Tally, work

_MOST_AT_ONCE = 4096
_TAIL = 4
"""So many times as many dialogues as are in flight make the end of a run."""


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
    mine = [id for id in run.scenarios.ids() if run.takes(id)]
    owed = [id for id in mine if id not in run.dialogues]
    before = len(mine) - len(owed)
    if not owed:
        return Tally(skipped=before)
    journal = Journal(
        run.turns, lambda id: id not in run.dialogues and run.takes(id), run.plugins.served.refuses
    )

    pairings = {run.scenarios[id].pairing for id in owed}
    models = {model for name in pairings for model in _models(run, name)}
    run.pin.rehearse("text", any(run.plugins.rehearses(model) for model in models))
    async with AsyncExitStack() as opened:
        endpoints = await run.plugins.endpoints(models, opened)

        actors = {
            model: Actor(
                model=model,
                checkpoint=endpoint.checkpoint,
                rehearsal=run.plugins.rehearses(model),
                system_role=study.vocabulary.models[model].system_role,
            )
            for model, endpoint in endpoints.items()
        }
        casts = {
            name: (actors[first], actors[second])
            for name in pairings
            for first, second in [_models(run, name)]
        }

        async def hold(id: str) -> None:
            scenario = run.scenarios[id]
            cast = casts[scenario.pairing]
            domain = study.vocabulary.domains[scenario.domain]
            turns = journal.formerly(id, (cast[0].checkpoint, cast[1].checkpoint))
            rounds = run.failures.rounds_of(id)
            talk = conversation(scenario, domain, script, cast, study.seed, turns, rounds=rounds)
            index, answer = len(turns), None
            while True:
                try:
                    step = talk.send(answer)
                except StopIteration as end:
                    run.dialogues.append(id, end.value)
                    journal.finish(id)
                    return
                answer = None
                if isinstance(step, Prompt):
                    answer = await journal.ask(id, index, step, endpoints[step.model])
                    index += 1

        # Twice as many dialogues as places: while some wait for the busiest endpoint, others keep the rest busy.
        at_once = min(_MOST_AT_ONCE, 2 * sum(endpoint.limit for endpoint in endpoints.values()))
        owed = _ordered(owed, journal, at_once)
        return await work(run, "generate", owed, hold, total=len(owed), at_once=at_once, done=before)


def _ordered(owed: list[str], begun: Container[str], at_once: int) -> list[str]:
    """Those begun first, the rest as planned, the shortest last and among them the longest first.

    So half a run is half the dialogues, and at its end no endpoint waits for a long dialogue that began late.
    """
    length = {id: parse_id(id).num_turns for id in owed}
    last = set(sorted(owed, key=length.__getitem__)[: _TAIL * at_once])
    return sorted(owed, key=lambda id: (id not in begun, id in last, -length[id] if id in last else 0))


def _models(run: Run, pairing: str) -> tuple[str, str]:
    pair = run.study.vocabulary.pairings[pairing]
    return pair.first, pair.second
