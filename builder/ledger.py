"""Ledgers: append-only files of one record a line. A run remembers nothing else.

A line is whole or it is not there: a torn last line, left by a kill or a power cut, is cut off when the ledger is opened for
writing, and what it would have said is owed again. Anything else that cannot be read is an error with its line number.
Law of the file: no line is ever changed, and memory holds ids and offsets, not records.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from builder.errors import RunError
from builder.records import Record, encode

R = TypeVar("R", bound=Record)

SCHEMA = 1
"""The layout of the lines. A ledger of another schema is refused, not guessed at."""
SYNC_S = 1.0
"""A line is on the disk after so long at most, in seconds, as long as whoever writes calls `sync` as often."""


class _Header(Record):
    ledger: str
    schema: int


class _Id(msgspec.Struct):
    id: str


class Ledger(Generic[R]):
    """One ledger: a mapping from id to record, in the order of writing.

    Where an id was written twice, the later line counts if `latest`, else the first.

    Args:
        path: the file; it is made with its first line.
        kind: the type of its records, each with an `id`.
        writable: whether to append; then a torn last line is cut off.
        latest: whether a later line of the same id counts.

    Raises:
        RunError: the file is not this ledger, or is of another schema, or a line is not a record.
    """

    def __init__(self, path: Path, kind: type[R], *, writable: bool, latest: bool = False) -> None:
        self.path = path
        self.mended = False
        """Whether a torn last line was cut off on opening."""
        self._decoder = msgspec.json.Decoder(kind)
        self._kind = kind
        self._latest = latest
        self._offsets: dict[str, int] = {}
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
                if number == 1:
                    self._check_header(line)
                else:
                    self._index(self._id_of(line, number), self._size)
                self._size += len(line)
        if not writable:
            return
        if self._size < size:
            os.ftruncate(self._file, self._size)
            self.mended = True
        if not self._size:
            self._write_header()

    def _write_header(self) -> None:
        self._write(encode(_Header(ledger=self.path.stem, schema=SCHEMA)))

    def _check_header(self, line: bytes) -> None:
        try:
            header = msgspec.json.decode(line, type=_Header)
        except ValueError:
            raise RunError(
                f"{self.path}: the first line does not say what ledger it is: not a ledger of a run"
            ) from None
        if header.schema != SCHEMA:
            raise RunError(
                f"{self.path}: written in schema {header.schema}, this version reads schema {SCHEMA}: "
                f"use the version that wrote it, or another run folder"
            )
        if header.ledger != self.path.stem:
            raise RunError(f"{self.path}: holds the ledger {header.ledger!r}: it was renamed or copied")

    def _id_of(self, line: bytes, number: int) -> str:
        try:
            return _ID.decode(line).id
        except ValueError as error:
            raise self._unreadable(f"line {number}", error) from None

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
        offset = self._offsets[id]
        line, wanted = b"", 4096
        while not line.endswith(b"\n"):
            part = os.pread(self._file, wanted, offset + len(line))
            if not part:
                raise RunError(f"{self.path}: became shorter while it was read: another program changed it")
            end = part.find(b"\n")
            line += part if end < 0 else part[: end + 1]
            wanted *= 4
        return self._record(line, f"the record of {id}")

    def get(self, id: str) -> R | None:
        """The record of an id; None if there is none."""
        if id not in self:
            return None
        return self[id]

    def lines(self) -> Iterator[R]:
        """Every record ever written, also those of an id that was written again."""
        if self._fd is None:
            return
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number > 1 and line.endswith(b"\n"):
                    yield self._record(line, f"line {number}")

    def _record(self, line: bytes, what: str) -> R:
        try:
            return self._decoder.decode(line)
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
        self._write(encode(record))
        self._index(id, offset)

    def _write(self, line: bytes) -> None:
        rest = line + b"\n"
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


_ID = msgspec.json.Decoder(_Id)
