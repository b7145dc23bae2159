"""Chains: the history of one part on shared storage, commit by commit.

    parts/3-of-16/000007.json               the seventh commit: who made it, and which pieces of files it adds
    parts/3-of-16/000007-HEX.ledgers        the bytes of its pieces of ledgers
    parts/3-of-16/000007-HEX.audio          the bytes of its pieces of audio files

Bytes are written first, under a name that nobody else uses, and count for nothing until the commit that names them is there.
Commit n + 1 can be created once, so that of several attempts at one part exactly one goes on, and no lease is needed.
Law of the file: what is published is never changed; what is read is what was published, or an error.
"""

import hashlib
import re
import secrets
import time
from typing import Literal

import msgspec

from builder.errors import RunError, StorageError
from builder.records import Record, encode
from builder.run.share._storage import Storage

Kind = Literal["ledgers", "audio"]

_COMMIT = re.compile(r"(\d{6,})\.json")
_FILE = re.compile(r"(?!.*\.\.)\w[\w./-]*")
_TRIES = 3


class Piece(Record):
    """Bytes that follow those of the piece before in a file of the run folder."""

    file: str
    """Such as `recordings/xtts.3-of-16.000001.jsonl`."""
    offset: int
    """In the file."""
    num_bytes: int
    at: int
    """In the object that holds it."""

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.offset + self.num_bytes


class Object(Record):
    """Pieces, one after the other, in one object."""

    name: str
    num_bytes: int
    sha256: str
    pieces: tuple[Piece, ...]


class Commit(Record):
    """What one attempt at a part published at one time."""

    writer: str
    attempt: str
    """Tells attempts apart whose writers have the same name; only one of these is in the chain."""
    ledgers: Object | None
    audio: Object | None

    def objects(self) -> tuple[Object, ...]:
        """What it holds."""
        return tuple(one for one in (self.ledgers, self.audio) if one)


class RemadeError(RunError):
    """What a folder was pulled from is not there any more: another share has its name."""


class Chain:
    """The commits of one part.

    Args:
        storage: where they are.
        part: its name, such as `3-of-16`.
    """

    def __init__(self, storage: Storage, part: str) -> None:
        self._storage = storage
        self._folder = f"parts/{part}"

    def head(self) -> int:
        """The number of the last commit; 0 where there is none."""
        found = map(_COMMIT.fullmatch, self._storage.names(self._folder))
        return max((int(match[1]) for match in found if match), default=0)

    def commit(self, number: int) -> Commit:
        """One commit.

        Raises:
            RunError: there is none of this number, or this version cannot read it.
        """
        name = f"{self._folder}/{number:06}.json"
        content = self._storage.read(name)
        if content is None:
            raise RunError(f"{self._storage.url}: has no {name}: bring it back, or share the run anew")
        try:
            commit = msgspec.json.decode(content, type=Commit)
        except ValueError as error:
            raise RunError(f"{self._storage.url}, {name}: cannot be read by this version: {error}") from None
        for one in commit.objects():
            for piece in one.pieces:
                if not _FILE.fullmatch(piece.file) or commit.writer not in piece.file:
                    raise RunError(
                        f"{self._storage.url}, {name}: {piece.file!r} is no file of {commit.writer}"
                    )
        return commit

    def content(self, one: Object) -> bytes:
        """The bytes of an object, checked.

        Raises:
            RunError: it is gone.
            StorageError: what arrives is not what was published, however often it is asked for.
        """
        for again in range(_TRIES):
            time.sleep(0.1 * again)
            content = self._storage.read(f"{self._folder}/{one.name}")
            if content is None:
                raise RunError(
                    f"{self._storage.url}: has no {self._folder}/{one.name}, which a commit names: bring it back"
                )
            if hashlib.sha256(content).hexdigest() == one.sha256:
                return content
        raise StorageError(
            f"{self._storage.url}: {self._folder}/{one.name} arrived torn {_TRIES} times: run the same command again"
        )

    def range(self, one: Object, begin: int, end: int) -> bytes:
        """Bytes begin..end of an object.

        Raises:
            StorageError: it is gone, or does not reach that far.
        """
        content = self._storage.read(f"{self._folder}/{one.name}", begin, end) or b""
        if len(content) != end - begin:
            raise StorageError(
                f"{self._storage.url}: {self._folder}/{one.name}: bytes {begin} to {end} arrived as {len(content)}"
            )
        return content

    def store(self, number: int, kind: Kind, parts: list[tuple[str, int, bytes]]) -> Object | None:
        """Writes what commit `number` is to name; None where there is nothing.

        Args:
            number: of the commit.
            kind: of the files.
            parts: the file, the offset there and the bytes of each piece.
        """
        if not parts:
            return None
        pieces, at = [], 0
        for file, offset, content in parts:
            pieces.append(Piece(file=file, offset=offset, num_bytes=len(content), at=at))
            at += len(content)
        whole = b"".join(content for _, _, content in parts)
        name = f"{number:06}-{secrets.token_hex(8)}.{kind}"
        self._storage.create(f"{self._folder}/{name}", whole)
        return Object(name=name, num_bytes=at, sha256=hashlib.sha256(whole).hexdigest(), pieces=tuple(pieces))

    def append(self, number: int, commit: Commit) -> Commit:
        """Makes a commit the chain's next, unless there is one of its number.

        Returns:
            The commit of this number: this one, or the one that was there before; then what this one names is taken away.
        """
        if self._storage.create(f"{self._folder}/{number:06}.json", encode(commit)):
            return commit
        # Ours, too, may be there before: its answer was lost, and it was sent again.
        found = self.commit(number)
        if found != commit:
            for one in commit.objects():
                self._storage.remove(f"{self._folder}/{one.name}")
        return found
