"""Batches: what many tasks ask for at once is worked through together, in one thread.

Law of the file: it knows nothing of what it batches, and everyone who asked is answered: by a result or by an error.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, Self, TypeVar

from builder.errors import ItemError, SynthesisError, first_line

Q = TypeVar("Q")
A = TypeVar("A")


class Batches(Generic[Q, A]):
    """Use it as `async with`.

    Args:
        name: what works, for the message.
        work: answers a batch, in order; it runs in a thread, one batch at a time.
        most: requests in a batch.
        failure: the error that a batch that fails is to those who asked.
        setting: by which its user makes batches smaller, for the message.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Q]], Sequence[A]],
        most: int,
        failure: type[ItemError] = SynthesisError,
        setting: str = "batch",
    ) -> None:
        self._name, self._work, self._most = name, work, most
        self._failure, self._setting = failure, setting
        self._waiting: asyncio.Queue[tuple[Q, asyncio.Future[A]]] = asyncio.Queue()
        self._owed: set[asyncio.Future[A]] = set()
        self._closed = f"{name}: closed before it answered: run the same command again"

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._worker = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        await asyncio.to_thread(self._thread.shutdown)
        for answer in self._owed:
            if not answer.done():
                answer.set_exception(self._failure(self._closed))

    async def ask(self, request: Q) -> A:
        """Waits for the answer to one request.

        Raises:
            ItemError: of the kind that was wanted: its batch failed, or it was closed.
        """
        if self._worker.done():
            raise self._failure(self._closed)
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._owed.add(answer)
        self._waiting.put_nowait((request, answer))
        try:
            return await answer
        finally:
            self._owed.remove(answer)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._most and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(request, answer) for request, answer in batch if not answer.done()]
            try:
                requests = [request for request, _ in batch]
                answers = await loop.run_in_executor(self._thread, self._work, requests) if batch else []
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                failure = (
                    f"{self._name}: a batch of {len(batch)} failed: {first_line(error)} "
                    f"(a smaller {self._setting} takes less memory)"
                )
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(self._failure(failure))
                continue
            for (_, answer), found in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)
