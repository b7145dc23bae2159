"""The server under the pages: who may reach it, where it listens, and a clip in parts."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import uvicorn

from builder.errors import ConfigError, RunError
from builder.people.pages import _accounts
from builder.people.pages._accounts import Accounts
from builder.people.pages._server import (
    HOSTS,
    Plain,
    _Door,
    _names,
    _part,
    application,
    configured,
    said,
    serve,
)
from builder.records import Record
from tests.patience import PATIENCE_S


def start(host, port=0, accounts=()):
    serve(None, title="x", accounts=dict(accounts), clips=None, host=host, port=port, ready=pytest.fail)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_without_accounts_no_other_machine_is_let_in(host):
    with pytest.raises(
        ConfigError, match=f"--host {host} lets other machines in: set DEEPDIALOGUE_ANNOTATORS"
    ):
        start(host)


def test_a_port_that_is_taken_and_a_host_that_is_not_ours_are_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            RunError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*: choose another with --port"
        ):
            start("127.0.0.1", port)
    with pytest.raises(RunError, match=r"cannot listen on 127\.0\.0\.1:70000: ports are 0 to 65535: "):
        start("127.0.0.1", 70_000)
    with pytest.raises(RunError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        start("192.0.2.1", accounts=[("anna", "correct-horse")])


@pytest.mark.parametrize(
    ("asked", "status", "given", "said"),
    [
        ("", 200, b"fLaC-clip", None),
        ("bytes=0-", 206, b"fLaC-clip", "bytes 0-8/9"),
        ("bytes=5-6", 206, b"cl", "bytes 5-6/9"),
        ("bytes=5-500", 206, b"clip", "bytes 5-8/9"),
        ("bytes=9-", 200, b"fLaC-clip", None),
        ("bytes=-3", 200, b"fLaC-clip", None),
        ("bytes=0-1,3-4", 200, b"fLaC-clip", None),
        ("bytes=6-2", 200, b"fLaC-clip", None),
    ],
)
def test_a_player_gets_the_part_of_a_clip_that_it_asks_for_or_all_of_it(asked, status, given, said):
    response = _part(b"fLaC-clip", asked)
    assert (response.status_code, response.body, response.headers.get("content-range")) == (
        status,
        given,
        said,
    )
    assert int(response.headers["content-length"]) == len(given)


class Asked(Record):
    number: int
    share: float = 0.0


def answered(who, body):
    asked = said(body, Asked)
    if asked.number == 13:
        raise RuntimeError("a fault\nof two lines")
    return json.dumps([who, asked.number]).encode()


def clip(_who, config, id, turn):
    if (config, id, turn) != ("xtts", "phi4-mini/work_1_3", 1):
        raise LookupError(turn)
    return b"fLaC"


@contextmanager
def serving(passwords=(), host="127.0.0.1", ended=None):
    """A page on loopback; gives what asks it, by method, path, headers and body."""
    door = _Door(Accounts(dict(passwords), ended), "x", "ticket")
    html = "<script>1 + 1</script><p>page"
    app = application(Plain(html, answered), door, clip, _names(host))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configured(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    address = listening.getsockname()

    def ask(method, path, headers=(), body=None):
        line = http.client.HTTPConnection(*address, timeout=PATIENCE_S)
        # It may be told before it has sent everything.
        with suppress(BrokenPipeError, ConnectionResetError):
            line.request(method, path, body, dict(headers))
        response = line.getresponse()
        response.body = response.read().decode()
        line.close()
        return response

    ask.address = address
    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def ask():
    with serving() as ask:
        yield ask


@pytest.fixture(scope="module")
def locked():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_accounts, "_WRONG_COSTS_S", 0.3)
        with serving({"anna": "correct-horse", "ben": "battery-staple"}) as ask:
            yield ask


def log_in(ask, name, password):
    response = ask("POST", "/login", body=f"name={name}&password={password}")
    return response.status, {"Cookie": (response.headers["Set-Cookie"] or "").partition(";")[0]}


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"3", b'"x"', b"{}", b'{"number": "1"}', b'{"number": 1.5}', b'{"number": true}',
        b'{"number": null}',
        b'{"number": 1, "more": 2}', b'{"number": ' + b"9" * 5000 + b"}", b'{"number": -' + b"9" * 4000 + b"}",
        b'{"number": 1e999}',
        b'{"number": 1, "share": 1e999}', b'{"number": 1, "share": NaN}', b'{"number": 1, "share": -Infinity}', DEEP,
        b'{"number": ' + DEEP, b'{"a":' * 40_000, b"\xff\xfe", b'{"number": "\xc3("}', b'{"\\ud800": 1}',
        b'{"number": "\\ud800"}', b"\0",
        b'{"number": 1} x',
    ],
)  # fmt: skip
def test_what_no_script_of_a_page_says_is_refused_in_a_line(ask, body, capfd):
    response = ask("POST", "/answer", body=body)
    assert response.status == 400
    assert response.body
    assert "Traceback" not in response.body + "".join(capfd.readouterr())
    assert ask("POST", "/answer", body=b'{"number": 1}').body == '["", 1]'


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/clip/xtts/phi4-mini/work_1_3/1.flac", 200),
        ("HEAD", "/clip/xtts/phi4-mini/work_1_3/1.flac", 200),
        *(("GET", f"/clip/xtts/phi4-mini/work_1_3/{turn}.flac", 404) for turn in ("0", "-1", "x", "²", "9" * 5000, "1e3",
        "%00", "..")),
        *(("GET", path, 404) for path in ("/clip/../../etc/passwd", "/clip/x/%2e%2e%2f%2e%2e%2fetc/passwd/1.flac",
        "/clip//1.flac")),
        *(("POST", path, 405) for path in ("/", "/clip/xtts/phi4-mini/work_1_3/1.flac", "/logout")),
        *((method, "/", 405) for method in ("OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND")),
        ("GET", "/answer", 405),
        *(
            (method, path, 404)
            for method in ("GET", "POST")
            for path in (
                "/upload", "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/join",
                "/gradio_api/proxy=http://x",
                "/gradio_api/component_server", "/gradio_api/stream/x", "/monitoring", "/config", "/docs", "/openapi.json",
                "/redoc",
                "/static/x", "/answer/", "/%2e%2e/etc/passwd", "//etc/passwd", "/.env", "/robots.txt",
            )
        ),
    ],
)  # fmt: skip
def test_there_is_no_route_but_those_of_a_page(ask, method, path, status):
    response = ask(
        method, path.encode("utf-8").decode("latin-1") if path.isascii() else path.replace("²", "%C2%B2")
    )
    assert response.status == status
    assert not response.body.startswith("Traceback")
    assert method != "HEAD" or not response.body


def test_every_answer_tells_the_browser_to_run_and_to_keep_nothing_else(ask, locked):
    for response in (
        ask("GET", "/"), ask("GET", "/nowhere"), ask("POST", "/answer", body="x"), ask("PUT", "/"), locked("GET", "/"),
        locked("GET", "/login"), locked("GET", "/answer"), ask("GET", "/", {"Host": "evil.example"}), ask("POST", "/answer",
        body=b" " * 10**6),
    ):  # fmt: skip
        headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers
        assert not any(name.lower().startswith("access-control") for name in headers)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy.partition("style-src")[0]
    assert "script-src 'sha256-" in policy


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ("POST", {}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Origin": "http://evil.example"}, 403),
        ("GET", {"Host": "evil.example"}, 421),
        ("GET", {"Host": "127.0.0.1.evil.example:80"}, 421),
        ("GET", {"Host": "localhost.evil.example"}, 421),
        ("GET", {"Host": "192.0.2.1"}, 421),
        ("GET", {"Host": ""}, 421),
        ("GET", {"Host": "LOCALHOST:1"}, 200),
        ("GET", {"Host": "[::1]:7860"}, 200),
    ],
)  # fmt: skip
def test_what_another_page_sends_or_comes_under_anothers_name_is_refused(ask, method, headers, status):
    path, body = ("/answer", b'{"number": 1}') if method == "POST" else ("/", None)
    assert ask(method, path, headers, body).status == status


def test_names_that_lead_here_may_be_said(monkeypatch):
    assert not _names("127.0.0.1")("annotate.example")
    monkeypatch.setenv(HOSTS, "annotate.example other.example")
    assert _names("127.0.0.1")("annotate.example:443")
    everywhere = _names("0.0.0.0")
    assert everywhere("192.0.2.1:7860")
    assert everywhere(socket.gethostname())
    assert not everywhere("evil.example")


def test_a_body_larger_than_any_of_a_page_is_not_read(ask):
    assert ask("POST", "/answer", {"Content-Length": str(400 * 2**20)}, b"x").status == 413
    assert ask("POST", "/answer", {"Content-Length": "9" * 400}, b"x").status in {400, 413}
    with socket.create_connection(ask.address, timeout=PATIENCE_S) as line:
        line.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent, received = 0, b""
        line.setblocking(False)
        while sent < 400 * 2**20 and not received:
            try:
                received = line.recv(100)
            except BlockingIOError:
                try:
                    sent += line.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                except BlockingIOError:
                    time.sleep(0.001)
                except (BrokenPipeError, ConnectionResetError):
                    line.setblocking(True)
    assert received.startswith(b"HTTP/1.1 413")
    assert sent < 30 * 2**20


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10**6 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
        b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ],
    ids=["a long path", "a long header", "many headers", "a negative length", "no host", "TLS"],
)
def test_a_head_that_is_none_or_without_end_is_refused(ask, head):
    with socket.create_connection(ask.address, timeout=PATIENCE_S) as line:
        try:
            line.sendall(head)
            received = line.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            received = b"HTTP/1.1 4"
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert ask("GET", "/").status == 200


def test_a_fault_of_the_page_is_one_line_where_it_runs_and_says_nothing_to_the_browser(ask, capfd):
    response = ask("POST", "/answer", body=b'{"number": 13}')
    assert response.status == 500
    assert "a fault" not in response.body.replace("a fault of this page", "")
    assert "RuntimeError" not in response.body
    told = capfd.readouterr().err
    assert told == "POST /answer: a fault of this program or of a library: RuntimeError: a fault\n"


def test_whoever_logged_out_is_out_everywhere_and_for_good(tmp_path):
    accounts, file = {"anna": "correct-horse"}, tmp_path / "ended"
    with serving(accounts, ended=file) as ask:
        _, kept = log_in(ask, "anna", "correct-horse")
        _, other = log_in(ask, "anna", "correct-horse")
        assert kept != other
        assert ask("POST", "/answer", kept, b'{"number": 1}').body == '["anna", 1]'
        assert ask("GET", "/logout", kept).status == 303
        assert ask("POST", "/answer", kept, b'{"number": 1}').status == 401
        assert ask("POST", "/answer", other, b'{"number": 1}').status == 200
        assert ask("GET", "/logout", {"Cookie": "ticket=x"}).status == 401
    with serving(accounts, ended=file) as ask:
        assert ask("POST", "/answer", kept, b'{"number": 1}').status == 401
        assert ask("POST", "/answer", other, b'{"number": 1}').status == 200
    assert len(file.read_text().splitlines()) == 1


def test_wrong_logins_slow_their_own_name_alone(locked):
    tried = []

    def guess(name):
        tried.append(log_in(locked, name, "wrong-password")[0])

    guesses = [
        threading.Thread(target=guess, args=(name,)) for name in ["ben"] * 15 + [f"x{n}" for n in range(15)]
    ]
    for one in guesses:
        one.start()
    status, ticket = log_in(locked, "anna", "correct-horse")
    waiting = sum(one.is_alive() for one in guesses)
    assert (status, waiting > 10) == (303, True)
    assert locked("POST", "/answer", ticket, b'{"number": 1}').status == 200
    for one in guesses:
        one.join()
    assert tried == [401] * 30


@pytest.mark.parametrize(
    "body",
    [
        "",
        "name=anna",
        "name=%FF&password=%00",
        "a" * 10**5,
        '{"name": "anna"}',
        "name=anna&name=ben",
        "&" * 5000,
    ],
)
def test_what_is_no_login_opens_nothing(locked, body):
    response = locked("POST", "/login", body=body)
    assert response.status in {400, 401}
    assert "Set-Cookie" not in response.headers


def test_strangers_are_told_of_no_route_and_nothing_of_theirs_is_read(locked):
    for method, path in (
        ("GET", "/clip/xtts/phi4-mini/work_1_3/1.flac"),
        ("POST", "/answer"),
        ("GET", "/nowhere"),
        ("PUT", "/x"),
    ):
        assert locked(method, path).status == 401
    assert locked("POST", "/answer", {"Content-Length": str(400 * 2**20)}, b"x").status == 401
    for ticket in ("anna", "anna.9999999999.x", "anna." + "9" * 5000 + ".x", "..", "é", "anna.²." + "0" * 64):
        assert locked("GET", "/answer", {"Cookie": f"ticket={ticket}".encode()}).status == 401
