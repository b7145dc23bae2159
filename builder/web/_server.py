"""The server under every page: one address, a door, the clips, and nothing that leaves the house.

Law of the file: whoever is not logged in is shown the door and no more; a browser is told to ask no other host for anything;
no path on the disk is ever made of what a browser says.
"""

import logging
import re
import socket
from collections.abc import Callable, Mapping
from html import escape
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fastapi
import uvicorn
from fastapi import Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, RedirectResponse

from builder.errors import ConfigError, RunError
from builder.progress import say
from builder.run import Run
from builder.web._accounts import TICKET_S, VARIABLE, Accounts

if TYPE_CHECKING:
    import gradio as gr

Clips = Callable[[str, str, str, int], bytes]
"""Gives a clip's FLAC for who asks (empty where nobody logs in), a config, an id and a turn from 1; what these words mean is the
page's own affair. Raises LookupError where there is none."""


class Plain(NamedTuple):
    """A page that is HTML of our own."""

    html: str
    answer: Callable[[str, bytes], bytes]
    """Takes what who asks sends to `/answer`, one at a time, and gives what its script is told. Raises ValueError where it cannot
    be taken, OSError where it cannot be written."""


_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SHUTDOWN_S = 1
# Gradio makes functions of templates and styles of strings; but neither comes from elsewhere, and nothing goes there.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
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
    page: "gr.Blocks | Plain",
    *,
    title: str,
    accounts: Mapping[str, str],
    clips: Clips,
    host: str,
    port: int,
    ready: Callable[[str], None],
    head: str = "",
) -> None:
    """Serves a page until it is interrupted. Handlers learn who is logged in by `request.username`.

    Args:
        page: what is shown.
        title: what the door and the browser's tab say.
        accounts: passwords by name; without any nobody logs in, which only this machine is allowed.
        clips: gives the sound that `/clip/CONFIG/ID/TURN.flac` asks for.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: is told the page's address once it listens.
        head: HTML for the head of what Gradio makes: styles and scripts.

    Raises:
        ConfigError: a host that others can reach, and no accounts.
        RunError: the port is taken, or the host is not this machine's.
    """
    if not accounts and not _is_loopback(host):
        raise ConfigError(f"--host {host} lets other machines in: set {VARIABLE} to say who may log in")
    listening = _listening(host, port)
    at = listening.getsockname()[1]
    app = fastapi.FastAPI(openapi_url=None)
    door = _Door(Accounts(accounts), title, f"deepdialogue-{at}")
    app.add_route("/login", door.login, methods=["GET", "POST"])
    app.add_route("/logout", door.logout, methods=["GET"])

    async def clip(request: Request) -> Response:
        asked = request.path_params
        try:
            flac = clips(door.who(request) or "", asked["config"], asked["id"], asked["turn"])
        except LookupError:
            return Response(status_code=404)
        except RunError as error:
            say(str(error))
            return Response(status_code=404)
        return _part(flac, request.headers.get("range", ""))

    app.add_route("/clip/{config}/{id:path}/{turn:int}.flac", clip, methods=["GET"])
    if isinstance(page, Plain):
        _mount(app, page, door)
    else:
        from builder.web._gradio import gr

        page.title = title
        gr.mount_gradio_app(
            app,
            page,
            path="/",
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            auth_dependency=door.who if accounts else None,
            head=head,
        )
    app.add_middleware(_Guard, door=door)
    if not accounts:
        # Else a page elsewhere could read this one under a name of its own that leads to this machine.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host, "localhost"])
    config = uvicorn.Config(
        app,
        log_level="error",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = _Server(config)
    server.ready = lambda: ready(f"http://{f'[{host}]' if ':' in host else host}:{at}")
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        # Being stopped is how a page ends, and there is nothing to save.
        return
    finally:
        listening.close()


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
    """
    recording = run.recordings[config].get(id) if config in run.recordings else None
    if recording is None or not 1 <= turn <= len(recording.clips):
        raise LookupError(f"{config} has no recording of turn {turn} of {id!r}")
    clip = recording.clips[turn - 1]
    return run.audio(config).read(clip.file, clip.offset, clip.num_bytes)


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
        form = await request.form()
        ticket = await self._accounts.enter(str(form.get("name", "")), str(form.get("password", "")))
        if ticket is None:
            return self._shown("Wrong name or password.", 401)
        response = RedirectResponse("/", status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(
            self._cookie, ticket, max_age=TICKET_S, httponly=True, samesite="lax", secure=secure
        )
        return response

    async def logout(self, _: Request) -> Response:
        """Forgets who it was."""
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(self._cookie)
        return response

    def _shown(self, fault: str, status: int) -> Response:
        return HTMLResponse(_DOOR.format(title=escape(self._title), fault=fault), status_code=status)


def _mount(app: fastapi.FastAPI, page: Plain, door: _Door) -> None:
    async def shown(_: Request) -> Response:
        return HTMLResponse(page.html, headers={"Cache-Control": "no-store"})

    async def answer(request: Request) -> Response:
        try:
            told = page.answer(door.who(request) or "", await request.body())
        except ValueError as error:
            return Response(str(error), status_code=400)
        except OSError as error:
            return Response(f"{error.strerror}: tell whoever runs this page", status_code=507)
        return Response(told, media_type="application/json")

    app.add_route("/", shown, methods=["GET"])
    app.add_route("/answer", answer, methods=["POST"])


class _Guard:
    """Stands before everything that is served.

    Args:
        app: what is behind it.
        door: where it sends strangers.
    """

    def __init__(self, app: Any, door: _Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        request = Request(scope)
        if scope["path"] == "/login" or self._door.lets_in(request):
            await self._app(scope, receive, sent)
        elif scope["path"] == "/":
            await RedirectResponse("/login", status_code=303)(scope, receive, sent)
        else:
            await Response(status_code=401)(scope, receive, sent)


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
