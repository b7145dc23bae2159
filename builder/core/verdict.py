"""Verdicts, abstentions, and the rule that makes a decision of them.

Law of the file: a decision is computed from the votes and the rule, never stored; an abstention is not a vote.
"""

from collections import defaultdict
from typing import Annotated, Literal, NamedTuple

import msgspec

from builder.records import Record


class Verdict(Record):
    """One judge's scores for one dialogue."""

    judge: str
    scores: dict[str, float]
    """By criterion. A rule judge scores one criterion, its own name, 1 (kept) or 0 (broken)."""
    reason: str = ""


class Abstention(Record):
    """A judge that gave no readable verdict, and why. It counts neither for nor against."""

    judge: str
    reason: str


class Review(Record):
    """Everything the judges said of one dialogue."""

    id: str
    verdicts: tuple[Verdict, ...]
    abstentions: tuple[Abstention, ...] = ()


class Acceptance(Record):
    """The rule: a dialogue is accepted when it passes every criterion.

    A criterion without a threshold needs the score 1 from every judge that scored it: so do the rule judges. For the
    criteria with a threshold a judge's score of at least the threshold is a vote for the dialogue.
    """

    thresholds: dict[str, float] = {}
    rule: Literal["majority", "unanimous", "mean"] = "majority"
    """`majority`: more than half of the votes are for it. `unanimous`: all are. `mean`: the mean score reaches the
    threshold."""
    quorum: Annotated[int, msgspec.Meta(ge=0)] = 1
    """With fewer votes on a criterion than this, abstentions leave the dialogue undecided on it."""


class Decision(NamedTuple):
    """What the rule makes of a review."""

    outcome: Literal["accepted", "rejected", "undecided"]
    reasons: tuple[str, ...]
    """For a dialogue not accepted: the criteria that failed, or lack a quorum."""


def decide(review: Review, acceptance: Acceptance) -> Decision:
    """Applies the rule to the votes."""
    scores: dict[str, list[float]] = defaultdict(list)
    for verdict in review.verdicts:
        for criterion, score in verdict.scores.items():
            scores[criterion].append(score)
    short = [name for name in acceptance.thresholds if len(scores.get(name, ())) < acceptance.quorum]
    failed = [
        name for name, given in scores.items() if name not in short and not _passes(name, given, acceptance)
    ]
    if failed:
        return Decision("rejected", tuple(failed))
    return Decision("undecided", tuple(short)) if short else Decision("accepted", ())


def _passes(criterion: str, scores: list[float], acceptance: Acceptance) -> bool:
    threshold = acceptance.thresholds.get(criterion)
    if threshold is None:
        return min(scores) >= 1
    if acceptance.rule == "mean":
        return sum(scores) / len(scores) >= threshold
    votes = sum(score >= threshold for score in scores)
    return votes == len(scores) if acceptance.rule == "unanimous" else 2 * votes > len(scores)
