"""What figures promise: nothing is cut off, nothing overlaps, every letter can be read, and the same chart is the same bytes."""

import colorsys
import re
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from builder.config import load_study
from builder.evidence.figures import drawn, written
from builder.evidence.findings import Bars, Forest, Heat, Lines, Series

pytest.importorskip("matplotlib")
VOCABULARY = load_study("deepdialogue").vocabulary
DRAW = np.random.default_rng(3)


def series(name, count, high=100.0, missing=()):
    values = DRAW.uniform(0, high, count)
    return Series(
        name=name,
        values=tuple(None if place in missing else float(value) for place, value in enumerate(values)),
        low=tuple(None if place in missing else float(0.9 * value) for place, value in enumerate(values)),
        high=tuple(None if place in missing else float(1.1 * value) for place, value in enumerate(values)),
    )


def bars(labels, names=("this run",), points=()):
    return Bars(
        name="b",
        title="Bars",
        axis="accepted, of those judged (%)",
        labels=tuple(labels),
        series=tuple(series(name, len(labels)) for name in names),
        points=tuple(series(name, len(labels)) for name in points),
    )


def lines(x, names):
    return Lines(
        name="l",
        title="Lines",
        axis="mean score (1 to 5)",
        x_axis="turn",
        x=tuple(x),
        series=tuple(series(name, len(x), 5) for name in names),
    )


def heat(rows, columns, high=100.0, **more):
    values = DRAW.uniform(0, high, (len(rows), len(columns)))
    return Heat(
        name="h",
        title="Heat",
        axis="of the turns after it (%)",
        rows=tuple(rows),
        columns=tuple(columns),
        row_axis="emotion",
        column_axis="emotion of the next turn",
        values=tuple(tuple(None if value < high / 3 else float(value) for value in row) for row in values),
        **more,
    )


def forest(labels, names=("odds ratio",), **more):
    ratios = DRAW.uniform(0.5, 3, (len(names), len(labels)))
    return Forest(
        name="f",
        title="Forest",
        axis="odds ratio of being accepted",
        labels=tuple(labels),
        series=tuple(
            Series(
                name=name,
                values=tuple(row.tolist()),
                low=tuple((row / 1.3).tolist()),
                high=tuple((row * 1.3).tolist()),
            )
            for name, row in zip(names, ratios, strict=True)
        ),
        **more,
    )


CRITERIA = ("coherence", "naturalness", "variety", "domain", "safety", "emotion")
PAPER = {
    "16 pairings": bars(VOCABULARY.pairings, points=["paper, estimated"]),
    "41 domains": bars(VOCABULARY.domains),
    "20 emotions": bars(VOCABULARY.emotions, ("planned", "held", "accepted")),
    "16 pairings by 8 turns": heat(VOCABULARY.pairings, [*map(str, range(3, 11))]),
    "20 by 20 emotions": heat(
        VOCABULARY.emotions, VOCABULARY.emotions, marked=((0, 1), (3, 4)), mark="an edge of the emotion graph"
    ),
    "16 pairings by 41 domains": heat(VOCABULARY.pairings, VOCABULARY.domains),
    "nothing known": Heat(
        name="e", title="E", axis="x (%)", rows=("a", "b"), columns=("c",), values=((None,), (None,))
    ),
    "counts": heat(["1", "2"], ["1", "2", "3"], 40_000),
    "6 criteria by turn": lines(range(1, 11), CRITERIA),
    "6 criteria by size": lines([4, 7, 8, 14, 27, 32, 70, 72], CRITERIA),
    "one line": lines(range(3, 11), ["this run"]),
    "41 domains as points": Lines(
        name="s",
        title="S",
        axis="accepted (%)",
        x_axis="concreteness",
        x=tuple(DRAW.uniform(2, 4, 41).tolist()),
        series=(series("a domain", 41),),
        joined=False,
    ),
    "odds ratios": forest(
        ["as counted", "strengths and turns taken into account"], reference=1, logarithmic=True
    ),
    "wide odds ratios": forest(["a", "b"], ["x", "y"], reference=0.01, logarithmic=True),
    "9 models": forest([f"{name} (72 B)" for name in VOCABULARY.models], ["emotion", "naturalness"]),
    "one label": bars(["phi4-mini"]),
    "missing values": Bars(
        name="m", title="M", axis="x (%)", labels=("a", "b"), series=(series("s", 2, missing=(1,)),)
    ),
    "no interval": Lines(
        name="n", title="N", axis="y", x_axis="x", x=(1, 2), series=(Series(name="s", values=(1.0, None)),)
    ),
    "dollars": bars(["$\\frac", "a_b^c$", "<b>&"], ["$x$", "$y$"]),
    "long names": bars(["a name that goes on and on, longer than anybody could wish for"] * 2, CRITERIA),
}


def boxes(figure):
    """What is written, each with its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    texts = [text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label, *axes.texts)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    # Of the ticks only those that are drawn: matplotlib keeps others, beyond the ends of an axis.
    texts += [
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis._update_ticks()
    ]
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


@pytest.mark.parametrize("chart", PAPER.values(), ids=PAPER)
def test_nothing_written_is_cut_off_or_lies_over_other_writing(chart):
    with drawn(chart) as figure:
        found = boxes(figure)
        assert found
        for text, box in found:
            assert figure.bbox.x0 - 0.5 <= box.x0 <= box.x1 <= figure.bbox.x1 + 0.5, text
            assert figure.bbox.y0 - 0.5 <= box.y0 <= box.y1 <= figure.bbox.y1 + 0.5, text
        for (one, box), (other, its) in combinations(found, 2):
            apart = (
                box.x1 <= its.x0 + 0.5
                or its.x1 <= box.x0 + 0.5
                or box.y1 <= its.y0 + 0.5
                or its.y1 <= box.y0 + 0.5
            )
            assert apart, (one, other)


@pytest.mark.parametrize("chart", PAPER.values(), ids=PAPER)
def test_every_letter_is_at_least_8_points_at_the_width_of_a_page(chart):
    from matplotlib.text import Text

    with drawn(chart) as figure:
        assert figure.get_figwidth() <= 180 / 25.4 + 0.02
        assert figure.get_figheight() <= 297 / 25.4 - 1
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 8


@pytest.mark.parametrize("name", ["one line", "16 pairings by 8 turns", "odds ratios"])
def test_the_same_chart_is_the_same_bytes_an_image_without_a_date_that_asks_for_nothing(name):
    chart = PAPER[name]
    drawing, image = written(chart)
    assert written(chart) == (drawing, image)
    assert drawing.startswith(b"<?xml")
    assert not re.search(rb"<dc:date>|20\d\d-\d\d", drawing)
    assert b"<script" not in drawing
    assert not re.search(rb"(?:href|src|url)\W{1,2}https?:", drawing)
    assert image.startswith(b"\x89PNG")


def test_an_axis_says_its_unit_and_several_series_have_a_legend():
    with drawn(PAPER["16 pairings"]) as figure:
        assert figure.axes[0].get_xlabel() == "accepted, of those judged (%)"
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["this run", "paper, estimated"]
    with drawn(PAPER["41 domains"]) as figure:
        assert not figure.legends


def test_series_differ_by_more_than_colour():
    with drawn(PAPER["20 emotions"]) as figure:
        hatches = [
            bars.patches[0].get_hatch() for bars in figure.axes[0].containers if hasattr(bars, "patches")
        ]
        assert len(set(hatches)) == 3
    with drawn(PAPER["6 criteria by turn"]) as figure:
        shown = [line.lines[0] for line in figure.axes[0].containers]
        assert len({(line.get_marker()) for line in shown}) == 6


def test_a_number_on_a_cell_stands_out_from_it():
    with drawn(PAPER["16 pairings by 8 turns"]) as figure:
        axes = figure.axes[0]
        (image,) = axes.images
        assert len(axes.texts) == sum(
            value is not None for row in PAPER["16 pairings by 8 turns"].values for value in row
        )
        for text in axes.texts:
            place, at = map(int, text.get_position())
            red, green, blue, _ = image.cmap(image.norm(image.get_array()[at, place]))
            light = colorsys.rgb_to_hls(red, green, blue)[1]
            assert text.get_color() == ("#000000" if light > 0.5 else "#ffffff") or 0.35 < light < 0.55


def test_numbers_that_have_no_room_in_their_cells_are_left_to_the_table():
    with drawn(PAPER["16 pairings by 41 domains"]) as figure:
        assert not figure.axes[0].texts
    with drawn(PAPER["counts"]) as figure:
        assert figure.axes[0].texts


@pytest.mark.parametrize(
    "name",
    [
        "a\x1b[2J\x00b",
        "a\u2028\nb",
        "--><script>alert(1)</script>",
        "$\\frac{",
        "\ud800",
        "高兴",
        "x" * 10_000,
        "",
    ],
)
def test_whatever_a_name_holds_the_figure_is_sound_and_no_larger_for_it(name):
    for chart in (bars([name, "b"], [name, "b"]), lines([1, 2], [name, "b"]), heat([name, "b"], [name, "b"])):
        svg, image = written(chart)
        root = ET.fromstring(svg)
        assert float(root.get("height").removesuffix("pt")) < 1500
        assert not {"script", "text"} & {element.tag.rpartition("}")[2] for element in root.iter()}
        assert image.startswith(b"\x89PNG")
