"""duplicates: how many dialogues say much the same as another, and which.

Law of the file: it reads what the judge `duplicate` recorded, and compares no words itself.
"""

from builder.core.interval import share
from builder.core.scenario import parse_id
from builder.evidence.findings import (
    Absent,
    Bars,
    Column,
    Evidence,
    Finding,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.plugins.judges.duplicate import Duplicate, twin_of

ORDER = 90
_TITLE = "Duplicates"
_SHOWN = 100


def find(evidence: Evidence) -> Finding | Absent:
    """Counts the twins found, by pairing."""
    held, run = evidence.held, evidence.run
    names = [name for name, judge in run.plugins.judges().items() if isinstance(judge, Duplicate)]
    if not names:
        reason = "nobody looked for duplicates: a study with `[judges.duplicate]` and `deepdialogue judge` do"
        return Absent(title=_TITLE, reason=reason)
    if not evidence.judged.any():
        return Absent(title=_TITLE, reason=evidence.unjudged)
    # Of several such judges the strictest finds all that the others do.
    twins = {
        place: twin
        for name in names
        for place, reason in sorted(held.faults.get(name, {}).items())
        if (twin := twin_of(reason))
    }
    found = {name: [0, 0] for name in evidence.vocabulary.pairings}
    pairings = list(evidence.vocabulary.pairings)
    for place in evidence.judged.nonzero()[0].tolist():
        found[pairings[held.pairing[place]]][0] += 1
        found[pairings[held.pairing[place]]][1] += place in twins
    by_pairing = {name: share(count, whole) for name, (whole, count) in found.items() if whole}
    whole = share(len(twins), int(evidence.judged.sum()))
    same = sum(twin.similarity == 1 for twin in twins.values())
    within = sum(
        parse_id(twin.id).pairing == parse_id(held.ids[place]).pairing for place, twin in twins.items()
    )
    says = f"{told(whole, '%', 100, 2)} of the dialogues judged say much the same as an earlier one."
    if twins:
        says += f" {same:,} of these {len(twins):,} say all the same; {within:,} have their twin in the same pairing."
    nearest = sorted(twins.items(), key=lambda item: (-item[1].similarity, held.ids[item[0]]))[:_SHOWN]
    return Finding(
        title=_TITLE,
        says=says,
        tables=(
            Table(
                name="by_pairing",
                title="By pairing",
                columns=(Column(name="pairing"), Column(name="judged"), *spread("duplicates", "%", 2)),
                rows=tuple((name, one.items, *cells(one, 100)) for name, one in by_pairing.items()),
            ),
            Table(
                name="twins",
                title=f"The most similar, {_SHOWN} at most",
                columns=(
                    Column(name="dialogue"),
                    Column(name="says much the same as"),
                    Column(name="similarity", unit="share of shingles", decimals=3),
                ),
                rows=tuple((held.ids[place], twin.id, twin.similarity) for place, twin in nearest),
            ),
        ),
        charts=(
            Bars(
                name="by_pairing",
                title="Duplicates by pairing",
                axis="duplicates, of the dialogues judged (%)",
                labels=tuple(by_pairing),
                series=(Series.of("this run", by_pairing.values(), 100),),
            ),
        ),
    )
