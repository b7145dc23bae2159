"""pairings: whether two different models hold better dialogues than one with itself, given how good each of them is.

A mean over cross-model pairings says nothing of that by itself: good models may simply have the more cross-model pairings. So a
logistic regression gives every model a strength, which counts once for each speaker it is, twice where it talks to itself, and
asks what being different adds: logit P(accepted) = s(first) + s(second) + b turns + c cross.
Law of the file: the adjusted number and the raw one stand side by side, and where the first has no finite estimate it is said.
"""

import math

import numpy as np
from numpy.typing import NDArray

from builder.core.interval import Interval, share
from builder.evidence.findings import (
    OUTCOMES,
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
from builder.evidence.findings._logistic import Fit, fit

ORDER = 30
_TITLE = "Two models against one with itself"


def find(evidence: Evidence) -> Finding | Absent:
    """Fits."""
    held, vocabulary, judged = evidence.held, evidence.vocabulary, evidence.judged
    if not judged.any():
        return Absent(title=_TITLE, reason=evidence.unjudged)
    pairs = np.array(
        [
            [list(vocabulary.models).index(model) for model in (pair.first, pair.second)]
            for pair in vocabulary.pairings.values()
        ]
    )
    pairing = held.pairing[judged]
    speakers = pairs[pairing]
    cross = speakers[:, 0] != speakers[:, 1]
    accepted = held.outcome[judged] == OUTCOMES.index("accepted")
    if cross.all() or not cross.any():
        only = "two different models" if cross.all() else "one model with itself"
        return Absent(
            title=_TITLE,
            reason=f"all {len(cross):,} dialogues judged are of {only}, and there is nothing to compare",
        )
    cells_of = pairing.astype(np.int64) * len(vocabulary.domains) + held.domain[judged]
    adjusted = cross_effect(tuple(vocabulary.models), speakers, held.num_turns[judged], accepted, cells_of)
    raw = fit(("constant", "cross"), np.column_stack([np.ones(len(cross)), cross]), accepted, cells_of)
    different, same = (share(int(accepted[which].sum()), int(which.sum())) for which in (cross, ~cross))
    return Finding(
        title=_TITLE,
        says=_says(different, same, adjusted),
        tables=_tables(different, same, raw, adjusted, list(vocabulary.models)[speakers.min()]),
        charts=_charts(raw, adjusted),
    )


def cross_effect(
    models: tuple[str, ...],
    speakers: NDArray[np.integer],
    num_turns: NDArray[np.integer],
    accepted: NDArray[np.bool_],
    cluster: NDArray[np.integer],
) -> Fit | str:
    """The odds ratio `cross` of two different models against one with itself, and those of strengths and of one more turn.

    Args:
        models: their names; the first that speaks is the reference of the strengths.
        speakers: the places of the two models, of shape (dialogues, 2).
        num_turns: of shape (dialogues,), as the next two.
        accepted: whether the judges did.
        cluster: the cell a dialogue belongs to.

    Returns:
        Or why it cannot be fitted, as a clause.
    """
    spoke = [place for place in range(len(models)) if (speakers == place).any()]
    strength = [(speakers == place).sum(axis=1) for place in spoke[1:]]
    cross = speakers[:, 0] != speakers[:, 1]
    # Turns are counted from their mean, so that no column is large beside another.
    design = np.column_stack([np.ones(len(cross)), cross, num_turns - num_turns.mean(), *strength])
    terms = ("constant", "cross", "one more turn", *(f"strength of {models[place]}" for place in spoke[1:]))
    if len(np.unique(num_turns)) == 1:
        design, terms = np.delete(design, 2, axis=1), terms[:2] + terms[3:]
    return fit(terms, design, accepted, cluster)


def difference(one: Interval, other: Interval) -> Interval:
    """The difference of two shares with its 95 % interval.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    if one.value is None or other.value is None:
        return Interval(None, None, None, 0)
    (p, low, high), (q, its_low, its_high) = (
        (each.value or 0.0, each.low or 0.0, each.high or 0.0) for each in (one, other)
    )
    return Interval(
        p - q,
        p - q - math.hypot(p - low, its_high - q),
        p - q + math.hypot(high - p, q - its_low),
        one.items + other.items,
    )


def _says(different: Interval, same: Interval, adjusted: Fit | str) -> str:
    raw = (
        f"Of dialogues between two different models {told(different, '%', 100)} are accepted, of those of one model with itself "
        f"{told(same, '%', 100)}: a raw difference of {told(difference(different, same), 'points', 100)}."
    )
    if isinstance(adjusted, str):
        return (
            f"{raw} With the strength of both models taken into account there is no number, for {adjusted}."
        )
    odds = adjusted.ratios["cross"]
    verdict = "no difference is shown"
    if odds.low is not None and odds.low > 1:
        verdict = "two different models are accepted more often than their strengths explain"
    elif odds.high is not None and odds.high < 1:
        verdict = "two different models are accepted less often than their strengths explain"
    return (
        f"{raw} With both models' strength and the number of turns taken into account the odds of two different models are "
        f"{told(odds, 'times', decimals=2)} those of one with itself: {verdict}. The interval takes the {adjusted.clusters} "
        f"cells of a pairing and a domain as independent."
    )


def _tables(
    different: Interval, same: Interval, raw: Fit | str, adjusted: Fit | str, reference: str
) -> tuple[Table, ...]:
    shares = Table(
        name="shares",
        title="As counted",
        columns=(Column(name="dialogues of"), Column(name="judged"), *spread("accepted", "%")),
        rows=(
            ("two different models", different.items, *cells(different, 100)),
            ("one model with itself", same.items, *cells(same, 100)),
            ("difference, in points", different.items + same.items, *cells(difference(different, same), 100)),
        ),
    )
    odds = Table(
        name="odds",
        title=f"Odds ratios: of two different models, of one more turn, of a model as one speaker in place of {reference}",
        columns=(
            Column(name="model"),
            Column(name="term"),
            Column(name="dialogues"),
            *spread("odds ratio", "", 2),
        ),
        rows=tuple(
            (name, term, ratio.items, *cells(ratio))
            for name, fitted in (("raw", raw), ("adjusted", adjusted))
            if isinstance(fitted, Fit)
            for term, ratio in fitted.ratios.items()
            if term != "constant"
        ),
    )
    return (shares, odds) if odds.rows else (shares,)


def _charts(raw: Fit | str, adjusted: Fit | str) -> tuple[Forest, ...]:
    fitted = {
        name: fit.ratios["cross"]
        for name, fit in (("as counted", raw), ("strengths and turns taken into account", adjusted))
        if isinstance(fit, Fit)
    }
    if not fitted:
        return ()
    return (
        Forest(
            name="cross",
            title="Two different models against one with itself",
            axis="odds ratio of being accepted",
            labels=tuple(fitted),
            series=(Series.of("odds ratio", fitted.values()),),
            reference=1,
            logarithmic=True,
        ),
    )
