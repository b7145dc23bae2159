"""Shards as they are written: Parquet files by split and domain, in both views at once, and what the index says of them.

The audio column is stored as it is, without compression, dictionary, statistics or content-defined chunks, one page a row
group: FLAC does not shrink, and measured with the Hub's own store each of them multiplies what a changed dataset uploads again.
The turn view has the row groups of the dialogue view, the same clips in the same order, so that its pages hold the same bytes.
Law of the file: the same rows give the same bytes, audio is never encoded again, and memory holds two row groups:
one that is written, and one that is gathered meanwhile.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import FileIO
from itertools import accumulate, cycle, groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import deepdialogue
from builder.config import TEXT_ONLY, TURNS
from builder.core.row import Row, turn_rows
from builder.dataset.index import CLIPS, DIALOGUES, digests, offsets
from builder.dataset.manifest import Shard

GROUP_BYTES = 32 * 2**20
FILE_BYTES = 400 * 2**20
TURN_BYTES = 4096
"""What a turn counts for beside its clip; with it no row group has more rows than a page may have, which is 20,000."""
_OFFSET = CLIPS.get_field_index("offset")

Contract = tuple[str, deepdialogue.Labels, int]
"""What fixes the columns of a config: what `deepdialogue.features` and its siblings take."""


class Written(NamedTuple):
    """What was written of one split and domain."""

    shards: list[Shard]
    entries: list[pa.Table]
    """For the config's index."""
    lost: dict[str, str]
    """The dialogues that were left out, each with the reason."""


class _View(NamedTuple):
    """A config as it is written."""

    config: str
    schema: pa.Schema
    code: Callable[[Row], Row]
    """Puts numbers in the place of label names."""


class _Stretch:
    """Clips one behind the other, in memory that is used again: for the system, new memory is more work than filling it."""

    def __init__(self) -> None:
        self._bytes = np.empty(2 * GROUP_BYTES, np.uint8)
        self._ends = [0]

    def emptied(self) -> Self:
        self._ends = [0]
        return self

    def moved(self, row: Row) -> Row:
        """The same row, its clips in the stretch."""
        if "audio" not in row:
            return row
        return row | {"audio": [clip | {"bytes": self._moved(clip["bytes"])} for clip in row["audio"]]}

    def _moved(self, flac: bytes) -> memoryview:
        begin, end = self._ends[-1], self._ends[-1] + len(flac)
        if end > self._bytes.size:
            grown = np.empty(2 * end, np.uint8)  # and the old one stays for as long as a row looks at it
            grown[:begin] = self._bytes[:begin]
            self._bytes = grown
        place = self._bytes.data[begin:end]
        place[:] = flac
        self._ends.append(end)
        return place

    def array(self) -> pa.Array:
        """Of the clips, without a copy."""
        ends = np.array(self._ends, np.int32)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(self._bytes)]
        return pa.Array.from_buffers(pa.binary(), len(ends) - 1, buffers)


class _Group(NamedTuple):
    """The dialogues of one row group, labels as names."""

    file: int
    """Counted from 0: the shard it belongs to."""
    rows: list[Row]
    clips: _Stretch


def write_shards(
    folder: Path, contract: Contract, *, split: str, domain: str, rows: Iterable[Row]
) -> Written:
    """Writes the dialogues of one domain in one split: one shard, or more of about 400 MB each; spoken ones in both views.

    Args:
        folder: the packaged folder.
        contract: of the dialogue config.
        split: the split.
        domain: the domain, which names the files.
        rows: sorted by id, labels as names; not empty.

    Raises:
        DatasetError: a clip is not FLAC.
    """
    config, labels, rate = contract
    names = [config] if config == TEXT_ONLY else [config, config + TURNS]
    views = [_view(name, labels, rate) for name in names]
    written = Written([], [], {})
    for number, groups in groupby(_groups(rows), key=attrgetter("file")):
        name = f"{split}/{domain}-{number:05d}.parquet"
        path = f"{config}/{name}"
        entries: list[pa.Table] = []
        with ExitStack() as opened:
            files = [
                opened.enter_context(_shard(folder, f"{view.config}/{name}", split, view, written.shards))
                for view in views
            ]
            # Left first, so that no file is closed while it is written to. One thread, for two would hold two pages.
            behind = opened.enter_context(ThreadPoolExecutor(1))
            writing: list[Future[None]] = []
            for group in groups:
                turns = [turn for row in group.rows for turn in turn_rows(row)] if views[1:] else []
                tables = _tables(group, turns, views)
                entries.append(_entries(group.rows, turns, path, len(entries), rate))
                _finish(writing)
                writing = [behind.submit(add, table) for add, table in zip(files, tables, strict=True)]
            _finish(writing)
        written.entries.extend(_placed(folder / path, entries) if views[1:] else entries)
    return written


def _finish(work: Iterable[Future[None]]) -> None:
    for one in work:
        one.result()


def _groups(rows: Iterable[Row]) -> Iterator[_Group]:
    """Row groups of about 32 MB, closed at a dialogue. The clips of one are overwritten by those of the next but one."""
    file = held = filled = 0
    stretches = cycle((_Stretch(), _Stretch()))
    group = _Group(file, [], next(stretches).emptied())
    for row in rows:
        held += sum(len(turn["text"]) + TURN_BYTES for turn in row["turns"])
        held += sum(len(clip["bytes"]) for clip in row.get("audio", ()))
        group.rows.append(group.clips.moved(row))
        # Its own id lets a dialogue close the group: the boundary then stays when others grow, come or go.
        chosen = zlib.crc32(row["id"].encode()) % 4 == 0
        if held >= GROUP_BYTES * (0.75 if chosen else 1.25):
            yield group
            filled += held
            if filled >= FILE_BYTES:
                file, filled = file + 1, 0
            group, held = _Group(file, [], next(stretches).emptied()), 0
    if group.rows:
        yield group


def _view(config: str, labels: deepdialogue.Labels, rate: int) -> _View:
    features = deepdialogue.features(config, labels, rate)
    words = {name: kind for name, kind in features.items() if name != "audio"}
    return _View(config, deepdialogue.schema(config, labels, rate), _coder(words))


def _tables(group: _Group, turns: list[Row], views: list[_View]) -> list[pa.Table]:
    """The same dialogues as a table of each view; what is sound is in memory once."""
    rows = group.rows
    if not turns:
        return [pa.Table.from_pylist(list(map(views[0].code, rows)), schema=views[0].schema)]
    names = pa.array([turn["audio"]["path"] for turn in turns])
    fields = list(views[1].schema.field("audio").type)
    audio = pa.StructArray.from_arrays([group.clips.array(), names], fields=fields)
    ends = list(accumulate((len(row["audio"]) for row in rows), initial=0))
    lists = pa.ListArray.from_arrays(ends, audio, views[0].schema.field("audio").type)
    return [_table(view, *held) for view, held in zip(views, ((rows, lists), (turns, audio)), strict=True)]


def _table(view: _View, rows: list[Row], audio: pa.Array) -> pa.Table:
    place = view.schema.get_field_index("audio")
    words = pa.Table.from_pylist(list(map(view.code, rows)), schema=view.schema.remove(place))
    return words.add_column(place, view.schema.field(place), audio)


def _entries(rows: list[Row], turns: list[Row], path: str, group: int, rate: int) -> pa.Table:
    """What the index says of a row group, but for the offsets."""
    if turns:
        return pa.Table.from_pylist(
            [clip_entry(turn, path, rate) for turn in turns], schema=CLIPS.remove(_OFFSET)
        )
    return pa.Table.from_pylist([dialogue_entry(row, path, group) for row in rows], schema=DIALOGUES)


def clip_entry(turn: Row, path: str, rate: int) -> Row:
    """What the index says of a clip, but for its offset.

    Args:
        turn: of the config with one turn a row.
        path: of the shard of the dialogue config that holds it.
        rate: the sampling rate in hertz.
    """
    flac, known = turn["audio"]["bytes"], turn["audio"].get("sha256")
    return turn | {
        "id": turn["dialogue"],
        "file": path,
        "length": len(flac),
        "num_samples": round(turn["duration"] * rate),
        # Once is enough: who read the clip held it against this.
        "sha256": bytes.fromhex(known) if known else hashlib.sha256(flac).digest(),
    }


def dialogue_entry(row: Row, path: str, group: int) -> Row:
    """What the index says of a dialogue of the config `text-only`, in this row group of the shard at this path."""
    text, rest = digests(row)
    emotions = [turn["emotion"] for turn in row["turns"]]
    place = {"file": path, "row_group": group}
    return row | place | {"emotions": emotions, "text_sha256": text, "rest_sha256": rest}


def _placed(path: Path, groups: list[pa.Table]) -> Iterator[pa.Table]:
    """The same with the offsets, now that the file is whole."""
    found = iter(offsets(path, [group["length"].to_pylist() for group in groups]))
    for group in groups:
        begins = pa.array(islice(found, group.num_rows), CLIPS.field(_OFFSET).type)
        yield group.add_column(_OFFSET, CLIPS.field(_OFFSET), begins)


@contextmanager
def _shard(
    folder: Path, path: str, split: str, view: _View, shards: list[Shard]
) -> Iterator[Callable[[pa.Table], None]]:
    """Gives what takes the row groups of a new shard, and notes the shard when it is whole."""
    rows = 0
    sha256 = hashlib.sha256()
    digested: list[Future[None]] = []
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        with parquet_writer(folder / path, view.schema) as writer, ThreadPoolExecutor(1) as behind:
            written = opened.enter_context((folder / path).open("rb", buffering=0))

            def add(table: pa.Table) -> None:
                nonlocal rows
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
                # While the system still has it in memory, and while the next is written.
                digested.append(behind.submit(_digest_rest, sha256, written))

            yield add
        _digest_rest(sha256, written)
        num_bytes = written.tell()
    _finish(digested)
    shards.append(
        Shard(
            path=path,
            config=view.config,
            split=split,
            rows=rows,
            num_bytes=num_bytes,
            sha256=sha256.hexdigest(),
        )
    )


def _digest_rest(digest: Any, file: FileIO) -> None:
    piece = memoryview(bytearray(2**18))
    while size := file.readinto(piece):
        digest.update(piece[:size])


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer with the settings of a shard."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    plain = {leaf for leaf in leaves if leaf.startswith("audio.")}
    others = [leaf for leaf in leaves if leaf not in plain]
    return pq.ParquetWriter(
        path,
        schema,
        compression={leaf: "none" if leaf in plain else "zstd" for leaf in leaves},
        use_dictionary=others,
        write_statistics=others,
        # One page a row group: an uploader that cuts by content then finds the same bytes again.
        data_page_size=2**30,
    )


def _leaves(path: str, kind: Any) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path


def _coder(kind: Any) -> Any:
    """A function that turns label names into numbers wherever the features say so, and changes nothing else."""
    if hasattr(kind, "names") and hasattr(kind, "str2int"):
        return {name: number for number, name in enumerate(kind.names)}.__getitem__
    inner = getattr(kind, "feature", kind[0] if isinstance(kind, list) else None)
    if inner is not None:
        code = _coder(inner)
        return lambda values: [code(value) for value in values]
    if isinstance(kind, dict):
        coders = {name: _coder(part) for name, part in kind.items()}
        return lambda row: {name: code(row[name]) for name, code in coders.items()}
    return lambda value: value
