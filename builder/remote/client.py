"""One thin client for inference servers: JSON over connections that stay open.

Law of the file: it knows HTTP and no dialect. A token goes to the address it was given for, follows no
redirect, and is struck from every message, whoever wrote it. No answer takes more memory or time than the settings allow.
"""

import email.utils
import http
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar, overload

import aiohttp
import msgspec
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError
from multidict import CIMultiDict

from builder.errors import ItemError, ProtocolError
from builder.remote import Remote
from builder.remote.body import decode, read
from builder.remote.fault import MOST_WORDS, excerpt, inside, refusal
from builder.remote.proxy import proxy_for
from builder.remote.retry import persist
from builder.remote.room import Place, Room, TryError

S = TypeVar("S")
T = TypeVar("T")

_GOOD = range(200, 300)
_THOUSANDTHS = re.compile(r"\d{1,12}(?:\.\d*)?", re.ASCII)


class Client:
    """An open line to one server.

    Args:
        session: what carries it.
        url: the server's address, without a `/` at its end.
        settings: how long to wait and how often to try.
        token: what must not be repeated.
        protocol: what the server should speak, as a message names it.
    """

    room: Room
    """What every try goes through: the one place that holds the limit."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, settings: Remote, token: str | None, protocol: str
    ) -> None:
        self.room = Room(settings.limit)
        self._dated: tuple[str | None, float] = None, 0.0
        self._session = session
        self._url = url
        self._settings = settings
        self._token = token
        self._protocol = protocol

    @property
    def clock_ahead_s(self) -> float | None:
        """How far the server's clock was ahead of ours at its latest answer, in seconds, to about one; None if it did not say."""
        date, ours = self._dated
        try:
            theirs = email.utils.parsedate_to_datetime(date or "")
        except (ValueError, OverflowError):
            return None
        # The header leaves out what passed of its second: half of one, on average.
        return theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() + 0.5 - ours

    async def get(self, path: str, shape: type[S]) -> S:
        """Asks for a page and reads it as `shape`; raises as `post` does."""
        return await self._persist("GET", path, None, shape, _as_it_is)

    @overload
    async def post(self, path: str, body: Any, shape: type[S]) -> S: ...
    @overload
    async def post(self, path: str, body: Any, shape: type[S], take: Callable[[S], T]) -> T: ...
    async def post(self, path: str, body: Any, shape: type[S], take: Callable[[S], Any] | None = None) -> Any:
        """Sends a JSON body and reads the answer as `shape`; keys that `shape` lacks are left unread.

        Args:
            path: after the server's address.
            body: what is sent.
            shape: of the answer.
            take: what is made of it. A `TryError` that it raises is worth another try.

        Raises:
            EndpointError: unreachable, overloaded, failing or silent in every attempt.
            ProtocolError: refused, redirected, larger than the settings allow, or answered what is not `shape`.
        """
        return await self._persist("POST", path, msgspec.json.encode(body), shape, take or _as_it_is)

    async def _persist(
        self, method: str, path: str, data: bytes | None, shape: type[S], take: Callable[[S], T]
    ) -> T:
        ask = partial(self._ask, f"{method} {self._url}{path}", method, self._url + path, data, shape, take)
        return await persist(ask, self.room, self._settings.attempts, self._settings.pause_s)

    async def _ask(
        self,
        where: str,
        method: str,
        url: str,
        data: bytes | None,
        shape: type[S],
        take: Callable[[S], T],
        place: Place,
    ) -> T:
        answer, content = await self._send(where, method, url, data)
        retry_after, token = _retry_after(answer.headers), self._token
        if answer.status not in _GOOD:
            raise self._refusal(where, method, answer, content)
        # Within a JSON string the quotes would be escaped: this is a key, or a value of its own.
        if b'"error"' in content and (fault := inside(where, retry_after, content, token, read=True)):
            raise fault
        place.queue_s = _told(answer.headers, "x-queue-time")
        place.inference_s = _told(answer.headers, "x-inference-time")
        try:
            found = decode(content, shape)
        except ValueError as error:
            fault = inside(where, retry_after, content, token, read=False)
            begin = excerpt(content[:MOST_WORDS].decode(errors="replace"), token, 80)
            raise fault or ProtocolError(
                f"{where}: does not speak {self._protocol}: {excerpt(str(error), token)}: {begin!r}"
            ) from None
        try:
            return take(found)
        except TryError as error:
            raise TryError(f"{where}: {excerpt(str(error), token)}", error.kind, error.wait_s) from None
        except ProtocolError as error:
            raise ProtocolError(f"{where}: {excerpt(str(error), token)}") from None

    async def _send(
        self, where: str, method: str, url: str, data: bytes | None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            async with self._session.request(method, url, data=data, allow_redirects=False) as answer:
                self._dated = answer.headers.get("Date"), time.time()
                if answer.status not in _GOOD:
                    return answer, await read(answer, MOST_WORDS, cut=True)
                if answer.content_type == "text/event-stream":
                    raise ProtocolError(f"{where}: streams its answer, though `stream` is false")
                return answer, await read(
                    answer, self._settings.max_answer_bytes, setting=" (max_answer_bytes)"
                )
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(where, error) from None
        except ValueError as error:
            raise ProtocolError(f"{where}: {error}") from None

    def _broken(self, where: str, error: Exception) -> ItemError:
        """What it is that no answer came, or no whole one."""
        said = excerpt(str(error), self._token) or type(error).__name__
        match error:
            case aiohttp.ConnectionTimeoutError():
                seconds = self._settings.connect_timeout_s
                return TryError(f"{where}: no connection in {seconds:g} s", "timeout")
            case TimeoutError():
                return TryError(f"{where}: no answer in {self._settings.timeout_s:g} s", "timeout")
            case aiohttp.ClientHttpProxyError():
                return refusal(f"{where}: the proxy", error.status, None, error.message.encode(), None)
            case aiohttp.ClientResponseError():
                return ProtocolError(f"{where}: not HTTP: {excerpt(error.message, self._token)}")
            case aiohttp.ClientPayloadError() if _is_malformed(error.__cause__):
                return ProtocolError(f"{where}: not HTTP: {said}")
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            where += ": the proxy that the environment names"
        return TryError(f"{where}: {said}", "connection")

    def _refusal(self, where: str, method: str, answer: aiohttp.ClientResponse, content: bytes) -> ItemError:
        if method == "GET" and answer.status == http.HTTPStatus.NOT_FOUND:
            return ProtocolError(f"{where}: 404 Not Found: does not speak {self._protocol}")
        if answer.status // 100 == 3:
            # What follows the path may be a secret of the server's own.
            there = excerpt(answer.headers.get("Location", "").partition("?")[0], self._token)
            return ProtocolError(
                f"{where}: {answer.status} {answer.reason}: sends on to {there!r}, and no redirect is followed: "
                "set url to where the server is"
            )
        return refusal(where, answer.status, _retry_after(answer.headers), content, self._token)


@asynccontextmanager
async def connect(
    url: str, settings: Remote, protocol: str, headers: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Client]:
    """Makes a client; nothing is sent yet.

    Args:
        url: the server's address, without a `/` at its end.
        settings: of the backend.
        protocol: what the server should speak, as a message names it.
        headers: what it wants to be sent beyond that.

    Raises:
        ConfigError: the token is missing, or the environment names a proxy that is none.
    """
    token = settings.token()
    sent = CIMultiDict(headers)
    sent.update(
        {"Content-Type": "application/json", "User-Agent": "deepdialogue", "Accept-Encoding": "identity"}
    )
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession(
        # The room is the limit: aiohttp's own, 100, would hold prompts back without a word.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s, connect=settings.connect_timeout_s),
        headers=sent,
        auto_decompress=False,
        proxy=proxy_for(url),
    ) as session:
        yield Client(session, url, settings, token, protocol)


def _as_it_is(answer: S) -> S:
    return answer


def _is_malformed(cause: BaseException | None) -> bool:
    """Whether a body broke off for what it is, trailers without end say; one that is cut short may be whole the next time."""
    return isinstance(cause, BadHttpMessage) and not isinstance(cause, PayloadEncodingError)


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """When to come back, in seconds or as a date; some say it in milliseconds as well."""
    thousandths = headers.get("retry-after-ms", "").strip()
    if _THOUSANDTHS.fullmatch(thousandths):
        return f"{float(thousandths) / 1000:f}"
    return headers.get("Retry-After")


def _told(headers: Mapping[str, str], name: str) -> float:
    """A time that the server tells in whole milliseconds, as TGI does, in seconds; 0 where it does not."""
    value = headers.get(name, "")
    return int(value) / 1000 if value.isdecimal() and len(value) < 12 else 0.0
