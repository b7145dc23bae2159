"""What is read and in which order: rows picked from the offset index, runs of neighbours, windows in which they are shuffled.

The order is a function of (rows, seed, epoch) alone. It is dealt to nodes and workers in contiguous parts that differ by one row
at most, so that every row is read exactly once by any number of them, and a place in it is one number.
Law of the file: it opens no file and starts no thread.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

_RUN_BYTES = 8 * 2**20
"""Read at once where the order is that of the files."""
_FIRST_BYTES = 2**19
"""Read first, so that the first row is there soon; then twice as much, and so on."""
_SHUFFLED_RUN_BYTES = 2 * 2**20
"""Read at once where it is not: small, so that a window mixes many places; a request costs about as much as 2 MB."""
_TURN_BYTES = 512
"""What a turn costs beside its audio, about."""


@dataclass(frozen=True)
class Rows:
    """The rows of a subset, in the order of the files: dialogues, or turns."""

    files: tuple[str, ...]
    ids: pa.Array
    """Of the dialogue, for each row."""
    file: Ints
    """Of each row, its place in `files`."""
    number: Ints
    """Of each row, its dialogue's place in the file."""
    turn: Ints
    """Of each row, from 1; 0 where a row is a dialogue."""
    turns: Ints
    """Of each row, its dialogue's turns."""
    first: Ints
    """Of each row, its first clip; and one more, the number of clips."""
    offset: Ints
    """Of each clip, in its file; empty where nothing was spoken."""
    length: Ints
    """Of each clip, in bytes."""

    def __len__(self) -> int:
        return len(self.file)

    def cost(self) -> Ints:
        """Of each row, about its bytes in memory before decoding."""
        spoken = np.concatenate([[0], np.cumsum(self.length)])
        said = np.where(self.turn == 0, self.turns, 1) * _TURN_BYTES
        cost: Ints = spoken[self.first[1:]] - spoken[self.first[:-1]] + said
        return cost

    def keep(self, kept: npt.NDArray[np.bool_]) -> "Rows":
        """Those rows for which `kept` is true."""
        rows = np.flatnonzero(kept)
        counts = self.first[rows + 1] - self.first[rows]
        clips = _ranges(self.first[rows], counts)
        return Rows(
            self.files,
            self.ids.take(pa.array(rows)),
            self.file[rows],
            self.number[rows],
            self.turn[rows],
            self.turns[rows],
            np.concatenate([[0], np.cumsum(counts)]),
            self.offset[clips],
            self.length[clips],
        )


def pick(
    index: pa.Table,
    *,
    dialogues: Mapping[str, Collection[str]],
    spoken: Mapping[str, Collection[str]],
    num_turns: Collection[int] | None,
    by_turn: bool,
) -> Rows:
    """The rows of an index that a subset asks for.

    Args:
        index: of clips, sorted by dialogue and turn; its files are sorted by dialogue, too.
        dialogues: for columns of the dialogue, the names that are wanted.
        spoken: for columns of the turn, the names that are wanted, all of them in one turn.
        num_turns: how many turns a dialogue may have; None for any number.
        by_turn: whether a row is a turn that has all `spoken`; else it is a dialogue that has such a turn.
    """
    begins = np.flatnonzero(index["turn"].to_numpy() == 1)
    counts = np.diff(begins, append=index.num_rows)
    own = np.repeat(np.arange(len(begins)), counts)
    names, codes = _codes(index["file"])
    file = codes[begins]
    number = _rank(file)
    wanted = _match(index, dialogues)[begins]
    if num_turns is not None:
        wanted &= np.isin(counts, list(num_turns))
    turns = _match(index, spoken)
    if by_turn:
        rows = np.flatnonzero(wanted[own] & turns)
        rows = rows[np.lexsort((rows, number[own[rows]], file[own[rows]]))]
        held, clips, per_row = own[rows], rows, np.ones(len(rows), np.int64)
    else:
        wanted &= np.bitwise_or.reduceat(turns, begins) if len(begins) else wanted
        held = np.flatnonzero(wanted)
        held = held[np.lexsort((number[held], file[held]))]
        per_row = counts[held]
        clips = _ranges(begins[held], per_row)
    return Rows(
        names,
        index["id"].take(pa.array(begins[held])).combine_chunks(),
        file[held],
        number[held],
        index["turn"].to_numpy()[rows].astype(np.int64) if by_turn else np.zeros(len(held), np.int64),
        counts[held],
        np.concatenate([[0], np.cumsum(per_row)]).astype(np.int64)
        if "offset" in index.column_names
        else np.zeros(len(held) + 1, np.int64),
        _column(index, "offset", clips),
        _column(index, "length", clips),
    )


class Window(NamedTuple):
    """Rows that are held in memory together, in the order in which they are given out."""

    rows: Ints
    runs: list[Ints]
    """The same rows as they are read: each run is of neighbours in one file."""


class Order:
    """The order of the rows in one epoch, from which any part can be read from any place.

    Args:
        rows: the subset.
        key: what decides the order, such as (seed, epoch); None for the order of the files.
        window_bytes: how much is mixed at a time.
    """

    def __init__(self, rows: Rows, key: tuple[int, ...] | None, window_bytes: int) -> None:
        self._cost = rows.cost()
        self._key, self._window_bytes = key, window_bytes
        run = _runs(rows.file, self._cost, _RUN_BYTES if key is None else _SHUFFLED_RUN_BYTES)
        starts = np.flatnonzero(np.diff(run, prepend=-1))
        order = np.arange(len(starts)) if key is None else np.random.default_rng(key).permutation(len(starts))
        sizes = np.diff(starts, append=len(run))[order]
        self._sequence, self._run = _ranges(starts[order], sizes), run

    def windows(self, begin: int, end: int, done: int) -> Iterator[Window]:
        """The windows of one part.

        Args:
            begin: the part's first place.
            end: the place after its last.
            done: how many of its rows were given out already.
        """
        most = _FIRST_BYTES if self._key is None else self._window_bytes
        while begin < end:
            # No more rows than cost at least a turn's text can be in the window.
            reached = np.cumsum(self._cost[self._sequence[begin : min(end, begin + most // _TURN_BYTES + 1)]])
            size = max(1, int(np.searchsorted(reached, most, side="right")))
            rows = self._sequence[begin : begin + size]
            if self._key is None:
                most = min(2 * most, _RUN_BYTES)
            else:
                rows = np.random.default_rng((*self._key, begin)).permutation(rows)
            if done < size:
                yield self._window(rows[done:])
            done = max(0, done - size)
            begin += size

    def _window(self, rows: Ints) -> Window:
        """Rows with the runs they are read in, those first that are needed first."""
        read = np.sort(rows)
        runs = np.split(read, np.flatnonzero(np.diff(self._run[read])) + 1)
        _, needed = np.unique(self._run[rows], return_index=True)
        return Window(rows, [runs[place] for place in np.argsort(needed)])


def _match(index: pa.Table, wanted: Mapping[str, Collection[str]]) -> npt.NDArray[np.bool_]:
    kept = np.ones(index.num_rows, bool)
    for name, values in wanted.items():
        kept &= pc.is_in(index[name], value_set=pa.array(list(values), pa.string())).to_numpy()
    return kept


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    """The sorted values of a column, and for each row the place of its own."""
    names = sorted(pc.unique(column).to_pylist())
    return tuple(names), pc.index_in(column, value_set=pa.array(names)).to_numpy().astype(np.int64)


def _rank(codes: Ints) -> Ints:
    """For each value, how many of its like come before it."""
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(begins, np.diff(begins, append=len(codes)))
    return rank


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """All the whole numbers from each start on, as many as its count, one range after the other."""
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


def _runs(file: Ints, cost: Ints, most: int) -> Ints:
    """A number for each row, the same for neighbours in one file that cost about `most` together."""
    before = np.concatenate([[0], np.cumsum(cost)[:-1]]) if len(cost) else cost
    cells = np.stack([file, before // most])
    changed = np.any(np.diff(cells, axis=1, prepend=-1) != 0, axis=0)
    runs: Ints = np.cumsum(changed) - 1
    return runs


def _column(index: pa.Table, name: str, rows: Ints) -> Ints:
    if name not in index.column_names:
        return np.zeros(0, np.int64)
    column: Any = index[name].to_numpy()
    return column[rows].astype(np.int64)  # type: ignore[no-any-return]
