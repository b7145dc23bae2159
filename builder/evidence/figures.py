"""Figures: the charts of findings, drawn for the page and for print.

Colours are Okabe and Ito's, and never stand alone: bars differ by hatch, lines by mark and dash, cells say their number.
Law of the file: it knows charts and no finding; the same chart is the same bytes, wherever it is drawn; no letter is smaller than
8 points at the size that is written, which fits the width of a page.
"""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import msgspec

from builder.errors import extra
from builder.evidence.findings import Bars, Chart, Forest, Heat, Lines, Series
from builder.people.markup import COLOURS, ink
from builder.records import Record
from builder.terminal import plain

_WIDTH_IN = 7.1
"""180 mm."""
_LETTER_PT = 8
_LABEL_CHARACTERS = 30
_NAME_CHARACTERS = 120
_LEGEND_COLUMNS = 4
_COLOURS = tuple(COLOURS[name] for name in ("sad", "happy", "disgust", "fearful", "calm", "angry", "neutral"))
_FILLS = tuple(
    COLOURS[name] for name in ("calm", "happy", "disgust", "fearful", "surprised", "angry", "neutral")
)
"""Light, so that an interval is seen on them."""
_HATCHES = ("", "////", "....", "xxxx", "----", "++++", "oooo")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_BLANK, _OUTLINE, _GRID = "#f2f2f2", COLOURS["angry"], "#d9d9d9"
_NO_METADATA = {"Software": None}
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": _LETTER_PT + 1,
    "grid.color": _GRID,
    "hatch.color": "white",
    "legend.fontsize": _LETTER_PT,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "deepdialogue",
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.labelsize": _LETTER_PT,
    "ytick.labelsize": _LETTER_PT,
}


def written(chart: Chart) -> tuple[bytes, bytes]:
    """The chart as SVG, its letters as outlines, and as PNG at 200 dots an inch.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    svg, image = io.BytesIO(), io.BytesIO()
    with drawn(chart) as figure:
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(image, format="png", metadata=_NO_METADATA)
    return svg.getvalue(), image.getvalue()


def png(chart: Chart) -> bytes:
    """The chart as PNG alone.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    image = io.BytesIO()
    with drawn(chart) as figure:
        figure.savefig(image, format="png", metadata=_NO_METADATA)
    return image.getvalue()


@contextmanager
def drawn(chart: Chart) -> Iterator[Any]:
    """The chart as a `matplotlib.figure.Figure`, which is to be used in the style that holds meanwhile."""
    height, draw = _KINDS[type(chart)]
    chart = _legible(chart)
    with (
        extra("matplotlib.style", "report").context(["default", _STYLE]),
        warnings.catch_warnings(),
    ):
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = extra("matplotlib.figure", "report").Figure(
            figsize=(_WIDTH_IN, height(chart)), layout="constrained"
        )
        draw(chart, figure.add_subplot(), figure)
        # What is written is laid out once, and not drawn for that.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)
        yield figure


def _legible(value: Any) -> Any:
    """The same with every name in it on one line, without control codes, and no longer than there is room for."""
    if isinstance(value, str):
        name = " ".join(plain(value).split())
        return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
    if isinstance(value, tuple):
        return tuple(map(_legible, value))
    if isinstance(value, Record):
        parts = {name: _legible(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **parts)
    return value


def _bars(chart: Bars, axes: Any, figure: Any) -> None:
    thick = 0.8 / max(1, len(chart.series))
    # Where something is laid over a bar, both intervals stay apart.
    aside = 0.15 if chart.points else 0.0
    for number, series in enumerate(chart.series):
        places = [at - 0.4 + thick * (number + 0.5) for at in range(len(chart.labels))]
        axes.barh(
            places,
            _numbers(series.values),
            thick,
            color=_FILLS[number % len(_FILLS)],
            hatch=_HATCHES[number % len(_HATCHES)],
            label=series.name,
        )
        axes.errorbar(
            _numbers(series.values),
            [place - aside for place in places],
            xerr=_ends(series),
            fmt="none",
            ecolor="black",
            elinewidth=0.8,
            capsize=1.5,
        )
    for number, series in enumerate(chart.points):
        _dots(axes, series, [at + aside for at in range(len(chart.labels))], number + 1, hollow=True)
    _names(axes, chart.labels)
    axes.set_xlabel(chart.axis)
    _legend(figure, axes, len(chart.series) + len(chart.points))


def _forest(chart: Forest, axes: Any, figure: Any) -> None:
    if chart.logarithmic:
        axes.set_xscale("log")
        _plain_ticks(axes, chart)
    if chart.reference is not None:
        axes.axvline(chart.reference, color="black", linestyle="--", linewidth=0.8)
    step = 0.6 / max(1, len(chart.series))
    for number, series in enumerate(chart.series):
        aside = step * (number - (len(chart.series) - 1) / 2)
        _dots(axes, series, [at + aside for at in range(len(chart.labels))], number)
    _names(axes, chart.labels)
    axes.set_xlabel(chart.axis)
    _legend(figure, axes, len(chart.series))


def _lines(chart: Lines, axes: Any, figure: Any) -> None:
    step = 0.006 * (max(chart.x, default=0) - min(chart.x, default=0))
    for number, series in enumerate(chart.series):
        aside = step * (number - (len(chart.series) - 1) / 2)
        axes.errorbar(
            [x + aside for x in chart.x],
            _numbers(series.values),
            yerr=_ends(series),
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKS[number % len(_MARKS)],
            linestyle=_DASHES[number % len(_DASHES)] if chart.joined else "none",
            markersize=4,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
            label=series.name,
        )
    if len(chart.x) <= 12 and _apart(chart.x):
        axes.set_xticks(chart.x, [f"{x:g}" for x in chart.x])
    axes.set_xlabel(chart.x_axis)
    axes.set_ylabel(textwrap.fill(chart.axis, 45))
    axes.grid()
    _legend(figure, axes, len(chart.series))


def _heat(chart: Heat, axes: Any, figure: Any) -> None:
    patches = extra("matplotlib.patches", "report")
    colours = extra("matplotlib", "report").colormaps["cividis"].with_extremes(bad=_BLANK)
    found = [value for row in chart.values for value in row if value is not None]
    mesh = axes.imshow(
        [_numbers(row) for row in chart.values],
        cmap=colours,
        aspect="auto",
        interpolation="none",
        vmin=min([0.0, *found]),
        vmax=max([*found, 1e-9]),
    )
    written = {
        (at, place): f"{value:.{chart.decimals}f}"
        for at, row in enumerate(chart.values)
        for place, value in enumerate(row)
        if value is not None
    }
    if max(map(len, written.values()), default=0) <= _letters(chart):
        for (at, place), text in written.items():
            colour = ink(_hexadecimal(colours(mesh.norm(chart.values[at][place]))))
            cell = axes.text(place, at, text, ha="center", va="center", fontsize=_LETTER_PT, color=colour)
            cell.set_in_layout(False)  # they lie in the axes anyway, and fitting hundreds takes seconds
    for at, place in chart.marked:
        corner = (place - 0.46, at - 0.46)
        axes.add_patch(patches.Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=_OUTLINE, linewidth=1.2))
    axes.set_xticks(range(len(chart.columns)), chart.columns, rotation=90 if _upright(chart) else 0)
    axes.set_yticks(range(len(chart.rows)), [textwrap.fill(row, _LABEL_CHARACTERS) for row in chart.rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(chart.column_axis)
    axes.set_ylabel(chart.row_axis)
    figure.colorbar(mesh, ax=axes, location="top", shrink=0.6, aspect=40, label=chart.axis)
    if chart.marked:
        outline = patches.Patch(facecolor="none", edgecolor=_OUTLINE, label=chart.mark)
        figure.legend(handles=[outline], loc="outside lower right")


def _bars_height(chart: Bars) -> float:
    return 1.0 + len(chart.labels) * (0.09 + 0.12 * max(1, len(chart.series)))


def _forest_height(chart: Forest) -> float:
    lines = sum(len(textwrap.wrap(label, _LABEL_CHARACTERS)) for label in chart.labels)
    return 1.1 + 0.1 * len(chart.labels) + 0.13 * lines + 0.08 * len(chart.labels) * len(chart.series)


def _lines_height(chart: Lines) -> float:
    return 3.0 + 0.2 * (len(chart.series) > 1) + 0.16 * (len(chart.series) - 1) // _LEGEND_COLUMNS


def _heat_height(chart: Heat) -> float:
    longest = max(map(len, chart.columns), default=0) if _upright(chart) else 2
    return 1.5 + 0.25 * len(chart.rows) + 0.07 * longest


_KINDS: dict[type[Chart], tuple[Callable[[Any], float], Callable[[Any, Any, Any], None]]] = {
    Bars: (_bars_height, _bars),
    Forest: (_forest_height, _forest),
    Heat: (_heat_height, _heat),
    Lines: (_lines_height, _lines),
}
"""How high a chart of each kind is, in inches, and what draws it."""


def _dots(axes: Any, series: Series, places: Sequence[float], number: int, *, hollow: bool = False) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    axes.errorbar(
        _numbers(series.values),
        places,
        xerr=_ends(series),
        fmt=_MARKS[number % len(_MARKS)],
        color="black" if hollow else colour,
        markerfacecolor="white" if hollow else colour,
        markersize=4.5,
        elinewidth=0.9,
        capsize=2,
        label=series.name,
    )


def _names(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [textwrap.fill(label, _LABEL_CHARACTERS) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _legend(figure: Any, axes: Any, count: int) -> None:
    if count > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(count, _LEGEND_COLUMNS))


def _plain_ticks(axes: Any, chart: Forest) -> None:
    """Ratios as 0.5, 1 and 2, a few of them, for powers of ten are no scale for an odds ratio."""
    known = [
        end for series in chart.series for ends in (series.values, series.low, series.high) for end in ends
    ]
    found = [1.0, *(end for end in known if end)]
    low, high = min(found) / 1.2, max(found) * 1.2
    fine, coarse = (
        (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4),
        (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100),
    )
    steps = [step for step in (fine if high / low < 4 else coarse) if low <= step <= high]
    axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, high)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _ends(series: Series) -> list[list[float]] | None:
    """How far the interval's ends lie below and above; none at a value without an interval."""
    if not series.low:
        return None
    triples = list(zip(series.values, series.low, series.high, strict=True))
    return [
        [0.0 if value is None or low is None else max(0.0, value - low) for value, low, _ in triples],
        [0.0 if value is None or high is None else max(0.0, high - value) for value, _, high in triples],
    ]


def _apart(x: Sequence[float]) -> bool:
    """Whether a tick at every x leaves room for its number."""
    room = 0.045 * (max(x, default=0) - min(x, default=0))
    return all(later - former > room for former, later in pairwise(sorted(x)))


def _letters(chart: Heat) -> float:
    """How many letters of the smallest kind have room in a cell."""
    return (_WIDTH_IN - 2.1) / max(1, len(chart.columns)) * 72 / (0.64 * _LETTER_PT)


def _upright(chart: Heat) -> bool:
    """Whether the names of the columns are too long to lie."""
    return max(map(len, chart.columns), default=0) > _letters(chart) - 1


def _hexadecimal(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour[:3])
