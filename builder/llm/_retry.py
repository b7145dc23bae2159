"""Asking again: a failure that may pass is tried again after a pause, any other is not.

Law of the file: a place in the room is held for one try at a time and never while pausing, so that a server
in trouble is left alone and the room is free for others.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from builder.errors import EndpointError

T = TypeVar("T")

_LONGEST_PAUSE_S = 60.0


class BusyError(EndpointError):
    """A failure for which the server itself says when to come back."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


async def persist(
    ask: Callable[[], Awaitable[T]], room: AbstractAsyncContextManager[Any], attempts: int, pause_s: float
) -> T:
    """Asks until there is an answer.

    Args:
        ask: one try. An `EndpointError` is worth another; whatever else it raises goes straight through.
        room: entered for each try; where it waits, the limit of an endpoint is kept.
        attempts: tries in all, at least 1.
        pause_s: the longest first pause; each next one may be twice as long, up to a minute. The length
            is drawn anew each time (full jitter), so that those refused together do not return together.

    Raises:
        EndpointError: the last try failed as well.
    """
    failed = 0
    while True:
        try:
            async with room:
                return await ask()
        except EndpointError as error:
            failed += 1
            if failed == attempts:
                raise EndpointError(f"{error} ({attempts} attempts)") from None
            wait_s = min(error.wait_s, _LONGEST_PAUSE_S) if isinstance(error, BusyError) else 0.0
        await asyncio.sleep(wait_s + random.uniform(0, min(_LONGEST_PAUSE_S, pause_s * 2 ** (failed - 1))))
