"""agreement: how far the judges agree with each other, and how far the people who annotated do.

Law of the file: the arithmetic is `builder.core.agreement`'s, and every coefficient stands with the items and raters it rests on.
"""

from collections.abc import Mapping

from builder.core.agreement import Agreement, agreement, heard_agreement
from builder.core.agreement import Estimate as Coefficient
from builder.core.interval import Interval, share
from builder.evidence.findings import (
    Absent,
    Bars,
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
from builder.evidence.findings._people import notes, said
from builder.evidence.panel import Panel, asked, interval, panel

ORDER = 60
_TITLE = "How far judges agree, and how far people do"
_EMOTION_HEARD = "emotion of a turn, as heard"
_NOTHING = Interval(None, None, None, 0)


def find(evidence: Evidence) -> Finding | Absent:
    """Measures both."""
    run = evidence.run
    judges = panel(run.reviews, asked(run), run.study.seed)
    people = _people(evidence)
    if not judges.judges and not people:
        return Absent(
            title=_TITLE,
            reason=f"no model judged and nobody annotated: `deepdialogue judge --run {run.folder}` asks the study's "
            f"judges, `deepdialogue annotate {run.folder}` people",
        )
    return Finding(
        title=_TITLE,
        says=" ".join(
            [
                *_of_judges(judges),
                *_of_people(evidence, people),
                *notes(evidence),
            ]
        ),
        tables=tuple(table for table in _tables(judges, people) if table.rows),
        charts=_charts(judges, people),
    )


def _people(evidence: Evidence) -> dict[str, Agreement]:
    """By criterion, and of the emotions heard where some were."""
    given, seed = said(evidence), evidence.run.study.seed
    found = agreement(given, seed)
    if any(any(one.emotions) for one in given):
        found[_EMOTION_HEARD] = heard_agreement(given, seed)
    return found


def _of_judges(judges: Panel) -> list[str]:
    if not judges.judges:
        return ["No model judged."]
    sentences = []
    if known := {name: one.value for name, one in judges.alphas.items() if one.value is not None}:
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        drawn = f"of {judges.drawn:,} of them, drawn at random, " if judges.drawn < judges.shared else ""
        sentences.append(
            f"Two judges or more marked {judges.shared:,} dialogues; {drawn}they agree most on {most}, with Krippendorff's alpha "
            f"{_said(judges.alphas[most])}, and least on {least}, with {_said(judges.alphas[least])}."
        )
    else:
        sentences.append(
            "No two judges marked the same dialogues, so that nothing is known of how far they agree."
        )
    sentences += judges.told
    silent = max(judges.judges, key=lambda name: judges.judges[name].abstained)
    votes = judges.judges[silent]
    abstained = share(votes.abstentions, votes.abstentions + votes.verdicts)
    return [
        *sentences,
        f"{silent} abstained most often, on {told(abstained, '%', 100)} of what it was shown.",
    ]


def _of_people(evidence: Evidence, people: Mapping[str, Agreement]) -> list[str]:
    if not people:
        return [f"Nobody annotated: `deepdialogue annotate {evidence.run.folder}` asks people."]
    known = {name: one.alpha.value for name, one in people.items() if one.alpha.value is not None}
    if not known:
        return ["No two people scored the same dialogues."]
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    best = f"People agree most on {most}, with alpha {_said(people[most].alpha)}"
    return [f"{best}, and least on {least}, with {_said(people[least].alpha)}."]


def _said(one: Coefficient) -> str:
    return told(interval(one), decimals=2)


def _tables(judges: Panel, people: Mapping[str, Agreement]) -> list[Table]:
    coefficient = (
        Column(name="raters"),
        Column(name="items"),
        *spread("value", "1 is perfect, 0 is chance", 2),
        Column(name="note"),
    )
    rows = [("judges", name, "Krippendorff's alpha", *_row(one)) for name, one in judges.alphas.items()]
    for name, one in people.items():
        rows += [
            ("people", name, "Krippendorff's alpha", *_row(one.alpha)),
            ("people", name, "Fleiss' kappa", *_row(one.fleiss)),
            *(
                ("people", name, f"Cohen's kappa of {pair.first} and {pair.second}", *_row(pair.kappa))
                for pair in one.cohen
            ),
        ]
    return [
        Table(
            name="coefficients",
            title="Among judges and among people, by criterion",
            columns=(
                Column(name="among"),
                Column(name="criterion"),
                Column(name="coefficient"),
                *coefficient,
            ),
            rows=tuple(rows),
        ),
        Table(
            name="checkpoints",
            title="What judged",
            columns=(
                Column(name="judge"),
                Column(name="checkpoint"),
                Column(name="stand-in"),
                Column(name="verdicts"),
                Column(name="abstentions"),
                Column(name="of its own dialogues"),
            ),
            rows=tuple(
                (
                    name,
                    one.checkpoint or "not recorded",
                    "yes" if one.rehearsal else "no",
                    one.verdicts,
                    one.abstentions,
                    one.own,
                )
                for name, votes in judges.judges.items()
                for one in votes.judged
            ),
        ),
        Table(
            name="judges",
            title="What the judges did",
            columns=(
                Column(name="judge"),
                Column(name="rubric"),
                Column(name="verdicts"),
                Column(name="abstentions"),
                *spread("abstained", "%"),
            ),
            rows=tuple(
                (
                    name,
                    ", ".join(votes.rubrics),
                    votes.verdicts,
                    votes.abstentions,
                    *cells(share(votes.abstentions, votes.abstentions + votes.verdicts), 100),
                )
                for name, votes in judges.judges.items()
            ),
        ),
    ]


def _row(one: Coefficient) -> tuple[int, int, float | None, float | None, float | None, str]:
    value, low, high, items = interval(one)
    return one.raters, items, value, low, high, one.reason


def _charts(judges: Panel, people: Mapping[str, Agreement]) -> tuple[Forest | Bars, ...]:
    criteria = sorted(judges.alphas.keys() | people.keys())
    among = {
        "judges": {name: interval(one) for name, one in judges.alphas.items()},
        "people": {name: interval(one.alpha) for name, one in people.items()},
    }
    charts: list[Forest | Bars] = []
    if any(one.value is not None for by_criterion in among.values() for one in by_criterion.values()):
        charts.append(
            Forest(
                name="alpha",
                reference=0,
                title="Agreement by criterion",
                axis="Krippendorff's alpha (1 is perfect, 0 is chance)",
                labels=tuple(criteria),
                series=tuple(
                    Series.of(who, (found.get(name, _NOTHING) for name in criteria))
                    for who, found in among.items()
                    if found
                ),
            )
        )
    if any(votes.abstentions for votes in judges.judges.values()):
        shares = (
            share(votes.abstentions, votes.abstentions + votes.verdicts) for votes in judges.judges.values()
        )
        charts.append(
            Bars(
                name="abstained",
                title="Abstentions by judge",
                axis="abstained (%)",
                labels=tuple(judges.judges),
                series=(Series.of("abstained", shares, 100),),
            )
        )
    return tuple(charts)
