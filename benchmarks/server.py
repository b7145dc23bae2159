"""A fast chat server on loopback: one process, any number of endpoints, each with a latency, a cap and its own troubles.

It speaks what the backends ask for: TGI's `/info`, `/health`, `/v1/models` and `/v1/chat/completions`. It costs a tenth of a
millisecond of CPU a call, so that it is never what is measured; uvloop makes it faster still where it is installed.
Law of the file: what is answered depends on the request's seed alone, so that every run of a study ends in the same dataset.
"""

import asyncio
import importlib.util
import json
import random
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_SEED = re.compile(rb'"seed": *(\d+)')
_SENTENCE = "Honestly, I was so surprised when letter {} arrived this morning that I had to sit down and read it twice."


@dataclass(frozen=True)
class Settings:
    """One endpoint."""

    model: str
    """The hub id it says it serves."""
    latency_s: float = 0.0
    jitter: float = 0.0
    """The latency is drawn between 1 - jitter and 1 + jitter of itself, by the request's seed."""
    cap: int = 0
    """With so many in flight the next is refused; 0 for no cap."""
    refused: float = 0.0
    """The share of requests answered 429 at once."""
    failed: float = 0.0
    """The share answered 500, when the answer would have come."""
    hung: float = 0.0
    """The share never answered; each keeps its place until the client hangs up."""
    dies_after: int = 0
    """Answers after which it hangs up on everybody and listens no more; 0 for never."""


@dataclass
class Stats:
    """What an endpoint has seen. Times are those of `time.monotonic`, which all processes share."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    hung: int = 0
    work_s: float = 0.0
    """The latencies of all that was answered: what would have taken this long one by one."""
    in_flight_s: float = 0.0
    """The integral of the requests in flight over time."""
    peak: int = 0
    bytes_in: int = 0
    first_s: float | None = None
    last_s: float = 0.0
    died_s: float | None = None


class _Endpoint:
    """One listening port and its counters."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.stats = settings, Stats()
        self._random = random.Random(settings.model)
        self._in_flight, self._marked = 0, 0.0
        self._connections: set[_Connection] = set()

    async def listen(self) -> str:
        """Opens the port; returns its URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(_Connection, self), "127.0.0.1", 0, backlog=4096)
        return "http://127.0.0.1:{1}".format(*self._server.sockets[0].getsockname())

    def opened(self, connection: "_Connection") -> None:
        self._connections.add(connection)

    def closed(self, connection: "_Connection") -> None:
        self._connections.discard(connection)

    def move(self, step: int) -> None:
        """Counts a request in or out."""
        now = time.monotonic()
        self.stats.in_flight_s += self._in_flight * (now - self._marked)
        self._marked, self._in_flight = now, self._in_flight + step
        self.stats.peak = max(self.stats.peak, self._in_flight)

    def page(self, path: bytes) -> tuple[int, object]:
        """Whatever is not a chat."""
        if path == b"/info":
            most = self.settings.cap or 4096
            return 200, {"model_id": self.settings.model, "max_concurrent_requests": most, "version": "3.3.7"}
        if path == b"/v1/models":
            return 200, {"object": "list", "data": [{"id": self.settings.model, "object": "model"}]}
        return (200, {}) if path == b"/health" else (404, {"error": "not here"})

    def chat(self, connection: "_Connection", body: bytes) -> None:
        """Takes one chat request, and answers it now, later or never."""
        settings, stats = self.settings, self.stats
        stats.requests += 1
        stats.bytes_in += len(body)
        stats.first_s = stats.first_s or time.monotonic()
        draw = self._random.random()
        if (settings.cap and self._in_flight >= settings.cap) or draw < settings.refused:
            stats.refused += 1
            connection.answer(429, {"error": "Model is overloaded", "error_type": "overloaded"})
            return
        self.move(+1)
        connection.waiting = True
        draw -= settings.refused
        if draw < settings.hung:
            stats.hung += 1
            return
        found = _SEED.search(body)
        seed = int(found[1]) if found else 0
        latency_s = settings.latency_s * (1 + settings.jitter * (seed % 2001 / 1000 - 1))
        status = 500 if draw < settings.hung + settings.failed else 200
        if latency_s > 0:
            later = asyncio.get_running_loop().call_later
            later(latency_s, self._finish, connection, seed, len(body), latency_s, status)
        else:
            self._finish(connection, seed, len(body), latency_s, status)

    def _finish(self, connection: "_Connection", seed: int, size: int, latency_s: float, status: int) -> None:
        if not connection.waiting:  # the client hung up, and has left its place already
            return
        self.move(-1)
        connection.waiting = False
        stats = self.stats
        if status != 200:
            stats.failed += 1
            connection.answer(
                status, {"error": "Request failed during generation", "error_type": "generation"}
            )
            return
        stats.answered += 1
        stats.work_s += latency_s
        stats.last_s = time.monotonic()
        message = {"role": "assistant", "content": _SENTENCE.format(seed % 99991)}
        connection.answer(
            status,
            {
                "id": "",
                "object": "chat.completion",
                "created": 1,
                "model": self.settings.model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": size // 5,
                    "completion_tokens": 26,
                    "total_tokens": size // 5 + 26,
                },
            },
        )
        if stats.answered == self.settings.dies_after:
            stats.died_s = time.monotonic()
            self._server.close()
            for one in list(self._connections):
                one.abort()


class _Connection(asyncio.Protocol):
    """HTTP/1.1, as much of it as a client with a `Content-Length` needs."""

    def __init__(self, endpoint: _Endpoint) -> None:
        self._endpoint = endpoint
        self._heard = bytearray()
        self._closes = False
        self.waiting = False
        """Whether a request of this connection is in flight."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._endpoint.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's word
        self._endpoint.closed(self)
        if self.waiting:
            self.waiting = False
            self._endpoint.move(-1)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._heard, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._heard) < whole:
            return
        path = bytes(self._heard[:end].split(b" ", 2)[1])
        body = bytes(self._heard[end + 4 : whole])
        self._closes = _CLOSE.search(self._heard, 0, end) is not None
        del self._heard[:whole]
        if path.endswith(b"/chat/completions"):
            self._endpoint.chat(self, body)
        else:
            self.answer(*self._endpoint.page(path))

    def answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self._transport.write(
            b"HTTP/1.1 %d .\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(text), text)
        )
        if self._closes:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


@dataclass
class Fleet:
    """The server as a process of its own. Use it as `with`; it ends with it."""

    settings: list[Settings]
    urls: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.urls = self._ask([asdict(one) for one in self.settings])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def stats(self) -> list[Stats]:
        """What each endpoint has seen since the last time somebody asked."""
        return [Stats(**one) for one in self._ask("stats")]

    def _ask(self, what: object) -> list:  # type: ignore[type-arg]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()
        answer: list = json.loads(self._process.stdout.readline())  # type: ignore[type-arg]
        return answer


async def _serve() -> None:
    """Listens where the first line on stdin says; every further line is answered with the counters, which start anew."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    endpoints = [_Endpoint(Settings(**one)) for one in json.loads(await lines.readline())]
    print(json.dumps([await endpoint.listen() for endpoint in endpoints]), flush=True)
    while await lines.readline():
        print(json.dumps([asdict(endpoint.stats) for endpoint in endpoints]), flush=True)
        for endpoint in endpoints:
            endpoint.stats = Stats()


if __name__ == "__main__":
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.run(_serve())
    else:
        asyncio.run(_serve())
