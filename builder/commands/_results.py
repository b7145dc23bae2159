"""What a listening study found, as tables on the terminal and in a file.

Law of the file: every figure stands with its interval and its count, or with the reason why there is none.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from builder.commands._views import show_notes
from builder.core.agreement import FEWEST_DIALOGUES
from builder.files import put
from builder.people.listening import Result, Results, results
from builder.records import encode
from builder.run.folder import Run
from builder.terminal import say


def show(run: Run, without: Sequence[str], out: Path | None) -> None:
    """Prints what was found, and writes it where that is asked for.

    Args:
        run: whose listening study it is.
        without: listeners whose answers do not count.
        out: a file; the end of its name, `.csv` or `.json`, says how it is written.
    """
    found, console = results(run, without), Console()
    first, second = found.configs
    heard = "the acted class" if found.labels == "ravdess" else "the emotion"
    stand_ins = ", [bold]a rehearsal: stand-ins took part[/bold]" if found.rehearsal else ""
    console.print(f"{first} against {second}, {heard} to be heard{stand_ins}", highlight=False)
    _table(
        console,
        "listeners",
        ("listener", "answered", "of", "checks passed", "of", "median s"),
        (
            (
                one.name,
                one.answered,
                one.trials,
                one.passed,
                one.checks,
                "" if one.seconds is None else f"{one.seconds:.1f}",
            )
            for one in found.listeners
        ),
    )
    show_notes(found.notes, console)
    for what, title, columns in (
        (
            "recognition",
            "recognised (share, 95 % interval; chance: as often named whatever was heard)",
            found.configs,
        ),
        ("naturalness", "naturalness (mean of 1 to 5, 95 % interval)", found.configs),
        ("difference", "naturalness, difference within a trial", (f"{first} - {second}",)),
        (
            "preference",
            f"preference for {first} among those who prefer either (chance 0.5)",
            (f"for {first}",),
        ),
    ):
        _figures(console, found, what, title, columns)
    console.print(f"too few: fewer than {FEWEST_DIALOGUES} dialogues\n", highlight=False)
    for one in found.confusions:
        _table(
            console,
            f"{one.config}: intended (rows) and heard (columns)",
            ("intended", *one.heard),
            ((row, *counts) for row, counts in zip(one.intended, one.counts, strict=True)),
        )
    _table(
        console,
        "agreement of listeners (Krippendorff's alpha, 95 % interval)",
        ("asked", "alpha", "turns heard by several", "listeners"),
        (
            (name, _said(one.value, low, high, one.reason), one.items, one.raters)
            for name, one in found.agreement.items()
            for low, high in [one.interval or (None, None)]
        ),
    )
    if out is not None:
        put(out, [encode(found) if out.suffix == ".json" else _csv(found)])
        say(f"listen: wrote {out}")


def _figures(console: Console, found: Results, what: str, title: str, columns: Iterable[str]) -> None:
    rows: dict[str, list[Result]] = {}
    for one in found.results:
        if one.what == what:
            rows.setdefault(f"{one.kind} {one.group}", []).append(one)
    extra = {"recognition": ("chance",), "preference": ("p", "ties")}.get(what, ())
    names = [name for column in columns for name in (column, *extra)]
    body = []
    for group, figures in rows.items():
        cells: list[object] = [group]
        for one in figures:
            cells.append(_said(one.value, one.low, one.high, "too few"))
            cells += [_short(getattr(one, name)) for name in extra]
        body.append([*cells, figures[0].answers])
    _table(console, title, ("turns", *names, "answers"), body)


def _said(value: float | None, low: float | None, high: float | None, reason: str) -> str:
    if value is None:
        return reason
    return f"{value:.2f} ({reason})" if low is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _short(value: object) -> str:
    return "" if value is None else f"{value:.2g}" if isinstance(value, float) else str(value)


def _table(console: Console, title: str, names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    console.print(title, style="italic", markup=False, highlight=False)
    table = Table(box=SIMPLE)
    for name in names:
        table.add_column(escape(name))
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)


def _csv(found: Results) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.results[0].__struct_fields__)
    writer.writerows(map(msgspec.structs.astuple, found.results))
    return text.getvalue().encode()
