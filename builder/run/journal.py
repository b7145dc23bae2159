"""The journal: what models answered to prompts about an item that is not finished yet.

A dialogue is held, and a judge thinks, by sending completions to a generator. To go on after an interruption is to send the
same ones again, kept and rejected alike, until one is needed that nothing is known of.
Law of the file: an answer is written down before anybody looks at it, and of two answers of one checkpoint to one prompt the
first counts that is not refused.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

from builder.core.dialogue import Turn
from builder.core.prompt import Completion, Prompt
from builder.plugins.llm import Endpoint
from builder.records import Record, encode
from builder.run.ledger import Ledgers
from builder.run.served import Voice


class Answered(Record, omit_defaults=True):
    """A line of the journal."""

    id: str
    """Of the dialogue."""
    index: int
    """How many prompts about it were answered before, by those who held it or by one judge."""
    checkpoint: str
    """What the endpoint said that it serves."""
    prompt: str = ""
    """A digest of the whole prompt; empty in the journals of older versions."""
    text: str = ""
    finish_reason: Literal["stop", "length"] = "stop"
    thinking: str = ""
    model: str = ""
    """As in `Completion`, like the three before."""
    turn: Turn | None = None
    """In the journals of older versions, which hold kept replies alone: what became of one."""

    @property
    def completion(self) -> Completion:
        """The answer, without what it cost."""
        return Completion(
            text=self.text, finish_reason=self.finish_reason, thinking=self.thinking, model=self.model
        )


class Journal:
    """The answers about items that are not finished, and those that are added.

    Args:
        ledger: where they are kept.
        owed: whether an item is not finished, by its id.
        refused: whether what answered in a model's stead does not count, so that the prompt is sent again; at a strict site.
    """

    def __init__(
        self, ledger: Ledgers[Answered], owed: Callable[[str], bool], refused: Callable[[Voice], bool]
    ) -> None:
        self._ledger, self._refused = ledger, refused
        self._known: dict[str, dict[tuple[str, str], list[Completion]]] = {}
        self._formerly: dict[str, list[Answered]] = {}
        for part in ledger.all:
            for answered in part.lines():
                if not owed(answered.id):
                    continue
                if answered.turn is not None:
                    self._formerly.setdefault(answered.id, []).append(answered)
                else:
                    known = self._known.setdefault(answered.id, {})
                    known.setdefault((answered.prompt, answered.checkpoint), []).append(answered.completion)

    def __contains__(self, id: object) -> bool:
        """Whether anything was answered about an item."""
        return id in self._known or id in self._formerly

    async def ask(self, id: str, index: int, prompt: Prompt, endpoint: Endpoint) -> Completion:
        """What was answered to a prompt about an item; the endpoint is asked where nothing was.

        Raises:
            ItemError: as the endpoint does.
            BudgetError: as the endpoint does.
            OSError: the answer could not be written.
        """
        digest, checkpoint = _digest(prompt), endpoint.checkpoint
        answers = self._known.setdefault(id, {}).setdefault((digest, checkpoint), [])
        for known in answers:
            if not (known.model and self._refused(Voice(prompt.model, known.model))):
                return known
        answer = await endpoint.complete(prompt)
        entry = Answered(
            id=id,
            index=index,
            checkpoint=checkpoint,
            prompt=digest,
            text=answer.text,
            finish_reason=answer.finish_reason,
            thinking=answer.thinking,
            model=answer.model,
        )
        self._ledger.append(id, entry)
        answers.append(entry.completion)
        return answers[-1]

    def formerly(self, id: str, checkpoints: tuple[str, str]) -> tuple[Turn, ...]:
        """The turns that an older version journalled of a dialogue that it did not finish.

        Args:
            id: of the dialogue.
            checkpoints: of its two speakers; where others spoke, or it was begun more than once, it is held anew.
        """
        entries = sorted(self._formerly.get(id, ()), key=lambda entry: entry.index)
        for index, entry in enumerate(entries):
            if (entry.index, entry.checkpoint) != (index, checkpoints[index % 2]):
                return ()
        return tuple(entry.turn for entry in entries if entry.turn)

    def finish(self, id: str) -> None:
        """Lets go of what was answered about an item that needs it no more."""
        self._known.pop(id, None)
        self._formerly.pop(id, None)


def _digest(prompt: Prompt) -> str:
    told = encode((prompt.model, prompt.messages, prompt.decoding, prompt.seed, prompt.schema))
    return hashlib.blake2b(told, digest_size=8).hexdigest()
