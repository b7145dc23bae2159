"""Virtual time: an event loop whose clock jumps to its next timer instead of waiting for it.

Nothing else of asyncio is changed, so that what runs on it is the code that runs elsewhere. While code computes, the clock
stands; or it goes on with the process's CPU, and then a process that is asked for more than one core can do falls behind
in virtual time as it would in real time.
Law of the file: who waits for nothing but timers never waits in truth. Threads and sockets are heard only between two timers.
"""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time; it begins at 0.

    Args:
        charged: whether the CPU that this process uses passes as time.
    """

    def __init__(self, *, charged: bool = False) -> None:
        self.skipped_s = 0.0
        """Jumped over and spent so far."""
        self._charged = charged
        self._began_s = time.process_time()
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        computed_s = time.process_time() - self._began_s if self._charged else 0.0
        return self.skipped_s + computed_s

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Waits for its threads however long they take: they work in real time, which a limit in virtual time is not."""
        await super().shutdown_default_executor()

    def spend(self, seconds: float) -> None:
        """Lets time pass, as though so much had been computed."""
        self.skipped_s += seconds


class _Jump(selectors.DefaultSelector):
    """Hears what is there, and where nothing is jumps over the time that it was to wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # there is no timer: only a thread or a socket can go on
            return super().select(None)
        heard = super().select(0)
        if not heard and timeout > 0:
            self._loop.spend(timeout)
        return heard


def run(main: Coroutine[Any, Any, T], *, charged: bool = False) -> T:
    """Runs a coroutine in virtual time, from its second 0 on; as `asyncio.run` does else."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(charged=charged)) as runner:
        return runner.run(main)
