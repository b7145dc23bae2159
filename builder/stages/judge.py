"""judge: rules and models mark every dialogue.

Rules go first, and what they reject is not sent to the models: a panel of judges costs half as much as generating did.
Law of the file: votes are recorded, decisions are not; a judge that cannot be read abstains; what is rejected stays.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack

import msgspec
from msgspec.structs import replace

from builder.core.checkpoint import joined
from builder.core.dialogue import Dialogue
from builder.core.verdict import Abstention, Review, Verdict, decide
from builder.errors import RunError
from builder.plugins.judges import Context, Judge, Twin
from builder.plugins.llm import Endpoint
from builder.run.folder import Run
from builder.run.journal import Journal
from builder.run.served import Voice
from builder.run.work import Tally, work

_DIALOGUES_PER_ENDPOINT = 64

TWINS = "twins.json"
"""Twins found over all dialogues, by judge, in a folder that holds only a part of them."""


async def judge(run: Run) -> Tally:
    """Reviews every dialogue that has no review, and again those that have a twin now and had none then.

    Raises:
        ConfigError: the site does not serve a judge's model.
        EndpointError: a judge's model cannot be reached.
    """
    judges = run.plugins.judges()
    mine = [id for id in run.dialogues.ids() if run.takes(id)]
    owed = [id for id in mine if id not in run.reviews] if judges else []
    # Of a run in parts each part saw the dialogues that were there when it was judged, so that twins may be unsaid.
    alone = run.part is None and len(run.reviews.all) == 1
    if not judges or (alone and not owed):
        return Tally(skipped=len(run.reviews))
    rules = {name: one for name, one in judges.items() if not one.models()}
    panel = {name: one for name, one in judges.items() if one.models()}
    contexts = {
        # In a thread, so that generating goes on meanwhile.
        name: Context(
            name=name,
            seed=run.study.seed,
            vocabulary=run.study.vocabulary,
            twins=await asyncio.to_thread(twins_of, run, name, one),
        )
        for name, one in judges.items()
    }

    async def rule(dialogue: Dialogue) -> list[Verdict | Abstention]:
        return [await _vote(one, dialogue, contexts[name], {}, run.votes, []) for name, one in rules.items()]

    # First, so that an interruption cannot leave a dialogue and its newer twin both accepted.
    twins = sorted({id for context in contexts.values() for id in context.twins if id in run.reviews})
    late = [id for id in twins if run.takes(id) and _differs(run.reviews[id], await rule(run.dialogues[id]))]
    owed = late + owed
    before = len(mine) - len(owed)
    if not owed:
        return Tally(skipped=before)
    models = {model for one in panel.values() for model in one.models()}
    if models:
        run.pin.rehearse("judges", any(run.plugins.rehearses(model) for model in models))
    async with AsyncExitStack() as opened:
        endpoints = await run.plugins.endpoints(models, opened)

        async def review(id: str) -> None:
            dialogue = run.dialogues[id]
            votes = await rule(dialogue)
            so_far = _review(id, votes, 0)
            if decide(so_far, run.study.acceptance).outcome != "rejected":
                asked = (_heard(run, one, dialogue, contexts[name], endpoints) for name, one in panel.items())
                votes += await asyncio.gather(*asked)
            former = run.reviews.get(id)
            run.reviews.append(id, _review(id, votes, former.number + 1 if former else 0))
            run.votes.finish(id)

        at_once = _DIALOGUES_PER_ENDPOINT * max(1, len(endpoints))
        return await work(run, "judge", owed, review, total=len(owed), at_once=at_once, done=before)


async def _heard(
    run: Run, judge: Judge, dialogue: Dialogue, context: Context, endpoints: dict[str, Endpoint]
) -> Verdict | Abstention:
    """What a model thinks, with what judged, and whether that also spoke."""
    judged: list[Voice] = []
    vote = await _vote(judge, dialogue, context, endpoints, run.votes, judged)
    pair = run.study.vocabulary.pairings[dialogue.pairing]
    spoke = Voice(pair.first, dialogue.first_checkpoint), Voice(pair.second, dialogue.second_checkpoint)
    return replace(
        vote,
        checkpoint=joined(voice.checkpoint for voice in judged),
        rehearsal=any(run.plugins.served.is_rehearsed(voice.model) for voice in judged),
        own=any(run.plugins.served.is_one(judge, speaker) for judge in set(judged) for speaker in spoke),
    )


async def _vote(
    judge: Judge,
    dialogue: Dialogue,
    context: Context,
    endpoints: dict[str, Endpoint],
    journal: Journal,
    judged: list[Voice],
) -> Verdict | Abstention:
    """What a judge thinks; what answered it is put with `judged`."""
    thought = judge.judge(dialogue, context)
    index = 0
    try:
        prompt = next(thought)
        while True:
            answer = await journal.ask(dialogue.id, index, prompt, endpoints[prompt.model])
            judged.append(Voice(prompt.model, answer.model or endpoints[prompt.model].checkpoint))
            prompt, index = thought.send(answer), index + 1
    except StopIteration as end:
        vote: Verdict | Abstention = end.value
        return vote


def _review(id: str, votes: Iterable[Verdict | Abstention], number: int) -> Review:
    votes = list(votes)
    return Review(
        id=id,
        verdicts=tuple(vote for vote in votes if isinstance(vote, Verdict)),
        abstentions=tuple(vote for vote in votes if isinstance(vote, Abstention)),
        number=number,
    )


def _differs(review: Review, votes: list[Verdict | Abstention]) -> bool:
    return any(vote not in review.verdicts for vote in votes)


def twins_of(run: Run, name: str, judge: Judge) -> Mapping[str, Twin]:
    """What a judge must know of all dialogues together; found beforehand where the folder holds only a part of them.

    Args:
        run: that the dialogues are of.
        name: of the judge.
        judge: itself.

    Raises:
        RunError: what was found cannot be read.
    """
    path = run.folder / TWINS
    if not path.exists():
        return judge.twins(run.dialogues.ids(), run.dialogues.__getitem__)
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Twin]]).get(name, {})
    except ValueError as error:
        raise RunError(f"{path}: not the twins of a run: {error}: take it out, and run judge again") from None
