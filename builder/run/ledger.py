"""Ledgers: append-only files of one record a line. A run remembers nothing else.

    {"crc":"0f1e2d3c","ledger":"turns","schema":2}      the first line says what ledger it is
    {"crc":"9a8b7c6d","id":"llama3-8B/travel_17_4",...}

Every line begins with the CRC-32 of its other keys, as they stand. A line whose checksum is wrong is left out and told, and what
it said is owed again, as if it had never been written; it stays where it is. A torn last line, left by a kill or a power
cut, is cut off when the ledger is opened for writing. A line that is as it was written and still no record is an error.
Ledgers of schema 1 have no checksums; they are read and continued as they are.
Law of the file: no line is ever changed, and memory holds ids and offsets, not records.
"""

import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from builder.errors import RunError
from builder.records import Record, encode
from builder.terminal import say

R = TypeVar("R", bound=Record)
T = TypeVar("T")

SCHEMA = 2
"""The layout of the lines. A ledger of a later schema is refused, not guessed at."""
SYNC_S = 1.0
"""A line is on the disk after so long at most, in seconds, as long as whoever writes calls `sync` as often."""


class _Header(Record):
    ledger: str
    schema: int


class _Id(msgspec.Struct):
    id: str


MARK = b'{"crc":"'
"""How every line with a checksum begins."""
_PREFIX = len(MARK) + len('0f1e2d3c",')
_ID = msgspec.json.Decoder(_Id)
_NAMED = 5
"""So many damaged lines are told by their numbers, and how many more there are."""


def intact(line: bytes) -> bytes | None:
    """The record of a line with a checksum, as it was encoded; None where the line is not as it was written.

    Args:
        line: with its line break.
    """
    rest = line[_PREFIX:-1]
    return b"{" + rest if line[:_PREFIX] == b'{"crc":"%08x",' % zlib.crc32(rest) else None


def _decoded(line: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except ValueError:
        return None


def _pieces(line: bytes) -> Iterator[tuple[int, bytes]]:
    """What is intact of a damaged line, and where in it: it may be two lines, of which the break between them is damaged."""
    # No text of a record has the mark in it, for there its quotes are escaped.
    start = line.find(MARK)
    while start >= 0:
        end = line.find(MARK, start + 1)
        if (record := intact(line[start : end if end >= 0 else len(line)])) is not None:
            yield start, record
        start = end


@cache
def _tell_damaged(path: Path, numbers: tuple[int, ...]) -> None:
    """Once in the life of a process, however often it looks at the ledger."""
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    say(
        f"{path}: damaged in line{'s' * (len(numbers) > 1)} {named}{more}: what was said there is left out and owed again"
    )


class Ledger(Generic[R]):
    """One ledger: a mapping from id to record, in the order of writing.

    Where an id was written twice, the later line counts if `latest`, else the first.

    Args:
        path: the file; it is made with its first line.
        kind: the type of its records, each with an `id`.
        writable: whether to append; then a torn last line is cut off.
        latest: whether a later line of the same id counts.
        named: raises ValueError for what is no id of its items; None takes any.

    Raises:
        RunError: the file is not this ledger, or is of a later schema, or an intact line is not a record.
    """

    def __init__(
        self,
        path: Path,
        kind: type[R],
        *,
        writable: bool,
        latest: bool = False,
        named: Callable[[str], object] | None = None,
    ) -> None:
        self.path = path
        self._named = named
        self.damaged: list[int] = []
        """The lines that were not as they were written when it was opened, by their numbers, from 1."""
        self._decoder = msgspec.json.Decoder(kind)
        self._kind = kind
        self._latest = latest
        self._offsets: dict[str, int] = {}
        self._schema = SCHEMA
        self._unsynced = False
        self._synced_at = -math.inf
        self._fd: int | None = None
        self._unmade = False
        """Whether the first line makes the file."""
        self._size = 0
        if path.exists():
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND if writable else os.O_RDONLY)
            try:
                self._open(writable=writable)
            except BaseException:
                self.close()
                raise
        else:
            self._unmade = writable

    def _open(self, *, writable: bool) -> None:
        size = os.fstat(self._file).st_size
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                for at, record in self._records(line, number, self.damaged):
                    self._index(self._id_of(record, number), self._size + at)
                self._size += len(line)
        if self.damaged[:1] == [1] and not self._offsets:
            raise RunError(
                f"{self.path}: the first line does not say what ledger it is: not a ledger of a run"
            )
        if self.damaged:
            _tell_damaged(self.path, tuple(self.damaged))
        if not writable:
            return
        if self._size < size:
            os.ftruncate(self._file, self._size)
            say(f"{self.path}: a torn last line was cut off; what it said is owed again")
        if not self._size:
            self._write_header()

    def _write_header(self) -> None:
        self._write(_Header(ledger=self.path.stem, schema=SCHEMA))

    def _records(self, line: bytes, number: int, damaged: list[int]) -> list[tuple[int, bytes]]:
        """What a line says that is as it was written, and where in it; none of the first. Adds to the damaged ones."""
        if line.endswith(b"\r\n"):  # as some transfers and editors end lines
            line = line[:-2] + b"\n"
        if number == 1:
            header = _decoded(intact(line) or line, _Header)
            if header is not None:
                self._check(header)
                return []
        if self._schema == 1:
            if _decoded(line, msgspec.Raw) is not None:
                return [(0, line)]
            damaged.append(number)
            return []
        record = intact(line)
        if record is not None and number != 1:
            return [(0, record)]
        damaged.append(number)
        return [
            (at, record) for at, record in _pieces(line) if number != 1 or _decoded(record, _Header) is None
        ]

    def _check(self, header: _Header) -> None:
        if header.schema not in {1, SCHEMA}:
            raise RunError(
                f"{self.path}: written in schema {header.schema}, this version reads schema {SCHEMA} and 1: "
                f"use the version that wrote it, or another run folder"
            )
        if header.ledger != self.path.stem:
            raise RunError(f"{self.path}: holds the ledger {header.ledger!r}: it was renamed or copied")
        self._schema = header.schema

    def _id_of(self, record: bytes, number: int) -> str:
        try:
            id = _ID.decode(record).id
            if self._named is not None:
                self._named(id)
        except ValueError as error:
            raise self._unreadable(f"line {number}", error) from None
        return id

    def _index(self, id: str, offset: int) -> None:
        if self._latest:
            self._offsets.pop(id, None)
            self._offsets[id] = offset
        else:
            self._offsets.setdefault(id, offset)

    @property
    def _file(self) -> int:
        if self._fd is None:
            raise RunError(f"{self.path}: the ledger is closed or was never written")
        return self._fd

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, id: object) -> bool:
        return id in self._offsets

    def __iter__(self) -> Iterator[R]:
        """Every record that counts, in the order of writing."""
        return map(self.__getitem__, list(self._offsets))

    def ids(self) -> list[str]:
        """The ids, in the order of writing."""
        return list(self._offsets)

    def __getitem__(self, id: str) -> R:
        """The record of an id.

        Raises:
            RunError: the file was changed since it was opened, by another program or by the disk.
        """
        offset = self._offsets[id]
        line, wanted = b"", 4096
        while not line.endswith(b"\n"):
            part = os.pread(self._file, wanted, offset + len(line))
            if not part:
                raise RunError(f"{self.path}: became shorter while it was read: another program changed it")
            end = part.find(b"\n")
            line += part if end < 0 else part[: end + 1]
            wanted *= 4
        found = self._records(line, 0, [])
        if not found or found[0][0]:
            raise RunError(
                f"{self.path}: the record of {id} was damaged while it was open: run the same command again, and what it said "
                f"is owed again"
            )
        return self._record(found[0][1], f"the record of {id}")

    def get(self, id: str) -> R | None:
        """The record of an id; None if there is none."""
        if id not in self:
            return None
        return self[id]

    def lines(self) -> Iterator[R]:
        """Every record ever written, also those of an id that was written again; without what is damaged."""
        if self._fd is None:
            return
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    for _, record in self._records(line, number, []):
                        yield self._record(record, f"line {number}")

    def _record(self, record: bytes, what: str) -> R:
        try:
            return self._decoder.decode(record)
        except ValueError as error:
            raise self._unreadable(what, error) from None

    def _unreadable(self, what: str, error: ValueError) -> RunError:
        return RunError(
            f"{self.path}, {what}: not a {self._kind.__name__}: {error}: take the line out, and what it said is owed again"
        )

    def append(self, id: str, record: R) -> None:
        """Writes one record. It is with the operating system on return.

        It is on the disk on return, too, unless the disk was waited for less than `SYNC_S` ago; what is written
        meanwhile is there with the next record, with `sync` or with `close`.

        Raises:
            OSError: it could not be written, as on a full disk; then the ledger is as it was before.
        """
        if self._unmade:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._unmade = False
            self._write_header()
        offset = self._size
        self._write(record)
        self._index(id, offset)

    def _write(self, record: Record) -> None:
        rest = encode(record) + b"\n"
        if self._schema > 1:
            rest = b'{"crc":"%08x",%s' % (zlib.crc32(rest[1:-1]), rest[1:])
        length = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += length
        self._unsynced = True
        if time.monotonic() - self._synced_at >= SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Makes sure that everything written is on the disk."""
        if self._unsynced:
            # Said first: what another thread writes meanwhile is not on the disk by this.
            self._unsynced = False
            os.fdatasync(self._file)
            self._synced_at = time.monotonic()

    def close(self) -> None:
        """Puts everything on the disk and lets go of the file."""
        self._unmade = False
        if self._fd is not None:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Ledgers(Generic[R]):
    """What several processes wrote into a ledger each, as one mapping from id to record. One of them may be written here.

    Args:
        own: what this process writes, or would.
        others: the rest, as they were when they were opened.
        best: of what several ledgers say of one id, the record that counts; None where they never differ.
    """

    def __init__(
        self,
        own: Ledger[R],
        others: Sequence[Ledger[R]] = (),
        best: Callable[[list[R]], R] | None = None,
    ) -> None:
        self.own = own
        self.all = (own, *others)
        """Each of them."""
        self._best = best
        self._elsewhere: dict[str, list[Ledger[R]]] = {}
        for ledger in others:
            for id in ledger.ids():
                self._elsewhere.setdefault(id, []).append(ledger)

    def __len__(self) -> int:
        return len(self.own) if not self._elsewhere else len(self.ids())

    def __contains__(self, id: object) -> bool:
        return id in self.own or id in self._elsewhere

    def __iter__(self) -> Iterator[R]:
        """Every record that counts, ledger by ledger in the order of writing."""
        return map(self.__getitem__, self.ids())

    def ids(self) -> list[str]:
        """The ids, ledger by ledger in the order of writing."""
        return list(dict.fromkeys(chain(self.own.ids(), self._elsewhere)))

    def __getitem__(self, id: str) -> R:
        others = self._elsewhere.get(id)
        if not others:
            return self.own[id]
        if self._best is None:
            return (self.own if id in self.own else others[0])[id]
        return self._best([ledger[id] for ledger in (self.own, *others) if id in ledger])

    def get(self, id: str) -> R | None:
        """The record of an id; None if there is none."""
        if id not in self:
            return None
        return self[id]

    def append(self, id: str, record: R) -> None:
        """Writes one record, as `Ledger.append` does."""
        self.own.append(id, record)

    def sync(self) -> None:
        """Makes sure that everything written here is on the disk."""
        self.own.sync()
