"""rows: what a run folder or a packaged dataset holds, read where it lies, a row group or a dialogue at a time.

Law of the file: it only reads, what is damaged is one line that names the file, and a label's number never leaves it.
"""

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from builder.core.row import Row, spoken_row, text_row
from builder.core.scenario import parse_id, split_of
from builder.dataset.manifest import MANIFEST, Shard, file_sha256, read_manifest
from builder.errors import ConfigError, DatasetError, nearest
from builder.records import encode
from builder.run.folder import Run


class Source(NamedTuple):
    """The dialogues of one dataset config that were accepted and spoken."""

    identity: str
    """The same for as long as a dialogue of the source keeps its samples."""
    splits: dict[str, str]
    """By the id of every dialogue that was spoken."""
    rows: Callable[[AbstractSet[str]], Iterator[tuple[str, Callable[[], Row]]]]
    """The dialogues of these ids, each with a function that loads its row, labels as names; for any thread."""


class Group(NamedTuple):
    """A row group of a shard."""

    path: Path
    number: int
    ids: list[str]


def is_run(source: Path) -> bool:
    """Whether a source is a run folder, and not a packaged dataset.

    Raises:
        DatasetError: it is neither.
    """
    if (source / "run.json").is_file():
        return True
    if (source / MANIFEST).is_file():
        return False
    raise DatasetError(
        f"{source} is neither a run folder, which has a run.json, nor a packaged dataset, which has a {MANIFEST}"
    )


def opened(source: Path, config: str) -> AbstractContextManager[Source]:
    """Opens one dataset config of a run folder or of a packaged dataset.

    Raises:
        ConfigError: it has no recordings in this config.
        RunError: the run cannot be read.
        DatasetError: it is neither run nor dataset, or is damaged.
    """
    return _of_run(source, config) if is_run(source) else _of_dataset(source, config)


@contextmanager
def _of_run(folder: Path, config: str) -> Iterator[Source]:
    with Run(folder, writable=False) as run:
        _known(config, {name for name, ledger in run.recordings.items() if len(ledger)}, folder)
        recordings, audio = run.recordings[config], run.audio(config)
        vocabulary, splits = run.study.vocabulary, run.study.splits
        ravdess = vocabulary.ravdess()
        held = {id: split_of(id, splits, run.study.seed) for id in sorted(run.accepted()) if id in recordings}

        def load(id: str) -> Row:
            dialogue, recording = run.dialogues[id], recordings[id]
            text = text_row(dialogue, vocabulary.pairings[dialogue.pairing], held[id], None, ravdess)
            return spoken_row(text, recording, audio.clips(recording))

        # Dialogues are only ever added, so the first one tells two runs of the same study apart.
        start = hashlib.sha256(encode(run.study) + encode(next(iter(run.dialogues), None))).hexdigest()
        yield Source(
            identity=f"a run of study {run.study.name!r} whose dialogues begin with {start[:16]}",
            splits=held,
            rows=lambda wanted: ((id, partial(load, id)) for id in held if id in wanted),
        )


@contextmanager
def _of_dataset(folder: Path, config: str) -> Iterator[Source]:
    manifest = read_manifest(folder)
    _known(config, set(manifest.spoken), folder)
    held: dict[str, str] = {}
    groups: list[Group] = []
    for shard in manifest.shards:
        path = place(folder, shard)
        for group in row_groups(path) if shard.config == config else ():
            for id in group.ids:
                if id in held:
                    raise DatasetError(f"{path}: {id} is in the dataset twice: package it again")
                held[id] = shard.split
            groups.append(group)
    checksum = file_sha256(folder / MANIFEST)
    yield Source(
        identity=f"a dataset of study {manifest.study!r} with manifest {checksum[:16]}",
        splits=held,
        rows=partial(_rows, groups),
    )


def _known(config: str, configs: AbstractSet[str], source: Path) -> None:
    if config not in configs:
        raise ConfigError(f"{source} has no recordings in config {config!r}: {nearest(config, configs)}")


def place(folder: Path, shard: Shard) -> Path:
    """Where readers look for a shard of a packaged dataset."""
    return folder / shard.config / shard.split / Path(shard.path).name


def row_groups(path: Path) -> Iterator[Group]:
    """The row groups of a shard, of which nothing but the ids is read.

    Raises:
        DatasetError: the shard cannot be read.
    """
    with reading(path), pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            ids = file.read_row_group(number, columns=["id"])["id"].to_pylist()
            for id in ids:
                parse_id(id)
            yield Group(path, number, ids)


def _rows(groups: list[Group], wanted: AbstractSet[str]) -> Iterator[tuple[str, Callable[[], Row]]]:
    from datasets import Features

    for path, number, ids in groups:
        if wanted.isdisjoint(ids):
            continue
        with reading(path), pq.ParquetFile(path) as file:
            features = Features.from_arrow_schema(file.schema_arrow)
            table = file.read_row_group(number)
        for at, id in enumerate(ids):
            if id in wanted:
                yield id, partial(_row, table.slice(at, 1), features)


def _row(table: pa.Table, features: Any) -> Row:
    row: Row = named(table.to_pylist()[0], features)
    return row


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes one line of whatever goes wrong while a shard is read.

    Raises:
        DatasetError: what was done inside could not be done.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(
            f"{path}: cannot be read: {reason}: `deepdialogue validate` names every fault; fetch or package it again"
        ) from None


def named(value: Any, kind: Any) -> Any:
    """The same value with a name in place of every label number.

    Args:
        value: plain data, as Parquet stores it.
        kind: its feature.

    Raises:
        ValueError: a number has no name.
    """
    if hasattr(kind, "names"):
        if value not in range(len(kind.names)):
            raise ValueError(f"label {value!r} is a number without a name")
        return kind.names[value]
    inner = getattr(kind, "feature", kind[0] if isinstance(kind, list) else None)
    if inner is not None:
        return [named(item, inner) for item in value]
    if isinstance(kind, dict):
        return {name: named(value[name], part) for name, part in kind.items()}
    return value
