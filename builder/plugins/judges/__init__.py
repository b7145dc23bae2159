"""Judges: who marks a dialogue. The folder is the registry: one file, one `Judge` record.

    [judges.repetition]         # in a study; the table's name is the file, unless `judge` names another
    max_share = 0.3             # the record's fields are its settings

Law of the folder: like a conversation, a judge is a generator: it yields prompts, is sent completions, and returns a verdict
or abstains. It opens no socket. What a dialogue says is data to it, never an instruction.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import NamedTuple

from builder.core.dialogue import Dialogue
from builder.core.prompt import Completion, Prompt
from builder.core.verdict import Abstention, Verdict
from builder.core.vocabulary import Vocabulary
from builder.records import Record


class Twin(NamedTuple):
    """An earlier dialogue that says much the same."""

    id: str
    similarity: float
    """In (0, 1]: 1 is all the same."""


class Context(Record):
    """What a judge may know beside the dialogue."""

    name: str
    """The judge's own name in the study."""
    seed: int
    vocabulary: Vocabulary
    twins: Mapping[str, Twin]
    """By the id of a dialogue that has one, as the judge itself found them."""


class Judge(Record):
    """The settings of a judge."""

    def models(self) -> tuple[str, ...]:
        """The models it asks, by their names in the vocabulary; none for a rule."""
        return ()

    def scales(self, name: str) -> dict[str, tuple[float, float]]:
        """What a judge of that name scores: by criterion, the least and the most."""
        return {name: (0.0, 1.0)}

    def twins(self, ids: Iterable[str], dialogue: Callable[[str], Dialogue]) -> Mapping[str, Twin]:
        """What it must know of all the dialogues together before it marks one; nothing for most.

        A dialogue held later may add a twin or put an earlier one in its place, and must never take one away: that is
        why a dialogue once rejected for its twin need not be judged anew.
        """
        return {}

    def judge(
        self, dialogue: Dialogue, context: Context
    ) -> Generator[Prompt, Completion, Verdict | Abstention]:
        """Marks one dialogue: yields a prompt, is sent its completion, returns what it thinks."""
        raise TypeError(f"{type(self).__name__} does not say how to judge")


class Rule(Judge):
    """A judge that needs no model: it finds a fault or it does not."""

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:
        """What is wrong with the dialogue, in a few words; None if nothing is."""
        raise TypeError(f"{type(self).__name__} does not say what a fault is")

    def judge(
        self, dialogue: Dialogue, context: Context
    ) -> Generator[Prompt, Completion, Verdict | Abstention]:
        """Scores the criterion of its own name 1 where there is no fault, else 0."""
        reason = self.fault(dialogue, context)
        return Verdict(judge=context.name, scores={context.name: 0.0 if reason else 1.0}, reason=reason or "")
        yield  # a generator, though a rule asks nobody
