"""The server under every page: one address, a door, the clips, and nothing that leaves the house.

    GET  /                               the page
    POST /answer                         what its script says, as JSON
    GET  /clip/CONFIG/ID/TURN.flac       what is heard
    GET  /login, POST /login, GET /logout

Law of the file: there is no other route; whoever is not logged in is shown the door and no more; what another page sends, or what
comes under another's name, goes no further than `_Guard`, nor does a body larger than any that a page sends; a browser is told to
run no script but the page's and to ask no other host for anything; no path on the disk is ever made of what a browser says.
"""

import asyncio
import base64
import hashlib
import json
import logging
import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from html import escape
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, Never, TypeVar
from urllib.parse import parse_qs, urlsplit

import fastapi
import msgspec
import uvicorn
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from builder.errors import ConfigError, RunError, SourceError, in_one_line
from builder.people.pages._accounts import TICKET_S, VARIABLE, Accounts
from builder.run.folder import Run
from builder.terminal import say

T = TypeVar("T")

HOSTS = "DEEPDIALOGUE_HOSTS"
"""Names under which a page may be reached beside this machine's own, such as that of a proxy in front of it."""

Clips = Callable[[str, str, str, int], bytes]
"""Gives a clip's FLAC for who asks (empty where nobody logs in), a config, an id and a turn from 0; what these words mean is the
page's own affair. Raises LookupError where there is none."""


class Plain(NamedTuple):
    """A page."""

    html: str
    answer: Callable[[str, bytes], bytes]
    """Takes what who asks sends to `/answer`, one at a time, and gives what its script is told. Raises ValueError where it cannot
    be taken, OSError where it cannot be written."""
    apart: bool = False
    """Whether that takes so long that it is done in a thread."""


_LARGEST_BODY = 2**18
_LARGEST_HEAD = 2**14
_PATIENCE_S = 30.0
"""For a body."""
_LONGEST_NUMBER = 18
"""Digits."""
_RANGE = re.compile(r"bytes=([0-9]{1,12})-([0-9]{0,12})")
_SHUTDOWN_S = 1
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src 'self'; media-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With less a browser does not say that it is the door's own form that is sent.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_DOOR = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1rem system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; }}
  form {{ display: grid; gap: 0.8rem; width: 18rem; }}
  h1 {{ font-size: 1.2rem; }}
  label {{ display: grid; gap: 0.2rem; }}
  input, button {{ font: inherit; padding: 0.5rem; }}
</style></head>
<body><form method="post" action="/login">
<h1>{title}</h1>
<p role="alert">{fault}</p>
<label>Name <input name="name" autocomplete="username" autofocus required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button>
</form></body></html>
"""


def serve(
    page: Plain,
    *,
    title: str,
    accounts: Mapping[str, str],
    clips: Clips,
    host: str,
    port: int,
    ready: Callable[[str], None],
    ended: Path | None = None,
) -> None:
    """Serves a page until it is interrupted.

    Args:
        page: what is shown.
        title: what the door says.
        accounts: passwords by name; without any nobody logs in, which only this machine is allowed.
        clips: gives the sound that `/clip/CONFIG/ID/TURN.flac` asks for.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: is told the page's address once it listens.
        ended: a file that remembers who logged out.

    Raises:
        ConfigError: a host that others can reach, and no accounts.
        RunError: the port is taken, or the host is not this machine's.
    """
    if not accounts and not _is_loopback(host):
        raise ConfigError(f"--host {host} lets other machines in: set {VARIABLE} to say who may log in")
    listening = _listening(host, port)
    at = listening.getsockname()[1]
    door = _Door(Accounts(accounts, ended, lasting=ended is not None), title, f"deepdialogue-{at}")
    app = application(page, door, clips, _names(host))
    server = _Server(configured(app))
    server.ready = lambda: ready(f"http://{f'[{host}]' if ':' in host else host}:{at}")
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        # Being stopped is how a page ends, and there is nothing to save.
        return
    finally:
        listening.close()


def configured(app: Any) -> uvicorn.Config:
    """How an application is served: heads of requests are small, and nothing is said of what is asked."""
    return uvicorn.Config(
        app,
        log_level="error",
        http="h11",
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )


def application(page: Plain, door: "_Door", clips: Clips, names: Callable[[str], bool]) -> Any:
    """All that is served, as an ASGI application.

    Args:
        page: what is shown.
        door: where people log in.
        clips: as for `serve`.
        names: whether a host's name is one of this machine's.
    """
    one_at_a_time = asyncio.Lock()

    async def shown(_: Request) -> Response:
        return HTMLResponse(page.html)

    async def answer(request: Request) -> Response:
        who, body = door.who(request) or "", await request.body()
        try:
            if page.apart:
                async with one_at_a_time:
                    told = await asyncio.to_thread(page.answer, who, body)
            else:
                told = page.answer(who, body)
        except ValueError as error:
            return Response(str(error).encode(errors="replace"), 400, media_type="text/plain; charset=utf-8")
        except OSError as error:
            return Response(f"{error.strerror}: tell whoever runs this page", status_code=507)
        return Response(told, media_type="application/json")

    async def clip(request: Request) -> Response:
        asked = request.path_params
        # No recording has as many turns as take six digits.
        if not re.fullmatch("[0-9]{1,5}", asked["turn"]):
            return Response(status_code=404)
        try:
            flac = clips(door.who(request) or "", asked["config"], asked["id"], int(asked["turn"]))
        except LookupError:
            return Response(status_code=404)
        except (RunError, SourceError) as error:
            say(str(error))
            return Response(status_code=404)
        return _part(flac, request.headers.get("range", ""))

    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_route("/", shown, methods=["GET"])
    app.add_route("/answer", answer, methods=["POST"])
    app.add_route("/clip/{config}/{id:path}/{turn}.flac", clip, methods=["GET"])
    app.add_route("/login", door.login, methods=["GET", "POST"])
    app.add_route("/logout", door.logout, methods=["GET"])
    return _Guard(app, door, names, _policy(page.html))


def said(body: bytes, kind: type[T]) -> T:
    """What a page's script says.

    Args:
        body: as it was sent.
        kind: the record it has to be.

    Raises:
        ValueError: it is none.
    """
    # Not msgspec's own decoder: a browser may send half a character, which that one refuses.
    try:
        plain = json.loads(body, parse_int=_number, parse_float=_real, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return msgspec.convert(plain, kind)


def _number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits: {_LONGEST_NUMBER} at most")
    return int(digits)


def _real(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("a number is larger than any")
    return number


def _refused(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON")


def _policy(html: str) -> str:
    """That no script runs but those of the page."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(html))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return _POLICY.format(scripts=scripts or "'none'")


def dressed(page: str, style: str = "") -> str:
    """A page's head: the styles and the script that lie beside it.

    Args:
        page: its name, as in `_NAME.css` and `_NAME.js`.
        style: what goes before its own styles.
    """
    own, script = (
        Path(__file__).with_name(f"_{page}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    return f"<style>{style}{own}</style><script>{script}</script>"


def clip_of(run: Run, config: str, id: str, turn: int) -> bytes:
    """The FLAC of one turn, from 1, of a dialogue that a run has a recording of.

    Raises:
        LookupError: there is none.
        SourceError: it is damaged.
    """
    recording = run.recordings[config].get(id) if config in run.recordings else None
    if recording is None or not 1 <= turn <= len(recording.clips):
        raise LookupError(f"{config} has no recording of turn {turn} of {id!r}")
    return run.audio(config).clip(recording, turn)


class _Server(uvicorn.Server):  # type: ignore[misc]
    """Says when it listens, and stops without a word."""

    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # The streams that browsers keep open are cut off now, which is no error.
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)


class _Door:
    """Where people log in, and how they are known after that.

    Args:
        accounts: those who may.
        title: what it says above.
        cookie: the name their ticket is kept under; two pages on one machine have one each.
    """

    def __init__(self, accounts: Accounts, title: str, cookie: str) -> None:
        self._accounts, self._title, self._cookie = accounts, title, cookie

    def who(self, request: Request) -> str | None:
        """Who asks; None for a stranger."""
        return self._accounts.who(request.cookies.get(self._cookie, ""))

    def lets_in(self, request: Request) -> bool:
        """Whether the request may pass."""
        return not self._accounts or self.who(request) is not None

    async def login(self, request: Request) -> Response:
        """Shows the door, or opens it."""
        if request.method == "GET":
            return self._shown("", 200)
        form = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
        name, password = (form.get(field, [""])[0] for field in ("name", "password"))
        ticket = await self._accounts.enter(name, password)
        if ticket is None:
            return self._shown("Wrong name or password.", 401)
        response = RedirectResponse("/", status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(
            self._cookie, ticket, max_age=TICKET_S, httponly=True, samesite="lax", secure=secure
        )
        return response

    async def logout(self, request: Request) -> Response:
        """Forgets who it was."""
        try:
            self._accounts.leave(request.cookies.get(self._cookie, ""))
        except OSError as error:
            say(f"who logged out is not remembered: {in_one_line(error)}")
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(self._cookie)
        return response

    def _shown(self, fault: str, status: int) -> Response:
        return HTMLResponse(_DOOR.format(title=escape(self._title), fault=fault), status_code=status)


class _Guard:
    """Stands before everything that is served.

    Args:
        app: what is behind it.
        door: where it sends strangers.
        names: whether a host's name is one of this machine's.
        policy: what a page may do.
    """

    def __init__(self, app: Any, door: _Door, names: Callable[[str], bool], policy: str) -> None:
        self._app, self._door, self._names = app, door, names
        self._headers = [
            (name.lower().encode(), value.encode())
            for name, value in (_HEADERS | {"Content-Security-Policy": policy}).items()
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sent(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {name.lower() for name, _ in message.get("headers", ())}
                added = [header for header in self._headers if header[0] not in own]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        request = Request(scope)
        try:
            refusal = self._refusal(request)
            if refusal is None:
                body = await _body(request, receive)
                refusal = body if isinstance(body, Response) else None
            if refusal is None:
                await self._app(scope, _again(body, receive), sent)
            else:
                await refusal(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one line here and nothing there
            say(f"{request.method} {scope['path']}: {in_one_line(error)}")
            if not begun:
                await Response("a fault of this page", 500)(scope, receive, sent)

    def _refusal(self, request: Request) -> Response | None:
        """Why a request goes no further; None where it may."""
        if not self._names(request.headers.get("host", "")):
            return Response(f"this page is reached by another name: {HOSTS} names more", 421)
        if _is_foreign(request):
            return Response("another page asks this", 403)
        if request.url.path == "/login" or self._door.lets_in(request):
            return None
        if request.url.path == "/":
            return RedirectResponse("/login", status_code=303)
        return Response(status_code=401)


def _is_foreign(request: Request) -> bool:
    """Whether a page of another origin sent a request; to follow a link from there to here is none of it."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    looks = request.method in {"GET", "HEAD"}
    if looks and request.url.path in {"/", "/login"} and request.headers.get("sec-fetch-mode") == "navigate":
        return False
    if site is not None:
        return site not in {"same-origin", "none"}
    # A browser that is too old to say the first says the second, unless it only looks.
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


async def _body(request: Request, receive: Any) -> bytes | Response:
    """What was sent with a request, or why it was not read."""
    told = request.headers.get("content-length", "0")
    too_large = Response(f"larger than {_LARGEST_BODY} bytes", 413, {"Connection": "close"})
    if len(told) > _LONGEST_NUMBER or (told.isdecimal() and int(told) > _LARGEST_BODY):
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > _LARGEST_BODY:
                    return too_large
    except TimeoutError:
        return Response("too slow", 408, {"Connection": "close"})
    return bytes(body)


def _again(body: bytes, receive: Any) -> Any:
    """What gives a body that was read as if it came just now."""
    told = False

    async def received() -> Any:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


def _names(host: str) -> Callable[[str], bool]:
    """Tells the names of this machine from others', which a page elsewhere may make lead here to read this one."""
    known = {host, "localhost", *os.environ.get(HOSTS, "").lower().split()}
    loopback = _is_loopback(host)
    if not loopback:
        known |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def is_known(written: str) -> bool:
        name = re.sub(r":[0-9]{1,5}\Z", "", written.lower())
        try:
            address = ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name in known
        # What is reached by a number is not reached by somebody's name.
        return str(address) == host or address.is_loopback or not loopback

    return is_known


def _part(flac: bytes, asked: str) -> Response:
    """The whole clip, or the part of it that a player asks for to move to another place in it."""
    headers, status, size = {"Accept-Ranges": "bytes", "Cache-Control": "private"}, 200, len(flac)
    match = _RANGE.fullmatch(asked)
    first, last = (int(match[1]), min(int(match[2] or size), size - 1)) if match else (size, 0)
    if first <= last:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        flac, status = flac[first : last + 1], 206
    return Response(flac, status, headers, media_type="audio/flac")


def _listening(host: str, port: int) -> socket.socket:
    def refused(why: object) -> RunError:
        return RunError(f"cannot listen on {host}:{port}: {why}: choose another with --port or --host")

    if not 0 <= port <= 65535:
        raise refused("ports are 0 to 65535")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise refused(error.strerror or error) from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
