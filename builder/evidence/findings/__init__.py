"""Evidence: what a run shows, finding by finding. The folder is the registry: one file, one `find`, one `ORDER`.

    ORDER = 60                                    # where it stands on the page; ties go by the file's name

    def find(evidence: Evidence) -> Finding | Absent:
        ...

The run's dialogues and reviews are read once, into columns (`Held`) that every finding counts from. A finding that needs more
reads the run's ledgers itself, one record at a time.

Law of the folder: every sentence is made of computed numbers, every number stands with its count and, where it is estimated, its
interval; what is absent is said with its reason at its place. A finding draws nothing and writes nothing: its tables and charts
are data, the same for the same ledgers, in whatever order they were written.
"""

import importlib
import shlex
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, TypeAlias, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.dialogue import Dialogue
from builder.core.interval import Interval
from builder.core.verdict import heard
from builder.core.vocabulary import Vocabulary
from builder.core.word import count_words
from builder.evidence import Options, names
from builder.records import Record
from builder.run.folder import Run
from builder.terminal import Bar, bar

OUTCOMES = ("accepted", "rejected", "undecided", "not judged")
"""What became of a dialogue that was held, by number."""

_Given: TypeAlias = "defaultdict[str, tuple[array[int], array[float]]]"
"""By criterion: places, and a value at each."""

Cell = str | int | float | None
"""None is an empty cell."""


class Column(Record):
    """A column of a table."""

    name: str
    unit: str = ""
    """Such as `%`, `Hz` or `1 to 5`; empty for names and counts."""
    decimals: int = 1
    """Of numbers with a fraction, on the page; the CSV file has them in full."""


class Table(Record):
    """A table: on the page, and whole as `tables/<finding>-<name>.csv`."""

    name: str
    """A slug, such as `by_pairing`."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def spread(name: str, unit: str, decimals: int = 1) -> tuple[Column, Column, Column]:
    """The columns of a number and its interval; `cells` fills them."""
    return (
        Column(name=name, unit=unit, decimals=decimals),
        Column(name=f"{name} from", unit=unit, decimals=decimals),
        Column(name=f"{name} to", unit=unit, decimals=decimals),
    )


def cells(interval: Interval, scale: float = 1) -> tuple[Cell, Cell, Cell]:
    """A number and the ends of its interval."""
    value, low, high = (None if one is None else scale * one for one in interval[:3])
    return value, low, high


def told(interval: Interval, unit: str = "", scale: float = 1, decimals: int = 1) -> str:
    """An interval in a sentence, such as `61.2 % (60.8 to 61.6, of 65,600)`."""
    value, low, high = cells(interval, scale)
    if value is None:
        return "not known"
    ends = "no interval" if low is None or high is None else f"{low:.{decimals}f} to {high:.{decimals}f}"
    return f"{value:.{decimals}f}{unit and ' ' + unit} ({ends}, of {interval.items:,})"


class Series(Record):
    """Values along the labels or the x of a chart, with their intervals."""

    name: str
    """What the legend says."""
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    """Of the intervals; empty for none at all, None at a value without one."""
    high: tuple[float | None, ...] = ()

    @classmethod
    def of(cls, name: str, intervals: Iterable[Interval], scale: float = 1) -> "Series":
        """Values with intervals, such as shares by `scale` 100 in per cent."""
        rows = [cells(interval, scale) for interval in intervals]
        values, low, high = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(name=name, values=values, low=low, high=high)


class Chart(Record):
    """What all charts say of themselves: `figures/<finding>-<name>.svg`."""

    name: str
    """A slug, such as `by_pairing`."""
    title: str
    axis: str
    """What the values are, with their unit, such as `accepted (%)`."""


class Bars(Chart):
    """Horizontal bars, a group of them beside each label, from the top."""

    labels: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    """A bar each, at every label."""
    points: tuple[Series, ...] = ()
    """What the bars are held against, drawn as marks over them."""


class Lines(Chart):
    """Values over a number."""

    x_axis: str = ""
    """What x is, with its unit."""
    x: tuple[float, ...] = ()
    series: tuple[Series, ...] = ()
    joined: bool = True
    """Whether lines join the points; they do not where x has no order of its own, as in a scatter plot."""


class Heat(Chart):
    """A table in colours, its numbers in the cells."""

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    row_axis: str = ""
    column_axis: str = ""
    values: tuple[tuple[float | None, ...], ...] = ()
    """By row and column; None leaves a cell blank."""
    marked: tuple[tuple[int, int], ...] = ()
    """Cells, as places of row and column, to be outlined."""
    mark: str = ""
    """What an outline means."""
    decimals: int = 0


class Forest(Chart):
    """Estimates with intervals, one a line, against a reference."""

    labels: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    """Marks at every label; the legend names them where there are several."""
    reference: float | None = None
    """The value that means no effect: 0 for a difference, 1 for a ratio; None where there is none."""
    logarithmic: bool = False
    """For ratios."""


class Excerpt(Record):
    """A dialogue to read and hear."""

    dialogue: Dialogue
    said: tuple[str, ...]
    """What became of it and what the judges said, a line each."""
    clips: tuple[bytes, ...] = ()
    """FLAC, one a turn; empty where there is nothing to hear."""


class Finding(Record):
    """What the run shows of one thing."""

    title: str
    says: str
    """In one to four sentences, made of its numbers."""
    tables: tuple[Table, ...] = ()
    charts: tuple[Bars | Lines | Heat | Forest, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()


class Absent(Record):
    """What the run has no evidence of."""

    title: str
    reason: str
    """Why, and what would give it, as a whole sentence."""


@dataclass(frozen=True)
class Held:
    """Every dialogue held, sorted by id, as columns of shape (dialogues,); what turns have is of shape (turns,), end to end."""

    ids: tuple[str, ...]
    domain: NDArray[np.int16]
    """Its place in `vocabulary.domains`; likewise the next."""
    pairing: NDArray[np.int16]
    num_turns: NDArray[np.int16]
    outcome: NDArray[np.int8]
    """Its place in `OUTCOMES`."""
    scores: Mapping[str, NDArray[np.float32]]
    """By criterion that models score: the mean over the judges, of which those that are one count once; not-a-number where none
    scored."""
    start: NDArray[np.int32]
    """Where its turns begin, and at the end how many there are: of shape (dialogues + 1,)."""
    emotion: NDArray[np.int16]
    """Of turns: its place in `vocabulary.emotions`."""
    words: NDArray[np.int32]
    """Of turns: how many."""
    turn_scores: Mapping[str, NDArray[np.float32]]
    """Of turns, by criterion that models score turn by turn: the mean over the judges in the same way, not-a-number where none
    scored."""
    reasons: Mapping[tuple[str, str], int]
    """Dialogues by outcome and criterion that was the reason."""
    faults: Mapping[str, Mapping[int, str]]
    """By rule: what it found, by the place of the dialogue."""

    @cached_property
    def position(self) -> NDArray[np.int16]:
        """Of turns: which of its dialogue it is, from 0."""
        count = int(self.start[-1])
        return (np.arange(count) - np.repeat(self.start[:-1], self.num_turns)).astype(np.int16)

    def count(self, outcome: str) -> int:
        """How many dialogues came out so."""
        return int((self.outcome == OUTCOMES.index(outcome)).sum())

    def by_dialogue(self, values: NDArray[np.floating], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The mean of what has a value among a dialogue's chosen turns, for turns of one dialogue are not independent.

        Args:
            values: of shape (turns,).
            chosen: of shape (turns,).

        Returns:
            Of shape (dialogues,); not-a-number where none is chosen and has a value.
        """
        given = chosen & ~np.isnan(values)
        dialogue = np.repeat(np.arange(len(self.ids)), self.num_turns)[given]
        counts = np.bincount(dialogue, minlength=len(self.ids))
        sums = np.bincount(dialogue, weights=values[given], minlength=len(self.ids))
        means: NDArray[np.float64] = np.full(len(self.ids), np.nan)
        return np.divide(sums, counts, out=means, where=counts > 0)


@dataclass(frozen=True)
class Planned:
    """What was to be held."""

    dialogues: int
    failed: Mapping[str, int]
    """Dialogues that could not be held so far, by boundary."""
    by_pairing: Mapping[str, int]
    by_domain: Mapping[str, int]
    by_turns: Mapping[int, int]
    by_emotion: Mapping[str, int]
    """Turns by emotion."""
    transitions: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Evidence:
    """An opened run, what is asked of it, and its dialogues in columns."""

    run: Run
    options: Options
    planned: Planned
    held: Held

    @property
    def vocabulary(self) -> Vocabulary:
        """The study's."""
        return self.run.study.vocabulary

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Which dialogues the judges marked, of shape (dialogues,); none where the study has no judges."""
        marked: NDArray[np.bool_] = self.held.outcome != OUTCOMES.index("not judged")
        return marked & bool(self.run.study.judges)

    @property
    def unjudged(self) -> str:
        """Why none is marked, and the repair, as a sentence."""
        if not self.run.study.judges:
            return "no judge scored: the study has none, so every dialogue counts as accepted"
        return f"no judge scored yet: `deepdialogue judge --run {self.run.folder}` does"

    def without(self, known: Iterable[str]) -> tuple[str, ...]:
        """Who of these people is to be left out."""
        return tuple(name for name in known if name in self.options.without)

    def command(self, name: str) -> str:
        """The command line that makes one finding again, such as `retention`, with every option that is not as usual."""
        words = ["deepdialogue", "report", str(self.run.folder), "--only", name]
        for field in msgspec.structs.fields(Options):
            if (value := getattr(self.options, field.name)) != field.default:
                for one in value if isinstance(value, tuple) else (value,):
                    words += [
                        f"--{field.name.replace('_', '-')}",
                        f"{one:g}" if isinstance(one, float) else str(one),
                    ]
        return shlex.join(words)


class Find(Protocol):
    """What every file here holds."""

    ORDER: int
    """Where it stands on the page: the smaller, the earlier."""

    def find(self, evidence: Evidence) -> Finding | Absent:
        """Looks."""
        ...


def finds() -> dict[str, Find]:
    """Every finding's file by name, in the order of the page."""
    found = {name: cast("Find", importlib.import_module(f"{__name__}.{name}")) for name in names()}
    return dict(sorted(found.items(), key=lambda item: item[1].ORDER))


def gather(run: Run, options: Options = Options()) -> Evidence:  # noqa: B008
    """Reads the run's scenarios, dialogues and reviews, each once.

    Memory grows by a few bytes a turn: words do not stay.
    """
    with bar("read", len(run.scenarios) + len(run.dialogues)) as progress:
        return Evidence(run=run, options=options, planned=_planned(run, progress), held=_held(run, progress))


def not_held(run: Run) -> dict[str, int]:
    """Dialogues that failed and were not held since, by boundary."""
    failures = (failure for failure in run.failures.unresolved("generate") if failure.id not in run.dialogues)
    return dict(sorted(Counter(failure.boundary for failure in failures).items()))


def _planned(run: Run, progress: Bar) -> Planned:
    pairings, domains = Counter[str](), Counter[str]()
    turns, emotions, transitions = Counter[int](), Counter[str](), Counter[tuple[str, str]]()
    for scenario in run.scenarios:
        pairings[scenario.pairing] += 1
        domains[scenario.domain] += 1
        turns[len(scenario.emotions)] += 1
        emotions.update(scenario.emotions)
        transitions.update(pairwise(scenario.emotions))
        progress.advance()
    return Planned(len(run.scenarios), not_held(run), pairings, domains, turns, emotions, transitions)


def _held(run: Run, progress: Bar) -> Held:
    vocabulary = run.study.vocabulary
    domains, pairings, emotions = (
        {name: place for place, name in enumerate(names)}
        for names in (vocabulary.domains, vocabulary.pairings, vocabulary.emotions)
    )
    panel = {name for name, judge in run.plugins.judges().items() if judge.models()}
    ids = tuple(sorted(run.dialogues.ids()))
    domain, pairing, num_turns, outcome = array("h"), array("h"), array("h"), array("b")
    emotion, words = array("h"), array("i")
    scores: _Given = defaultdict(lambda: (array("i"), array("d")))
    turn_scores: _Given = defaultdict(lambda: (array("i"), array("d")))
    reasons: Counter[tuple[str, str]] = Counter()
    faults: dict[str, dict[int, str]] = {}
    for place, id in enumerate(ids):
        dialogue = run.dialogues[id]
        domain.append(domains[dialogue.domain])
        pairing.append(pairings[dialogue.pairing])
        num_turns.append(len(dialogue.turns))
        review = run.reviews.get(id)
        decision = run.decision(review)
        became = decision.outcome if decision else "not judged"
        outcome.append(OUTCOMES.index(became))
        reasons.update((became, reason) for reason in (decision.reasons if decision else ()))
        verdicts = review.verdicts if review else ()
        for voice in heard(verdict for verdict in verdicts if verdict.judge in panel):
            for criterion, score in voice.scores.items():
                scores[criterion][0].append(place)
                scores[criterion][1].append(score)
            for criterion, given in voice.turns.items():
                turn_scores[criterion][0].extend(range(len(words), len(words) + len(given)))
                turn_scores[criterion][1].extend(given)
        for verdict in verdicts:
            if verdict.judge not in panel and verdict.reason:
                faults.setdefault(verdict.judge, {})[place] = verdict.reason
        emotion.extend(emotions[turn.emotion] for turn in dialogue.turns)
        words.extend(count_words(turn.text) for turn in dialogue.turns)
        progress.advance()
    return Held(
        ids=ids,
        domain=np.array(domain),
        pairing=np.array(pairing),
        num_turns=np.array(num_turns),
        outcome=np.array(outcome),
        scores=_means(scores, len(ids)),
        start=np.concatenate([[0], np.cumsum(num_turns, dtype=np.int32)]).astype(np.int32),
        emotion=np.array(emotion),
        words=np.array(words),
        turn_scores=_means(turn_scores, len(words)),
        reasons=reasons,
        faults=faults,
    )


def _means(given: _Given, size: int) -> dict[str, NDArray[np.float32]]:
    """By name the mean at each of `size` places of what was given there; not-a-number where nothing was."""
    columns = {}
    for name, (places, values) in sorted(given.items()):
        counts = np.bincount(places, minlength=size)
        sums = np.bincount(places, weights=values, minlength=size)
        columns[name] = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0).astype(
            np.float32
        )
    return columns
