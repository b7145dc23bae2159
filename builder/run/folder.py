"""A run: one folder that holds everything made of one study.

    run.json                what the folder is pinned to: the study, its rules before, and whether stand-ins take part
    scenarios.jsonl         plan        what is to be held
    turns.jsonl             generate    the journal: every reply of a model, kept or rejected
    rounds.jsonl            generate    dialogues that were given up, and are to be tried anew
    usage.jsonl             generate, judge     what the models were asked so far
    dialogues.jsonl         generate, ingest
    votes.jsonl             judge       the journal: every answer of a judge's model
    reviews.jsonl           judge
    recordings/CONFIG.jsonl synthesize, ingest
    audio/CONFIG/           their clips, in few large files
    sources/CONFIG/         ingest      which commit of a repository they come from, and what it holds
    measures/CONFIG.jsonl   measure     what can be heard in them, as numbers
    failures/WORK.jsonl     what failed, where and why; owed again

Who works on a part writes ledgers of its own beside these, such as `turns.3-of-16.jsonl`, and reads them all.

Law of the file: kill it at any moment, run it again, and nothing finished is lost or done twice.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from builder.config import Site, Study
from builder.core.dialogue import Dialogue
from builder.core.part import Part
from builder.core.scenario import Scenario, parse_id
from builder.core.speech import Measured, Recording, fullest
from builder.core.verdict import Decision, Review, decide
from builder.errors import RunError
from builder.files import hold, is_held, listed
from builder.records import Record
from builder.run.audio import AudioFiles
from builder.run.failures import Failures
from builder.run.journal import Answered, Journal
from builder.run.ledger import SYNC_S, Ledger, Ledgers
from builder.run.pin import PIN, Pin
from builder.run.share import Share, pulled_from
from builder.terminal import say

if TYPE_CHECKING:
    from builder.run.site import Plugins, Worker

R = TypeVar("R", bound=Record)
N = TypeVar("N", Review, Recording)


class Desk(Protocol):
    """Lends a folder out for one attempt at a part, and publishes what is made there."""

    writer: str
    """The attempt's name, which ledgers and audio files bear, such as `3-of-16.000007`."""

    def publish_if_due(self) -> None:
        """Publishes what is new, now and then; called once a second, in a thread.

        Raises:
            RunError: another process has taken the part over.
        """

    def pin_rehearsal(self, part: str, rehearsal: bool) -> bool:  # noqa: FBT001
        """Pins for all who work on the run whether stand-ins make one part of it; gives what is pinned."""


class Run:
    """An opened run folder.

    Args:
        folder: where it is; made if need be when writable.
        study: what is made; None takes the study that the folder is pinned to.
        site: where it is made; None for what needs none.
        out: where the packaged dataset goes.
        writable: whether to work on it; then no other process may, unless each has a part of its own.
        part: the dialogues to work on; None for all of them.
        desk: what lends the folder out for one attempt at a part; None for a folder that is the run itself.
        worker: which of several processes this one is; None for one that has the endpoints to itself.

    Raises:
        RunError: the folder is pinned to another study, is worked on by another process, or cannot be read.
        ConfigError: a plug-in of the study or the site is misconfigured.
    """

    def __init__(
        self,
        folder: Path,
        study: Study | None = None,
        site: Site | None = None,
        out: Path = Path("dist/deepdialogue"),
        *,
        writable: bool = True,
        part: Part | None = None,
        desk: Desk | None = None,
        worker: "Worker | None" = None,
    ) -> None:
        self.folder, self.out, self.part = folder, out, part
        self.verify = False
        """Whether packaging reads every byte of the dataset that is there before it calls it up to date."""
        self._desk, self._worker = desk, worker
        self.writer = desk.writer if desk else part.name if part else ""
        self.writable = writable
        self._written: list[Ledger[Any]] = []
        self._open = ExitStack()
        if not (folder / PIN).exists() and (study is None or not writable or part is not None):
            raise RunError(f"{folder} is no run folder: it has no run.json")
        with self._open as opening:
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock(opening)
            self.pin = Pin(folder, study, desk.pin_rehearsal if desk else None)
            self.site = site
            if writable or site is not None:
                self.plugins.check()
            if writable:
                self.pin.write()
            self.scenarios = self._ledgers("scenarios", Scenario, named=parse_id)
            self.turns = self._ledgers("turns", Answered)
            self.dialogues = self._ledgers("dialogues", Dialogue, named=parse_id)
            self._votes = self._ledgers("votes", Answered)
            self.reviews = self._ledgers("reviews", Review, best=_last)
            kept = {path.name.partition(".")[0] for path in listed((folder / "recordings").glob("*.jsonl"))}
            self.recordings = {
                config: self._ledgers(f"recordings/{config}", Recording, best=_last)
                for config in dict.fromkeys([*self.study.speech, *sorted(kept)])
            }
            self.failures = Failures(self._ledgers)
            self._measured: dict[str, Ledgers[Measured]] = {}
            resting: list[Ledgers[Any]] = [self.reviews, *self.recordings.values()]
            for ledgers in resting:
                if alone := [id for id in ledgers.ids() if id not in self.dialogues]:
                    _tell_alone(ledgers.own.path, len(alone), alone[0])
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    async def keep_synced(self) -> None:
        """Brings to the disk what a ledger wrote last, however long nothing follows: a power cut costs a second."""
        while True:
            await asyncio.sleep(SYNC_S)
            for ledger in self._written:
                ledger.sync()
            if self._desk:
                await asyncio.to_thread(self._desk.publish_if_due)

    def _lock(self, opened: ExitStack) -> None:
        """Keeps other processes out: all of them from the whole run, and all but its siblings from a part."""
        try:
            hold(self.folder / ".lock", opened, shared=self.part is not None)
            if self.part is not None:
                hold(self.folder / f".lock.{self.part.name}", opened)
        except BlockingIOError:
            what = f"part {self.part.name} of {self.folder}, or on the whole" if self.part else self.folder
            raise RunError(f"another process works on {what}: wait for it, or use another --run") from None
        if self.part is not None:
            for path in self.folder.glob(".lock.*-of-*"):
                if not path.name.endswith(f"-of-{self.part.count}") and is_held(path):
                    raise RunError(
                        f"{self.folder}: another process works on {path.name.removeprefix('.lock.')}, which overlaps "
                        f"with {self.part.name}: cut the run into as many parts everywhere"
                    )

    def _ledgers(
        self,
        name: str,
        kind: type[R],
        *,
        best: Callable[[list[R]], R] | None = None,
        named: Callable[[str], object] | None = None,
    ) -> Ledgers[R]:
        """What all parts wrote under one name, open for as long as the run is.

        Where a later record of an item counts and not the first, `best` says which does of those of several parts.
        """
        path = self.folder / f"{name}.jsonl"
        own = Ledger(
            path.with_suffix(f".{self.writer}.jsonl") if self.writer else path,
            kind,
            writable=self.writable,
            latest=best is not None,
            named=named,
        )
        self._open.enter_context(own)
        if self.writable:
            self._written.append(own)
        others = [
            self._open.enter_context(
                Ledger(other, kind, writable=False, latest=best is not None, named=named)
            )
            for other in listed(path.parent.glob(f"{path.stem}.*jsonl"))
            if other != own.path
        ]
        return Ledgers(own, others, best)

    @property
    def study(self) -> Study:
        """What is made."""
        return self.pin.study

    @cached_property
    def plugins(self) -> "Plugins":
        """What the study and the site ask for, made; what only looks at a run needs none of it."""
        from builder.run.site import Plugins

        return Plugins(self, self._worker, self._open)

    @cached_property
    def votes(self) -> Journal:
        """What judges answered about dialogues that have no review; one for all the times that this run is judged."""
        return Journal(
            self._votes, lambda id: id not in self.reviews and self.takes(id), self.plugins.served.refuses
        )

    def recorded(self, config: str) -> Ledgers[Recording]:
        """The recordings of one dataset config, which need not be one that the study has speech for."""
        if config not in self.recordings:
            self.recordings[config] = self._ledgers(f"recordings/{config}", Recording, best=_last)
        return self.recordings[config]

    def measured(self, config: str) -> Ledgers[Measured]:
        """What was measured of the recordings of one dataset config; the latest counts."""
        if config not in self._measured:
            self._measured[config] = self._ledgers(f"measures/{config}", Measured, best=fullest)
        return self._measured[config]

    def accepted(self) -> Iterator[str]:
        """The dialogues of the part that the study's rule accepts, in the order they were finished.

        Without judges every dialogue is. With judges one that was not judged yet is not.
        """
        for id in self.dialogues.ids():
            if self.takes(id):
                decision = self.decision(self.reviews.get(id))
                if decision and decision.outcome == "accepted":
                    yield id

    def decision(self, review: Review | None) -> Decision | None:
        """What the study's rule makes of a dialogue with this review; None of one that was not judged yet.

        Without judges every dialogue is accepted.
        """
        if not self.study.judges:
            return Decision("accepted", ())
        return decide(review, self.study.acceptance) if review else None

    def takes(self, id: str) -> bool:
        """Whether a dialogue falls into the part that is worked on."""
        return self.part is None or id in self.part

    def audio(self, config: str) -> AudioFiles:
        """The clips of one dataset config; in a folder that was pulled, those that are not there are read where they are."""
        share = self._pulled_from
        elsewhere = partial(_clip, share, config) if share else None
        return AudioFiles(self.folder / "audio" / config, part=self.writer, elsewhere=elsewhere)

    @cached_property
    def _pulled_from(self) -> Share | None:
        """One for all that is read, since it learns where every clip is."""
        return pulled_from(self.folder)


@cache
def _tell_alone(path: Path, count: int, id: str) -> None:
    """Once in the life of a process, however often it looks at the run."""
    say(
        f"{path}: what it says of {count} dialogue{'s' * (count > 1)}, such as {id}, is left out until `generate` or `ingest` "
        f"brings the text back"
    )


def _clip(share: Share, config: str, file: str, offset: int, num_bytes: int) -> bytes:
    return share.clip(f"audio/{config}/{file}", offset, num_bytes)


def _last(made: list[N]) -> N:
    return max(made, key=lambda one: one.number)
