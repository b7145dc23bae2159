"""The gallery: the figures that lie beside the card, each drawn from what was counted while the rows were written.

Law of the file: a figure shows nothing that the card has not in a table, and its words say what it shows; where matplotlib is not
installed there is no figure, and nothing that points to one.
"""

import importlib.util
from typing import NamedTuple

from builder.core.interval import share
from builder.evidence.card import Figures
from builder.evidence.figures import png
from builder.evidence.findings import Bars, Chart, Lines, Series
from builder.evidence.findings.emotions import heat

LIBRARY = "matplotlib"
"""What draws, of the extra `report`."""


class Picture(NamedTuple):
    """A figure of the card."""

    path: str
    """Relative to the packaged folder."""
    alt: str
    """What it shows, for whoever does not see it."""
    png: bytes


def can_draw() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec(LIBRARY) is not None


def gallery(figures: Figures) -> dict[str, Picture]:
    """Draws every figure there is something to show of, by name; none where matplotlib is not installed."""
    if not can_draw():
        return {}
    charts = [_emotions(figures), _transitions(figures), _turns(figures), *_hours(figures)]
    charts += [*_retention(figures), *_loudness(figures)]
    return {chart.name: Picture(f"figures/{chart.name}.png", alt, png(chart)) for chart, alt in charts}


_Told = tuple[Chart, str]


def _emotions(figures: Figures) -> _Told:
    census = figures.census
    ranked = sorted(census.by_emotion.items(), key=lambda item: (-item[1], item[0]))
    (most, many), (least, few) = ranked[0], ranked[-1]
    chart = Bars(
        name="emotions",
        title="Turns by emotion",
        axis="share of turns (%)",
        labels=tuple(name for name, _ in ranked),
        series=(Series(name="turns", values=tuple(100 * count / census.turns for _, count in ranked)),),
    )
    return chart, (
        f"Bars: the share of turns by emotion, from {most} with {100 * many / census.turns:.1f} % "
        f"to {least} with {100 * few / census.turns:.1f} %"
    )


def _transitions(figures: Figures) -> _Told:
    counts = figures.census.transitions
    names = figures.emotions
    rows = (
        tuple(
            100 * counts[one, other] / figures.followed[one] if counts[one, other] else None
            for other in names
        )
        for one in names
    )
    chart = heat(names, rows, figures.edges)
    if not counts:
        return chart, "Heat map: no turn follows another"
    one, other = min(counts, key=lambda pair: (-counts[pair], pair))
    return chart, (
        f"Heat map: how often each emotion follows each; {len(counts)} of {len(names) ** 2} pairs occur, {one} before {other} "
        f"most often; {figures.astray} transitions follow no edge of the emotion graph, whose edges are outlined"
    )


def _turns(figures: Figures) -> _Told:
    by_turns = sorted(figures.census.by_turns.items())
    chart = Bars(
        name="turns",
        title="Dialogues by number of turns",
        axis="dialogues",
        labels=tuple(f"{turns} turns" for turns, _ in by_turns),
        series=(Series(name="dialogues", values=tuple(float(count) for _, count in by_turns)),),
    )
    return chart, f"Bars: dialogues by number of turns, from {by_turns[0][0]} to {by_turns[-1][0]}"


def _hours(figures: Figures) -> list[_Told]:
    if not figures.hours:
        return []
    pairings = tuple(figures.census.by_pairing)
    chart = Bars(
        name="hours",
        title="Hours of speech by pairing and config",
        axis="hours, with pauses",
        labels=tuple(sorted(pairings)),
        series=tuple(
            Series(name=config, values=tuple(hours.get(name, 0.0) for name in sorted(pairings)))
            for config, hours in figures.hours_by_pairing.items()
        ),
    )
    total = ", ".join(f"{hours:,.2f} in {config}" for config, hours in figures.hours.items())
    return [(chart, f"Bars: hours of speech by pairing; altogether {total}")]


def _retention(figures: Figures) -> list[_Told]:
    if not figures.judged:
        return []
    pairings = {name: counts for name, counts in figures.retention["pairings"].items() if counts["held"]}
    shares = {name: share(counts["accepted"], counts["held"]) for name, counts in pairings.items()}
    chart = Bars(
        name="retention",
        title="Accepted dialogues by pairing",
        axis="accepted, of those held (%), with 95 % intervals",
        labels=tuple(shares),
        series=(Series.of("accepted", shares.values(), 100),),
    )
    (low, least), *_, (high, most) = *figures.accepted_by_pairing, figures.accepted_by_pairing[-1]
    told = f"from {least} with {100 * low:.0f} % to {most} with {100 * high:.0f} %"
    return [(chart, f"Bars: the share of dialogues accepted by pairing, {told}")]


def _loudness(figures: Figures) -> list[_Told]:
    known = {config: loudness for config, loudness in figures.loudness.items() if loudness.clips}
    if not known:
        return []
    steps = range(
        min(min(one.counts) for one in known.values()), max(max(one.counts) for one in known.values()) + 1
    )
    chart = Lines(
        name="loudness",
        title="Loudness of clips",
        axis="share of the clips (%)",
        x_axis="loudness (LUFS)",
        x=tuple(map(float, steps)),
        series=tuple(
            Series(name=config, values=tuple(100 * one.counts[step] / one.clips for step in steps))
            for config, one in known.items()
        ),
    )
    told = "; ".join(
        f"half of {config} lies from {one.quantile(0.25)} to {one.quantile(0.75)} LUFS"
        for config, one in known.items()
    )
    return [(chart, f"Lines: clips by loudness; {told}")]
