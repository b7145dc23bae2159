"""A dataset repository on the Hub, read file by file over a few connections; what is busy or cut off is asked again.

huggingface_hub asks twice for every file and keeps each in its cache. Where hundreds of thousands of small files are read once,
it is only asked for the Hub's address, the token, and what to be called in the Hub's log.
Law of the file: no byte is given that its commit does not hold; the token goes to the Hub alone, not to where the Hub sends on.
"""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from builder.errors import ConfigError, ProtocolError, SourceError
from builder.records import Record
from builder.remote.body import decode, read
from builder.remote.fault import MOST_WORDS, excerpt, refusal
from builder.remote.proxy import proxy_for
from builder.remote.retry import persist
from builder.remote.room import Place, Room, TryError
from builder.secret import is_sendable

T = TypeVar("T")

_ATTEMPTS = 10
_PAUSE_S = 1.0
_SILENT_S = 60.0
_LONGEST_WAIT_S = 600.0
"""The Hub counts requests over five minutes, and says how many seconds of them are left."""
_LARGEST_PAGE = 64 * 2**20
"""Bytes of a page that lists files; of a file it is known."""
_RESET = re.compile(r"\bt=(\d+)")
_UNSAID = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


class Entry(Record):
    """One file of a commit."""

    path: str
    num_bytes: int
    digest: str
    """The SHA-256 of a large file; git's id, a SHA-1, of a small one."""

    def holds(self, content: bytes) -> bool:
        """Whether these are its bytes."""
        if len(self.digest) == hashlib.sha256().digest_size * 2:
            return hashlib.sha256(content).hexdigest() == self.digest
        return blob_id(content) == self.digest


def blob_id(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def no_hub(endpoint: str) -> str:
    """What to say of an answer that is none of the Hub's, such as a network's login page.

    Args:
        endpoint: the Hub's address.
    """
    named = f"HF_ENDPOINT, {endpoint}," if os.environ.get("HF_ENDPOINT") else endpoint
    return (
        f"{named} is no Hub by what it answers (the login page of a network, a proxy or a mirror may stand before it: "
        f"open it in a browser)"
    )


class _Commit(msgspec.Struct):
    sha: str


class _Large(msgspec.Struct):
    oid: str
    size: int


class _Listed(msgspec.Struct):
    type: str
    path: str
    oid: str = ""
    size: int = 0
    lfs: _Large | None = None


class Repository:
    """A dataset repository. `open_repository` makes one.

    Args:
        name: `ORG/NAME`.
        endpoint: the Hub's address.
        headers: what is sent to the Hub, and nowhere else.
        session: what carries it.
        connections: how many files are fetched at once, at most.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        headers: Mapping[str, str],
        session: aiohttp.ClientSession,
        connections: int,
    ) -> None:
        self.name, self.connections = name, connections
        self.fetched_bytes = 0
        """Of files that came whole."""
        self._endpoint, self._headers, self._session = endpoint, headers, session
        self._room = Room(connections)
        self._resumes_at = 0.0
        """When the Hub wants to be asked again, on the monotonic clock."""

    async def commit(self, revision: str) -> str:
        """The id of the commit that a branch, a tag or a commit's id names.

        Raises:
            ConfigError: there is no such repository or revision, or this token may not read it.
            EndpointError: the Hub does not answer.
        """
        answer = await self._get(f"/api/datasets/{self.name}/revision/{quote(revision, safe='')}?expand=sha")
        return self._read(answer[0], _Commit).sha

    async def folder(self, path: str, commit: str, *, recursive: bool) -> AsyncIterator[Entry | str]:
        """What a folder of a commit holds: files, and the paths of folders.

        Raises:
            ConfigError: it is not there.
            EndpointError: the Hub does not answer.
        """
        place = f"/api/datasets/{self.name}/tree/{commit}/{quote(path)}".rstrip("/")
        following: str | None = f"{place}?recursive={str(recursive).lower()}"
        while following:
            content, following = await self._get(following)
            for one in self._read(content, list[_Listed]):
                if one.type == "file":
                    large = one.lfs
                    yield Entry(
                        path=one.path,
                        num_bytes=large.size if large else one.size,
                        digest=large.oid if large else one.oid,
                    )
                else:
                    yield one.path

    async def fetch(self, entry: Entry, commit: str) -> bytes:
        """A file's bytes, held against its size and digest.

        Raises:
            SourceError: it is not there any more.
            ConfigError: this token may not read it.
            EndpointError: the Hub does not answer, or what comes is not the file.
        """
        path = f"/datasets/{self.name}/resolve/{commit}/{quote(entry.path)}"
        content = (await self._get(path, entry))[0]
        self.fetched_bytes += len(content)
        return content

    async def _get(self, path: str, entry: Entry | None = None) -> tuple[bytes, str | None]:
        """The body, and the path of the next page if there is one."""
        return await persist(partial(self._try, path, entry), self._room, _ATTEMPTS, _PAUSE_S, patience=1)

    async def _try(self, path: str, entry: Entry | None, place: Place) -> tuple[bytes, str | None]:  # noqa: ARG002
        where = f"GET {path}"
        if (wait_s := self._resumes_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        try:
            async with self._session.get(
                URL(self._endpoint + path, encoded=True), headers=self._headers
            ) as answer:
                good = answer.status == HTTPStatus.OK
                most = MOST_WORDS if not good else _LARGEST_PAGE if entry is None else entry.num_bytes
                content = await read(answer, most, cut=not good)
        except TimeoutError:
            raise TryError(f"{where}: no answer in time", "timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryError(
                f"{where}: {self._words(str(error)) or type(error).__name__}", "connection"
            ) from None
        except ValueError as error:
            raise TryError(f"{where}: {error}", "content") from None
        if not good:
            raise self._refused(where, answer, content, entry)
        if entry is not None and not entry.holds(content):
            raise TryError(
                f"{where}: {len(content)} bytes that are not the file's {entry.num_bytes}", "content"
            )
        if "next" not in answer.links:
            return content, None
        link = str(answer.links["next"]["url"])
        if not link.startswith(f"{self._endpoint}/"):
            raise ProtocolError(f"{where}: the next page is said to be elsewhere: {self._words(link)!r}")
        return content, link.removeprefix(self._endpoint)

    def _refused(
        self, where: str, answer: aiohttp.ClientResponse, content: bytes, entry: Entry | None
    ) -> Exception:
        if answer.status in _UNSAID and answer.url.host == URL(self._endpoint).host:
            said = (
                self._words(answer.headers.get("X-Error-Message", "")) or f"{answer.status} {answer.reason}"
            )
            if entry is not None and answer.headers.get("X-Error-Code") == "EntryNotFound":
                return SourceError(
                    f"{self.name}: {entry.path}: {said}: the Hub lists it, and does not have it"
                )
            if answer.headers.get("X-Error-Code") == "RevisionNotFound":
                return ConfigError(
                    f"{self.name} on the Hub: {said}: name one of its branches, tags or commits"
                )
            return ConfigError(
                f"the Hub has no dataset {self.name!r}, or this token may not read it ({said}): check the name, set "
                f"HF_TOKEN or log in with `hf auth login`, and accept its conditions on its page if it has some"
            )
        wait = answer.headers.get("Retry-After")
        if wait is None and (reset := _RESET.search(answer.headers.get("RateLimit", ""))):
            wait = reset[1]
        error = refusal(where, answer.status, wait, content, self._token)
        if isinstance(error, TryError):
            wait_s = min(error.wait_s, _LONGEST_WAIT_S)
            self._resumes_at = max(self._resumes_at, time.monotonic() + wait_s)
            error.wait_s = 0.0  # the room would ask again after a minute
        # An address that the Hub sent on to goes stale; the next try is sent on to a fresh one.
        stale = answer.history and not isinstance(error, TryError)
        return TryError(str(error), str(answer.status)) if stale else error

    @property
    def _token(self) -> str | None:
        return self._headers.get("authorization", "").removeprefix("Bearer ") or None

    def _words(self, text: str) -> str:
        return excerpt(text, self._token)

    def _read(self, content: bytes, shape: type[T]) -> T:
        try:
            return decode(content, shape)
        except ValueError as error:
            raise ProtocolError(f"{self.name}: {no_hub(self._endpoint)}: {self._words(str(error))}") from None


@asynccontextmanager
async def open_repository(name: str, connections: int) -> AsyncIterator[Repository]:
    """Opens a repository with the address and the token that huggingface_hub finds; nothing is asked yet.

    Raises:
        ConfigError: huggingface_hub is told to stay offline.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:
        raise ConfigError("HF_HUB_OFFLINE is set: unset it to reach the Hub")
    token = get_token()
    if token and not is_sendable(token):
        raise ConfigError(
            "HF_TOKEN, or the file that `hf auth login` wrote, does not hold a token: set it anew"
        )
    known: dict[str, Any] = build_hf_headers(
        token=token or False,
        library_name="deepdialogue",
        library_version=metadata.version("deepdialogue"),
    )
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENT_S),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        requote_redirect_url=False,  # what an address is signed with is signed as it is written
        proxy=proxy_for(constants.ENDPOINT),
    ) as session:
        yield Repository(name, constants.ENDPOINT.rstrip("/"), known, session, connections)
