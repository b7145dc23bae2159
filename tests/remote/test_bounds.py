"""What bounds promise: no answer takes more memory or time than the settings allow, and each ends as one failure."""

import gzip
import itertools
import json
import resource
import time
import zlib

import pytest

from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm.hub import Hub
from builder.plugins.llm.openai import OpenAI
from builder.plugins.llm.tgi import TGI
from tests.llm.asking import HUB_ID, a_prompt, ask
from tests.patience import PATIENCE_S
from tests.servers.wire import HEAD, Wire

MOST_MIB = 64
GOOD = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()
INFO = {"model_id": HUB_ID, "max_concurrent_requests": 8, "data": [{"id": HUB_ID}]}
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"


def whole(content, head=HEAD):
    return [head + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)]


def endless(head, piece):
    return itertools.chain([head], itertools.repeat(piece))


def bomb(head=GZIP):
    """A million spaces in a thousand bytes, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    yield head
    while True:
        yield packer.compress(b" " * 2**20) + packer.flush(zlib.Z_SYNC_FLUSH)


def drip():
    yield HEAD + b"\r\n"
    while True:
        time.sleep(0.02)
        yield b" "


def nested(levels):
    return GOOD[:-1] + b', "more": ' + b"[" * levels + b"]" * levels + b"}"


def asked(pieces, backend=OpenAI, **settings):
    """Asks a server that opens as it should and answers the prompt with these pieces; gives the completion."""

    def answer(request):
        return whole(json.dumps(INFO).encode()) if request.startswith(b"GET") else pieces()

    with Wire(answer) as server:
        settings = {"attempts": 1, "timeout_s": PATIENCE_S, **settings}
        return ask(backend(url=server.url, **settings), a_prompt())[0]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (lambda: endless(HEAD + b"\r\n", b" " * 65536), "more than 4,194,304 bytes"),
        (lambda: endless(HEAD + b"Content-Length: 200000000\r\n\r\n", b" " * 65536), "more than 4,194,304"),
        (lambda: endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"), "more than 4,194,304 bytes"),
        (bomb, "more than 4,194,304 bytes"),
        (lambda: endless(GZIP + bytes(bomb_head()), b"\x00\x00\x00\xff\xff" * 9999), "more than 4,194,304"),
        (lambda: endless(HEAD, b"X-More: yes\r\n" * 1000), "not HTTP"),
        (lambda: endless(HEAD + b"X-More: ", b"y" * 65536), "not HTTP"),
        (lambda: endless(CHUNKED + b"0\r\n", b"X-More: yes\r\n" * 1000), "not HTTP|more than"),
        (lambda: endless(HEAD.replace(b"application/json", b"text/event-stream") + b"\r\n", b"data: {}\n\n"), "streams"),
        (lambda: endless(b"HTTP/1.1 400 Bad\r\n\r\n", b"no " * 9999), "400 Bad Request: no no"),
        (lambda: bomb(GZIP.replace(b"200 OK", b"400 Bad")), "400 Bad Request"),
        (lambda: whole(b'{"error":' * 200_000 + b"1" + b"}" * 200_000, b"HTTP/1.1 400 Bad\r\n"), "400 Bad"),
        (lambda: whole(nested(200_000)), "lists and objects"),
        (lambda: whole(nested(1000)), "nested too deeply"),
        (lambda: whole(b'{"choices":[' + b"{}," * 1_000_000 + b"1]}"), "lists and objects"),
        (lambda: whole(GOOD, HEAD + b"Content-Encoding: br\r\n"), "'br', which was not asked for"),
        (lambda: whole(GOOD, HEAD + b"Content-Encoding: gzip\r\n"), "said to be in gzip"),
    ],
)  # fmt: skip
def test_an_answer_without_end_or_measure_is_one_failure_in_constant_memory(pieces, words):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ProtocolError, match=words) as caught:
        asked(pieces)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < MOST_MIB
    assert len(str(caught.value)) < 500


def bomb_head():
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(b"") + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(("backend", "settings"), [(TGI, {}), (TGI, {"api": "generate"}), (Hub, {})])
def test_every_backend_keeps_to_the_bound_that_its_setting_names(backend, settings):
    with pytest.raises(ProtocolError, match="more than 2,048 bytes"):
        asked(lambda: endless(HEAD + b"\r\n", b" " * 65536), backend, max_answer_bytes=2048, **settings)


def test_an_answer_that_drips_ends_with_the_time_limit():
    with pytest.raises(EndpointError, match=r"no answer in 0.3 s"):
        asked(drip, timeout_s=0.3)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (b"identity", GOOD),
        (b"gzip", gzip.compress(GOOD)),
        (b"x-gzip", gzip.compress(GOOD)),
        (b"deflate", zlib.compress(GOOD)),
        (b"deflate", zlib.compress(GOOD)[2:-4]),
    ],
    ids=["identity", "gzip", "x-gzip", "deflate", "bare deflate"],
)
def test_what_is_packed_though_it_was_not_asked_for_is_read(encoding, content):
    assert asked(lambda: whole(content, HEAD + b"Content-Encoding: %b\r\n" % encoding)).text == "Hi"


def test_nothing_packed_is_asked_for():
    with Wire(lambda _: whole(json.dumps(INFO).encode())) as server, pytest.raises(ProtocolError):
        ask(OpenAI(url=server.url), a_prompt())
    assert all(b"\r\nAccept-Encoding: identity\r\n" in request for request in server.asked)
