"""listening: what people heard in two configs, blind: the emotion intended, naturalness, and which they prefer.

Law of the file: every number is one of the listening study's own; where it has too few dialogues for one, the cell is empty.
"""

from collections.abc import Iterable

from builder.core.interval import Interval
from builder.errors import RunError
from builder.evidence.findings import (
    Absent,
    Bars,
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
from builder.evidence.findings._people import heard
from builder.people.listening import Confusion, Result, Results

ORDER = 75
_TITLE = "What listeners hear"


def find(evidence: Evidence) -> Finding | Absent:
    """Reads the answers."""
    try:
        found = heard(evidence)
    except RunError as error:
        return Absent(title=_TITLE, reason=str(error))
    whole = _of(found, "recognition", "all")
    if all(one.value is None for one in whole):
        reason = f"{whole[0].answers} answers are {whole[0].reason}: `deepdialogue listen {evidence.run.folder}` takes more"
        return Absent(title=_TITLE, reason=reason)
    return Finding(
        title=_TITLE, says=_says(found), tables=tuple(_tables(found)), charts=tuple(_charts(found))
    )


def _of(found: Results, what: str, kind: str, config: str = "") -> list[Result]:
    return [
        one for one in found.results if (one.what, one.kind) == (what, kind) and config in {"", one.config}
    ]


def _says(found: Results) -> str:
    first, second = found.configs
    label = "acted class" if found.labels == "ravdess" else "emotion"
    heard = ", and ".join(
        f"in {one.config} in {told(one.interval, '%', 100)}, where chance is {100 * (one.chance or 0):.1f} %"
        for one in _of(found, "recognition", "all")
    )
    natural = " and ".join(
        f"{one.config} {told(one.interval, decimals=2)}" for one in _of(found, "naturalness", "all")
    )
    (apart,), (preferred,) = (_of(found, what, "all") for what in ("difference", "preference"))
    likelier = "" if preferred.p is None else f", p = {preferred.p:.2g} by the sign test"
    return (
        f"{len(found.listeners)} listeners, told nothing, heard the intended {label} {heard}. Naturalness from 1 to 5 is "
        f"{natural}: a difference of {told(apart.interval, decimals=2)} within a trial. Of those who prefer either, "
        f"{told(preferred.interval, '%', 100)} prefer {first} to {second}{likelier}, and {preferred.ties} answers "
        f"prefer neither. Emotions have as many trials as each other while their clips last: these are means over "
        f"emotions, not over the dataset." + "".join(f" {note}" for note in found.notes)
    )


def _tables(found: Results) -> Iterable[Table]:
    turns = (Column(name="turns of"), Column(name="name"))
    answers = (Column(name="answers"), Column(name="dialogues"))
    for what, title, unit, scale, decimals, more in (
        ("recognition", "Heard as intended, and the share that chance gives", "%", 100, 1, ("chance",)),
        ("naturalness", "Naturalness", "1 to 5", 1, 2, ()),
        ("difference", f"Naturalness of {' less that of '.join(found.configs)}", "-4 to 4", 1, 2, ()),
        ("preference", f"Preference for {found.configs[0]}, ties left out", "%", 100, 1, ("p", "ties")),
    ):
        extra = tuple(
            Column(name=name, unit=unit * (name == "chance"), decimals=4 if name == "p" else 1)
            for name in more
        )
        yield Table(
            name=what,
            title=title,
            columns=(*turns, Column(name="config"), *answers, *spread(what, unit, decimals), *extra),
            rows=tuple(
                (
                    one.kind,
                    one.group,
                    one.config,
                    one.answers,
                    one.dialogues,
                    *cells(one.interval, scale),
                    *_more(one, more, scale),
                )
                for one in found.results
                if one.what == what
            ),
        )
    for confusion in found.confusions:
        yield Table(
            name=f"confusion_{confusion.config.replace('-', '_')}",
            title=f"{confusion.config}: intended by row, heard by column, in answers",
            columns=(Column(name="intended"), *(Column(name=label) for label in confusion.heard)),
            rows=tuple(
                (label, *row) for label, row in zip(confusion.intended, confusion.counts, strict=True)
            ),
        )
    yield Table(
        name="listeners",
        title="Listeners; in a check A and B are the same clip, and it is passed by preferring neither",
        columns=(
            *(Column(name=name) for name in ("listener", "answers", "of", "checks", "passed")),
            Column(name="median", unit="s"),
        ),
        rows=tuple(
            (one.name, one.answered, one.trials, one.checks, one.passed, one.seconds)
            for one in found.listeners
        ),
    )
    yield Table(
        name="agreement",
        title="Agreement of listeners on the turns that several heard: Krippendorff's alpha",
        columns=(
            Column(name="asked"),
            Column(name="turns"),
            Column(name="listeners"),
            *spread("alpha", "", 2),
        ),
        rows=tuple(
            (asked, one.items, one.raters, one.value, *(one.interval or (None, None)))
            for asked, one in found.agreement.items()
        ),
    )


def _more(one: Result, names: Iterable[str], scale: float) -> list[Cell]:
    values: list[Cell] = []
    for name in names:
        value = getattr(one, name)
        values.append(value * scale if name == "chance" and value is not None else value)
    return values


def _charts(found: Results) -> Iterable[Bars | Heat | Forest]:
    labels = tuple(one.group for one in _of(found, "difference", "class"))
    recognised = {config: _of(found, "recognition", "class", config) for config in found.configs}
    yield Bars(
        name="recognition",
        title="Heard as intended, by acted class",
        axis="clips (%)",
        labels=labels,
        series=tuple(
            Series.of(config, (one.interval for one in rows), 100) for config, rows in recognised.items()
        ),
        points=tuple(
            Series.of(
                f"chance, {config}", (Interval(one.chance, None, None, one.answers) for one in rows), 100
            )
            for config, rows in recognised.items()
        ),
    )
    yield Forest(
        name="naturalness",
        title="Naturalness, by acted class",
        axis="mean (1 to 5)",
        labels=labels,
        series=tuple(
            Series.of(config, (one.interval for one in _of(found, "naturalness", "class", config)))
            for config in found.configs
        ),
    )
    yield Forest(
        name="preference",
        title=f"Preference for {found.configs[0]} over {found.configs[1]}, by acted class",
        axis="of the answers that prefer either (%)",
        labels=labels,
        series=(
            Series.of(
                f"for {found.configs[0]}", (one.interval for one in _of(found, "preference", "class")), 100
            ),
        ),
        reference=50,
    )
    yield from map(_heat, found.confusions)


def _heat(confusion: Confusion) -> Heat:
    return Heat(
        name=f"confusion_{confusion.config.replace('-', '_')}",
        title=f"{confusion.config}: what was heard where what was intended",
        axis="answers of the row (%)",
        rows=confusion.intended,
        columns=confusion.heard,
        row_axis="intended",
        column_axis="heard",
        values=tuple(tuple(100 * count / sum(row) for count in row) for row in confusion.counts),
    )
