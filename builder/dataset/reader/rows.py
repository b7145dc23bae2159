"""From a plan to rows: text by row groups, clips by ranges, both some way ahead in threads, decoded on all cores.

Law of the file: rows come in the plan's order; what is in memory stays within the budget; a row that is not the planned one, or a
clip that cannot be read, stops with its name.
"""

import io
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import soundfile

from ...errors import DatasetError, first_line
from .ahead import ahead
from .plan import Ints, Rows, Window
from .source import Source, coalesced
from .table import Tables

Row = dict[str, Any]

_TABLE_BYTES = 64 * 2**20
"""Row groups without their audio that are kept for the next run of rows."""
_OF_TURNS = ("speaker", "text", "emotion", "ravdess", "start", "duration")
_OF_SPEAKERS = {"model": "model", "checkpoint": "checkpoint", "voice": "voice"}


class Wanted(NamedTuple):
    """What a row is to hold."""

    columns: tuple[str, ...]
    """In their order."""
    by_turn: bool
    """Whether a row is a turn."""
    decode: bool
    """Whether clips are given as waveforms; else as the bytes of FLAC files."""
    sampling_rate: int | None
    """To decode at, in hertz; None keeps the recording's own."""
    memory_bytes: int
    """For all that is read ahead, shuffled and decoded ahead; each process has its own."""
    change: Callable[[Row], Row] | None = None
    """What is made of a row at last, such as a chat."""


class Reader:
    """Reads the rows of a plan from the files of a source."""

    def __init__(self, source: Source, tables: Tables, rows: Rows, wanted: Wanted) -> None:
        self._source, self._tables, self._rows, self._wanted = source, tables, rows, wanted
        self._cost = rows.cost()

    def read(self, windows: Iterator[Window]) -> Iterator[Row]:
        """The rows of the windows, one after the other.

        Raises:
            DatasetError: a file is not what the index says, or a clip is not whole FLAC.
        """
        wanted, cost = self._wanted, self._cost
        text = _Kept(_TABLE_BYTES)
        readers = ThreadPoolExecutor(self._source.connections, "read")
        decoders = ThreadPoolExecutor(_cores(), "decode")
        try:
            planned: list[Window] = []

            def runs() -> Iterator[Ints]:
                for window in windows:
                    planned.append(window)
                    yield from window.runs

            read = ahead(
                readers,
                partial(self._run, text),
                runs(),
                lambda run: int(cost[run].sum()),
                wanted.memory_bytes // 4,
            )
            raw = _in_order(read, planned)
            if not (wanted.decode and "audio" in wanted.columns):
                yield from (wanted.change(row) if wanted.change else row for _, row in raw)
                return
            # A float is twice as long as a sample, and FLAC about half.
            yield from ahead(
                decoders,
                self._decoded,
                raw,
                lambda pair: 4 * int(cost[pair[0]]),
                wanted.memory_bytes // 2,
            )
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
            decoders.shutdown(wait=False, cancel_futures=True)

    def _run(self, text: "_Kept", run: Ints) -> list[tuple[int, Row]]:
        """Neighbouring rows of one file."""
        rows, columns = self._rows, self._wanted.columns
        path = rows.files[rows.file[run[0]]]
        clips = self._clips(path, run) if "audio" in columns else None
        light = [name for name in columns if name != "audio"]
        values = self._values(text, path, run, light) if light else {}
        if clips is not None:
            values["audio"] = clips
        names = tuple(columns)
        return [
            (int(row), dict(zip(names, cells, strict=True)))
            for row, cells in zip(run, zip(*(values[name] for name in names), strict=True), strict=True)
        ]

    def _values(self, text: "_Kept", path: str, run: Ints, columns: Sequence[str]) -> dict[str, list[Any]]:
        """The columns without audio, each as long as the run."""
        rows, by_turn = self._rows, self._wanted.by_turn
        stored = _stored(columns) if by_turn else list(columns)
        needed = list(dict.fromkeys(["id", *stored]))
        numbers, own = np.unique(rows.number[run], return_inverse=True)
        table = self._text(text, path, numbers, needed)
        ids = rows.ids.take(pa.array(run))
        if not table["id"].combine_chunks().take(pa.array(own)).equals(ids):
            raise DatasetError(
                f"{self._source}/{path}: its rows are not those of the index: package the dataset again"
            )
        if by_turn:
            return {name: _of_turn(name, table, own, rows.turn[run]) for name in columns}
        return {name: table[name].to_pylist() for name in columns}

    def _text(self, kept: "_Kept", path: str, numbers: Ints, columns: list[str]) -> pa.Table:
        footer = self._tables.footer(path)
        ends = np.cumsum([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])
        if numbers[-1] >= ends[-1]:
            raise DatasetError(
                f"{self._source}/{path}: has {ends[-1]} rows, and the index more: package the dataset again"
            )
        groups = np.searchsorted(ends, numbers, side="right")
        parts = []
        for group in np.unique(groups):
            table = kept.get((path, int(group)), partial(self._tables.read, path, int(group), columns))
            begin = ends[group] - table.num_rows
            parts.append(table.take(pa.array(numbers[groups == group] - begin)))
        return pa.concat_tables(parts)

    def _clips(self, path: str, run: Ints) -> list[Any]:
        """The audio of each row: a clip, or a list of them; each as its file's bytes and name."""
        rows = self._rows
        counts = rows.first[run + 1] - rows.first[run]
        held = np.concatenate([np.arange(rows.first[row], rows.first[row + 1]) for row in run])
        offsets, lengths = rows.offset[held].tolist(), rows.length[held].tolist()
        spans = [(begin, begin + length) for begin, length in zip(offsets, lengths, strict=True)]
        ranges = coalesced(spans, self._source.gap)
        begins = np.array([begin for begin, _ in ranges])
        data = [self._source.range(path, span) for span in ranges]
        where = np.searchsorted(begins, offsets, side="right") - 1
        clips = []
        for (begin, end), place in zip(spans, where.tolist(), strict=True):
            clip = data[place][begin - ranges[place][0] : end - ranges[place][0]]
            if clip[:4] != b"fLaC":
                raise DatasetError(
                    f"{self._source}/{path}: no FLAC at byte {begin}: the index is of other files: package the dataset again"
                )
            clips.append(clip if self._wanted.decode else bytes(clip))
        names = rows.ids.take(pa.array(run)).to_pylist()
        audio: list[Any] = []
        taken = 0
        for id, count, turn in zip(names, counts.tolist(), rows.turn[run].tolist(), strict=True):
            name = id.rpartition("/")[2]
            first = turn or 1
            own = [
                {"bytes": clip, "path": f"{name}_{first + place:02d}.flac"}
                for place, clip in enumerate(clips[taken : taken + count])
            ]
            taken += count
            audio.append(own[0] if turn else own)
        return audio

    def _decoded(self, pair: tuple[int, Row]) -> Row:
        place, row = pair
        audio = row["audio"]
        try:
            if isinstance(audio, list):
                row["audio"] = [waveform(clip, self._wanted.sampling_rate) for clip in audio]
            else:
                row["audio"] = waveform(audio, self._wanted.sampling_rate)
        except DatasetError as error:
            raise DatasetError(
                f"{self._source}/{self._rows.files[self._rows.file[place]]}: {self._rows.ids[place]}: {error}"
            ) from None
        return row


def waveform(clip: dict[str, Any], sampling_rate: int | None = None) -> dict[str, Any]:
    """Decodes a clip.

    Args:
        clip: `bytes` of a FLAC file, and its `path`.
        sampling_rate: in hertz; None keeps the clip's own.

    Returns:
        `array`, float32 of shape (samples,) in -1..1; `sampling_rate` in hertz; `path`.

    Raises:
        DatasetError: it is not whole FLAC; names it.
        ImportError: soxr is missing and the clip is of another rate.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(clip["bytes"]), dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DatasetError(
            f"{clip['path']} cannot be decoded ({first_line(error)}): fetch or package it again"
        ) from None
    if samples.ndim > 1:
        samples = samples.mean(axis=1)
    if sampling_rate not in {None, rate}:
        import soxr

        samples, rate = soxr.resample(samples, rate, sampling_rate), sampling_rate
    return {"array": samples, "sampling_rate": rate, "path": clip["path"]}


def _in_order(read: Iterator[list[tuple[int, Row]]], planned: list[Window]) -> Iterator[tuple[int, Row]]:
    """The rows of each window in its order, each as soon as its run is there."""
    for first in read:
        window = planned.pop(0)
        held = dict(first)
        for row in window.rows.tolist():
            while row not in held:
                held.update(next(read))
            yield row, held.pop(row)


def _stored(columns: Sequence[str]) -> list[str]:
    """The columns of a dialogue that hold those of a turn."""
    needed: list[str] = []
    for name in columns:
        if name in _OF_TURNS:
            needed.append("turns")
        elif name in _OF_SPEAKERS:
            needed += [f"first_{name}", f"second_{name}"]
        elif name not in {"dialogue", "turn"}:
            needed.append(name)
    return needed


def _of_turn(name: str, table: pa.Table, own: Ints, turn: Ints) -> list[Any]:
    """One column of turns: of each its dialogue's row in `table`, and its number from 1."""
    rows = pa.array(own)
    if name == "turn":
        return list(turn.tolist())
    if name in {"id", "dialogue"}:
        ids = table["id"].take(rows).to_pylist()
        return (
            ids if name == "dialogue" else [f"{id}/{n:02d}" for id, n in zip(ids, turn.tolist(), strict=True)]
        )
    if name in _OF_SPEAKERS:
        first, second = (table[f"{which}_{name}"].take(rows).to_pylist() for which in ("first", "second"))
        return [(second, first)[n % 2][place] for place, n in enumerate(turn.tolist())]
    if name not in _OF_TURNS:
        return list(table[name].take(rows).to_pylist())
    turns = table["turns"].combine_chunks()
    places = pa.array(turns.offsets.to_numpy()[own] + turn - 1)
    if name == "duration":
        start, end = (turns.values.field(part).take(places).to_numpy() for part in ("start", "end"))
        return list((end - start).tolist())
    return list(turns.values.field(name).take(places).to_pylist())


class _Kept:
    """What was read last, up to so many bytes; what several threads want at once is read once."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._tables: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._reading: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int], read: Callable[[], pa.Table]) -> pa.Table:
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                if key in self._tables:
                    self._tables.move_to_end(key)
                    return self._tables[key]
            table = read()
            with self._lock:
                self._tables[key] = table
                self._held += table.nbytes
                while self._held > self._most and len(self._tables) > 1:
                    self._held -= self._tables.popitem(last=False)[1].nbytes
            return table


def _cores() -> int:
    """The cores this process may use: a worker of a DataLoader shares them with its fellows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "torch" in sys.modules:
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        cores = max(1, cores // worker.num_workers) if worker else cores
    return cores
