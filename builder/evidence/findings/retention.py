"""retention: how many dialogues the judges accept, by pairing, domain and turns, beside what the paper kept.

Law of the file: a share is of what was judged, undecided ones too; the paper's estimates stand where names match only.
"""

import tomllib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from builder.config import resources
from builder.core.interval import Z_95, Interval, share
from builder.evidence.findings import (
    OUTCOMES,
    Absent,
    Bars,
    Cell,
    Column,
    Evidence,
    Finding,
    Heat,
    Lines,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.records import Record, convert

ORDER = 10
_TITLE = "How many dialogues were accepted"
_AXIS = "accepted, of those judged (%)"


class _Kept(Record):
    dialogues: int
    standard_error: float
    by_turns: tuple[int, ...]
    """Per cent."""


class Paper(Record):
    """What the paper kept, estimated; `configs/evidence/paper.toml` says from what and how surely."""

    dialogues_per_pairing: int
    turns: tuple[int, ...]
    cell_error_points: float
    kept: dict[str, _Kept]

    def by_pairing(self, pairing: str) -> Interval:
        """The share of one pairing; its interval may end above 1, for it is estimated."""
        if pairing not in self.kept:
            return Interval(None, None, None, 0)
        kept, whole = self.kept[pairing], self.dialogues_per_pairing
        half = Z_95 * kept.standard_error
        return Interval(
            kept.dialogues / whole, (kept.dialogues - half) / whole, (kept.dialogues + half) / whole, whole
        )

    def by_turns(self, turns: int, pairings: Sequence[str]) -> Interval:
        """The mean share of dialogues of so many turns over those of the pairings that it has, each counting once."""
        known = [name for name in pairings if name in self.kept]
        if turns not in self.turns or not known:
            return Interval(None, None, None, 0)
        at = self.turns.index(turns)
        middle = sum(self.kept[name].by_turns[at] for name in known) / len(known)
        half = self.cell_error_points / len(known) ** 0.5
        items = round(len(known) * self.dialogues_per_pairing / len(self.turns))
        return Interval(middle / 100, (middle - half) / 100, (middle + half) / 100, items)


def paper() -> Paper:
    """The paper's, as this project ships it."""
    path = resources("configs") / "evidence/paper.toml"
    return convert(tomllib.loads(path.read_text(encoding="utf-8")), Paper, path.name)


def find(evidence: Evidence) -> Finding | Absent:
    """Counts."""
    held, vocabulary, judged = evidence.held, evidence.vocabulary, evidence.judged
    if not judged.any():
        return Absent(title=_TITLE, reason=evidence.unjudged)
    accepted = held.outcome == OUTCOMES.index("accepted")
    pairings, domains = tuple(vocabulary.pairings), tuple(vocabulary.domains)
    whole = share(int(accepted.sum()), int(judged.sum()))
    published = paper()

    by_pairing = _shares(held.pairing, accepted, judged, len(pairings))
    present = tuple(name for name, found in zip(pairings, by_pairing, strict=True) if found.items)
    its_share = dict(zip(pairings, by_pairing, strict=True))
    theirs = {name: published.by_pairing(name) for name in present}

    by_domain = dict(zip(domains, _shares(held.domain, accepted, judged, len(domains)), strict=True))
    ranked = sorted(
        (name for name in domains if by_domain[name].items),
        key=lambda name: (-(by_domain[name].value or 0), name),
    )

    lengths = tuple(int(length) for length in np.unique(held.num_turns[judged]))
    place = np.searchsorted(lengths, held.num_turns)
    by_turns = _shares(place, accepted, judged, len(lengths))
    their_turns = [published.by_turns(length, present) for length in lengths]
    grid = {
        name: _shares(place, accepted, judged & (held.pairing == pairings.index(name)), len(lengths))
        for name in present
    }
    return Finding(
        title=_TITLE,
        says=_says(evidence, whole, by_turns, lengths, theirs, its_share),
        tables=(
            _fates(evidence),
            _reasons(held.reasons, int(judged.sum())),
            Table(
                name="by_pairing",
                title="By pairing, beside the paper's estimated share",
                columns=(
                    Column(name="pairing"),
                    Column(name="planned"),
                    Column(name="held"),
                    Column(name="judged"),
                    *spread("accepted", "%"),
                    *spread("paper", "%"),
                ),
                rows=tuple(
                    (
                        name,
                        evidence.planned.by_pairing.get(name) or None,
                        int((held.pairing == pairings.index(name)).sum()),
                        its_share[name].items,
                        *cells(its_share[name], 100),
                        *cells(theirs[name], 100),
                    )
                    for name in present
                ),
            ),
            _table("by_domain", "By domain", "domain", ranked, [by_domain[name] for name in ranked]),
            Table(
                name="by_turns",
                title="By number of turns, beside the mean of the paper's estimated shares for the same pairings",
                columns=(
                    Column(name="turns"),
                    Column(name="judged"),
                    *spread("accepted", "%"),
                    *spread("paper", "%"),
                ),
                rows=tuple(
                    (length, own.items, *cells(own, 100), *cells(other, 100))
                    for length, own, other in zip(lengths, by_turns, their_turns, strict=True)
                ),
            ),
            Table(
                name="by_pairing_and_turns",
                title="By pairing and number of turns",
                columns=(
                    Column(name="pairing"),
                    Column(name="turns"),
                    Column(name="judged"),
                    *spread("accepted", "%"),
                ),
                rows=tuple(
                    (name, length, found.items, *cells(found, 100))
                    for name in present
                    for length, found in zip(lengths, grid[name], strict=True)
                    if found.items
                ),
            ),
        ),
        charts=(
            Bars(
                name="by_pairing",
                title="Accepted dialogues by pairing",
                axis=_AXIS,
                labels=present,
                series=(Series.of("this run", (its_share[name] for name in present), 100),),
                points=_compared("paper, estimated", tuple(theirs.values())),
            ),
            Bars(
                name="by_domain",
                title="Accepted dialogues by domain",
                axis=_AXIS,
                labels=tuple(ranked),
                series=(Series.of("this run", (by_domain[name] for name in ranked), 100),),
            ),
            Lines(
                name="by_turns",
                title="Accepted dialogues by number of turns",
                axis=_AXIS,
                x_axis="turns of the dialogue",
                x=tuple(map(float, lengths)),
                series=(
                    Series.of("this run", by_turns, 100),
                    *_compared("paper, estimated, same pairings", their_turns),
                ),
            ),
            Heat(
                name="by_pairing_and_turns",
                title="Accepted dialogues by pairing and number of turns",
                axis=_AXIS,
                rows=present,
                columns=tuple(map(str, lengths)),
                row_axis="pairing",
                column_axis="turns of the dialogue",
                values=tuple(
                    tuple(None if found.value is None else 100 * found.value for found in grid[name])
                    for name in present
                ),
            ),
        ),
    )


def _shares(
    group: NDArray[np.integer], accepted: NDArray[np.bool_], judged: NDArray[np.bool_], size: int
) -> list[Interval]:
    """The share accepted in each of `size` groups."""
    parts = np.bincount(group[judged & accepted], minlength=size)
    wholes = np.bincount(group[judged], minlength=size)
    return [share(int(part), int(whole)) for part, whole in zip(parts, wholes, strict=True)]


def _compared(name: str, found: Sequence[Interval]) -> tuple[Series, ...]:
    """One series of them, or none where there is nothing to compare with."""
    return (Series.of(name, found, 100),) if any(one.items for one in found) else ()


def _says(
    evidence: Evidence,
    whole: Interval,
    by_turns: Sequence[Interval],
    lengths: Sequence[int],
    theirs: Mapping[str, Interval],
    own: Mapping[str, Interval],
) -> str:
    held = evidence.held
    counts = ", ".join(f"{held.count(name):,} {name}" for name in OUTCOMES[:3])
    sentences = [f"The judges accept {told(whole, '%', 100)} of the dialogues they marked: {counts}."]
    if unjudged := held.count("not judged"):
        sentences.append(f"{unjudged:,} more are held and not judged yet.")
    if len(lengths) > 1:
        sentences.append(
            f"Of {lengths[0]} turns it is {told(by_turns[0], '%', 100)}, of {lengths[-1]} turns {told(by_turns[-1], '%', 100)}."
        )
    pairs = [(own[name], one) for name, one in theirs.items() if one.items]
    if pairs:
        above = sum((one.low or 0) > (other.high or 0) for one, other in pairs)
        below = sum((one.high or 0) < (other.low or 0) for one, other in pairs)
        sentences.append(
            f"Against the paper's shares, which are estimated and rest on criteria it does not name, {above} of {len(pairs)} "
            f"pairings lie above and {below} below by more than both intervals."
        )
    return " ".join(sentences)


def _fates(evidence: Evidence) -> Table:
    planned, held = evidence.planned, evidence.held
    rows: list[tuple[Cell, ...]] = []
    if planned.dialogues:
        failed = sum(planned.failed.values())
        rows.append(("planned", planned.dialogues))
        rows += [(f"failed at the boundary {name}", count) for name, count in planned.failed.items()]
        rows.append(("still to be held", planned.dialogues - failed - len(held.ids)))
    rows.append(("held", len(held.ids)))
    rows += [(name, held.count(name)) for name in OUTCOMES]
    return Table(
        name="outcomes",
        title="What became of the dialogues",
        columns=(Column(name="outcome"), Column(name="dialogues")),
        rows=tuple(rows),
    )


def _reasons(reasons: Mapping[tuple[str, str], int], judged: int) -> Table:
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return Table(
        name="reasons",
        title="Why dialogues were not accepted; one may have several reasons",
        columns=(
            Column(name="outcome"),
            Column(name="criterion"),
            Column(name="dialogues"),
            *spread("share of judged", "%"),
        ),
        rows=tuple(
            (outcome, name, count, *cells(share(count, judged), 100)) for (outcome, name), count in ranked
        ),
    )


def _table(name: str, title: str, what: str, labels: Sequence[Cell], found: Sequence[Interval]) -> Table:
    return Table(
        name=name,
        title=title,
        columns=(Column(name=what), Column(name="judged"), *spread("accepted", "%")),
        rows=tuple((label, one.items, *cells(one, 100)) for label, one in zip(labels, found, strict=True)),
    )
