"""Desks: the local folder in which one attempt at a part works, and what is published from there.

A file grows locally as every ledger and audio file does; a publication adds what it grew by since the last one, up to the end
of a whole line and of the last clip that a published line names. The folder outlives a killed process and is gone once all
of it is published.
Law of the file: a commit never holds a line without what the line rests on: a review without its dialogue, a recording
without its clips.
"""

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from builder.core.part import Part
from builder.errors import BusyError, ConfigError, DeepDialogueError, OvertakenError, StorageError
from builder.files import hold, listed, put
from builder.records import Record, encode
from builder.run.ledger import MARK, intact
from builder.run.share._chain import Chain, Commit, RemadeError
from builder.terminal import say

if TYPE_CHECKING:
    from builder.run.share import Share

T = TypeVar("T")

_STATE = "desk.json"
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
_PAUSE_SHARE = 0.01
_PATIENCE_S = 60.0
_AGAIN_S = 2.0
_MOST_AUDIO = 16 * 2**20
"""Of one commit in bytes, so that whoever pulls many at once needs not much memory; a single recording may be more."""
_DEPENDENTS_FIRST = ("failures/", "measures/", "recordings/", "reviews.", "dialogues.")
"""What rests on something is read before that is, which meanwhile only grows."""


class _State(Record):
    attempt: str
    number: int
    """Of its first commit."""


class _Clip(msgspec.Struct):
    file: str
    offset: int
    num_bytes: int


class _Line(msgspec.Struct):
    clips: tuple[_Clip, ...] = ()
    """None in the first line of a ledger, which says what it is."""


class Desk:
    """One attempt at a part.

    Attributes:
        folder: where to work, as in a run folder.
        writer: the attempt's name, which every ledger and audio file bears that it writes, such as `3-of-16.000007`.
        overtaken: whether another attempt published what this one works on.
        finished: whether all of it is published.
    """

    def __init__(self, share: "Share", chain: Chain, part: Part, folder: Path, state: _State) -> None:
        self.folder = folder
        self.writer = f"{part.name}.{state.number:06}"
        self.overtaken = self.finished = False
        self._share, self._chain, self._attempt = share, chain, state.attempt
        self._part = part
        self._head = state.number - 1
        self._ends: dict[str, int] = {}
        self._one_at_a_time = threading.Lock()
        self._opened = self._tried = time.monotonic()
        self._silent = False

    def resume(self, head: int) -> bool:
        """Takes note of the attempt's own commits up to `head`; whether the folder still holds all that they do."""
        for number in range(self._head + 1, head + 1):
            self._note(number, self._chain.commit(number))
        return all(
            path.exists() and path.stat().st_size >= end
            for path, end in ((self.folder / file, end) for file, end in self._ends.items())
        )

    def publish(self) -> None:
        """Publishes what is new.

        Raises:
            OvertakenError: another attempt went on with the part; nothing of this one is published any more.
            StorageError: the storage does not answer.
        """
        with self._one_at_a_time:
            while self._publish_some():
                pass

    def publish_if_due(self) -> None:
        """Publishes what is new, five seconds or more after the last time: a hundredth of the time worked, a minute at most.

        Where the storage does not answer it says so, and the next time tries again.

        Raises:
            OvertakenError: as `publish` does.
        """
        now = time.monotonic()
        pause_s = min(_LONGEST_PAUSE_S, max(_PAUSE_S, _PAUSE_SHARE * (now - self._opened)))
        if now - self._tried < pause_s:
            return
        try:
            self.publish()
        except (StorageError, ConfigError) as error:
            if not self._silent:
                say(f"{error}: work goes on in {self.folder}, and is published when it does")
            self._silent = True
        else:
            if self._silent:
                say(f"{self._share.url}: answers again; what was finished meanwhile is published")
            self._silent = False
        finally:
            self._tried = time.monotonic()

    def pin_rehearsal(self, part: str, rehearsal: bool) -> bool:  # noqa: FBT001
        """Pins for all who work on the run whether stand-ins make one part of it; gives what is pinned."""
        name = f"rehearsal/{part}.json"

        def pin() -> bool:
            created = self._share.create(name, encode(rehearsal))
            pinned = None if created else self._share.read(name)
            return rehearsal if pinned is None else msgspec.json.decode(pinned, type=bool)

        return _patiently(pin, _PATIENCE_S)

    def finish(self, patience_s: float) -> None:
        """Publishes what is left, and tries again for so long, in seconds, where the storage does not answer."""
        try:
            _patiently(self.publish, patience_s)
        except (StorageError, ConfigError) as error:
            raise StorageError(
                f"{error}: what is finished is in {self.folder}, and is published by the same command on this machine"
            ) from None
        self.finished = True

    def _publish_some(self) -> bool:
        """Makes one commit of what is new, where anything is; whether there is more."""
        ledgers, audio, more = self._new()
        if not ledgers:
            return False
        number = self._head + 1
        commit = Commit(
            writer=self.writer,
            attempt=self._attempt,
            ledgers=self._chain.store(number, "ledgers", ledgers),
            audio=self._chain.store(number, "audio", audio),
        )
        made = self._chain.append(number, commit)
        if made.attempt != self._attempt:
            self.overtaken = True
            raise OvertakenError(
                f"{self._share.url}: another process went on with part {self._part.name}, and published commit {number} as "
                f"{made.writer}: what was not published here is dropped; run one process on a part"
            )
        self._note(number, made)
        return more or made != commit

    def _note(self, number: int, commit: Commit) -> None:
        self._head = number
        for one in commit.objects():
            for piece in one.pieces:
                self._ends[piece.file] = piece.end

    def _new(self) -> tuple[list[tuple[str, int, bytes]], list[tuple[str, int, bytes]], bool]:
        """What the ledgers and the audio files grew by, and whether that is not all."""
        ledgers: list[tuple[str, int, bytes]] = []
        ends: dict[str, int] = {}
        more = False
        for file in self._files():
            begin = self._ends.get(file, 0)
            lines = _grown(self.folder / file, begin)
            if file.startswith("recordings/"):
                whole = len(lines)
                lines = lines[: self._audible(file, lines, ends)]
                if len(lines) < whole:
                    more = True
                    ledgers = [piece for piece in ledgers if piece[0].startswith("recordings/")]
            if lines:
                ledgers.append((file, begin, lines))
        audio = []
        for file, end in ends.items():
            begin = self._ends.get(file, 0)
            with (self.folder / file).open("rb") as clips:
                audio.append((file, begin, os.pread(clips.fileno(), end - begin, begin)))
        return ledgers, audio, more

    def _files(self) -> Iterator[str]:
        """The ledgers, dependents first. Each kind is looked for when its turn comes: a file may be made meanwhile."""
        for rank in range(len(_DEPENDENTS_FIRST) + 1):
            for path in listed(self.folder.rglob(f"*.{self.writer}.jsonl")):
                file = path.relative_to(self.folder).as_posix()
                if _rank(file) == rank:
                    yield file

    def _audible(self, file: str, lines: bytes, ends: dict[str, int]) -> int:
        """Adds to `ends` where the clips end that lines of recordings name, up to some bytes; gives the end of the last line."""
        config = Path(file).name.removesuffix(f".{self.writer}.jsonl")
        read = held = 0
        for line in lines.splitlines(keepends=True):
            clips = _clips(line)
            held += sum(clip.num_bytes for clip in clips)
            if held > _MOST_AUDIO and read and ends:
                break
            read += len(line)
            for clip in clips:
                name = f"audio/{config}/{clip.file}"
                ends[name] = max(ends.get(name, 0), clip.offset + clip.num_bytes)
        return read


@contextmanager
def lend(share: "Share", part: Part, scratch: Path) -> Iterator[Desk]:
    """Opens a desk and leaves it, as `Share.working` says."""
    with ExitStack() as opened:
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            hold(scratch / f"{part.name}.lock", opened)
        except BlockingIOError:
            raise BusyError(
                f"{share.url}: another process on this machine works on part {part.name}: wait for it"
            ) from None
        desk = _patiently(lambda: _open(share, part, scratch / part.name), _PATIENCE_S)
        try:
            yield desk
        except BaseException as error:
            if not desk.overtaken:
                # Whoever interrupts does not want to wait.
                hurry = isinstance(error, StorageError) or not isinstance(error, Exception)
                try:
                    desk.finish(0 if hurry else _PATIENCE_S)
                except DeepDialogueError as also:
                    say(str(also))
            raise
        else:
            desk.finish(_PATIENCE_S)
        finally:
            if desk.overtaken or desk.finished:
                shutil.rmtree(desk.folder)


def _open(share: "Share", part: Part, folder: Path) -> Desk:
    others = [name for name in share.parts() if not name.endswith(f"-of-{part.count}")]
    heads = {name: share.head(name) for name in others}
    chain = share.chain(part.name)
    head = chain.head()
    if (folder / _STATE).exists():
        desk = _resumed(share, chain, part, folder, head)
        if desk is not None:
            with suppress(RemadeError):
                share.pull_to(folder, heads)
                return desk
        say(f"part {part.name} went on elsewhere: what was not published from {folder} is dropped")
    shutil.rmtree(folder, ignore_errors=True)
    state = _State(attempt=secrets.token_hex(8), number=head + 1)
    share.pull_to(folder, heads | {part.name: head})
    put(folder / _STATE, [encode(state)])
    return Desk(share, chain, part, folder, state)


def _resumed(share: "Share", chain: Chain, part: Part, folder: Path, head: int) -> Desk | None:
    """The attempt that a process left in a folder; None where another went on with the part, or not all of it is left."""
    state = msgspec.json.decode((folder / _STATE).read_bytes(), type=_State)
    if head < state.number - 1 or (head >= state.number and chain.commit(head).attempt != state.attempt):
        return None
    desk = Desk(share, chain, part, folder, state)
    return desk if desk.resume(head) else None


def _patiently(do: Callable[[], T], patience_s: float) -> T:
    """Does what needs the storage, and tries again for so long, in seconds, where it does not answer."""
    end = time.monotonic() + patience_s
    said = False
    while True:
        try:
            return do()
        except StorageError as error:
            if time.monotonic() + _AGAIN_S > end:
                raise
            if not said:
                say(f"{error}: trying again for {patience_s:.0f} s")
            said = True
            time.sleep(_AGAIN_S)


def _rank(file: str) -> int:
    kinds = (position for position, kind in enumerate(_DEPENDENTS_FIRST) if file.startswith(kind))
    return next(kinds, len(_DEPENDENTS_FIRST))


def _grown(path: Path, begin: int) -> bytes:
    """The whole lines behind `begin`, which are on the disk then: what is published is never more than what a crash leaves."""
    with path.open("rb") as lines:
        os.fsync(lines.fileno())
        lines.seek(begin)
        grown = lines.read()
    return grown[: grown.rfind(b"\n") + 1]


def _clips(line: bytes) -> tuple[_Clip, ...]:
    """The clips that a line names; none of a damaged one, which no reader takes for a record."""
    record = intact(line) if line.startswith(MARK) else line
    try:
        return msgspec.json.decode(record or b"", type=_Line).clips
    except ValueError:
        return ()
