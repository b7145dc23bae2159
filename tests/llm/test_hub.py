import pytest
from huggingface_hub import constants

from builder.errors import ConfigError, EndpointError, ProtocolError
from builder.plugins import make
from builder.plugins.llm import Backend
from builder.plugins.llm.hub import Hub
from tests.llm.asking import HUB_ID, MESSAGES, SCHEMA, a_model, a_prompt, ask, free_url, opened
from tests.servers.loopback import answer, hang
from tests.servers.tgi import TGIServer

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def online_with_a_token_of_its_own(monkeypatch):
    """The client refuses even 127.0.0.1 where the machine is told to be offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_machine0wn")


@pytest.fixture
def server():
    with TGIServer(HUB_ID, lambda messages, _: f"You said: {messages[-1]['content']}") as one:
        yield one


def backend(server, **settings):
    return Hub(**{"url": server.url, "pause_s": 0.0, **settings})


def test_a_prompt_reaches_an_endpoint(server):
    (completion,) = ask(backend(server), a_prompt())
    assert server.bodies(CHAT) == [
        {
            "model": HUB_ID,
            "messages": MESSAGES,
            "max_tokens": 128,
            "temperature": 0.7,
            "top_p": 0.95,
            "seed": 7,
            "stream": False,
        }
    ]
    assert (completion.text, completion.finish_reason) == ("You said: Say hello.", "stop")
    assert (completion.prompt_tokens, completion.completion_tokens) == (8, 4)


def test_a_schema_reaches_an_endpoint_in_tgis_form(server):
    ask(backend(server), a_prompt(schema=SCHEMA, top_p=1.0))
    assert server.bodies(CHAT)[0]["response_format"] == {"type": "json_object", "value": SCHEMA}


def test_the_machines_own_token_goes_nowhere(server):
    ask(backend(server), a_prompt())
    assert "hf_machine0wn" not in str(server.seen)


def test_the_named_token_goes_along(server, token):
    ask(backend(server, token_env="NODE_TOKEN"), a_prompt())
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {token}"}


def test_a_redirect_is_not_followed(server, token):
    with TGIServer(HUB_ID, lambda *_: "Hi") as other:
        server.faults.append(answer(307, {}, {"Location": f"{other.url}{CHAT}?key={token}"}))
        with pytest.raises(
            ProtocolError, match=rf"307 .*: sends on to '{other.url}{CHAT}'.*set url"
        ) as caught:
            ask(backend(server, token_env="NODE_TOKEN"), a_prompt())
        assert token not in str(caught.value)
        assert not other.seen


@pytest.mark.parametrize("status", [424, 429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_asked_again(server, status):
    server.faults += [answer(status, {"error": "busy"}), answer(status, "<html>")]
    assert len(ask(backend(server), a_prompt())) == 1
    assert server.counts()[CHAT] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refused_prompt_is_never_asked_again(server, status):
    server.faults.append(answer(status, {"error": "no such thing"}))
    with pytest.raises(ProtocolError, match=rf"^POST {server.url}{CHAT}: {status} .*: no such thing"):
        ask(backend(server), a_prompt())
    assert server.counts()[CHAT] == 1


@pytest.mark.parametrize("status", [200, 401, 422, 500])
def test_a_token_that_the_server_repeats_is_in_no_error(server, token, status):
    server.faults.append(answer(status, f"<html>Bearer {token}"))
    with pytest.raises((ProtocolError, EndpointError)) as caught:
        ask(backend(server, token_env="NODE_TOKEN", attempts=1), a_prompt())
    assert token not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["<html>Log in", [], "null", {}, {"choices": 5}, {"choices": [{"message": "Hi"}]}],
)
def test_an_answer_of_another_shape_is_a_protocol_error(server, body):
    server.faults.append(answer(200, body))
    with pytest.raises(ProtocolError, match=rf"^POST {server.url}{CHAT}: ") as caught:
        ask(backend(server), a_prompt())
    assert ("<html>Log in" in str(caught.value)) == (body == "<html>Log in")


def test_silence_is_asked_again_and_then_an_error(server):
    server.faults += [hang, hang]
    with pytest.raises(EndpointError, match=r"no answer in 0.2 s \(2 attempts\)"):
        ask(backend(server, timeout_s=0.2, attempts=2), a_prompt())


def test_a_dead_endpoint_is_named_when_it_opens():
    url = free_url()
    with pytest.raises(EndpointError, match=url):
        opened(Hub(url=url, attempts=1))


def test_an_endpoint_that_dies_later_is_an_endpoint_error(server):
    from tests.servers.loopback import drop

    server.faults += [drop, drop]
    with pytest.raises(EndpointError, match=rf"^POST {server.url}{CHAT}: .*2 attempts"):
        ask(backend(server, attempts=2), a_prompt())


def test_another_model_is_refused(server):
    with pytest.raises(ProtocolError, match="does not serve"):
        opened(backend(server), a_model(hub_id="google/gemma-3-4b-it"))
    with TGIServer("/repository", lambda *_: "Hi") as endpoint:
        assert opened(backend(endpoint, served_as="/repository")) == ("/repository", 64)


def test_no_more_than_the_limit_are_in_flight(server):
    server.takes_s = 0.01
    assert len(ask(backend(server, limit=3), *(a_prompt(str(n)) for n in range(12)))) == 12
    assert server.peak == 3


@pytest.mark.parametrize("settings", [{}, {"url": "http://node7", "provider": "auto"}])
def test_it_is_either_an_endpoint_or_a_provider(settings):
    with pytest.raises(ConfigError, match=r"either a url .* or a provider"):
        make(Backend, {"backend": "hub", **settings}, "site")


def test_a_provider_needs_a_token():
    with pytest.raises(ConfigError, match="token_env"):
        make(Backend, {"backend": "hub", "provider": "together"}, "site")


def test_a_provider_gets_the_named_token_and_a_schema_in_its_own_form(server, token, monkeypatch):
    """Together's own address is replaced; everything else is the client's."""
    from huggingface_hub.hf_api import InferenceProviderMapping
    from huggingface_hub.inference._providers import PROVIDERS, _common

    mapping = InferenceProviderMapping(
        provider="together", hf_model_id=HUB_ID, providerId="llama-8b", task="conversational", status="live"
    )
    monkeypatch.setitem(_common.HARDCODED_MODEL_INFERENCE_MAPPING, "together", {HUB_ID: mapping})
    monkeypatch.setattr(PROVIDERS["together"]["conversational"], "base_url", server.url)
    server.faults.append(
        answer(
            200,
            {
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
            },
        )
    )
    (completion,) = ask(Hub(provider="together", token_env="NODE_TOKEN"), a_prompt(schema=SCHEMA))
    (seen,) = server.seen
    # It told nothing of what has answered.
    assert completion.model == f"{HUB_ID} via together"
    assert completion.text == "Hi"
    assert seen.headers["authorization"] == f"Bearer {token}"
    assert seen.body["response_format"]["schema"] == SCHEMA


def test_an_unknown_provider_is_named(token):
    with pytest.raises(ProtocolError, match="'nobody' not supported"):
        ask(Hub(provider="nobody", token_env="NODE_TOKEN"), a_prompt())
