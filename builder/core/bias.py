"""Bias of the judges: whether what is drawn for each dialogue, and should mean nothing, moves a judge's scores.

Two things are drawn: which speaker is called A, and with which criterion the list of criteria begins. The draw knows nothing
of what a dialogue says, so that a difference beyond its interval is the judge's own.
Law of the file: it looks at recorded verdicts only, and where there are too few of them nothing is said.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from builder.core.interval import Z_95
from builder.core.verdict import Review, Verdict

MIN_VERDICTS = 20
"""In either group; of fewer the interval, which is normal, would be too short."""

Cause = Literal["swapped", "late"]


class Bias(NamedTuple):
    """How far a judge's mean score on a criterion moves with what should mean nothing."""

    judge: str
    criterion: str
    cause: Cause
    """`swapped`: LLM1 is shown as B, and not as A. `late`: the criterion stands in the second half of the list, and not in
    the first; the middle of an odd number is in neither."""
    difference: float
    """Mean score with the cause less mean score without, in points of the scale."""
    low: float
    """Of the 95 % interval (Welch's standard error). Of twenty intervals without any bias one leaves out 0 by chance."""
    high: float
    verdicts: tuple[int, int]
    """With the cause, and without."""

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high


def bias(reviews: Iterable[Review]) -> list[Bias]:
    """Compares, for every judge and criterion, the scores with and without each cause.

    Args:
        reviews: looked at one at a time. Verdicts of rules, and those older than the draw, do not count.

    Returns:
        By judge, criterion and cause; none where either group has fewer than `MIN_VERDICTS`.
    """
    groups: defaultdict[tuple[str, str, Cause], tuple[Counter[float], Counter[float]]] = defaultdict(
        lambda: (Counter(), Counter())
    )
    for review in reviews:
        for verdict in review.verdicts:
            for criterion, score, cause, present in _observed(verdict):
                groups[verdict.judge, criterion, cause][not present][score] += 1
    return [
        _compared(*key, *pair)
        for key, pair in sorted(groups.items())
        if min(group.total() for group in pair) >= MIN_VERDICTS
    ]


def _observed(verdict: Verdict) -> Iterator[tuple[str, float, Cause, bool]]:
    if verdict.swapped is None:
        return
    for place, (criterion, score) in enumerate(verdict.scores.items()):
        yield criterion, score, "swapped", verdict.swapped
        beyond_middle = 2 * place - (len(verdict.scores) - 1)
        if beyond_middle:
            yield criterion, score, "late", beyond_middle > 0


def _compared(
    judge: str, criterion: str, cause: Cause, present: Counter[float], absent: Counter[float]
) -> Bias:
    (mean, variance), (other, its_variance) = _moments(present), _moments(absent)
    counts = present.total(), absent.total()
    error = Z_95 * math.sqrt(variance / counts[0] + its_variance / counts[1])
    difference = mean - other
    return Bias(judge, criterion, cause, difference, difference - error, difference + error, counts)


def _moments(scores: Counter[float]) -> tuple[float, float]:
    """The mean and the variance of at least two scores."""
    mean = math.fsum(score * count for score, count in scores.items()) / scores.total()
    squares = math.fsum(count * (score - mean) ** 2 for score, count in scores.items())
    return mean, squares / (scores.total() - 1)
