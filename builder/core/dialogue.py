"""Turns and the dialogues they make.

Law of the file: a dialogue that exists alternates its two speakers and matches its own id.
"""

import hashlib
from typing import Literal

from builder.core.scenario import parse_id
from builder.core.word import runs, words
from builder.records import Record

Speaker = Literal["LLM1", "LLM2"]
SPEAKERS: tuple[Speaker, Speaker] = ("LLM1", "LLM2")
"""The published names: LLM1 speaks the odd turns, LLM2 the even ones."""


class Turn(Record):
    """What one speaker says at once."""

    speaker: Speaker
    text: str
    emotion: str


class Dialogue(Record):
    """A finished dialogue."""

    id: str
    domain: str
    pairing: str
    first_checkpoint: str
    """What spoke as LLM1: `ORG/NAME` or `ORG/NAME@REVISION`, or the stand-in that did."""
    second_checkpoint: str
    rehearsal: bool
    """Whether a stand-in wrote the text: same schema, not training data."""
    turns: tuple[Turn, ...]
    timestamp: str | None = None
    """When a published dialogue says it was made, as it says it."""

    def __post_init__(self) -> None:
        name = parse_id(self.id)
        if (name.pairing, name.domain, name.num_turns) != (self.pairing, self.domain, len(self.turns)):
            raise ValueError(f"id {self.id!r} contradicts its own pairing, domain or number of turns")
        for position, turn in enumerate(self.turns):
            if turn.speaker != SPEAKERS[position % 2]:
                raise ValueError(
                    f"turn {position + 1} of {self.id!r} is spoken by {turn.speaker}, out of order"
                )


def fingerprint(dialogue: Dialogue) -> str:
    """32 hexadecimal digits that two dialogues share when they say the same words, turn by turn.

    Case, punctuation and white space are folded; ids, emotions and models do not count.
    """
    text = "\n".join(" ".join(words(turn.text)) for turn in dialogue.turns)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def shingles(dialogue: Dialogue, size: int) -> frozenset[str]:
    """Every run of `size` words (at least 1), over the turns' ends; all the words where there are no more than that.

    The similarity of two dialogues is the share of their shingles that both have (Broder, "On the resemblance and
    containment of documents", 1997). Words are folded as they are for a fingerprint.
    """
    said = [word for turn in dialogue.turns for word in words(turn.text)]
    return frozenset(map(" ".join, runs(said, size))) or frozenset([" ".join(said)])
