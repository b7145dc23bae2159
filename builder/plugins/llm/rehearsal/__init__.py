"""A stand-in for a language model, built in: it chats and judges from the prompt alone, on any machine.

    [models.llama3-8B]          # in a site
    backend = "rehearsal"
    misbehaviour = 0            # 1 misbehaves as often as said below, 0 never

With `misbehaviour = 1` three replies of a hundred break a rule of replies, six dialogues of a hundred go wrong in
what they say, and two judgements of a hundred cannot be read: so every path of a run is rehearsed.
Law of the file: the same messages and seed give the same completion, in any order and on any machine.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

from builder.core.checkpoint import STAND_IN
from builder.core.draw import Draw
from builder.core.part import Part
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.plugins.llm import Backend, Endpoint
from builder.plugins.llm.rehearsal import marking, talk
from builder.plugins.llm.rehearsal.lines import ELSEWHERE, manners, subjects

FinishReason = Literal["stop", "length"]

BROKEN_REPLIES = 0.03
"""Share of replies that break a rule; a new seed usually heals it."""
LOST_DIALOGUES = 0.06
"""Share of dialogues that go wrong in what they say; their first turn decides, so both speakers agree."""
UNREADABLE_MARKS = 0.02
"""Share of judgements that are no JSON object."""


class Rehearsal(Backend):
    """Writes lines and marks that read like a model's, and are not training data."""

    rehearsal: ClassVar[bool] = True

    misbehaviour: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 1.0
    """Multiplies the three shares above."""
    latency_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    """How long each completion takes, in seconds, to rehearse a schedule."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    """Prompts it takes at once."""

    def among(self, place: Part) -> Self:
        """As the server would that it stands in for."""
        return msgspec.structs.replace(self, limit=place.of(self.limit))

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Is ready at once, whatever model it stands in for."""
        yield _Stage(self)


class _Stage:
    """An opened rehearsal."""

    checkpoint = STAND_IN
    names: frozenset[str] = frozenset()

    def __init__(self, settings: Rehearsal) -> None:
        self.limit = settings.limit
        self._settings = settings

    async def complete(self, prompt: Prompt) -> Completion:
        """Answers from the prompt alone; a token is counted as three quarters of a word."""
        if self._settings.latency_s:
            await asyncio.sleep(self._settings.latency_s)
        draw = Draw(prompt.seed, *(f"{message.role}: {message.content}" for message in prompt.messages))
        misbehaviour = self._settings.misbehaviour
        if prompt.schema is None:
            text, finish_reason = _reply(prompt, draw, misbehaviour)
        else:
            text, finish_reason = _judgement(prompt, prompt.schema, draw, misbehaviour)
        words = text.split()
        most = prompt.decoding.max_tokens * 3 // 4
        if len(words) > most:
            text, finish_reason = " ".join(words[:most]), "length"
        return Completion(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=_tokens(" ".join(message.content for message in prompt.messages)),
            completion_tokens=_tokens(text),
        )


def _tokens(text: str) -> int:
    return math.ceil(len(text.split()) * 4 / 3)


def _reply(prompt: Prompt, draw: Draw, misbehaviour: float) -> tuple[str, FinishReason]:
    scene = talk.read(prompt)
    breaks = draw.uniform() < BROKEN_REPLIES * misbehaviour
    line = _lost(scene, draw, misbehaviour) or talk.say(scene, draw)
    return _broken(line, scene, draw) if breaks else (line, "stop")


def _broken(line: str, scene: talk.Scene, draw: Draw) -> tuple[str, FinishReason]:
    """The line, with one of the rules of a reply broken."""
    faults = manners().faults
    match draw.choice(("empty", "cut off", "role label", "stage direction", "too long", "refusal")):
        case "empty":
            return "", "stop"
        case "cut off":
            words = line.split()
            return " ".join(words[: len(words) // 2 + 1]), "length"
        case "role label":
            return draw.choice(faults.label) + line, "stop"
        case "stage direction":
            return draw.choice(faults.stage) + line, "stop"
        case "refusal":
            return draw.choice(faults.refusal), "stop"
        case _:
            while len(line.split()) <= 60:
                line += " " + talk.say(scene, draw)
            return line, "stop"


def _lost(scene: talk.Scene, draw: Draw, misbehaviour: float) -> str | None:
    """The line of a dialogue that goes wrong in what it says; None where this turn is a good one."""
    if not scene.turns:
        return None
    fate = Draw(0, "lost", scene.turns[0])
    if fate.uniform() >= LOST_DIALOGUES * misbehaviour:
        return None
    faults = manners().faults
    position = len(scene.turns)
    match fate.choice(("repeats", "generic", "drifts", "foreign")):
        case "repeats":
            return scene.turns[position - 2] if position >= 2 else None
        case "generic":
            return draw.choice(faults.generic)
        case "drifts":
            others = sorted(subjects().keys() - {scene.domain, ELSEWHERE})
            return talk.say(scene._replace(domain=fate.choice(others)), draw)
        case _:
            return draw.choice(faults.foreign) if position == 1 + fate.index(2) else None


def _judgement(
    prompt: Prompt, schema: dict[str, Any], draw: Draw, misbehaviour: float
) -> tuple[str, FinishReason]:
    answer = json.dumps(marking.mark(prompt.messages[-1].content, schema, prompt.seed), ensure_ascii=False)
    if draw.uniform() >= UNREADABLE_MARKS * misbehaviour:
        return answer, "stop"
    if draw.uniform() < 0.5:
        return draw.choice(manners().faults.unreadable), "stop"
    return answer[: len(answer) // 2], "length"
