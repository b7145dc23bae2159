"""The crew: Ray, reached or started, and the workers of one stage, each of which takes the next part as soon as it is free.

Nothing is handed out in turn or kept for anybody: a part whose worker died goes to whoever is free, and Ray starts the worker
again wherever there is room. Twice begun is once published, as the share sees to.
Law of the file: here arrive names of parts, tallies, counts and lines; no row, no secret.
"""

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from builder.config import Needs, Site
from builder.core.part import Part
from builder.errors import ConfigError, RunError, extra, first_line
from builder.pipeline.ray._worker import Outcome, Told, Worker
from builder.run.share import Share
from builder.run.work import Tally
from builder.terminal import Bar, bar, handlers_kept, say

if TYPE_CHECKING:
    from builder.dataset.shards import Written
    from builder.stages.package import Cell

_POLL_S = 1.0
_AGAIN_S = 2.0
_TRIES = 4
_ROOM_S = 20.0
_LEAVE_S = 75.0
"""So long a worker may take to publish what is finished, when the work is interrupted; its storage may be away for a minute."""
_STORE_BYTES = 80 * 2**20
"""Little more than Ray insists on: nothing is put there."""


class _Hand:
    """A worker as it is seen from here."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.part: Part | None = None
        self.work: Any = None
        """What will become the outcome of the part."""
        self.answer: Any = None
        """What will become the answer to what it has to show; None while it is not asked."""
        self.asked_at = -_POLL_S
        self.there = False
        """Whether it answered when it was last asked."""


class Crew:
    """Ray, for as long as it is open, and the workers of the latest stage. In the main thread only.

    Args:
        site: whose `ray` says where and how many.
        url: of the share.

    Raises:
        ConfigError: the extra is not installed, or the cluster cannot be reached.
    """

    def __init__(self, site: Site, url: str) -> None:
        self._site, self._url = site, url
        self._ray = extra("ray", "ray")
        self._needs: Needs | None = None
        self._hands: list[_Hand] = []

    def __enter__(self) -> Self:
        ray, table = self._ray, self._site.ray
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        settings: dict[str, Any] = {"address": table.address or "local", "log_to_driver": False}
        if not table.address:
            most = max(needs.num_cpus for needs in (Needs(), *table.needs.values()))
            settings |= {
                "num_cpus": max(os.cpu_count() or 1, ceil(table.workers * most)),
                "object_store_memory": _STORE_BYTES,
                "include_dashboard": False,
            }
        with suppress(AttributeError):
            # Of every worker that dies Ray says so in ten lines on the standard output, whatever it is told to log.
            ray._private.worker.print_to_stdstream = lambda *_, **__: None  # noqa: SLF001
        with handlers_kept():
            try:
                _knock(table.address)
                ray.init(logging_level="CRITICAL", **settings)
            except SystemExit:  # what Ray makes of SIGTERM meanwhile
                raise KeyboardInterrupt from None
            except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
                what = f"{table.address} is not reached" if table.address else "no cluster starts here"
                raise ConfigError(
                    f"site {self._site.name!r}, ray.address: {what}: {first_line(error)}: `ray status` says what runs, "
                    f"and RAY_AUTH_MODE=token is for clusters that want Ray's token"
                ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with handlers_kept():
            self._dismiss()
            self._ray.shutdown()

    def work(self, parts: Sequence[Part], stages: tuple[str, ...], twins: str = "") -> list[Tally]:
        """Brings stages of every part up to date, one after the other.

        Args:
            parts: of the run.
            stages: of those that are worked on by parts; the last says what a worker needs, and is what is shown.
            twins: the object of the share that holds the twins of all dialogues; empty where parts look for their own.

        Returns:
            What each stage did.

        Raises:
            ConfigError: a worker cannot work as it is told to; then none does.
            RunError: some parts were not brought up to date, which the others were; or the cluster is gone.
        """
        with bar(stages[-1], len(parts)) as progress:
            try:
                self._hire(self._site.ray.needs.get(stages[-1], Needs()))
                shift = _Shift(self._ray, self._hands, parts, progress)
                try:
                    outcomes = shift.work(stages, twins)
                except BaseException:
                    shift.stop()
                    raise
            except self._ray.exceptions.RayError as error:
                raise _gone(error) from None
        failed = [outcome for outcome in outcomes if outcome.ending != "done"]
        if failed:
            first, *others = dict.fromkeys(outcome.message for outcome in failed)
            for message in others:
                say(next(f"{outcome.part}: {message}" for outcome in failed if outcome.message == message))
            raise RunError(f"{len(failed)} of {len(parts)} parts failed, {failed[0].part} with: {first}")
        return [Tally.sum(column) for column in zip(*(outcome.tallies for outcome in outcomes), strict=True)]

    def press(self, share: Share, folder: Path, cells: "list[Cell]") -> "list[Written]":
        """Has the shards of these cells written, each by one worker; raises as `press` does."""
        from builder.pipeline.ray._press import press

        self._dismiss()
        table = self._site.ray
        try:
            return press(self._ray, table.workers, table.needs.get("package", Needs()), share, folder, cells)
        except self._ray.exceptions.RayError as error:
            raise _gone(error) from None

    def _hire(self, needs: Needs) -> None:
        """Has workers with these needs: those of the stage before, where they have the same."""
        if needs == self._needs:
            return
        self._dismiss()
        if not self._site.ray.address:
            held = self._ray.cluster_resources()
            for what, wanted in {"GPU": needs.num_gpus, **needs.resources}.items():
                if wanted > held.get(what, 0):
                    raise ConfigError(
                        f"site {self._site.name!r}, ray.needs: a worker needs {wanted:g} of {what}, and this machine has "
                        f"{held.get(what, 0):g}: name the cluster in ray.address"
                    )
        kind = self._ray.remote(max_restarts=-1, max_task_retries=0, **msgspec.to_builtins(needs))(Worker)
        count, cores = self._site.ray.workers, max(1, int(needs.num_cpus))
        places = (Part(index=index, count=count) for index in range(1, count + 1))
        self._hands = [_Hand(kind.remote(self._url, self._site, place, cores)) for place in places]
        self._needs = needs

    def _dismiss(self) -> None:
        for hand in self._hands:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(hand.actor)
        self._hands, self._needs = [], None


class _Shift:
    """The work of a crew on the stages of all parts."""

    def __init__(self, ray: Any, hands: list[_Hand], parts: Sequence[Part], progress: Bar) -> None:
        self._ray, self._hands, self._progress = ray, hands, progress
        self._owed = deque((part, 0.0) for part in parts)
        """Each with the time before which it is not tried again."""
        self._count = len(parts)
        self._tries: Counter[str] = Counter()
        self._done = self._ended = self._worked = 0
        self._said: set[str] = set()
        self._began = time.monotonic()

    def work(self, stages: tuple[str, ...], twins: str) -> list[Outcome]:
        """How the work on each part ended; what another process had, or a worker died of, was tried again."""
        outcomes: list[Outcome] = []
        while len(outcomes) < self._count:
            now = time.monotonic()
            for hand in self._hands:
                if hand.there and hand.part is None and self._owed and self._owed[0][1] <= now:
                    hand.part, _ = self._owed.popleft()
                    hand.work = hand.actor.work.remote(hand.part, stages, twins)
                    self._tries[hand.part.name] += 1
            for hand in self._heard():
                if outcome := self._outcome(hand):
                    outcomes.append(outcome)
                    self._expect(stages, outcome)
        self._hear_last()
        return outcomes

    def stop(self) -> None:
        """Has every worker publish what is finished, and waits for that."""
        with suppress(self._ray.exceptions.RayError):
            at_work = [hand for hand in self._hands if hand.part]
            for hand in at_work:
                hand.actor.stop.remote()
            if at_work:
                work = [hand.work for hand in at_work]
                self._ray.wait(work, num_returns=len(work), timeout=_LEAVE_S)
            self._hear_last()

    def _heard(self) -> list[_Hand]:
        """Asks workers what they have to show, and hears them for a second; gives those whose part ended."""
        now = time.monotonic()
        for hand in self._hands:
            if hand.answer is None and now - hand.asked_at >= _POLL_S:
                hand.answer, hand.asked_at = hand.actor.told.remote(), now
        absent = sum(not hand.there for hand in self._hands)
        if absent and now - self._began >= _ROOM_S:
            self._say(f"{absent} of {len(self._hands)} workers wait for room in the cluster, or start again")
        asked = {hand.answer: hand for hand in self._hands if hand.answer is not None}
        at_work = {hand.work: hand for hand in self._hands if hand.part}
        ready = self._ray.wait([*asked, *at_work], timeout=_POLL_S)[0] if asked or at_work else []
        for answer in ready:
            if answer in asked:
                self._hear(asked[answer])
        return [at_work[work] for work in ready if work in at_work]

    def _hear_last(self) -> None:
        """Hears what workers have to show at the end."""
        for hand in self._hands:
            if hand.there:
                hand.answer = hand.answer or hand.actor.told.remote()
        asked = {hand.answer: hand for hand in self._hands if hand.answer is not None}
        if asked:
            for answer in self._ray.wait([*asked], num_returns=len(asked), timeout=_POLL_S)[0]:
                self._hear(asked[answer])

    def _hear(self, hand: _Hand) -> None:
        answer, hand.answer = hand.answer, None
        try:
            told: Told = self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:
                raise ConfigError(f"no worker starts in the cluster: {_last_line(error)}") from None
            hand.there = False
            return
        hand.there = True
        for line in told.lines:
            self._say(line, hand.part)
        self._done += told.done
        if told.done:
            self._progress.advance(told.done, failed=told.failed)

    def _outcome(self, hand: _Hand) -> Outcome | None:
        """How the part ended that a worker had; None where it is tried again."""
        part, work = hand.part, hand.work
        assert part is not None, "only a part that was handed out ends"  # noqa: S101
        try:
            outcome: Outcome = self._ray.get(work)
        except self._ray.exceptions.RayActorError:
            hand.there = False
            outcome = Outcome(part.name, "lost", message="its worker died or is not reached")
        except self._ray.exceptions.RayTaskError as error:
            outcome = Outcome(part.name, "failed", message=_last_line(error))
        hand.part = hand.work = None
        if outcome.ending == "refused":
            raise ConfigError(outcome.message)
        if outcome.ending in {"lost", "stopped"} and self._tries[part.name] < _TRIES:
            self._say(f"{outcome.message or 'its worker was stopped'}: whoever is free takes it over", part)
            self._owed.append((part, time.monotonic() + _AGAIN_S))
            return None
        return outcome

    def _expect(self, stages: tuple[str, ...], outcome: Outcome) -> None:
        """As many items in each part as in those that ended, on average."""
        self._ended += 1
        # To plan is too little work to be counted.
        tallies = [tally for name, tally in zip(stages, outcome.tallies, strict=False) if name != "plan"]
        self._worked += sum(tally.done + tally.failed + tally.given_up for tally in tallies)
        self._progress.expect(max(self._done, self._worked * self._count // self._ended))

    def _say(self, line: str, part: Part | None = None) -> None:
        """What several workers say is said once."""
        if line not in self._said:
            self._said.add(line)
            say(f"{part.name}: {line}" if part else line)


def _gone(error: Exception) -> RunError:
    return RunError(
        f"the cluster is gone: {first_line(error)}: what is finished is kept; run the same command again"
    )


def _last_line(error: Exception) -> str:
    """What went wrong in another process, of which Ray tells the whole traceback."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _knock(address: str) -> None:
    """Asks whether anything is there at all, for which Ray waits a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
