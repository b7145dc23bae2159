"""listen: the listening study of a run, answered in the browser, and what it found.

Law of the file: it parses, calls and prints.
"""

import argparse
import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from builder.commands._folders import to_write
from builder.dataset.destination import writable
from builder.errors import ConfigError
from builder.files import put
from builder.records import convert, encode
from builder.run.folder import Run
from builder.terminal import say

if TYPE_CHECKING:
    from builder.people.listening import Result, Results

HELP = "let people hear two configs blind: the emotion, naturalness and preference; and print what they found"
EXAMPLES = (
    'DEEPDIALOGUE_ANNOTATORS="ash:PASSWORD birch:PASSWORD" deepdialogue listen runs/paper',
    "deepdialogue listen runs/paper --configs xtts orpheus --trials 100 --overlap 0.3",
    "deepdialogue listen runs/paper --results --out listening.csv",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("run", type=to_write, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--configs",
        nargs=2,
        metavar=("CONFIG", "CONFIG"),
        help="what is compared (the first two with recordings)",
    )
    parser.add_argument(
        "--labels",
        choices=("ravdess", "emotions"),
        help="what may be heard: the acted classes, or every emotion of the vocabulary (ravdess)",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="for each listener, without the checks (200)")
    parser.add_argument(
        "--overlap", type=float, metavar="SHARE", help="of them, those that all listeners hear (0.2)"
    )
    parser.add_argument(
        "--min-checks",
        type=float,
        metavar="SHARE",
        help="who passes a smaller share of the checks does not count (0)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--results", action="store_true", help="print what was found so far, and serve nothing"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this listener's answers out of the results; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the results: .csv has the figures, .json all of it",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    if options.out is not None and options.out.suffix not in {".csv", ".json"}:
        raise ConfigError(f"--out {options.out}: name a file that ends in .csv or .json")
    if options.out is not None:
        if options.out.is_dir():
            raise ConfigError(f"--out {options.out}: it is a folder: name a file")
        writable(options.out.parent, "--out")
    with Run(options.run, writable=False) as run:
        if options.results:
            _show(run, options)
        else:
            _serve(run, options)
    return 0


def _serve(run: Run, options: argparse.Namespace) -> None:
    from builder.people.listening import Listening, Wanted
    from builder.people.pages._accounts import passwords
    from builder.people.pages.listen import listen

    asked = {name: getattr(options, name) for name in Wanted.__struct_fields__}
    wanted = convert(asked, Wanted, "deepdialogue listen")
    with Listening(run, passwords(), wanted) as study:
        for name in study.plan.listeners:
            say(f"listen: {name}: {study.answered(name)} of {study.total(name)} trials answered")
        compared = f"{' against '.join(study.plan.configs)}, {len(study.plan.listeners)} listeners"
        listen(
            study,
            options.host,
            options.port,
            lambda address: print(f"listen: {address} ({compared})", flush=True),
        )


def _show(run: Run, options: argparse.Namespace) -> None:
    from builder.commands._views import show_notes
    from builder.core.agreement import FEWEST_DIALOGUES
    from builder.people.listening import results

    found, console = results(run, options.without), Console()
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
    if options.out is not None:
        put(options.out, [encode(found) if options.out.suffix == ".json" else _csv(found)])
        say(f"listen: wrote {options.out}")


def _figures(console: Console, found: "Results", what: str, title: str, columns: Iterable[str]) -> None:
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


def _csv(found: "Results") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.results[0].__struct_fields__)
    writer.writerows(map(msgspec.structs.astuple, found.results))
    return text.getvalue().encode()
