"""What the catalogue asks of a source: its dialogues one after the other, and all there is to know of one.

Law of the file: one method, one question; what only one kind of source can answer has an empty answer, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from builder.core.annotation import Annotation
from builder.core.row import Row
from builder.core.verdict import Acceptance, Review
from builder.run.failures import Failure

Outcome = Literal["accepted", "rejected", "undecided", "not judged", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""What became of a dialogue. `failed` was never finished, and is owed again; a packaged dialogue was accepted."""


class Entry(NamedTuple):
    """What the index keeps of a dialogue, beside what its id says."""

    id: str
    split: str
    emotions: Iterable[str]
    outcome: Outcome
    score: float
    """NaN where there is none."""


class Source(Protocol):
    """One kind of source. A position is a dialogue's place in `entries`."""

    title: str
    """What it is."""
    acceptance: Acceptance | None
    configs: tuple[str, ...]
    """Those with sound."""
    total: int
    """How many entries there are."""

    def entries(self) -> Iterator[Entry]:
        """Every dialogue, finished or lost, once; asked for once, before all the rest."""
        ...

    def spoken(self, config: str, positions: Mapping[str, int]) -> NDArray[np.bool_]:
        """Which dialogues have a recording in a config, of shape (entries,); asked for once, before rows and clips of it."""
        ...

    def row(self, id: str, position: int, config: str | None) -> Row | None:
        """As in the dataset config, or in that of the text, labels as names, without `audio`; None where it was lost."""
        ...

    def emotions(self, id: str, row: Row | None) -> tuple[str, ...]:
        """Of every turn, also of one that was never spoken."""
        ...

    def review(self, id: str, row: Row | None) -> Review | None:
        """What the judges said."""
        ...

    def failures(self, id: str) -> tuple[tuple[str, Failure], ...]:
        """What went wrong and was not done since, each with the work it went wrong in."""
        ...

    def annotations(self, id: str) -> tuple[Annotation, ...]:
        """What people said."""
        ...

    def clip(self, id: str, position: int, config: str, turn: int) -> bytes:
        """The FLAC of a turn, from 1."""
        ...

    def texts(self, positions: NDArray[np.int64]) -> Iterator[tuple[int, list[str]]]:
        """The turns' texts of the finished ones among these dialogues, whose positions ascend."""
        ...


def mean(scores: Iterable[tuple[str, str, float]]) -> float:
    """The mean of what models gave; a rule's criterion has the name of the rule."""
    given = [score for judge, criterion, score in scores if judge != criterion]
    return fmean(given) if given else np.nan
