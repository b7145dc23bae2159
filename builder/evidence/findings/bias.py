"""bias: whether judges score higher or lower by what was drawn at random and should mean nothing.

Law of the file: intervals are many, and how many of them would leave out 0 by chance stands beside those that do.
"""

from builder.core.bias import MIN_VERDICTS, Bias, Cause, bias
from builder.core.interval import Interval
from builder.evidence.findings import (
    Absent,
    Column,
    Evidence,
    Finding,
    Forest,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.evidence.panel import asked

ORDER = 64
_TITLE = "Do the judges lean?"
_CAUSES: dict[Cause, str] = {"swapped": "LLM1 is shown as B", "late": "the criterion stands late in the list"}


def find(evidence: Evidence) -> Finding | Absent:
    """Compares."""
    run = evidence.run
    if not evidence.judged.any():
        return Absent(title=_TITLE, reason=evidence.unjudged)
    if not asked(run):
        return Absent(title=_TITLE, reason="the study asks no model to judge, and rules do not lean")
    found = bias(run.reviews)
    if not found:
        reason = (
            f"no judge has {MIN_VERDICTS} verdicts with LLM1 shown as A and as many with LLM1 shown as B: "
            f"`deepdialogue judge --run {run.folder}` on more dialogues gives them"
        )
        return Absent(title=_TITLE, reason=reason)
    return Finding(
        title=_TITLE,
        says=_says(found),
        tables=(_table(found),),
        charts=tuple(
            _chart(place, judge, found)
            for place, judge in enumerate(dict.fromkeys(one.judge for one in found), 1)
        ),
    )


def _interval(one: Bias) -> Interval:
    return Interval(one.difference, one.low, one.high, sum(one.verdicts))


def _says(found: list[Bias]) -> str:
    seen = [one for one in found if one.is_seen]
    drawn = (
        "Which speaker is called A and which criterion comes first are drawn for every dialogue, so that a difference is the "
        f"judge's own. Of {len(found)} intervals {len(seen)} leave out 0, and {len(found) / 20:.1f} would by chance."
    )
    if not seen:
        return drawn
    most = max(seen, key=lambda one: abs(one.difference))
    return (
        f"{drawn} The largest: {most.judge} on {most.criterion} where {_CAUSES[most.cause]}, "
        f"{told(_interval(most), 'points', decimals=2)}."
    )


def _table(found: list[Bias]) -> Table:
    return Table(
        name="differences",
        title="Mean score with the cause less mean score without it",
        columns=(
            Column(name="judge"),
            Column(name="criterion"),
            Column(name="cause"),
            Column(name="verdicts with it"),
            Column(name="without"),
            *spread("difference", "points", 2),
            Column(name="leaves out 0"),
        ),
        rows=tuple(
            (
                one.judge,
                one.criterion,
                _CAUSES[one.cause],
                *one.verdicts,
                *cells(_interval(one)),
                "yes" if one.is_seen else "no",
            )
            for one in found
        ),
    )


def _chart(place: int, judge: str, found: list[Bias]) -> Forest:
    held = {(one.criterion, one.cause): _interval(one) for one in found if one.judge == judge}
    criteria = sorted({criterion for criterion, _ in held})
    nothing = Interval(None, None, None, 0)
    return Forest(
        name=f"judge_{place}",
        reference=0,
        title=f"What moves the scores of {judge}",
        axis="difference of mean scores (points)",
        labels=tuple(criteria),
        series=tuple(
            Series.of(words, (held.get((criterion, cause), nothing) for criterion in criteria))
            for cause, words in _CAUSES.items()
            if any(cause == seen for _, seen in held)
        ),
    )
