"""calibration: how far every judge decides as people do, and how far the panel does.

Law of the file: what is chosen on one half of the annotated dialogues is reported on the other.
"""

from collections import Counter
from collections.abc import Mapping

from builder.core.agreement import Calibration, Confusion
from builder.core.interval import Interval
from builder.evidence.findings import (
    Absent,
    Cell,
    Column,
    Evidence,
    Finding,
    Forest,
    Heat,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.evidence.findings._people import said
from builder.evidence.panel import PASSING, Calibrated, calibration, interval

ORDER = 62
_TITLE = "Judges against people"
_PANEL = "panel, weighted"
_SCALE = (1, 2, 3, 4, 5)


def find(evidence: Evidence) -> Finding | Absent:
    """Holds them against each other."""
    run = evidence.run
    found = calibration(run, said(evidence))
    if found is None or not found.judges:
        reason = (
            f"nobody scored a dialogue that models judged: `deepdialogue annotate {run.folder}` asks people"
        )
        return Absent(title=_TITLE, reason=reason)
    rows = {name: dict(judges) for name, judges in found.judges.items() if judges}
    for name, one in found.panel.items():
        rows.setdefault(name, {})[_PANEL] = one
    return Finding(
        title=_TITLE,
        says=_says(found),
        tables=(_kappas(rows), _confusions(found.judges)),
        charts=(*_forest(rows), *_heats(found.judges)),
    )


def _says(found: Calibrated) -> str:
    in_force, suggested = interval(found.in_force), interval(found.by_suggested)
    says = (
        f"{found.annotators} annotators scored {found.dialogues:,} judged dialogues, and pass what they score {PASSING:g} on "
        "every criterion. In the half that no threshold is chosen on, the panel's decisions agree with theirs by Cohen's kappa "
        f"{told(in_force, decimals=2)}; by the rule that `decide --calibrate` suggests, {told(suggested, decimals=2)}."
    )
    if found.accepted_only:
        says += " All of these dialogues were accepted: they say nothing of what the panel wrongly rejects."
    return says


def _kappas(rows: Mapping[str, Mapping[str, Calibration]]) -> Table:
    return Table(
        name="kappas",
        title="Agreement of scores, and of votes in the half that no threshold is chosen on",
        columns=(
            Column(name="criterion"),
            Column(name="judge"),
            Column(name="dialogues"),
            *spread("weighted kappa of scores", "", 2),
            Column(name="threshold", unit="1 to 5"),
            Column(name="held-out dialogues"),
            *spread("kappa of votes", "", 2),
            Column(name="note"),
        ),
        rows=tuple(
            (
                criterion,
                judge,
                one.kappa.items,
                *cells(_of_scores(judge, one)),
                one.threshold,
                one.held_out.items,
                *cells(interval(one.held_out)),
                one.held_out.reason,
            )
            for criterion, judges in rows.items()
            for judge, one in judges.items()
        ),
    )


def _of_scores(judge: str, one: Calibration) -> Interval:
    """The panel's weights are chosen on half of its scores, so that its agreement on all of them would flatter it."""
    return Interval(None, None, None, 0) if judge == _PANEL else interval(one.kappa)


def _forest(rows: Mapping[str, Mapping[str, Calibration]]) -> tuple[Forest, ...]:
    judges = list(dict.fromkeys(judge for by_judge in rows.values() for judge in by_judge))
    nothing = Interval(None, None, None, 0)
    series = tuple(
        Series.of(
            judge,
            (
                interval(by_judge[judge].held_out) if judge in by_judge else nothing
                for by_judge in rows.values()
            ),
        )
        for judge in judges
    )
    if not any(value is not None for one in series for value in one.values):
        return ()
    return (
        Forest(
            name="held_out",
            reference=0,
            title="Votes of judges against those of people",
            axis="Cohen's kappa (1 is perfect, 0 is chance)",
            labels=tuple(rows),
            series=series,
        ),
    )


def _confusions(judges: Mapping[str, Mapping[str, Calibration]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (criterion, judge, score, people, count)
        for criterion, by_judge in judges.items()
        for judge, one in by_judge.items()
        for score, counts in zip(one.scores.judge, one.scores.counts, strict=True)
        for people, count in zip(one.scores.people, counts, strict=True)
        if count
    ]
    return Table(
        name="confusion",
        title="Scores of judges and of people",
        columns=(
            Column(name="criterion"),
            Column(name="judge"),
            Column(name="judge's score", unit="1 to 5"),
            Column(name="people's score", unit="1 to 5", decimals=0),
            Column(name="dialogues"),
        ),
        rows=tuple(rows),
    )


def _heats(judges: Mapping[str, Mapping[str, Calibration]]) -> tuple[Heat, ...]:
    """One a criterion, the judges below each other; a score between two whole ones stands at the nearest."""
    heats = []
    for place, (criterion, by_judge) in enumerate(judges.items(), 1):
        met = {judge: _whole(one.scores) for judge, one in by_judge.items()}
        scores = sorted({*_SCALE, *(score for counts in met.values() for score, _ in counts)})
        rows = [(judge, score) for judge in met for score in scores]
        heats.append(
            Heat(
                name=f"scores_{place}",
                title=f"Scores for {criterion}",
                axis="dialogues",
                rows=tuple(f"{judge} {score}" for judge, score in rows),
                columns=tuple(map(str, _SCALE)),
                row_axis="judge and its score",
                column_axis="people's score (the median)",
                values=tuple(
                    tuple(float(met[judge][score, people]) for people in _SCALE) for judge, score in rows
                ),
                marked=tuple(
                    (row, _SCALE.index(score)) for row, (_, score) in enumerate(rows) if score in _SCALE
                ),
                mark="judge and people say the same",
            )
        )
    return tuple(heats)


def _whole(scores: Confusion) -> Counter[tuple[int, int]]:
    met: Counter[tuple[int, int]] = Counter()
    for score, counts in zip(scores.judge, scores.counts, strict=True):
        for people, count in zip(scores.people, counts, strict=True):
            met[int(score + 0.5), int(people)] += count
    return met
