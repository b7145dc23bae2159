"""catalogue: which dialogues a run folder or a packaged dataset holds, found by what they are, each read when it is shown.

Memory holds a few numbers a dialogue, and where it lies; `_run` and `_dataset` read the rest where it is asked for.
Law of the folder: it only reads, and a run may be worked on meanwhile; what it shows is as it was when it was opened.
"""

from array import array
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.annotation import Annotation
from builder.core.row import Row
from builder.core.scenario import parse_id
from builder.core.verdict import Acceptance, Review, decide
from builder.dataset.rows import is_run
from builder.errors import DatasetError, SourceError, nearest
from builder.people.catalogue._dataset import DatasetSource
from builder.people.catalogue._run import RunSource
from builder.people.catalogue._source import OUTCOMES, Outcome, Source
from builder.records import Record
from builder.run.audio import decode, encode
from builder.run.failures import Failure
from builder.terminal import bar

__all__ = ["ORDERS", "OUTCOMES", "Catalogue", "Filters", "Line", "Outcome", "Shown"]

Order = Literal["id", "lowest score", "highest score"]
ORDERS: tuple[Order, ...] = get_args(Order)

_LONGEST_S = 3600
"""A dialogue that says it lasts longer is damaged, and is not given the memory it asks for."""


class Filters(Record):
    """What is looked for. An empty selection takes all; a dialogue must fit every one."""

    domains: tuple[str, ...] = ()
    pairings: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    """Any turn has any of them."""
    configs: tuple[str, ...] = ()
    """Spoken in any of them."""
    min_turns: int = 1
    max_turns: int | None = None
    words: str = ""
    """Each of them stands somewhere in the text, be it within a longer word; case is folded."""
    order: Order = "id"
    """By id, or by mean score; those without a score come last."""


class Line(NamedTuple):
    """What a list says of a dialogue."""

    id: str
    split: str
    num_turns: int
    outcome: str
    score: float | None
    """The mean of all that models gave, on their own scale; None where none did."""


class Shown(NamedTuple):
    """All there is to know of one dialogue, but its sound."""

    id: str
    outcome: str
    reasons: tuple[str, ...]
    """For a dialogue not accepted: the criteria that failed, or lack a quorum."""
    row: Row | None
    """As in the dataset, labels as names, without `audio`; None where it was never finished."""
    emotions: tuple[str, ...]
    """Of every turn, also of one that was never spoken."""
    review: Review | None
    """What every judge said; of a dataset, which keeps the scores alone, without reasons and abstentions."""
    acceptance: Acceptance | None
    """The rule; None for a dataset, which does not say."""
    failures: tuple[tuple[str, Failure], ...]
    """What went wrong with it and was not done since, each with the work it went wrong in."""
    annotations: tuple[Annotation, ...]
    """What people said of it."""


class _Codes:
    """One small number a dialogue, for one of a few names."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.codes = array("H")

    def code(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))

    def of(self, position: int) -> str:
        return list(self.names)[self.codes[position]]

    def among(self, wanted: tuple[str, ...]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.isin(self.codes, [self.names.get(name, -1) for name in wanted])
        return found

    def counts(self) -> dict[str, int]:
        counted = np.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: counted[code] for name, code in sorted(self.names.items())}


class Catalogue:
    """An index over a run folder or a packaged dataset, as it is now.

    Any number of threads may use it. What it opened is closed when nobody uses it any more.

    Args:
        source: the folder.

    Raises:
        RunError: the run cannot be read.
        DatasetError: the folder is neither run nor dataset, or the dataset is damaged.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        held: Source = RunSource(source) if is_run(source) else DatasetSource(source)
        self._held = held
        self.title, self.configs = held.title, held.configs
        """What the source is, and its dataset configs with sound."""
        self._positions: dict[str, int] = {}
        self._columns = {name: _Codes() for name in ("domain", "pairing", "split", "outcome")}
        emotions, cells = _Codes(), array("i")
        turns, scores = array("H"), array("f")
        with bar("explore", held.total) as progress:
            for position, entry in enumerate(held.entries()):
                if self._positions.setdefault(entry.id, position) != position:
                    raise DatasetError(f"{source}: {entry.id} is in the dataset twice: package it again")
                name = parse_id(entry.id)
                values = (name.domain, name.pairing, entry.split, entry.outcome)
                for column, value in zip(self._columns.values(), values, strict=True):
                    column.codes.append(column.code(value))
                for emotion in set(entry.emotions):
                    cells.extend((position, emotions.code(emotion)))
                turns.append(name.num_turns)
                scores.append(entry.score)
                progress.advance()
        self._ids = list(self._positions)
        self._turns, self._scores = np.asarray(turns), np.asarray(scores)
        self._emotions = emotions.names
        self._felt = np.zeros((len(self._ids), len(emotions.names)), np.bool_)
        self._felt[cells[::2], cells[1::2]] = True
        self._spoken = {config: held.spoken(config, self._positions) for config in self.configs}
        names = [parse_id(id) for id in self._ids]
        order = sorted(range(len(names)), key=lambda at: msgspec.structs.astuple(names[at]))
        self._by_id = np.asarray(order, np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def choices(self) -> dict[str, dict[str, int]]:
        """What may be filtered by: for each of `Filters`' selections the names there are, with how many dialogues fit."""
        felt = {name: int(self._felt[:, code].sum()) for name, code in sorted(self._emotions.items())}
        spoken = {config: int(mask.sum()) for config, mask in self._spoken.items()}
        return {f"{name}s": codes.counts() for name, codes in self._columns.items()} | {
            "emotions": felt,
            "configs": spoken,
        }

    def find(self, filters: Filters) -> list[str]:
        """The ids of the dialogues that fit, in the order asked for.

        Words are looked for in the text of what fits otherwise, which is read from beginning to end.

        Args:
            filters: what is looked for.

        Raises:
            RunError: the run cannot be read.
            DatasetError: the dataset cannot be read, or was packaged again meanwhile.
        """
        fits = self._turns >= filters.min_turns
        if filters.max_turns is not None:
            fits &= self._turns <= filters.max_turns
        for name, codes in self._columns.items():
            if wanted := getattr(filters, f"{name}s"):
                fits &= codes.among(wanted)
        if filters.emotions:
            known = [self._emotions[name] for name in filters.emotions if name in self._emotions]
            fits &= self._felt[:, known].any(axis=1)
        if filters.configs:
            masks = [self._spoken[name] for name in filters.configs if name in self._spoken]
            fits &= np.any(masks, axis=0) if masks else False
        if words := filters.words.casefold().split():
            fits &= self._saying(words, np.flatnonzero(fits))
        order = self._by_id
        if filters.order != "id":
            sign = 1 if filters.order == "lowest score" else -1
            order = order[np.argsort(sign * self._scores[order], kind="stable")]
        return [self._ids[at] for at in order[fits[order]]]

    def _saying(self, words: list[str], positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        saying = np.zeros(len(self._ids), np.bool_)
        for position, turns in self._held.texts(positions):
            text = "\n".join(turns).casefold()
            saying[position] = all(word in text for word in words)
        return saying

    def resolve(self, wanted: str) -> str:
        """The whole id of a dialogue named by it, or by its part after the slash where that is enough.

        Raises:
            DatasetError: no dialogue, or more than one, has this id.
        """
        if wanted in self._positions:
            return wanted
        found = [id for id in self._ids if id.endswith(f"/{wanted}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(
                f"{wanted!r} is the id of {len(found)} dialogues: name one of {', '.join(found)}"
            )
        hint = (
            nearest(wanted, self._ids)
            if 0 < len(self._ids) <= 1000
            else "ids are such as 'llama3-8B/travel_17_4'"
        )
        raise DatasetError(f"{self.source} holds no dialogue {wanted!r}: {hint}")

    def spoken(self, id: str) -> tuple[str, ...]:
        """The dataset configs in which a dialogue is to be heard.

        Raises:
            KeyError: there is no such dialogue.
        """
        position = self._positions[id]
        return tuple(config for config, mask in self._spoken.items() if mask[position])

    def line(self, id: str) -> Line:
        """What a list says of a dialogue, from the index alone.

        Raises:
            KeyError: there is no such dialogue.
        """
        position = self._positions[id]
        score = float(self._scores[position])
        return Line(
            id=id,
            split=self._columns["split"].of(position),
            num_turns=int(self._turns[position]),
            outcome=self._columns["outcome"].of(position),
            score=None if np.isnan(score) else score,
        )

    def show(self, id: str, config: str | None = None) -> Shown:
        """Reads one dialogue.

        Args:
            id: whole.
            config: whose times and voices its row has; None for text alone.

        Raises:
            KeyError: there is no such dialogue, or none in this config.
            RunError: the run cannot be read.
            DatasetError: the dataset cannot be read, or was packaged again meanwhile.
        """
        position = self._positions[id]
        if config is not None and not self._spoken[config][position]:
            raise KeyError(config)
        row = self._held.row(id, position, config)
        review, rule = self._held.review(id, row), self._held.acceptance
        return Shown(
            id=id,
            outcome=self._columns["outcome"].of(position),
            reasons=decide(review, rule).reasons if review and rule else (),
            row=row,
            emotions=self._held.emotions(id, row),
            review=review,
            acceptance=rule,
            failures=self._held.failures(id),
            annotations=self._held.annotations(id),
        )

    def clip(self, config: str, id: str, turn: int) -> bytes:
        """The FLAC of one turn, from 1; of turn 0, the whole dialogue.

        Raises:
            KeyError: there is no such dialogue, config or turn.
            RunError: the run cannot be read.
            DatasetError: the dataset cannot be read.
            SourceError: a clip is damaged.
        """
        position = self._positions[id]
        if not (self._spoken[config][position] and 0 <= turn <= parse_id(id).num_turns):
            raise KeyError(turn)
        return self._held.clip(id, position, config, turn) if turn else self._whole(config, id, position)

    def _whole(self, config: str, id: str, position: int) -> bytes:
        """A dialogue with its silences, mono, as its own times say."""
        row = self._held.row(id, position, config)
        if row is None or not 0 < row["duration"] <= _LONGEST_S:
            raise SourceError(f"{id}: it does not say how long it lasts: fetch or package it again")
        full, rate = np.zeros(0, np.int16), 0
        for number, turn in enumerate(row["turns"], start=1):
            samples, rate = decode(self._held.clip(id, position, config, number))
            if not len(full):
                full = np.zeros(round(row["duration"] * rate), np.int16)
            begin = round(turn["start"] * rate)
            if not 0 <= begin <= len(full) - len(samples):
                raise SourceError(f"{id}: clip {number} does not fit its dialogue: fetch or package it again")
            full[begin : begin + len(samples)] = samples
        return encode(full, rate)
