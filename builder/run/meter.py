"""The meter: what a run's models are asked, counted as it happens, kept in the run folder, and stopped at the budget.

    usage.jsonl     a ledger: the sums of every model so far, from all the times that the run was started
    pulse.json      how it goes at this moment, for `status` in another process; gone when nothing runs

Who works on a part has its own of both, such as `usage.3-of-16.jsonl`, and an equal share of the budget.
Both are written once a second while an endpoint is open, so that a kill loses a second of bookkeeping and the calls in flight.
Law of the file: nothing is asked past the budget, and what is in flight when it is reached is answered first.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import msgspec

from builder.core.part import Part
from builder.core.prompt import Completion, Prompt
from builder.core.usage import Budget, Price, Usage, counted, currency_of, exceeded, price_of, unheld
from builder.errors import BudgetError, ConfigError
from builder.plugins.llm import Endpoint
from builder.records import Record, encode
from builder.remote.room import Room
from builder.run.ledger import Ledger
from builder.terminal import say

_WINDOW_S = 10.0
_STALE_S = 5.0


class Spent(Record):
    """A line of the ledger: what a model was asked, from the beginning of the run up to then."""

    id: str
    """The model."""
    usage: Usage


class Beat(Record):
    """How it goes with one model; rates and means are those of the last ten seconds."""

    in_flight: int
    """Prompts asked and not answered yet; those beyond the limit wait for their turn on our side."""
    limit: int
    """Prompts that its servers are sent at once, as things stand."""
    usage: Usage
    """From the beginning of the run."""
    calls_per_s: float = 0.0
    prompt_tokens_per_s: float = 0.0
    completion_tokens_per_s: float = 0.0
    latency_s: float | None = None
    """Of a call, on average; None where none ended."""
    queue_s: float | None = None
    """In the server's queue, for a call on average, as far as the endpoint tells."""


class Pulse(Record):
    """How it goes at one moment."""

    at: float
    """In seconds since 1970."""
    models: dict[str, Beat]
    """Those with an open endpoint."""


class Metered:
    """An endpoint whose calls are counted. In all else it is the endpoint that it wraps."""

    checkpoint: str
    limit: int
    names: frozenset[str]

    def __init__(self, model: str, endpoint: Endpoint, meter: "Meter") -> None:
        self.model = model
        self.endpoint = endpoint
        self.in_flight = 0
        self._meter = meter
        self._told = Usage()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)

    async def complete(self, prompt: Prompt) -> Completion:
        """Asks the endpoint; raises as it does.

        Raises:
            BudgetError: the budget is used up. It is raised only after all that was in flight is answered.
            OSError: the meter could not be kept, as on a full disk.
        """
        meter = self._meter
        await meter.admit()
        begin = meter.enter(self)
        try:
            answer = await self.endpoint.complete(prompt)
        except BaseException:
            meter.leave(self, begin, None)
            raise
        meter.leave(self, begin, answer)
        return answer

    def told(self) -> Usage:
        """What its rooms count, beyond what they had counted when they were last asked."""
        rooms = list(_rooms(self.endpoint))
        before, self._told = (
            self._told,
            Usage(
                retries=sum(room.failed.total() for room in rooms),
                queue_s=sum(room.queue_s for room in rooms),
            ),
        )
        return self._told - before

    def pace(self) -> int:
        """Prompts that its servers are sent at once, as things stand."""
        return sum(room.limit for room in _rooms(self.endpoint)) or self.limit

    def close(self) -> None:
        """Stops counting; to be called when the endpoint closes, at the latest when the meter does."""
        self._meter.release(self)


class Meter(AbstractContextManager["Meter"]):
    """Counts what the models of one run are asked. One process at a time, one event loop at a time.

    Args:
        folder: the run's.
        prices: by model; `*` stands for every model without one of its own.
        budget: what the run may use.
        part: what of the run is worked on; None for all of it.
        writer: what its own files are named after; empty for all of it.
        every_s: how often the run folder is brought up to date, in seconds.
        clock: seconds that only go forward.

    Raises:
        ConfigError: the prices are in several currencies.
        RunError: the ledger cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        prices: Mapping[str, Price] = MappingProxyType({}),
        budget: Budget = Budget(),  # noqa: B008 - it cannot change
        *,
        part: Part | None = None,
        writer: str = "",
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            currency_of(prices)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.clock = clock
        self._prices = prices
        self._budget = budget.share(part.count) if part else budget
        self._every_s = every_s
        self._pulse = folder / (f"pulse.{writer}.json" if writer else "pulse.json")
        own = folder / (f"usage.{writer}.jsonl" if writer else "usage.jsonl")
        self._before = _read(path for path in _usages(folder, part.name if part else "*") if path != own)
        """What others used of the same budget until now."""
        self._ledger = Ledger(own, Spent, writable=True, latest=True)
        self._usage = {line.id: line.usage for line in self._ledger}
        self._written = dict(self._usage)
        self._open: list[Metered] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._stop: str | None = None
        self._unheld: set[str] = set()
        """The models of which it is told that the budget cannot hold, or need not be."""
        self._fault: OSError | None = None
        self._timer: asyncio.Handle | None = None
        self._settled_at = clock()
        self._past: deque[tuple[float, dict[str, Usage]]] = deque()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def usage(self) -> dict[str, Usage]:
        """By model, from the beginning of the run."""
        return dict(self._usage)

    def wrap(self, model: str, endpoint: Endpoint) -> Metered:
        """Counts the calls of an endpoint from now on, in the running event loop, until it is closed.

        Raises:
            ConfigError: the budget is one of money, and the model has no price.
        """
        if self._budget.money is not None and price_of(model, self._prices) is None:
            raise ConfigError(
                f"the budget is {self._budget.money:g} {currency_of(self._prices)} and model {model!r} has no price: "
                "name it, 0 where it costs nothing"
            )
        self._settle()
        if not self._open:
            self._idle = asyncio.Event()
            self._past.clear()
            self._past.append((self._settled_at, dict(self._usage)))
        metered = Metered(model, endpoint, self)
        self._open.append(metered)
        self._usage.setdefault(model, Usage())
        self._schedule(0)
        return metered

    async def admit(self) -> None:
        """Lets a prompt pass; raises as `Metered.complete` says."""
        if self._fault is not None:
            raise self._fault
        self._stop = self._stop or exceeded(
            _sum(self._before, self._usage), self._prices, self._budget, self._in_flight
        )
        if self._stop is None:
            return
        # An error ends the whole stage at once, and would take with it what is being answered and paid for.
        while self._in_flight:
            await self._idle.wait()
        raise BudgetError(
            f"{self._stop}: what is finished is kept; raise the budget in the site and run the same command to go on"
        )

    def enter(self, metered: Metered) -> float:
        """Counts a prompt as in flight; gives the time."""
        metered.in_flight += 1
        self._in_flight += 1
        self._idle.clear()
        return self.clock()

    def leave(self, metered: Metered, begin: float, answer: Completion | None) -> None:
        """Counts a prompt as ended; None where it came to nothing."""
        usage = counted(answer, self.clock() - begin)
        self._usage[metered.model] += usage
        if usage.uncounted and metered.model not in self._unheld:
            self._unheld.add(metered.model)
            if reason := unheld(metered.model, usage, self._prices, self._budget):
                say(reason)
        metered.in_flight -= 1
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def release(self, metered: Metered) -> None:
        """Counts an endpoint's calls no longer; twice is once."""
        if metered not in self._open:
            return
        self._settle()
        self._open.remove(metered)
        if not self._open:
            if self._timer is not None:
                self._timer.cancel()
            self._pulse.unlink(missing_ok=True)
            self._write()

    def close(self) -> None:
        """Lets go of all endpoints and of the ledger."""
        try:
            for metered in list(self._open):
                metered.close()
        finally:
            self._ledger.close()

    def beat(self) -> None:
        """Brings the run folder up to date; happens by itself while an endpoint is open.

        Raises:
            OSError: it could not be written.
        """
        self._settle()
        self._write()
        partial = self._pulse.with_suffix(".partial")
        partial.write_bytes(encode(self._measured()))
        partial.replace(self._pulse)

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        try:
            self.beat()
        except OSError as error:
            self._fault = error  # nobody awaits a timer: the next to ask hears of it
        else:
            self._schedule(self._every_s)

    def _settle(self) -> None:
        """Adds what accrues without a call: the time that endpoints are open, and what they tell."""
        now = self.clock()
        for model in {metered.model for metered in self._open}:
            self._usage[model] += Usage(open_s=now - self._settled_at)
        for metered in self._open:
            self._usage[metered.model] += metered.told()
        self._settled_at = now

    def _write(self) -> None:
        for model, usage in self._usage.items():
            if self._written.get(model) != usage:
                self._ledger.append(model, Spent(id=model, usage=usage))
                self._written[model] = usage

    def _measured(self) -> Pulse:
        now = self._settled_at
        while len(self._past) > 1 and now - self._past[0][0] > _WINDOW_S:
            self._past.popleft()
        since, then = self._past[0]
        self._past.append((now, dict(self._usage)))
        beats: dict[str, Beat] = {}
        for model in sorted({metered.model for metered in self._open}):
            ours = [metered for metered in self._open if metered.model == model]
            usage = self._usage[model]
            recent = usage - then.get(model, Usage())
            beats[model] = Beat(
                in_flight=sum(metered.in_flight for metered in ours),
                limit=sum(metered.pace() for metered in ours),
                usage=usage,
                calls_per_s=_ratio(recent.calls, now - since) or 0.0,
                prompt_tokens_per_s=_ratio(recent.prompt_tokens, now - since) or 0.0,
                completion_tokens_per_s=_ratio(recent.completion_tokens, now - since) or 0.0,
                latency_s=_ratio(recent.latency_s, recent.calls),
                queue_s=_ratio(recent.queue_s, recent.calls),
            )
        return Pulse(at=time.time(), models=beats)


def read_usage(folder: Path) -> dict[str, Usage]:
    """What the models of a run were asked so far, by model; empty where none was. Safe beside the processes that run.

    Raises:
        RunError: the ledger cannot be read.
    """
    return _read(_usages(folder, "*"))


def read_pulse(folder: Path) -> Pulse | None:
    """How it goes with a run at this moment, in all its parts; None where no process works on it or none says so any more."""
    pulses = [pulse for path in folder.glob("pulse.*json") if (pulse := _fresh(path))]
    if not pulses:
        return None
    models = {model for pulse in pulses for model in pulse.models}
    return Pulse(
        at=max(pulse.at for pulse in pulses),
        models={
            model: _beat([pulse.models[model] for pulse in pulses if model in pulse.models])
            for model in sorted(models)
        },
    )


def _fresh(path: Path) -> Pulse | None:
    try:
        pulse = msgspec.json.decode(path.read_bytes(), type=Pulse)
    except (OSError, ValueError):
        return None
    return pulse if abs(time.time() - pulse.at) < _STALE_S else None


def _beat(beats: list[Beat]) -> Beat:
    """How it goes with one model that several processes ask."""
    if len(beats) == 1:
        return beats[0]
    return Beat(
        in_flight=sum(beat.in_flight for beat in beats),
        limit=sum(beat.limit for beat in beats),
        usage=sum((beat.usage for beat in beats), Usage()),
        calls_per_s=sum(beat.calls_per_s for beat in beats),
        prompt_tokens_per_s=sum(beat.prompt_tokens_per_s for beat in beats),
        completion_tokens_per_s=sum(beat.completion_tokens_per_s for beat in beats),
        latency_s=_mean((beat.latency_s, beat.calls_per_s) for beat in beats),
        queue_s=_mean((beat.queue_s, beat.calls_per_s) for beat in beats),
    )


def _mean(weighed: Iterable[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in weighed if value is not None]
    return _ratio(sum(value * weight for value, weight in known), sum(weight for _, weight in known))


def _usages(folder: Path, part: str) -> list[Path]:
    """The ledgers of whoever worked on a part, or with `*` on the run."""
    return [*folder.glob("usage.*jsonl")] if part == "*" else [*folder.glob(f"usage.{part}.*jsonl")]


def _read(paths: Iterable[Path]) -> dict[str, Usage]:
    used: dict[str, Usage] = {}
    for path in paths:
        with Ledger(path, Spent, writable=False, latest=True) as ledger:
            used = _sum(used, {line.id: line.usage for line in ledger})
    return used


def _sum(one: dict[str, Usage], other: dict[str, Usage]) -> dict[str, Usage]:
    if not one:
        return other
    return one | {model: one.get(model, Usage()) + usage for model, usage in other.items()}


def _rooms(endpoint: Any) -> Iterator[Room]:
    """Where the tries of an endpoint, or of its replicas, are counted; none for one without a server."""
    if isinstance(room := getattr(endpoint, "room", None), Room):
        yield room
    for replica in getattr(endpoint, "replicas", ()):
        yield from _rooms(replica.endpoint)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
