"""What people say of a dialogue.

Law of the file: an annotator has one opinion of a dialogue, the latest; a score is a whole number on the judges' own scale.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from builder.core.scenario import parse_id
from builder.records import Record

Score = Annotated[int, msgspec.Meta(ge=1, le=5)]
"""From unusable (1) to without a flaw a reader would notice (5): the scale that the judges' rubric sets out."""


class Annotation(Record):
    """One annotator's opinion of one dialogue."""

    id: str
    """Of the dialogue. An id comes as often as it has annotators."""
    annotator: str
    """A pseudonym: it is published with the scores."""
    scores: dict[str, Score] = {}
    """By criterion. One that was not scored is left out."""
    emotions: tuple[str | None, ...] = ()
    """The emotion heard in every turn, in order, None where none was named. Empty where nobody was asked."""
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """How long the annotator took; None where it was not measured."""
    reason: str = ""

    def __post_init__(self) -> None:
        turns = parse_id(self.id).num_turns
        if not self.annotator.strip():
            raise ValueError(f"annotation of {self.id!r} names no annotator: give a pseudonym")
        if not self.scores and not any(self.emotions):
            raise ValueError(
                f"annotation of {self.id!r} by {self.annotator!r} is empty: give a score or an emotion"
            )
        if self.emotions and len(self.emotions) != turns:
            raise ValueError(
                f"annotation of {self.id!r} by {self.annotator!r} has emotions for {len(self.emotions)} turns of "
                f"{turns}: give one a turn, null where none was heard"
            )


def latest(annotations: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """The last annotation that each annotator gave of each dialogue; it replaces the earlier one whole.

    Args:
        annotations: in the order they were given.
    """
    return tuple({(one.id, one.annotator): one for one in annotations}.values())
