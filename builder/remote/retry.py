"""Asking again: a failure that may pass is tried again after a pause, any other is not.

Law of the file: a place in the room is held for one try at a time and never while pausing, so that a server
in trouble is left alone and the room is free for others.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from builder.errors import EndpointError
from builder.remote.room import LONGEST_PAUSE_S, Place, Room, TryError

T = TypeVar("T")


async def persist(
    ask: Callable[[Place], Awaitable[T]], room: Room, attempts: int, pause_s: float, patience: int = 3
) -> T:
    """Asks until there is an answer.

    Args:
        ask: one try, in its place. A `TryError` is worth another; whatever else it raises goes straight through.
        room: where each try waits for a place, and hears how it ended.
        attempts: tries, at least 1. One that the server answered with a failure while it answered others well is not counted, as
            that server is neither down nor silent.
        pause_s: the longest first pause; each next one may be twice as long, up to a minute. The length
            is drawn anew each time (full jitter), so that those refused together do not return together.
        patience: with those that are not counted there are so many times as many tries, at most.

    Raises:
        EndpointError: the last try failed as well.
    """
    failed = counted = 0
    answered = room.answered
    while True:
        try:
            async with room.place() as place:
                return await ask(place)
        except TryError as error:
            failed += 1
            counted += error.kind == "timeout" or room.answered == answered
            answered = room.answered
            if counted == attempts or failed == patience * attempts:
                raise EndpointError(f"{error} ({failed} attempts)") from None
            wait_s = min(error.wait_s, LONGEST_PAUSE_S)
        await asyncio.sleep(wait_s + random.uniform(0, min(LONGEST_PAUSE_S, pause_s * 2 ** (failed - 1))))
