"""The server under the pages: who may reach it, where it listens, and a clip in parts."""

import socket

import pytest

from builder.errors import ConfigError, RunError
from builder.web._server import _part, serve


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
