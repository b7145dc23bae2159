"""Verdicts, abstentions, and the rule that makes a decision of them.

Law of the file: a decision is computed from the votes and the rule, never stored; an abstention is not a vote.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Annotated, Literal, NamedTuple

import msgspec

from builder.core.checkpoint import alike, groups
from builder.core.values import Name, Weight
from builder.errors import nearest
from builder.records import Record


class Verdict(Record):
    """One judge's scores for one dialogue."""

    judge: str
    scores: dict[str, float]
    """By criterion, in the order in which a model was asked for them. A rule judge scores one criterion, its own name,
    1 (kept) or 0 (broken)."""
    reason: str = ""
    rubric: str = ""
    """What a model was told: the version of its rubric, if it has one, and a digest of rubric and criteria, such as
    `2 1f3a9c0d`. Empty for a rule, and for verdicts older than this field."""
    swapped: bool | None = None
    """Whether a model was shown LLM1 as B and LLM2 as A, and not the other way; None where that was not drawn."""
    turns: dict[str, tuple[int, ...]] = {}
    """The score of every turn, for the criteria that are scored turn by turn."""
    checkpoint: str = ""
    """What judged, as a row says what spoke. Empty for a rule, and for verdicts older than this field."""
    rehearsal: bool = False
    """Whether a stand-in judged. False for verdicts older than this field, too."""
    own: bool = False
    """Whether what judged also spoke in the dialogue. False for verdicts older than this field, too."""


class Abstention(Record):
    """A judge that gave no readable verdict, and why. It counts neither for nor against."""

    judge: str
    reason: str
    checkpoint: str = ""
    """As a verdict's; likewise the next two."""
    rehearsal: bool = False
    own: bool = False


class Review(Record):
    """Everything the judges said of one dialogue."""

    id: str
    verdicts: tuple[Verdict, ...]
    abstentions: tuple[Abstention, ...] = ()
    number: int = 0
    """Of all reviews of the dialogue, by whichever part: the highest is the latest."""


class Acceptance(Record):
    """The rule: a dialogue is accepted when it passes every criterion.

    A criterion without a threshold needs the score 1 from every judge that scored it: so do the rule judges. For the
    criteria with a threshold a judge's score of at least the threshold is a vote for the dialogue.
    """

    thresholds: dict[Name, Annotated[float, msgspec.Meta(ge=0, le=5)]] = {}
    rule: Literal["majority", "unanimous", "mean"] = "majority"
    """`majority`: more than half of the votes are for it. `unanimous`: all are. `mean`: the mean score reaches the
    threshold."""
    quorum: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1
    """With fewer votes on a criterion than this, abstentions leave the dialogue undecided on it."""
    weights: dict[Name, dict[Name, Weight] | Weight] = {}
    """By judge: how much its vote or score counts under `majority` and `mean`, such as its agreement with people; on every
    criterion, or by criterion. What is left out counts 1. With 0 it has no vote, under any rule."""
    own: Literal["count", "abstain"] = "count"
    """Whether a judge has a vote on a dialogue in which what judges also spoke: `abstain` gives it none, under any rule."""

    def __post_init__(self) -> None:
        for judge, weights in self.weights.items():
            for criterion in weights if isinstance(weights, dict) else ():
                if criterion not in self.thresholds:
                    raise ValueError(
                        f"weights.{judge} names the criterion {criterion!r}, which has no threshold: "
                        f"{nearest(criterion, self.thresholds)}"
                    )

    def hears(self, verdict: Verdict) -> bool:
        """Whether a verdict has a vote at all."""
        return self.own == "count" or not verdict.own

    def weight(self, judge: str, criterion: str) -> float:
        """How much a judge counts on a criterion."""
        weights = self.weights.get(judge, 1.0)
        return weights.get(criterion, 1.0) if isinstance(weights, dict) else weights


class Heard(NamedTuple):
    """What one that judged said of a dialogue, in one judge's words or in several judges'."""

    judges: tuple[str, ...]
    scores: Mapping[str, float]
    """By criterion the mean of what it gave."""
    turns: Mapping[str, tuple[float, ...]]
    """The same of every turn, for the criteria that are scored turn by turn."""


def heard(verdicts: Iterable[Verdict]) -> list[Heard]:
    """Puts the verdicts together that one checkpoint gave: judges that share one are one judge in different words."""
    by_judge = {verdict.judge: verdict for verdict in verdicts}
    together = groups(
        by_judge, lambda one, other: alike(by_judge[one].checkpoint, by_judge[other].checkpoint)
    )
    return [_merged([by_judge[name] for name in names]) for names in together]


def _merged(verdicts: list[Verdict]) -> Heard:
    scores: dict[str, list[float]] = defaultdict(list)
    turns: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for verdict in verdicts:
        for criterion, score in verdict.scores.items():
            scores[criterion].append(score)
        for criterion, given in verdict.turns.items():
            turns[criterion].append(given)
    return Heard(
        judges=tuple(verdict.judge for verdict in verdicts),
        scores={criterion: fmean(given) for criterion, given in scores.items()},
        turns={criterion: tuple(map(fmean, zip(*given, strict=False))) for criterion, given in turns.items()},
    )


class Decision(NamedTuple):
    """What the rule makes of a review."""

    outcome: Literal["accepted", "rejected", "undecided"]
    reasons: tuple[str, ...]
    """For a dialogue not accepted: the criteria that failed, or lack a quorum."""


def decide(review: Review, acceptance: Acceptance) -> Decision:
    """Applies the rule to the votes."""
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for verdict in review.verdicts:
        if acceptance.hears(verdict):
            for criterion, score in verdict.scores.items():
                weight = acceptance.weight(verdict.judge, criterion)
                if weight or criterion not in acceptance.thresholds:
                    scores[criterion].append((score, weight))
    short = [name for name in acceptance.thresholds if len(scores.get(name, ())) < acceptance.quorum]
    failed = [
        name for name, given in scores.items() if name not in short and not _passes(name, given, acceptance)
    ]
    if failed:
        return Decision("rejected", tuple(failed))
    return Decision("undecided", tuple(short)) if short else Decision("accepted", ())


def panel_score(review: Review, criterion: str, acceptance: Acceptance) -> float | None:
    """What the rule `mean` holds against the threshold of a criterion; None where no judge that counts scored it."""
    given = [
        (verdict.scores[criterion], weight)
        for verdict in review.verdicts
        if criterion in verdict.scores and acceptance.hears(verdict)
        if (weight := acceptance.weight(verdict.judge, criterion))
    ]
    return _mean(given) if given else None


def _passes(criterion: str, given: list[tuple[float, float]], acceptance: Acceptance) -> bool:
    """Whether the scores, each with the weight of its judge, pass."""
    threshold = acceptance.thresholds.get(criterion)
    if threshold is None:
        return min(score for score, _ in given) >= 1
    if acceptance.rule == "mean":
        return _mean(given) >= threshold
    votes = [(float(score >= threshold), weight) for score, weight in given]
    return all(vote for vote, _ in votes) if acceptance.rule == "unanimous" else _mean(votes) > 0.5


def _mean(given: list[tuple[float, float]]) -> float:
    """The weighted mean, to nine decimals, so that what is a tie on paper is one: 0.1 and 0.2 weigh as much as 0.3."""
    weights = math.fsum(weight for _, weight in given)
    return round(math.fsum(score * weight for score, weight in given) / weights, 9)
