"""One thin client for inference servers: JSON over connections that stay open.

Law of the file: it knows HTTP and no dialect. A token goes to the address it was given for, follows no
redirect, and is struck from every message, whoever wrote it.
"""

import email.utils
import http
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import aiohttp
import msgspec

from builder.errors import ItemError, ProtocolError
from builder.remote import Remote
from builder.remote.retry import persist
from builder.remote.room import Place, Room, TryError

T = TypeVar("T")

_PASSING = frozenset({424, 429, 500, 502, 503, 504})
"""Answers that may be another one the next time. 424 is TGI's for a generation that failed."""


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
        except ValueError:
            return None
        # The header leaves out what passed of its second: half of one, on average.
        return theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp() + 0.5 - ours

    async def get(self, path: str, shape: type[T]) -> T:
        """Asks for a page and reads it as `shape`; raises as `post` does."""
        return await self._persist("GET", path, None, shape)

    async def post(self, path: str, body: Any, shape: type[T]) -> T:
        """Sends a JSON body and reads the answer as `shape`; keys that `shape` lacks are left unread.

        Raises:
            EndpointError: unreachable, overloaded, failing or silent in every attempt.
            ProtocolError: refused, redirected, or answered what is not `shape`.
        """
        return await self._persist("POST", path, msgspec.json.encode(body), shape)

    async def _persist(self, method: str, path: str, data: bytes | None, shape: type[T]) -> T:
        ask = partial(self._ask, method, self._url + path, data, shape)
        return await persist(ask, self.room, self._settings.attempts, self._settings.pause_s)

    async def _ask(self, method: str, url: str, data: bytes | None, shape: type[T], place: Place) -> T:
        where = f"{method} {url}"
        try:
            async with self._session.request(method, url, data=data, allow_redirects=False) as answer:
                self._dated = answer.headers.get("Date"), time.time()
                content = await answer.read()
        except aiohttp.ConnectionTimeoutError:
            seconds = self._settings.connect_timeout_s
            raise TryError(f"{where}: no connection in {seconds:g} s", "timeout") from None
        except TimeoutError:
            raise TryError(f"{where}: no answer in {self._settings.timeout_s:g} s", "timeout") from None
        except aiohttp.ClientResponseError as error:
            raise ProtocolError(f"{where}: not HTTP: {excerpt(error.message, self._token)}") from None
        except (aiohttp.ClientError, OSError) as error:
            said = excerpt(str(error), self._token) or type(error).__name__
            raise TryError(f"{where}: {said}", "connection") from None
        if method == "GET" and answer.status == http.HTTPStatus.NOT_FOUND:
            raise ProtocolError(f"{where}: 404 Not Found: does not speak {self._protocol}")
        if answer.status != http.HTTPStatus.OK:
            raise refusal(where, answer.status, answer.headers.get("Retry-After"), content, self._token)
        place.queue_s = _told(answer.headers, "x-queue-time")
        place.inference_s = _told(answer.headers, "x-inference-time")
        try:
            return msgspec.json.decode(content, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(
                f"{where}: does not speak {self._protocol}: {excerpt(str(error), self._token)}: "
                f"{excerpt(content.decode(errors='replace'), self._token, 80)!r}"
            ) from None


@asynccontextmanager
async def connect(url: str, settings: Remote, protocol: str) -> AsyncIterator[Client]:
    """Makes a client; nothing is sent yet.

    Args:
        url: the server's address, without a `/` at its end.
        settings: of the backend.
        protocol: what the server should speak, as a message names it.

    Raises:
        ConfigError: the token is missing.
    """
    token = settings.token()
    headers = {"Content-Type": "application/json", "User-Agent": "deepdialogue"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession(
        # The room is the limit: aiohttp's own, 100, would hold prompts back without a word.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s, connect=settings.connect_timeout_s),
        headers=headers,
    ) as session:
        yield Client(session, url, settings, token, protocol)


def refusal(where: str, status: int, retry_after: str | None, content: bytes, token: str | None) -> ItemError:
    """The error that an answer other than 200 is.

    Args:
        where: method and URL.
        status: of the answer.
        retry_after: its `Retry-After` header, seconds or a date.
        content: its body.
        token: what must not be repeated.
    """
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    said = excerpt(_said(content), token)
    message = f"{where}: {status} {phrase}".rstrip() + (f": {said}" if said else "")
    if status in _PASSING:
        return TryError(message, str(status), _seconds(retry_after))
    if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
        message += " (token_env names the variable that holds the token)"
    return ProtocolError(message)


def excerpt(text: str, token: str | None, length: int = 200) -> str:
    """Someone else's text, fit for a message: on one line, at most `length` characters, without the token."""
    if token:
        text = text.replace(token, "[token]")
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _said(content: bytes) -> str:
    """The words in an error's body: its `error`, `error.message`, `message` or `detail`, or the whole."""
    try:
        answer = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    while isinstance(answer, dict):
        answer = next((answer[key] for key in ("error", "message", "detail") if key in answer), None)
    return answer if isinstance(answer, str) else content.decode(errors="replace")


def _told(headers: Mapping[str, str], name: str) -> float:
    """A time that the server tells in whole milliseconds, as TGI does, in seconds; 0 where it does not."""
    value = headers.get(name, "")
    return int(value) / 1000 if value.isdecimal() and len(value) < 12 else 0.0


def _seconds(retry_after: str | None) -> float:
    if retry_after is None:
        return 0.0
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
