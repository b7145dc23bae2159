"""Shares: a run on storage that several machines see, worked on part by part.

    run.json                    the study, created once
    rehearsal/TEXT.json         whether stand-ins make that part of it (`text`, `judges`, a dataset config), created once
    twins/SHA256.json           twins found over all dialogues, by the SHA-256 of their ids
    packed/SHA256               shards on their way from the workers that wrote them to the dataset's folder
    parts/K-of-M/               the history of every part: `builder.run.share._chain`

Nothing is worked on in place: a part is worked on at a *desk*, a local folder, and published from there commit by commit; the
whole is read in a *view*, a local run folder into which the ledgers were pulled, and of whose audio only what is asked for.
Law of the file: what is published is there exactly once and whole, whoever is killed and whenever.
"""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from builder.core.part import Part
from builder.errors import RunError, StorageError
from builder.files import hold, put
from builder.records import Record, encode
from builder.run.share._chain import Chain, Commit, Kind, Object, Piece, RemadeError
from builder.run.share._storage import PIN, is_url, open_storage
from builder.terminal import bar

if TYPE_CHECKING:
    from builder.run.share._desk import Desk

__all__ = ["VIEW", "Share", "is_url", "pulled_from"]

T = TypeVar("T")
R = TypeVar("R")

VIEW = "share.json"
"""In a folder that was pulled: from where, and how far."""

_AT_ONCE = 16
_PART = re.compile(r"[1-9]\d*-of-[1-9]\d*")
_WRITER = re.compile(r"\.(\d+-of-\d+)\.\d+\.\w+")


class _Reached(Record):
    number: int
    attempt: str
    """Of the commit of this number: another share of the same name has another."""


class _View(Record):
    url: str
    ledgers: dict[str, _Reached] = {}
    """By part: the last commit whose ledgers are here."""
    audio: dict[str, _Reached] = {}
    """By part: the last commit whose audio is here."""


class Share:
    """A run on shared storage. May be used by several threads.

    Args:
        url: `s3://BUCKET/FOLDER`, `file:///FOLDER`, or a path that all machines see. No credentials: they come from the
            environment.

    Raises:
        ConfigError: it is no such URL, or holds credentials.
    """

    def __init__(self, url: str) -> None:
        self._storage = open_storage(url)
        self.url = self._storage.url
        self._indexing = threading.Lock()
        self._indexed: dict[str, int] = {}
        self._pieces: dict[str, list[tuple[Piece, Object]]] = {}

    def read(self, name: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        return self._storage.read(name)

    def begin(self, pin: bytes) -> bool:
        """Shares a run; False where one is shared already, which stays as it is.

        Args:
            pin: its `run.json`.

        Raises:
            StorageError: the storage does not answer, or replaces objects though it is asked not to.
        """
        created = self._storage.create(PIN, pin)
        if created and self._storage.create(PIN, pin):
            raise StorageError(
                f"{self.url}: the storage replaces objects though it is asked not to (If-None-Match), so that two nodes would "
                f"write over each other: use a newer version of it, or a network disk"
            )
        return created

    def create(self, name: str, content: bytes) -> bool:
        """Makes an object; False where there is one already, which stays as it is.

        Raises:
            StorageError: the storage does not answer.
        """
        return self._storage.create(name, content)

    def clear(self, folder: str) -> None:
        """Takes away what lies in a folder that only passes through, and that nobody needs any more."""
        for name in self._storage.names(folder):
            self._storage.remove(f"{folder}/{name}")

    def parts(self) -> list[str]:
        """The names of all parts that something was published of."""
        return sorted(filter(_PART.fullmatch, self._storage.names("parts")))

    def head(self, part: str) -> int:
        """The number of a part's last commit; 0 where nothing was published of it."""
        return Chain(self._storage, part).head()

    def pull(
        self, folder: Path, parts: Iterable[str] | None = None, *, audio: bool = False
    ) -> dict[str, int]:
        """Brings a view up to date: the study, and of these parts the ledgers, or the audio files as well.

        Only what is new is read. Killed at any moment, it is mended by the next.

        Args:
            folder: an empty one, a new one, or one that was pulled from here before.
            parts: their names; None for all.
            audio: whether to bring audio, too; without, `clip` reads it where it is.

        Returns:
            By part: the number of the last commit that is here.

        Raises:
            RunError: nothing is shared here, or the folder holds something else, or what was shared here before.
            StorageError: the storage does not answer, or what arrives is torn.
        """
        chosen = self.parts() if parts is None else list(parts)
        heads = dict(zip(chosen, _all(self.head, chosen), strict=True))
        self.pull_to(folder, heads, audio=audio)
        return heads

    def pull_to(self, folder: Path, heads: Mapping[str, int], *, audio: bool = False) -> None:
        """As `pull` does, up to these commits."""
        pin = self.read(PIN)
        if pin is None:
            raise RunError(f"{self.url}: no run is shared there: it has no {PIN}")
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locked:
            hold(folder / ".lock.pull", locked, wait=True)
            view = self._view(folder)
            put(folder / VIEW, [encode(view)])
            self._pull_pin(folder / PIN, pin)
            kinds: tuple[Kind, ...] = ("ledgers", "audio") if audio else ("ledgers",)
            for kind in kinds:
                self._pull_files(folder, kind, getattr(view, kind), heads)
                put(folder / VIEW, [encode(view)])

    def view(self, *, audio: bool = False) -> Path:
        """A view in this machine's scratch folder, brought up to date as `pull` does."""
        folder = self.scratch() / "view"
        try:
            self.pull(folder, audio=audio)
        except RemadeError:
            shutil.rmtree(folder)
            self.pull(folder, audio=audio)
        return folder

    def scratch(self) -> Path:
        """Where this machine keeps what belongs to the share: below $DEEPDIALOGUE_SCRATCH, or the folder for temporary files.

        Raises:
            RunError: somebody else owns it.
        """
        named = os.environ.get("DEEPDIALOGUE_SCRATCH")
        root = Path(named) if named else Path(tempfile.gettempdir()) / f"deepdialogue-{os.getuid()}"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not named and root.stat().st_uid != os.getuid():
            raise RunError(f"{root} belongs to another user: set DEEPDIALOGUE_SCRATCH to a folder of yours")
        return root / hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def clip(self, file: str, offset: int, num_bytes: int) -> bytes:
        """Bytes of an audio file, read where they are and nothing around them.

        Args:
            file: in the run folder, such as `audio/xtts/00000.3-of-16.000007.flacs`.
            offset: of the first.
            num_bytes: how many.

        Raises:
            RunError: they were never published here.
            StorageError: the storage does not answer.
        """
        match = _WRITER.search(file)
        if match is not None:
            chain = Chain(self._storage, match[1])
            with self._indexing:
                found = self._find(file, offset)
                if found is None:
                    self._index(match[1], chain)
                    found = self._find(file, offset)
            if found is not None and offset + num_bytes <= found[0].end:
                piece, one = found
                begin = piece.at + offset - piece.offset
                return chain.range(one, begin, begin + num_bytes)
        raise RunError(
            f"{self.url}: bytes {offset} to {offset + num_bytes} of {file} were never published there"
        )

    @contextmanager
    def working(self, part: Part, scratch: Path | None = None) -> Iterator["Desk"]:
        """Lends a local folder to work on a part, and publishes what is made there, now and then and on leaving.

        What a killed process left there goes on, where nobody else went on with the part; then the folder is as the killed
        process left it. Otherwise it holds what is published of the part, and of parts of another cutting.

        Args:
            part: what to work on.
            scratch: where the folder is made, on a disk of this machine; None for `scratch()`.

        Raises:
            RunError: nothing is shared here, or another process of this machine works on the part.
            OvertakenError: another attempt published what this one worked on.
            StorageError: the storage does not answer; what is finished stays in the folder.
        """
        from builder.run.share._desk import lend

        with lend(self, part, scratch or self.scratch()) as desk:
            yield desk

    def chain(self, part: str) -> Chain:
        """The history of a part."""
        return Chain(self._storage, part)

    def _view(self, folder: Path) -> _View:
        view = _read_view(folder)
        if view is None:
            if (folder / PIN).exists():
                raise RunError(f"{folder} is a run of its own: pull into another folder")
            return _View(url=self.url)
        if view.url != self.url:
            raise RunError(f"{folder} was pulled from {view.url}: pull into another folder")
        return view

    def _pull_pin(self, path: Path, shared: bytes) -> None:
        """What is pinned: locally another rule may decide by now, but whether stand-ins take part is for all to say."""
        before = path.read_bytes() if path.exists() else shared
        pin = msgspec.json.decode(before)
        if pin["study"]["name"] != msgspec.json.decode(shared)["study"]["name"]:
            raise self._remade(path.parent)
        for name in self._storage.names("rehearsal"):
            if (said := self.read(f"rehearsal/{name}")) is not None:
                pin["rehearsal"][name.removesuffix(".json")] = msgspec.json.decode(said, type=bool)
        if (after := encode(pin)) != before or not path.exists():
            put(path, [after])

    def _pull_files(
        self, folder: Path, kind: Kind, reached: dict[str, _Reached], heads: Mapping[str, int]
    ) -> None:
        wanted = []
        for part, head in heads.items():
            last = reached.get(part)
            if last and (head < last.number or self.chain(part).commit(last.number).attempt != last.attempt):
                raise self._remade(folder)
            wanted += [(part, number) for number in range(last.number + 1 if last else 1, head + 1)]

        def read(commit: tuple[str, int]) -> tuple[Commit, bytes]:
            chain = self.chain(commit[0])
            read = chain.commit(commit[1])
            one: Object | None = getattr(read, kind)
            return read, chain.content(one) if one else b""

        if not wanted:
            return
        placed: set[Path] = set()
        with bar(f"pull {kind}", len(wanted)) as progress:
            for begin in range(0, len(wanted), _AT_ONCE):
                batch = wanted[begin : begin + _AT_ONCE]
                for (part, number), (commit, content) in zip(batch, _all(read, batch), strict=True):
                    one = getattr(commit, kind)
                    for piece in one.pieces if one else ():
                        _place(folder / piece.file, piece, content)
                        placed.add(folder / piece.file)
                    reached[part] = _Reached(number, commit.attempt)
                    progress.advance()
        # Before it is said that they are here: a power cut must not leave less.
        for path in placed:
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def _remade(self, folder: Path) -> RemadeError:
        return RemadeError(
            f"{folder} was pulled from another run that was shared at {self.url} before: pull into another folder"
        )

    def _find(self, file: str, offset: int) -> tuple[Piece, Object] | None:
        pieces = self._pieces.get(file, [])
        at = bisect_right(pieces, offset, key=lambda held: held[0].offset) - 1
        return pieces[at] if at >= 0 and offset < pieces[at][0].end else None

    def _index(self, part: str, chain: Chain) -> None:
        """Reads where the clips of a part are, as far as it was not done before."""
        head = chain.head()
        for commit in _all(chain.commit, range(self._indexed.get(part, 0) + 1, head + 1)):
            if one := commit.audio:
                for piece in one.pieces:
                    self._pieces.setdefault(piece.file, []).append((piece, one))
        self._indexed[part] = head


def pulled_from(folder: Path) -> Share | None:
    """What a folder was pulled from; None where it is a run of its own.

    Raises:
        RunError: this version cannot read where it was pulled from.
    """
    view = _read_view(folder)
    return Share(view.url) if view else None


def _read_view(folder: Path) -> _View | None:
    path = folder / VIEW
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_View)
    except ValueError as error:
        raise RunError(f"{path}: cannot be read by this version: {error}") from None


def _all(do: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results, in order, of what is waited for at once."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(do, items))


def _place(path: Path, piece: Piece, content: bytes) -> None:
    """Puts a piece at its place, where a pull that was killed may have put it before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        rest, at = memoryview(content)[piece.at : piece.at + piece.num_bytes], piece.offset
        while rest:
            written = os.pwrite(fd, rest, at)
            rest, at = rest[written:], at + written
    finally:
        os.close(fd)
