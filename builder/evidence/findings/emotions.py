"""emotions: which the turns have, how one follows another, and how many words they come with.

Law of the file: what is counted is held against what the graph makes likely, for the emotions are drawn before anything is
said; what an outline marks is an edge of the graph.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from builder.core.emotion import RAVDESS
from builder.core.interval import Interval, mean
from builder.evidence.findings import (
    OUTCOMES,
    Absent,
    Bars,
    Cell,
    Column,
    Evidence,
    Finding,
    Heat,
    Series,
    Table,
    cells,
    spread,
    told,
)

ORDER = 50
_TITLE = "Emotions"

_Counts = NDArray[np.int64]
_Shares = NDArray[np.float64]


def find(evidence: Evidence) -> Finding | Absent:
    """Counts turns and transitions."""
    held, vocabulary = evidence.held, evidence.vocabulary
    if not len(held.emotion):
        return Absent(
            title=_TITLE, reason="no dialogue is held: `deepdialogue generate` or `ingest` gives some"
        )
    names = tuple(vocabulary.emotions)
    counts = _counts(evidence)
    classes = np.array([RAVDESS.index(emotion.ravdess) for emotion in vocabulary.emotions.values()])
    acted = {
        kind: np.bincount(classes, weights=turns, minlength=len(RAVDESS)).astype(np.int64)
        for kind, turns in counts.items()
    }
    observed, expected = _transitions(evidence)
    words = [
        mean(held.by_dialogue(held.words.astype(np.float64), held.emotion == place))
        for place in range(len(names))
    ]
    each = mean(held.by_dialogue(held.words.astype(np.float64), np.ones(len(held.words), bool)))
    return Finding(
        title=_TITLE,
        says=_says(names, counts["held"], acted["held"], observed, expected, each),
        tables=(
            _distribution("by_emotion", "Turns by emotion", "emotion", names, counts),
            _distribution("by_ravdess", "Turns by acted class (RAVDESS)", "class", RAVDESS, acted),
            _table(names, observed, expected),
            Table(
                name="words",
                title="Words a turn, by emotion; a dialogue counts once for each emotion in it",
                columns=(Column(name="emotion"), Column(name="dialogues"), *spread("mean", "words")),
                rows=tuple(
                    (name, one.items, *cells(one))
                    for name, one in zip(names, words, strict=True)
                    if one.items
                ),
            ),
        ),
        charts=(
            _bars("by_emotion", "Turns by emotion", names, counts),
            _bars("by_ravdess", "Turns by acted class", RAVDESS, acted),
            _heat(evidence, names, observed),
        ),
    )


def _counts(evidence: Evidence) -> dict[str, _Counts]:
    """Turns by emotion: planned, held and accepted, as far as there are any."""
    held, names = evidence.held, tuple(evidence.vocabulary.emotions)
    counts = {}
    if evidence.planned.dialogues:
        counts["planned"] = np.array([evidence.planned.by_emotion.get(name, 0) for name in names])
    counts["held"] = np.bincount(held.emotion, minlength=len(names))
    accepted = np.repeat(held.outcome == OUTCOMES.index("accepted"), held.num_turns)
    if evidence.judged.any() and accepted.any():
        counts["accepted"] = np.bincount(held.emotion[accepted], minlength=len(names))
    return counts


def _transitions(evidence: Evidence) -> tuple[_Counts, _Shares]:
    """How often each emotion followed each, of shape (emotions, emotions), and how often it is expected to.

    The expectation takes what emotion came before in which domain as it is.
    """
    held, vocabulary, transitions = evidence.held, evidence.vocabulary, evidence.run.study.transitions
    names, size = list(vocabulary.emotions), len(vocabulary.emotions)
    later = np.flatnonzero(held.position > 0)
    before, after = held.emotion[later - 1].astype(np.int64), held.emotion[later]
    observed = np.bincount(before * size + after, minlength=size * size).reshape(size, size)
    domain = np.repeat(held.domain, held.num_turns)[later].astype(np.int64)
    from_where = np.bincount(domain * size + before, minlength=len(vocabulary.domains) * size).reshape(
        -1, size
    )
    graph = transitions.along(vocabulary.graph())
    expected = np.zeros((size, size))
    for place, counts in zip(vocabulary.domains.values(), from_where, strict=True):
        for source in counts.nonzero()[0]:
            following = graph[names[source]]
            inside = [name for name in following if name in place.emotions]
            stay = transitions.in_domain if inside else 0.0
            for name in following:
                expected[source, names.index(name)] += counts[source] * (1 - stay) / len(following)
            for name in inside:
                expected[source, names.index(name)] += counts[source] * stay / len(inside)
    return observed, expected


def _by_row(counts: _Counts | _Shares) -> _Shares:
    """Each row as shares of it; not-a-number where it is empty."""
    totals = counts.sum(axis=1, keepdims=True).astype(np.float64)
    shares: _Shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    return shares


def _says(
    names: tuple[str, ...],
    turns: _Counts,
    acted: _Counts,
    observed: _Counts,
    expected: _Shares,
    words: Interval,
) -> str:
    missing = [name for name, count in zip(names, turns, strict=True) if not count]
    most = int(acted.argmax())
    sentences = [
        f"{len(names) - len(missing)} of {len(names)} emotions occur in {turns.sum():,} turns"
        + (f"; {' and '.join(missing)} never do." if 0 < len(missing) <= 3 else ".")
    ]
    sentences.append(
        f"{100 * acted[most] / acted.sum():.1f} % of turns are acted as {RAVDESS[most]}; a dialogue has "
        f"{told(words, 'words a turn')}."
    )
    if observed.sum():
        apart = 100 * np.abs(observed - expected).sum() / 2 / observed.sum()
        off = int(observed[expected == 0].sum())
        cells_of = expected > 0
        squares = float(((observed - expected)[cells_of] ** 2 / expected[cells_of]).sum())
        free = int(cells_of.sum() - (expected.sum(axis=1) > 0).sum())
        sentences.append(
            f"Of {observed.sum():,} transitions {apart:.2f} % would have to be others to be spread just as the graph expects "
            f"(chi-square {squares:,.0f} on {free} degrees of freedom), and {off:,} follow no edge of it."
        )
    return " ".join(sentences)


def _distribution(
    name: str, title: str, what: str, labels: tuple[str, ...], counts: Mapping[str, _Counts]
) -> Table:
    columns = [Column(name=what)]
    for kind in counts:
        columns += [Column(name=f"turns {kind}"), Column(name=f"share {kind}", unit="%")]
    rows = []
    for place, label in enumerate(labels):
        row: list[Cell] = [label]
        for turns in counts.values():
            row += [int(turns[place]), float(100 * turns[place] / turns.sum())]
        rows.append(tuple(row))
    return Table(name=name, title=title, columns=tuple(columns), rows=tuple(rows))


def _table(names: tuple[str, ...], observed: _Counts, expected: _Shares) -> Table:
    rows: list[tuple[Cell, ...]] = []
    shares, likely = 100 * _by_row(observed), 100 * _by_row(expected)
    for source, target in zip(*np.nonzero((observed > 0) | (expected > 0)), strict=True):
        rows.append(
            (
                names[source],
                names[target],
                int(observed[source, target]),
                float(shares[source, target]),
                float(likely[source, target]),
            )
        )
    return Table(
        name="transitions",
        title="Transitions, as counted and as the graph expects in the same domains",
        columns=(
            Column(name="from"),
            Column(name="to"),
            Column(name="transitions"),
            Column(name="observed", unit="% of those from it"),
            Column(name="expected", unit="% of those from it"),
        ),
        rows=tuple(rows),
    )


def _bars(name: str, title: str, labels: tuple[str, ...], counts: Mapping[str, _Counts]) -> Bars:
    return Bars(
        name=name,
        title=title,
        axis="share of turns (%)",
        labels=labels,
        series=tuple(
            Series(name=kind, values=tuple((100 * turns / turns.sum()).tolist()))
            for kind, turns in counts.items()
        ),
    )


def _heat(evidence: Evidence, names: tuple[str, ...], observed: _Counts) -> Heat:
    graph = evidence.run.study.transitions.along(evidence.vocabulary.graph())
    shares = 100 * _by_row(observed)
    values = (
        tuple(float(share) if count else None for share, count in zip(line, row, strict=True))
        for line, row in zip(shares, observed, strict=True)
    )
    return heat(names, values, graph.edges())


def heat(
    names: tuple[str, ...], values: Iterable[tuple[float | None, ...]], edges: Iterable[tuple[str, str]]
) -> Heat:
    """The heat map of transitions.

    Args:
        names: of the emotions.
        values: by row, the share in % of the turns after an emotion that have each; None where none has.
        edges: of the emotion graph, as (from, to).
    """
    return Heat(
        name="transitions",
        title="Which emotion follows which",
        axis="of the turns after it (%)",
        rows=names,
        columns=names,
        row_axis="emotion",
        column_axis="emotion of the next turn",
        values=tuple(values),
        marked=tuple(sorted((names.index(one), names.index(other)) for one, other in edges)),
        mark="an edge of the emotion graph",
    )
