"""A packaged dataset as a source, of which configs may be missing altogether, as where only the text was fetched.

Law of the file: on opening no column is read but ids, emotions and scores; of sound the clip that is heard, where the dataset has
its index, else the row group of its dialogue.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builder.config import TEXT_ONLY
from builder.core.annotation import Annotation
from builder.core.row import Row
from builder.core.scenario import parse_id
from builder.core.verdict import Acceptance, Review, Verdict
from builder.dataset.index import path_of, read_index
from builder.dataset.manifest import read_manifest
from builder.dataset.rows import named, place, reading, row_groups
from builder.errors import DatasetError
from builder.people.catalogue._source import Entry, mean
from builder.run.failures import Failure

_KEPT_CLIPS = 4
"""Dialogues of a dataset whose clips stay in memory: a row group is read for the first clip that is heard, not for each."""


_PLACED = ("id", "offset", "length", "sha256")
"""What of an index stays in memory once something is heard, some 75 bytes a clip."""


class _Place(NamedTuple):
    """Where a row lies."""

    path: Path
    group: int
    row: int


class _Shards:
    """One config of a packaged dataset: its row groups, and at which of its rows each begins."""

    def __init__(self) -> None:
        self.groups: list[tuple[Path, int]] = []
        self.begins = [0]

    def add(self, path: Path, number: int, rows: int) -> None:
        self.groups.append((path, number))
        self.begins.append(self.begins[-1] + rows)

    def place(self, row: int) -> _Place:
        group = int(np.searchsorted(self.begins, row, side="right")) - 1
        return _Place(*self.groups[group], row - self.begins[group])


class DatasetSource:
    """The dialogues of a packaged dataset: those of its text, or where that is not there of its first spoken config."""

    acceptance: Acceptance | None = None

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        rehearsal = ", a rehearsal" if manifest.rehearsal else ""
        self.title = f"Dataset of study {manifest.study!r}{rehearsal}"
        self._paths: dict[str, list[tuple[Path, str]]] = {}
        for config in (TEXT_ONLY, *manifest.spoken):
            paths = [(place(folder, one), one.split) for one in manifest.shards if one.config == config]
            if any(path.is_file() for path, _ in paths):
                self._paths[config] = paths
        if not self._paths:
            raise DatasetError(
                f"{folder}: not one of the {len(manifest.shards)} shards of its manifest is there: fetch them"
            )
        self._base = next(iter(self._paths))
        self.configs = tuple(config for config in self._paths if config != TEXT_ONLY)
        self.total = sum(shard.rows for shard in manifest.shards if shard.config == self._base)
        self._shards: dict[str, _Shards] = defaultdict(_Shards)
        self._rows: dict[str, NDArray[np.int32]] = {}
        """By spoken config and position: its row in the config, -1 where it has none."""
        self._indexes = {
            config: path for config in self.configs if (path := folder / path_of(config)).is_file()
        }
        self._clips = lru_cache(_KEPT_CLIPS)(_clips)
        self._index = lru_cache(read_index)

    def entries(self) -> Iterator[Entry]:
        shards = self._shards[self._base]
        for path, split in self._paths[self._base]:
            with reading(path), pq.ParquetFile(path) as file:
                kind = _features(file)["turns"]
                feature = getattr(kind, "feature", None) or kind[0]
                small = ["id", "scores", _leaf(file, "emotion")]
                for number in range(file.num_row_groups):
                    rows = file.read_row_group(number, columns=small).to_pylist()
                    shards.add(path, number, len(rows))
                    for row in rows:
                        parse_id(row["id"])
                        emotions = named([turn["emotion"] for turn in row["turns"]], [feature["emotion"]])
                        score = mean((one["judge"], one["criterion"], one["score"]) for one in row["scores"])
                        yield Entry(row["id"], split, emotions, "accepted", score)

    def spoken(self, config: str, positions: Mapping[str, int]) -> NDArray[np.bool_]:
        shards, rows = self._shards[config], np.full(len(positions), -1, np.int32)
        for path, _ in self._paths[config]:
            for group in row_groups(path):
                for at, id in enumerate(group.ids, start=shards.begins[-1]):
                    if id not in positions:
                        raise DatasetError(
                            f"{path}: {id} is not in {self._base}: `deepdialogue validate` names every fault; package it again"
                        )
                    rows[positions[id]] = at
                shards.add(path, group.number, len(group.ids))
        self._rows[config] = rows
        return rows >= 0

    def row(self, id: str, position: int, config: str | None) -> Row | None:
        at = self._place(position, config or self._base)
        with reading(at.path), pq.ParquetFile(at.path) as file:
            features = {name: kind for name, kind in _features(file).items() if name != "audio"}
            row: Row = named(_read(file, at, [*features], id), features)
        return row

    def _place(self, position: int, config: str) -> _Place:
        rows = self._rows.get(config)
        return self._shards[config].place(position if rows is None else int(rows[position]))

    def emotions(self, id: str, row: Row | None) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(turn["emotion"] for turn in row["turns"]) if row else ()

    def review(self, id: str, row: Row | None) -> Review | None:
        scores: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for one in row["scores"] if row else ():
            scores[one["judge"]][one["criterion"]] = one["score"]
        verdicts = tuple(Verdict(judge=judge, scores=given) for judge, given in scores.items())
        return Review(id=id, verdicts=verdicts) if verdicts else None

    def failures(self, id: str) -> tuple[tuple[str, Failure], ...]:  # noqa: ARG002
        return ()

    def annotations(self, id: str) -> tuple[Annotation, ...]:  # noqa: ARG002
        return ()

    def clip(self, id: str, position: int, config: str, turn: int) -> bytes:
        at = self._place(position, config)
        if config not in self._indexes:
            return self._clips(at, id)[turn - 1]
        return _indexed(self._index(self._indexes[config], _PLACED), at.path, id, turn)

    def texts(self, positions: NDArray[np.int64]) -> Iterator[tuple[int, list[str]]]:
        shards = self._shards[self._base]
        for (path, number), begin, end in zip(
            shards.groups, shards.begins[:-1], shards.begins[1:], strict=True
        ):
            wanted = positions[slice(*np.searchsorted(positions, (begin, end)))].tolist()
            if wanted:
                with reading(path), pq.ParquetFile(path) as file:
                    turns = file.read_row_group(number, columns=[_leaf(file, "text")])["turns"]
                    if len(turns) != end - begin:
                        raise ValueError("the dataset was packaged again: reload it")
                    for position in wanted:
                        yield position, [turn["text"] for turn in turns[position - begin].as_py()]


def _indexed(index: pa.Table, path: Path, id: str, turn: int) -> bytes:
    """One clip, by its range."""
    first = pc.index(index["id"], id).as_py()
    with reading(path), path.open("rb", buffering=0) as file:
        offset, length, sha256 = (index[name][first + turn - 1].as_py() for name in _PLACED[1:])
        file.seek(offset)
        clip = file.read(length)
        if first < 0 or hashlib.sha256(clip).digest() != sha256:
            raise ValueError(f"{id} is not where its index says: the dataset was packaged again: reload it")
    return clip


def _clips(at: _Place, id: str) -> list[bytes]:
    with reading(at.path), pq.ParquetFile(at.path) as file:
        return [clip["bytes"] for clip in _read(file, at, ["id", "audio"], id)["audio"]]


def _read(file: pq.ParquetFile, at: _Place, columns: list[str], id: str) -> Row:
    """Some columns of one row, labels as numbers."""
    rows: list[Row] = file.read_row_group(at.group, columns=columns).slice(at.row, 1).to_pylist()
    if [row["id"] for row in rows] != [id]:
        raise ValueError(f"{id} is not where it was: the dataset was packaged again: reload it")
    return rows[0]


def _features(file: pq.ParquetFile) -> Any:
    from datasets import Features

    return Features.from_arrow_schema(file.schema_arrow)


def _leaf(file: pq.ParquetFile, field: str) -> str:
    """The path of one field of the turns, which writers of Parquet spell in more than one way."""
    paths = (file.schema.column(at).path for at in range(len(file.schema)))
    return next((str(path) for path in paths if re.fullmatch(rf"turns\..*\.{field}", path)), f"turns.{field}")
