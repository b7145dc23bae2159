"""Working through items: so many at once, each from beginning to end, and what fails is recorded and owed again.

Law of the file: it knows nothing of what is done with an item.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from builder.errors import EndpointError, ItemError
from builder.records import Record
from builder.run.folder import Run
from builder.terminal import bar

T = TypeVar("T")

_HOPELESS = 20
"""So many items in a row failing at an endpoint mean that the endpoint is gone, not that the items are hard."""


class Tally(Record):
    """What a stage did."""

    done: int = 0
    failed: int = 0
    """Items that failed for a reason that lies outside the models' replies: an endpoint, an engine, a source."""
    given_up: int = 0
    """Dialogues whose models broke the rules of a reply too often."""
    skipped: int = 0
    """Items that were done before."""

    @classmethod
    def sum(cls, tallies: Iterable["Tally"]) -> "Tally":
        """All of them together."""
        rows = [msgspec.structs.astuple(tally) for tally in tallies]
        return cls(*(sum(column) for column in zip(*rows, strict=True))) if rows else cls()

    @property
    def status(self) -> int:
        """The exit status: 3 where items failed and are owed again."""
        return 3 if self.failed else 0

    def told(self, name: str, seconds: float) -> str:
        """One line for a person, with how long it took."""
        given_up = f", {self.given_up} given up" if self.given_up else ""
        return f"{name}: {self.done} done, {self.skipped} done before, {self.failed} failed{given_up}, {seconds:.1f} s"


async def work(
    run: Run,
    name: str,
    items: Iterable[T],
    do: Callable[[T], Awaitable[None]],
    *,
    total: int,
    at_once: int,
    done: int,
    aside: Callable[[], str] | None = None,
) -> Tally:
    """Works through items, so many at once, each from beginning to end before another takes its place.

    An item that fails is recorded and the rest goes on.

    Args:
        run: that they are of.
        name: of the work; its failures are kept under it.
        items: each has an id, or is one.
        do: brings one item up to date.
        total: how many items there are.
        at_once: how many are worked on at once.
        done: how many were done before.
        aside: says more of how far the work is.

    Raises:
        EndpointError: so many in a row failed at an endpoint that it must be gone.
        OSError: a ledger cannot be written; what is finished is kept.
    """
    queue = iter(items)
    counts = {"done": 0, "failed": 0, "given_up": 0}
    hopeless = 0

    with bar(name, total, aside) as progress:

        async def worker() -> None:
            nonlocal hopeless
            for item in queue:
                try:
                    await do(item)
                except ItemError as error:
                    run.failures.note(name, _id_of(item), error.boundary, str(error))
                    counts["given_up" if error.boundary == "reply" else "failed"] += 1
                    hopeless = hopeless + 1 if isinstance(error, EndpointError) else 0
                    progress.advance(failed=True)
                    if hopeless >= _HOPELESS:
                        raise EndpointError(
                            f"{_HOPELESS} items in a row failed, the last with: {error}"
                        ) from None
                else:
                    run.failures.note(name, _id_of(item))
                    counts["done"] += 1
                    hopeless = 0
                    progress.advance()
                # An interruption is heard even where no item ever waits.
                await asyncio.sleep(0)

        try:
            async with asyncio.TaskGroup() as tasks:
                syncing = tasks.create_task(run.keep_synced())
                workers = [tasks.create_task(worker()) for _ in range(max(1, min(at_once, total)))]
                await asyncio.wait(workers)
                syncing.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    return Tally(skipped=done, **counts)


def _id_of(item: object) -> str:
    return item if isinstance(item, str) else str(getattr(item, "id", item))
