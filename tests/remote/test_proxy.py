"""What proxies promise: the environment's are used by every backend, and nothing of it goes anywhere else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ConfigError, EndpointError, ProtocolError
from builder.plugins.llm.hub import Hub
from builder.plugins.llm.openai import OpenAI
from builder.plugins.llm.tgi import TGI
from builder.remote.proxy import _covers, is_loopback, proxy_for
from tests.llm.asking import HUB_ID, a_prompt, ask, opened
from tests.servers.openai import OpenAIServer
from tests.servers.tgi import TGIServer
from tests.servers.wire import Wire

FAR = "http://model.invalid:8080"


@pytest.fixture
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("backend", [OpenAI, TGI, Hub])
def test_every_backend_asks_through_the_proxy_that_the_environment_names(environment, name, backend):
    kind = TGIServer(HUB_ID, lambda *_: "Hi") if backend is TGI else OpenAIServer(HUB_ID, lambda _: "Hi")
    with kind as proxy:
        environment.setenv(name, proxy.url.replace("http://", "http://me:pass%2Fword@"))
        assert ask(backend(url=FAR, attempts=1), a_prompt())[0].text == "Hi"
        secret = base64.b64encode(b"me:pass/word").decode()
        assert {seen.headers["proxy-authorization"] for seen in proxy.seen} == {f"Basic {secret}"}
        assert {seen.headers["host"] for seen in proxy.seen} == {"model.invalid:8080"}


def test_a_tunnel_is_asked_for_where_the_server_speaks_https(environment):
    with Wire(lambda _: [b"HTTP/1.1 403 Forbidden by policy\r\n\r\n"]) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProtocolError, match=r"the proxy: 403 Forbidden: Forbidden by policy"):
            opened(OpenAI(url="https://model.invalid", attempts=1))
        assert proxy.asked[0].startswith(b"CONNECT model.invalid:443 ")


def test_a_proxy_that_is_down_is_an_endpoint_error_without_its_password(environment):
    environment.setenv("http_proxy", "http://me:5ecret@127.0.0.1:9")
    with pytest.raises(EndpointError, match=r"the proxy that the environment names: .*127.0.0.1:9") as caught:
        opened(OpenAI(url=FAR, attempts=1))
    assert "5ecret" not in str(caught.value)


def test_what_no_proxy_names_and_this_machine_are_reached_directly(environment):
    with OpenAIServer(HUB_ID, lambda _: "Hi") as server, OpenAIServer("x", str) as proxy:
        environment.setenv("http_proxy", proxy.url)
        assert ask(OpenAI(url=server.url), a_prompt())[0].text == "Hi"
        environment.setenv("no_proxy", "model.invalid")
        with pytest.raises(EndpointError):
            opened(OpenAI(url=FAR, attempts=1))
        assert not proxy.seen


def test_no_password_of_netrc_is_sent(environment, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password 5ecret\n")
    environment.setenv("HOME", str(tmp_path))
    environment.setenv("NETRC", str(tmp_path / ".netrc"))
    with OpenAIServer(HUB_ID, lambda _: "Hi") as server:
        environment.setenv("all_proxy", server.url)
        for url in (server.url, FAR):
            ask(OpenAI(url=url), a_prompt())
        sent = json.dumps([seen.headers for seen in server.seen]).lower()
        assert "authorization" not in sent


@pytest.mark.parametrize(
    ("entry", "host", "port", "covered"),
    [
        ("*", "a.example", 80, True),
        ("example", "a.example", 80, True),
        (".example", "a.example", 80, True),
        ("*.example", "a.example", 80, True),
        ("ample", "a.example", 80, False),
        ("a.example:8080", "a.example", 80, False),
        ("a.example:80", "a.example", 80, True),
        ("10.0.0.0/8", "10.2.3.4", 80, True),
        ("10.0.0.0/8", "11.2.3.4", 80, False),
        ("10.2.3.4", "10.2.3.4", 80, True),
        ("10.2.3.4:80", "10.2.3.4", 80, True),
        ("10.2.3.4:81", "10.2.3.4", 80, False),
        ("2.3.4", "10.2.3.4", 80, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("[fd00::1]", "fd00::1", 80, True),
        ("[fd00::1]:81", "fd00::1", 80, False),
        ("not/a/network", "10.2.3.4", 80, False),
    ],
)
def test_an_entry_of_no_proxy_means_a_name_and_what_ends_in_it_an_address_or_a_network(
    entry, host, port, covered
):
    assert _covers(entry, host, port) == covered


@given(st.text())
def test_no_entry_of_no_proxy_breaks_it(entry):
    assert _covers(entry.lower(), "a.example", 80) in {True, False}
    assert _covers(entry.lower(), "10.0.0.1", 80) in {True, False}


@pytest.mark.parametrize(
    ("url", "proxies", "proxy"),
    [
        (FAR, {"https_proxy": "http://p:1"}, None),
        (FAR, {"http_proxy": "p:3128"}, "http://p:3128"),
        (FAR, {"http_proxy": "http://p:1", "all_proxy": "socks5://q:2"}, "http://p:1"),
        (FAR, {"all_proxy": "http://q:2"}, "http://q:2"),
        (FAR, {"all_proxy": "http://q:2", "no_proxy": "other, .invalid"}, None),
        ("http://localhost:1", {"http_proxy": "http://p:1"}, None),
        ("http://127.8.9.1:1", {"http_proxy": "http://p:1"}, None),
        ("http://[::1]:1", {"http_proxy": "http://p:1"}, None),
        (FAR, {}, None),
    ],
)
def test_which_proxy_is_the_environments_to_say(environment, url, proxies, proxy):
    for name, value in proxies.items():
        environment.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize("named", ["socks5://me:5ecret@q:2", "http://", "http://[q"])
def test_a_proxy_that_is_none_of_http_is_named_with_the_repair_and_no_secret(environment, named):
    environment.setenv("all_proxy", named)
    with pytest.raises(ConfigError, match=r"all_proxy .* names no HTTP proxy for model.invalid") as caught:
        opened(OpenAI(url=FAR))
    assert "5ecret" not in str(caught.value)


def test_only_this_machine_is_loopback():
    assert all(map(is_loopback, ["localhost", "a.localhost", "127.0.0.1", "::1"]))
    assert not any(map(is_loopback, ["localhost.example", "10.0.0.1", "node7", ""]))
