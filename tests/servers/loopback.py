"""A server on 127.0.0.1, in a thread of its own, that remembers every request and goes wrong on demand.

Law of the file: it knows no protocol; each server beside it adds its routes and its rules.
"""

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any


class Loopback:
    """Use it as `with`: `url` is where it listens. Requests to the paths in `guarded` meet the faults."""

    guarded: tuple[str, ...] = ()
    largest = 2**20
    """Bytes of a request's body."""

    def __init__(self) -> None:
        self.port = 0
        """Where it will listen; 0 for any that is free."""
        self.seen: list[Seen] = []
        self.faults: deque[Handler] = deque()
        """Each is the answer to one guarded request, first come first served; afterwards all goes well."""
        self.held = threading.Event()
        """While it is not set, guarded requests wait for it."""
        self.held.set()
        self.takes_s = 0.0
        """How long a guarded request takes that is answered with 200."""
        self.in_flight = 0
        self.peak = 0
        """The most guarded requests in flight at once."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def routes(self) -> list[web.RouteDef]:
        raise TypeError(f"{type(self).__name__} has no routes")

    def bodies(self, path: str) -> list[Any]:
        """What was sent to a path, in order."""
        return [request.body for request in self.seen if request.path == path]

    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.path for request in self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._middleware], client_max_size=self.largest)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        host, self.port = self._runner.addresses[0]
        self.url = f"http://{host}:{self.port}"

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, headers, body))
        if request.path not in self.guarded:
            return await handler(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            while not self.held.is_set():  # noqa: ASYNC110 - the test's own thread sets it
                await asyncio.sleep(0.002)
            response = await (self.faults.popleft() if self.faults else handler)(request)
            if response.status == HTTPStatus.OK:
                await asyncio.sleep(self.takes_s)
            return response
        finally:
            self.in_flight -= 1


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Handler:
    """A fault that answers: JSON, or a string as it stands."""

    async def handle(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, content_type="text/html", headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return handle


async def hang(_: web.Request) -> web.StreamResponse:
    """A fault that never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def drop(request: web.Request) -> web.StreamResponse:
    """A fault that closes the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
