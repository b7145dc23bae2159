import asyncio
import email.utils
import socket
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from builder.errors import EndpointError, ProtocolError
from builder.remote import Remote
from builder.remote.client import connect
from builder.remote.fault import excerpt, refusal
from tests.llm.asking import free_url
from tests.servers.loopback import Loopback, answer, drop, hang


class Echo(Loopback):
    guarded = ("/echo",)

    def routes(self):
        return [web.post("/echo", self._echo), web.get("/echo", self._echo)]

    async def _echo(self, _):
        return web.json_response({"said": "yes", "more": 1})


class Said(msgspec.Struct):
    said: str


@pytest.fixture
def server():
    with Echo() as one:
        yield one


def post(url, body=None, times=1, **settings):
    async def main():
        async with connect(url, Remote(**{"pause_s": 0.0, **settings}), "Echo") as client:
            return await asyncio.gather(*(client.post("/echo", body or {}, Said) for _ in range(times)))

    return asyncio.run(main())


def test_an_answer_is_read_as_its_shape_and_what_more_it_says_is_left(server):
    assert post(server.url, {"a": "ä"}) == [Said("yes")]
    (seen,) = server.seen
    assert (seen.method, seen.body) == ("POST", {"a": "ä"})
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [424, 429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_asked_again(server, status):
    server.faults += [answer(status, {"error": "busy"}), answer(status, "<html>")]
    assert post(server.url) == [Said("yes")]
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 501])
def test_a_refused_prompt_is_never_asked_again(server, status):
    server.faults.append(answer(status, {"error": "no"}))
    with pytest.raises(ProtocolError, match=rf"^POST {server.url}/echo: {status} .*: no"):
        post(server.url)
    assert len(server.seen) == 1


def test_a_refusal_for_want_of_a_token_says_where_one_is_named(server):
    server.faults.append(answer(401, {}))
    with pytest.raises(ProtocolError, match="token_env"):
        post(server.url)


def test_after_the_last_attempt_the_error_is_the_servers_own_word(server):
    server.faults += [answer(503, {"error": "unhealthy", "error_type": "healthcheck"})] * 3
    with pytest.raises(EndpointError, match=r"503 Service Unavailable: unhealthy \(3 attempts\)$"):
        post(server.url, attempts=3)
    assert len(server.seen) == 3


def test_a_connection_that_breaks_is_made_anew(server):
    server.faults.append(drop)
    assert post(server.url) == [Said("yes")]


def test_silence_is_asked_again_and_then_an_error(server):
    server.faults += [hang, hang]
    with pytest.raises(EndpointError, match=rf"^POST {server.url}/echo: no answer in 0.05 s \(2 attempts\)$"):
        post(server.url, timeout_s=0.05, attempts=2)


def test_a_dead_address_is_named():
    url = free_url()
    with pytest.raises(EndpointError, match=rf"^POST {url}/echo: .*\(2 attempts\)$"):
        post(url, attempts=2)


def test_what_is_not_http_is_a_protocol_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProtocolError, match="not HTTP"):
            post(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize(
    "body", ["<!doctype html>\n<h1>Log in</h1>", "", [], {"says": "yes"}, {"said": 5}, {"said": None}]
)
def test_an_answer_of_another_shape_is_named_with_its_beginning(server, body):
    server.faults.append(answer(200, body))
    with pytest.raises(ProtocolError, match=rf"^POST {server.url}/echo: does not speak Echo: ") as caught:
        post(server.url)
    assert len(server.seen) == 1
    assert "\n" not in str(caught.value)
    if isinstance(body, str):
        assert " ".join(body.split()) in str(caught.value)


def test_a_redirect_is_not_followed(server, token):
    with Echo() as other:
        server.faults.append(answer(307, {}, {"Location": f"{other.url}/echo"}))
        with pytest.raises(ProtocolError, match="307"):
            post(server.url, token_env="NODE_TOKEN")
        assert not other.seen


def test_a_token_goes_to_its_endpoint_alone(server, token):
    with Echo() as other:
        post(server.url, token_env="NODE_TOKEN")
        post(other.url)
        assert server.seen[0].headers["authorization"] == f"Bearer {token}"
        assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize("status", [200, 401, 422, 500])
@pytest.mark.parametrize("long", ["", "x" * 190], ids=["short", "at the cut"])
def test_a_token_that_the_server_repeats_is_in_no_error(server, token, status, long):
    server.faults.append(answer(status, {"error": f"{long}bad header: Bearer {token}"}))
    with pytest.raises((ProtocolError, EndpointError)) as caught:
        post(server.url, token_env="NODE_TOKEN", attempts=1)
    assert token[:5] not in str(caught.value)


def test_cookies_are_neither_kept_nor_sent(server):
    server.faults.append(answer(200, {"said": "yes"}, {"Set-Cookie": "a=b"}))
    post(server.url.replace("127.0.0.1", "localhost"), times=3, limit=1)
    assert len(server.seen) == 3
    assert not any("cookie" in seen.headers for seen in server.seen)


def test_no_more_than_the_limit_are_in_flight_and_the_limit_is_used(server):
    server.takes_s = 0.01
    assert len(post(server.url, times=40, limit=4)) == 40
    assert server.peak == 4


def test_connections_stay_open(server):
    opened = set()
    real = Echo._echo

    async def note(request):
        opened.add(request.transport.get_extra_info("peername"))
        return await real(server, request)

    server.faults += [note] * 12
    post(server.url, times=12, limit=2)
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"Model is overloaded","error_type":"overloaded"}', "Model is overloaded"),
        (b'{"error":{"message":"no such model","code":404}}', "no such model"),
        (b'{"object":"error","message":"too long"}', "too long"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"]}]}', '{"detail":[{"loc":["body"]}]}'),
        (b"Failed to parse\nthe request body", "Failed to parse the request body"),
        (b"\xff", "\ufffd"),
    ],
)
def test_every_dialects_error_body_is_read(body, words):
    assert str(refusal("POST x", 404, None, body, None)) == f"POST x: 404 Not Found: {words}"


def test_an_unknown_status_is_still_an_answer():
    assert str(refusal("POST x", 599, None, b"", None)) == "POST x: 599"


def test_a_long_text_is_cut():
    assert len(excerpt("word " * 1000, None)) == 200
    assert excerpt("a\n\n b", None) == "a b"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("7", 7), (" 7 ", 7), ("soon", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-1", 0)],
)
def test_when_to_come_back_is_read_as_seconds(header, seconds):
    assert refusal("POST x", 503, header, b"", None).wait_s == seconds


def test_when_to_come_back_is_read_as_a_date():
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < refusal("POST x", 503, date, b"", None).wait_s <= 3600
