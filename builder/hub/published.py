"""A published repository on the Hub that a run takes from: at one commit, listed once, and here only for as long as it is read.

    sources/CONFIG/pin.json          which commit of which repository, for as long as the run lives
    sources/CONFIG/listings/*.json   what the commit holds of each pairing
    sources/CONFIG/data/             the layout of the published data: rows of text, and what is being read just now

Law of the file: whatever lies under `data` but the rows may vanish at any moment; a run takes all of a config from one commit.
"""

import asyncio
import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.filesize import decimal

from builder.errors import RunError, SourceError
from builder.files import is_junk, put
from builder.hub.address import DATA, FOLDER, Address
from builder.records import Record, encode
from builder.remote.hub import Entry, Repository, open_repository
from builder.terminal import bar, say

_PAIRING = re.compile(rf"{DATA}/({FOLDER}([\w.-]+))", re.ASCII)
_FILE = re.compile(r"(?P<text>[^/]+)\.json|(?P<stem>[^/]+)/(?:(?P=stem)_full\.wav|segments/[^/]+\.wav)")
_ROWS_MOST = 2**29
"""Bytes of a Parquet file beyond which it holds no mere text."""
_FLAC = 0.6
"""How much of a WAV file's bytes its FLAC takes, at most; 0.52 in the published sample."""


class _Pin(Record):
    repository: str
    commit: str


class _Files(NamedTuple):
    """What there is of one dialogue."""

    text: list[Entry]
    segments: list[Entry]
    full: list[Entry]


class Origin:
    """An opened one. `open_origin` makes it."""

    def __init__(self, home: Path, repository: Repository, commit: str, *, full: bool) -> None:
        self.root = home.resolve()
        self.full = full
        """Whether full recordings are brought where there are segments, too."""
        self.total_bytes = 0
        self.rows: list[Path] = []
        """Parquet files that may hold the text in rows."""
        self.connections = repository.connections
        self._repository, self._commit = repository, commit
        self._files: dict[tuple[str, str], _Files] = {}

    def __str__(self) -> str:
        return f"hf://datasets/{self._repository.name}@{self._commit[:8]}"

    @property
    def fetched_bytes(self) -> int:
        """So far."""
        return self._repository.fetched_bytes

    async def look(self, pairings: Collection[str]) -> list[tuple[str, str]]:
        """Lists what there is, and brings the rows of text.

        Args:
            pairings: only these; all where there are none.

        Returns:
            Of every dialogue its pairing's folder and its published id, sorted.

        Raises:
            SourceError: there is no dialogue.
            EndpointError: the Hub does not answer.
        """
        found = [one async for one in self._repository.folder("", self._commit, recursive=False)]
        if DATA in found:
            found = [one async for one in self._repository.folder(DATA, self._commit, recursive=False)]
        folders = {
            match[1]: match[2] for one in found if isinstance(one, str) and (match := _PAIRING.fullmatch(one))
        }
        if not folders:
            names = sorted(one if isinstance(one, str) else one.path for one in found)
            told = ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            raise SourceError(
                f"{self}: holds no published dialogue: has {told or 'nothing'}, where {DATA}/{FOLDER}<pairing>/<id>.json "
                f"and {DATA}/{FOLDER}<pairing>/<id>/segments/*.wav are needed"
            )
        for one in found:
            if isinstance(one, str) and not _PAIRING.fullmatch(one):
                say(f"{self}: {one!r} is no pairing's folder: left where it is")
        await self._bring_rows([one for one in found if isinstance(one, Entry)])
        wanted = [name for name, pairing in folders.items() if not pairings or pairing in pairings]
        with bar(f"list {self._repository.name}", len(wanted)) as progress:

            async def listed(name: str) -> None:
                self._file(name, await self._listing(name))
                progress.advance()

            await asyncio.gather(*map(listed, wanted))
        return sorted(self._files)

    async def _bring_rows(self, entries: list[Entry]) -> None:
        for entry in entries:
            if not entry.path.endswith(".parquet") or is_junk(Path(entry.path)):
                continue
            path = self.root / DATA / Path(entry.path).name
            if entry.num_bytes > _ROWS_MOST:
                say(
                    f"{self}: {entry.path} has {decimal(entry.num_bytes)}, more than rows of text do: left where it is"
                )
                continue
            if not (path.is_file() and entry.holds(path.read_bytes())):
                put(path, [await self._repository.fetch(entry, self._commit)])
            self.rows.append(path)

    async def _listing(self, name: str) -> list[Entry]:
        """The files of a pairing that are part of the layout."""
        path = self.root / "listings" / f"{name}.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=list[Entry])
        begin = f"{DATA}/{name}/"
        entries = [
            one
            async for one in self._repository.folder(f"{DATA}/{name}", self._commit, recursive=True)
            if isinstance(one, Entry) and one.path.startswith(begin) and _parse(one.path.removeprefix(begin))
        ]
        put(path, [encode(entries)])
        return entries

    def _file(self, name: str, entries: list[Entry]) -> None:
        held: dict[str, _Files] = defaultdict(lambda: _Files([], [], []))
        for entry in entries:
            stem, kind = _parse(entry.path.removeprefix(f"{DATA}/{name}/")) or ("", "")
            getattr(held[stem], kind).append(entry)
        self._files |= {(name, stem): files for stem, files in held.items()}

    def _wanted(self, place: tuple[str, str], *, sound: bool) -> Iterator[Entry]:
        files = self._files[place]
        yield from files.text
        if sound:
            yield from files.segments
            if self.full or not files.segments:
                yield from files.full

    def expect(self, owed: Mapping[tuple[str, str], bool]) -> None:
        """Counts what is to be fetched, and sees that there is room for what becomes of it.

        Args:
            owed: the dialogues to bring, and whether their sound is needed.

        Raises:
            RunError: the disk has too little room.
        """
        self.total_bytes = sum(
            entry.num_bytes for place, sound in owed.items() for entry in self._wanted(place, sound=sound)
        )
        needed, free = round(_FLAC * self.total_bytes), shutil.disk_usage(self.root).free
        say(
            f"{self}: {len(owed)} dialogues to fetch, {decimal(self.total_bytes)}; as FLAC they take about {decimal(needed)}, "
            f"and {decimal(free)} are free"
        )
        if needed > free:
            raise RunError(
                f"{self.root}: what is to be fetched from {self} takes about {decimal(needed)} as FLAC, and {decimal(free)} are "
                f"free there: make room, or take a part of it with --domain or --pairing"
            )
        if not self.full and any(self._files[place].full for place in owed):
            say(
                f"{self}: where there are segments the full recordings are not fetched: that the segments join to them is "
                f"not verified, and the pauses are those of the rule; --full fetches and verifies them"
            )

    @asynccontextmanager
    async def brought(self, folder: str, stem: str, *, sound: bool) -> AsyncIterator[None]:
        """Keeps the files of one dialogue under `root` for as long as the context is open.

        Args:
            folder: of its pairing.
            stem: its published id.
            sound: whether its sound is needed.

        Raises:
            EndpointError: the Hub does not answer, or what comes is not the file.
        """
        tasks = [
            asyncio.create_task(self._bring(entry)) for entry in self._wanted((folder, stem), sound=sound)
        ]
        try:
            await asyncio.gather(*tasks)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            place = self.root / DATA / folder / stem
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
            place.with_name(f"{stem}.json").unlink(missing_ok=True)

    async def _bring(self, entry: Entry) -> None:
        content = await self._repository.fetch(entry, self._commit)
        path = self.root / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@asynccontextmanager
async def open_origin(run: Path, address: Address, connections: int, *, full: bool) -> AsyncIterator[Origin]:
    """Opens a repository at the commit that the run is pinned to, and pins it if it is the first time.

    Args:
        run: the folder of a run that nobody else works on.
        address: of the repository.
        connections: how many files are fetched at once, at most.
        full: whether full recordings are fetched where there are segments, too.

    Raises:
        ConfigError: there is no such repository or revision, or this token may not read it.
        RunError: the run took the same config from elsewhere.
        EndpointError: the Hub does not answer.
    """
    home = run / "sources" / address.config
    async with open_repository(address.name, connections) as repository:
        commit = await _pinned(home, address, repository)
        _forget(home)
        try:
            yield Origin(home, repository, commit, full=full)
        finally:
            _forget(home)


def _forget(home: Path) -> None:
    for folder in (home / DATA).glob(f"{FOLDER}*"):
        shutil.rmtree(folder, ignore_errors=True)


async def _pinned(home: Path, address: Address, repository: Repository) -> str:
    head = await repository.commit(address.revision or "main")
    path = home / "pin.json"
    if not path.exists():
        for name in (DATA, "listings"):
            (home / name).mkdir(parents=True, exist_ok=True)
        put(path, [encode(_Pin(repository=address.name, commit=head))])
        return head
    try:
        pin = msgspec.json.decode(path.read_bytes(), type=_Pin)
    except ValueError as error:
        raise RunError(f"{path}: cannot be read by this version: {error}") from None
    held = f"{pin.repository}@{pin.commit}"
    if pin.repository != address.name or (address.revision is not None and pin.commit != head):
        raise RunError(
            f"{home}: this run takes {address.config!r} from {held}, not from {address.name}@{head}: "
            f"name {pin.repository} without a revision to go on, or use another --run"
        )
    if pin.commit != head:
        say(
            f"{address.name}: main is at {head} by now; this run stays with {pin.commit}, which it began with"
        )
    return pin.commit


def _parse(path: str) -> tuple[str, str] | None:
    """The published id that a path within a pairing's folder belongs to, and what it is; None for what is no part of the layout.

    No part of either leads upwards.
    """
    match = _FILE.fullmatch(path)
    stem = match and (match["text"] or match["stem"])
    if (
        not stem
        or {"..", "."} & {stem, *path.split("/")}
        or "\\" in path
        or "\0" in path
        or is_junk(Path(path))
    ):
        return None
    return stem, ("text", "full", "segments")[path.count("/")]
