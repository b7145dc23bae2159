"""The room at an endpoint: how many tries are in flight at once, found out from how the tries end.

A try takes a place, and gives it back with what it learnt:

    async with room.place() as place:
        ...                       # a TryError on the way out, or place.queue_s where the server tells it

The limit starts at the most that the site allows where the server tells that it takes as many; else at half of it, and
doubles until it is first cut. It is cut in proportion to the tries that the server refused, left unanswered or let queue for
longer than it worked on them, and grows from then on by one for each limit's worth of good tries.
Law of the file: `Pace` decides and never waits; `Room` waits and never decides.
"""

import asyncio
from collections import Counter, deque
from types import TracebackType
from typing import Self

from builder.errors import EndpointError, ItemError

LONGEST_PAUSE_S = 60.0
"""However long a server asks to be left alone, it is asked again after this."""

_FEWEST = 8
"""Fewer tries than this say too little of a server."""

_OVERLOADED = frozenset({"429", "503", "504", "timeout"})
"""The ends of a try that fewer tries at once would have spared it."""


class TryError(EndpointError):
    """One try failed, and another may pass.

    Attributes:
        kind: the answer's status, such as `429`; or `timeout`, or `connection`.
        wait_s: how long the server asks to be left alone.
    """

    def __init__(self, message: str, kind: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait_s = wait_s


class Pace:
    """How many tries may be in flight.

    Once for each limit's worth of tries, or sooner when a quarter as many were refused (and at least eight), the limit is
    cut by half of the share that was refused: a server that refuses everything halves it, one that refuses a try in
    twenty, whatever the load, costs it a fortieth. (So does DCTCP, Alizadeh et al. 2010, with marked packets.) A try is
    told `cuts` when it is admitted and hands it back at its end: one that was admitted before the latest cut says nothing
    of the limit after it, so that a burst is one cut.

    Args:
        most: what the limit never passes, at least 1.
        told: whether the server says that it takes as many.
    """

    def __init__(self, most: int, *, told: bool = False) -> None:
        self.most = most
        self.cuts = 0
        self.resumes_at = 0.0
        """Nothing is admitted before, in seconds of the clock that `overloaded` is told."""
        self._limit = float(most if told else max(1, most // 2))
        self._heard = self._refused = self._queued = 0
        """Tries that ended since the latest cut or the latest limit's worth of them."""

    @property
    def limit(self) -> int:
        """Tries in flight at once, in 1..most."""
        return round(self._limit)

    def succeeded(self, admitted: int, *, used: bool, queue_s: float = 0.0, inference_s: float = 0.0) -> None:
        """Hears of a good try.

        Args:
            admitted: `cuts` when the try was admitted.
            used: whether as many tries were in flight as the limit allows; one that is not reached does not grow.
            queue_s: how long the server let it queue, where the server tells.
            inference_s: how long the server then worked on it.
        """
        if admitted != self.cuts:
            return
        if used:
            self._queued += queue_s > inference_s
            self._limit = min(float(self.most), self._limit + (1 / self._limit if self.cuts else 1))
        self._hear()

    def overloaded(self, admitted: int, now: float, wait_s: float = 0.0) -> None:
        """Hears of a try that the server had no time for.

        Args:
            admitted: `cuts` when the try was admitted.
            now: seconds, of any clock that only goes forward.
            wait_s: how long the server asks to be left alone.
        """
        self.resumes_at = max(self.resumes_at, now + min(wait_s, LONGEST_PAUSE_S))
        if admitted == self.cuts:
            self._refused += 1
            self._hear()

    def _hear(self) -> None:
        self._heard += 1
        worth = max(_FEWEST, self._limit)
        if self._heard < worth and self._refused < max(_FEWEST, worth / 4):
            return
        # Where most tries queue for longer than they are worked on, half as many would be answered as soon.
        share = max(self._refused / self._heard, 0.5 if 2 * self._queued > self._heard else 0.0)
        if share:
            self._limit = max(1.0, self._limit * (1 - share / 2))
            self.cuts += 1
        self._heard = self._refused = self._queued = 0


class Room:
    """The places at one endpoint, given out first come, first served.

    Args:
        most: what the limit never passes, at least 1.
        told: whether the server says that it takes as many.
    """

    def __init__(self, most: int, *, told: bool = False) -> None:
        self.in_flight = 0
        self.waiting = 0
        self.tries = 0
        """Admitted so far, those in flight included."""
        self.answered = 0
        """Good tries so far."""
        self.failed: Counter[str] = Counter()
        """Failed tries by kind: a status, `timeout`, `connection`, or the boundary of what is not tried again."""
        self.queue_s = 0.0
        """In the server's queue, of all good tries together, as far as the server tells."""
        self.latency_s = 0.0
        """From admission to the answer, of all good tries together."""
        self._pace = Pace(most, told=told)
        self._queue: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def most(self) -> int:
        """What the limit never passes."""
        return self._pace.most

    @property
    def limit(self) -> int:
        """Tries in flight at once, as things stand, in 1..most."""
        return self._pace.limit

    @property
    def cuts(self) -> int:
        """How often the limit was cut."""
        return self._pace.cuts

    def place(self) -> "Place":
        """A place for one try: entered, it waits until there is one."""
        return Place(self)

    async def enter(self) -> int:
        """Waits for a place; gives what `leave` wants to know of the admission."""
        if self._queue or self.in_flight >= self._pace.limit or self._pace.resumes_at > _now():
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            self.waiting += 1
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self.waiting -= 1
                else:  # the place was given and the task cancelled in the same breath
                    self.in_flight -= 1
                    self._admit()
                raise
        else:
            self.in_flight += 1
        self.tries += 1
        return self._pace.cuts

    def leave(self, place: "Place", error: BaseException | None) -> None:
        """Takes a place back and hears how its try ended."""
        now = _now()
        used = self.in_flight >= self._pace.limit
        self.in_flight -= 1
        if error is None:
            self.answered += 1
            self.latency_s += now - place.began
            self.queue_s += place.queue_s
            self._pace.succeeded(
                place.admitted, used=used, queue_s=place.queue_s, inference_s=place.inference_s
            )
        elif isinstance(error, TryError):
            self.failed[error.kind] += 1
            if error.kind in _OVERLOADED:
                self._pace.overloaded(place.admitted, now, error.wait_s)
        elif isinstance(error, ItemError):
            self.failed[error.boundary] += 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.in_flight < self._pace.limit:
            pause_s = self._pace.resumes_at - _now()
            if pause_s > 0:
                self._timer = self._timer or asyncio.get_running_loop().call_later(pause_s, self._resume)
                return
            turn = self._queue.popleft()
            if not turn.done():
                self.waiting -= 1
                self.in_flight += 1
                turn.set_result(None)

    def _resume(self) -> None:
        self._timer = None
        self._admit()


class Place:
    """One try's place, held while it is entered."""

    __slots__ = ("_room", "admitted", "began", "inference_s", "queue_s")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.queue_s = 0.0
        """How long the server says that it let the try queue."""
        self.inference_s = 0.0
        """How long the server says that it then worked on it."""

    async def __aenter__(self) -> Self:
        self.admitted = await self._room.enter()
        self.began = _now()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.leave(self, error)


def _now() -> float:
    """On the clock that the loop's timers go by."""
    return asyncio.get_running_loop().time()
