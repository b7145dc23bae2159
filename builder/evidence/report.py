"""The report: a run's evidence on one page that opens from a disk, with its figures and tables as files beside it.

    report.html         everything, in one file: no script, nothing asked of the network
    figures/NAME.svg    every figure, and as NAME.png
    tables/NAME.csv     every table, its numbers in full

Law of the file: it adds no finding and no number; every word that comes from elsewhere is escaped; the folder is written whole or
not at all, and the same run gives the same bytes.
"""

import base64
import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from builder.config import resources
from builder.dataset.destination import writable
from builder.errors import ConfigError, extra, nearest
from builder.evidence import Options, names
from builder.evidence.figures import written
from builder.evidence.findings import Absent, Cell, Column, Evidence, Excerpt, Finding, Table, finds, gather
from builder.evidence.findings._people import check_people
from builder.files import is_junk, replacing
from builder.people.markup import STYLE, chat
from builder.run.folder import Run
from builder.terminal import bar

PAGE = "report.html"
_CODE = re.compile("`([^`]+)`")


def report(run: Run, out: Path, options: Options, only: Sequence[str] = ()) -> dict[str, Finding | Absent]:
    """Looks for all evidence and writes the folder.

    Args:
        run: opened, to be read.
        out: the folder; what a report was there is replaced.
        options: what is asked for beside the run.
        only: findings by name; all where none is named.

    Returns:
        What was found by name, in the order of the page.

    Raises:
        ConfigError: no such finding, one to leave out takes no part, an extra is not installed, or the folder holds something
            that is no report.
    """
    for library in ("matplotlib", "statsmodels"):
        extra(library, "report")
    known = finds()
    for name in only:
        if name not in known:
            raise ConfigError(f"no finding is called {name!r}: {nearest(name, known)}")
    place = writable(out, "--out", replaced=True)
    _refuse_foreign(place)
    evidence = gather(run, options)
    check_people(evidence)
    files: dict[str, bytes] = {}
    sections = []
    found = {}
    chosen = {name: find for name, find in known.items() if not only or name in only}
    with bar("report", len(chosen)) as progress:
        for name, find in chosen.items():
            found[name] = find.find(evidence)
            sections.append(_section(evidence, name, found[name], files))
            progress.advance()
    files[PAGE] = _page(evidence, sections)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as folder:
        for path, content in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
    return found


def _refuse_foreign(out: Path) -> None:
    repair = "name another folder with --out"
    own = re.compile(
        rf"{re.escape(PAGE)}|(figures|tables)/({'|'.join(names())})-[\w.-]+\.(svg|png|csv)", re.ASCII
    )
    for path in sorted(out.rglob("*")):
        within = path.relative_to(out)
        if not (path.is_dir() or is_junk(within) or own.fullmatch(within.as_posix())):
            raise ConfigError(f"{path} is no part of a report, and would be lost: move it away, or {repair}")


def _section(
    evidence: Evidence, name: str, found: Finding | Absent, files: dict[str, bytes]
) -> dict[str, Any]:
    """What the template shows of a finding; its files are added to `files`."""
    if isinstance(found, Absent):
        return {"name": name, "found": found, "absent": True}
    figures = []
    for chart in found.charts:
        path = f"figures/{name}-{chart.name}"
        files[f"{path}.svg"], files[f"{path}.png"] = written(chart)
        figures.append((chart, f"{path}.svg", _data_uri("image/svg+xml", files[f"{path}.svg"])))
    tables = []
    for table in (one for one in found.tables if one.rows):
        path = f"tables/{name}-{table.name}.csv"
        files[path] = _csv(table)
        tables.append((table, path))
    return {
        "name": name,
        "found": found,
        "absent": False,
        "command": evidence.command(name),
        "figures": figures,
        "tables": tables,
        "excerpts": [(one, _chat(evidence, one)) for one in found.excerpts],
    }


def _chat(evidence: Evidence, excerpt: Excerpt) -> Markup:
    clips = excerpt.clips
    return Markup(  # noqa: S704 -- the markup escapes every word
        chat(
            excerpt.dialogue.turns,
            evidence.vocabulary.ravdess(),
            clip=(lambda number: _data_uri("audio/flac", clips[number - 1])) if clips else None,
        )
    )


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(_headed(column) for column in table.columns)
    write.writerows(table.rows)
    return text.getvalue().encode()


def _headed(column: Column) -> str:
    return f"{column.name} ({column.unit})" if column.unit else column.name


def _cell(value: Cell, column: Column) -> str:
    """A cell as the page writes it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{column.decimals}f}"
    return f"{value:,}" if isinstance(value, int) else value


def _marked(text: str) -> Markup:
    """Words as HTML, what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 -- escaped before


def _page(evidence: Evidence, sections: Iterable[dict[str, Any]]) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources("card")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"headed": _headed, "marked": _marked}
    page = environment.get_template("report.html.jinja").render(
        study=evidence.run.study,
        rehearsal=evidence.run.pin.rehearsal,
        held=evidence.held,
        planned=evidence.planned,
        sections=list(sections),
        style=Markup(STYLE),  # noqa: S704 -- our own
        cell=_cell,
    )
    return page.encode("utf-8", errors="replace")
