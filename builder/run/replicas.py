"""Replicas: several endpoints of one model, as one.

A thread of prompts (a dialogue) stays with the replica it began with, whose prefix cache holds what was said. When that
one fails, its threads move on to the others at once, and it is left alone for a while that grows with every failed probe.
Law of the file: a prompt is lost only when no replica is left to ask, and a replica that serves another checkpoint is not
one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.errors import ConfigError, EndpointError, ItemError
from builder.plugins.llm import Backend, Endpoint
from builder.terminal import say

_FIRST_COOL_S, _LONGEST_COOL_S = 5.0, 300.0

_PINS = 16_384
"""So many threads are remembered, four times what a stage has in flight; the one longest silent is forgotten first."""


@dataclass
class Breaker:
    """Whether a replica is to be asked: it is `up`, or left alone until a time, and then probed."""

    cool_s: float = _FIRST_COOL_S
    until: float | None = None
    """When it may be probed; None while it is up."""
    probing: bool = False
    """Whether a probe is under way."""

    def is_due(self, now: float) -> bool:
        """Whether it should be probed."""
        return self.until is not None and now >= self.until and not self.probing

    def fail(self, now: float, *, probe: bool = False) -> None:
        """Hears of a failure: the first begins the time, a failed probe doubles it; the rest of a burst is old news."""
        if self.until is not None:
            if not probe:
                return
            self.cool_s = min(2 * self.cool_s, _LONGEST_COOL_S)
        self.until, self.probing = now + self.cool_s, False

    def close(self) -> None:
        """Hears that it answers."""
        self.cool_s, self.until, self.probing = _FIRST_COOL_S, None, False


@dataclass(eq=False)
class Replica:
    """One of the endpoints."""

    name: str
    backend: Backend
    breaker: Breaker = field(default_factory=Breaker)
    endpoint: Endpoint | None = None
    """None as long as it could not be opened."""
    in_flight: int = 0
    answers: int = 0
    """Prompts it had an answer to, if only a refusal."""
    fault: str = ""
    """Why it was last left alone."""


class Replicas:
    """An endpoint made of several. `open_replicas` makes it.

    Args:
        model: which they serve.
        replicas: at least one of them opened.
        opened: what closes those that are opened later.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        model: Model,
        replicas: Sequence[Replica],
        opened: AsyncExitStack,
        clock: Callable[[], float],
    ) -> None:
        self.replicas = tuple(replicas)
        self._model, self._opened, self._clock = model, opened, clock
        self._pins: OrderedDict[str, Replica] = OrderedDict()
        self._unopened = [replica for replica in replicas if replica.endpoint is None]
        self._openings: set[asyncio.Task[None]] = set()
        up = [replica.endpoint for replica in replicas if replica.endpoint is not None]
        self.checkpoint = up[0].checkpoint
        self.limit = sum(endpoint.limit for endpoint in up)
        """Of those that were opened so far."""

    @property
    def names(self) -> frozenset[str]:
        """Those of all that were opened so far."""
        return frozenset().union(*(one.endpoint.names for one in self.replicas if one.endpoint is not None))

    async def complete(self, prompt: Prompt) -> Completion:
        """Asks the thread's replica, and if it fails another, until one answers.

        Raises:
            EndpointError: none is up, or none of those that are has an answer to this prompt.
            ProtocolError: a replica refused the prompt; the others would as well.
        """
        self._open_due()
        tried: set[Replica] = set()
        while (replica := self._choose(prompt.thread, tried)) is not None:
            tried.add(replica)
            with suppress(EndpointError):
                return await self._ask(replica, prompt)
        faults = "; ".join(f"{replica.name}: {replica.fault}" for replica in self.replicas)
        raise EndpointError(
            f"none of the {len(self.replicas)} replicas of {self._model.hub_id} answers: {faults}"
        )

    def _choose(self, thread: str, tried: set[Replica]) -> Replica | None:
        """The thread's own replica, else one that should be probed, else the least loaded of those that are up."""
        now = self._clock()
        own = self._pins.get(thread)
        if own is None or own in tried or own.breaker.until is not None:
            able = [
                (not due, replica.in_flight / replica.endpoint.limit, place)
                for place, replica in enumerate(self.replicas)
                if replica.endpoint is not None and replica not in tried
                if (due := replica.breaker.is_due(now)) or replica.breaker.until is None
            ]
            if not able:
                return None
            own = self.replicas[min(able)[-1]]
        if thread:
            self._pins[thread] = own
            self._pins.move_to_end(thread)
            if len(self._pins) > _PINS:
                self._pins.popitem(last=False)
        return own

    async def _ask(self, replica: Replica, prompt: Prompt) -> Completion:
        assert replica.endpoint is not None, "only an opened replica is chosen"  # noqa: S101
        answers, probe = replica.answers, replica.breaker.until is not None
        replica.breaker.probing |= probe
        replica.in_flight += 1
        try:
            completion = await replica.endpoint.complete(prompt)
        except EndpointError as error:
            replica.fault = str(error)
            # Where others were answered meanwhile, the fault lies with the prompt.
            if replica.answers == answers:
                self._fail(replica, probe=probe)
            raise
        except ItemError:
            self._answered(replica)
            raise
        else:
            self._answered(replica)
            return completion
        finally:
            replica.in_flight -= 1
            if probe:
                replica.breaker.probing = False

    def _answered(self, replica: Replica) -> None:
        replica.answers += 1
        if replica.breaker.until is not None:
            say(f"{self._model.hub_id}: {replica.name} is up again")
            replica.breaker.close()

    def _fail(self, replica: Replica, *, probe: bool) -> None:
        if replica.breaker.until is None:
            say(f"{self._model.hub_id}: {replica.name} is down, the others go on: {replica.fault}")
        replica.breaker.fail(self._clock(), probe=probe)

    def _open_due(self) -> None:
        """Tries again, without keeping anyone waiting, to open what could not be opened before."""
        now = self._clock()
        for replica in self._unopened:
            if replica.breaker.is_due(now):
                replica.breaker.probing = True
                opening = asyncio.create_task(self._open(replica))
                self._openings.add(opening)
                opening.add_done_callback(self._openings.discard)

    async def _open(self, replica: Replica) -> None:
        try:
            replica.endpoint = await self._enter(replica)
        except (ItemError, ConfigError) as error:
            if replica.fault != str(error):
                replica.fault = str(error)
                say(f"{self._model.hub_id}: {replica.name} is still left out: {error}")
            replica.breaker.fail(self._clock(), probe=True)
        else:
            self._unopened.remove(replica)
            self.limit += replica.endpoint.limit
            say(f"{self._model.hub_id}: {replica.name} is up")
            replica.breaker.close()

    async def _enter(self, replica: Replica) -> Endpoint:
        async with AsyncExitStack() as opening:
            endpoint = await opening.enter_async_context(replica.backend.open(self._model))
            if endpoint.checkpoint != self.checkpoint:
                raise _differ(
                    self._model, (replica.name, endpoint.checkpoint), ("the others", self.checkpoint)
                )
            self._opened.push_async_exit(opening.pop_all())
            return endpoint

    async def close(self) -> None:
        """Stops what is being opened; the rest is the stack's."""
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)


@asynccontextmanager
async def open_replicas(
    backends: Sequence[Backend], model: Model, clock: Callable[[], float] | None = None
) -> AsyncIterator[Endpoint]:
    """Opens every place where a model is served, as one endpoint.

    One that is down is said and left out, and tried again now and then while the others are used.

    Args:
        backends: at least one; a single one is opened as it is.
        model: which they serve.
        clock: seconds that only go forward; None for the event loop's.

    Raises:
        EndpointError: none can be reached.
        ProtocolError: one does not speak the protocol, or serves another model.
        ConfigError: the settings of one cannot work here, or two serve different checkpoints.
    """
    async with AsyncExitStack() as opened:
        if len(backends) == 1:
            yield await opened.enter_async_context(backends[0].open(model))
            return
        clock = clock or asyncio.get_running_loop().time
        replicas = [Replica(_name(place, backend), backend) for place, backend in enumerate(backends, 1)]
        found = await asyncio.gather(
            *(opened.enter_async_context(backend.open(model)) for backend in backends), return_exceptions=True
        )
        for replica, endpoint in zip(replicas, found, strict=True):
            if isinstance(endpoint, EndpointError):
                replica.fault = str(endpoint)
                replica.breaker.fail(clock())
            elif isinstance(endpoint, BaseException):
                raise endpoint
            else:
                replica.endpoint = endpoint
        served = {
            replica.name: one.checkpoint for replica in replicas if (one := replica.endpoint) is not None
        }
        if not served:
            raise EndpointError(
                f"none of the {len(replicas)} replicas of {model.hub_id} can be reached: "
                + "; ".join(f"{replica.name}: {replica.fault}" for replica in replicas)
            )
        first, *others = served.items()
        for other in others:
            if other[1] != first[1]:
                raise _differ(model, first, other)
        for replica in replicas:
            if replica.endpoint is None:
                say(f"{model.hub_id}: {replica.name} is down, the others go on: {replica.fault}")
        together = Replicas(model, replicas, opened, clock)
        opened.push_async_callback(together.close)
        yield together


def _differ(model: Model, one: tuple[str, str], other: tuple[str, str]) -> ConfigError:
    """The error that two replicas of different checkpoints are; of each its name and what it serves."""
    return ConfigError(
        f"{model.hub_id}: {one[0]} serves {one[1]}, and {other[0]} {other[1]}: "
        "replicas serve one checkpoint: start them at one revision"
    )


def _name(place: int, backend: Backend) -> str:
    """What the site's reader knows it by."""
    url: str | None = getattr(backend, "url", None)
    return f"replica {place} ({url})" if url else f"replica {place}"
