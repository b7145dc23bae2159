import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from builder.errors import ConfigError, EndpointError, ProtocolError
from builder.plugins import make
from builder.plugins.llm import Backend
from builder.plugins.llm.tgi import TGI
from tests.llm.asking import HUB_ID, MESSAGES, SCHEMA, SHA, a_model, a_prompt, ask, free_url, opened
from tests.servers.loopback import answer
from tests.servers.tgi import TGIServer

CHAT = "/v1/chat/completions"


def words(messages, _parameters):
    return f"You said: {messages[-1]['content']}"


@pytest.fixture
def server():
    with TGIServer(HUB_ID, words, model_sha=SHA) as one:
        yield one


def backend(server, **settings):
    return TGI(**{"url": server.url, "pause_s": 0.0, **settings})


def test_a_site_names_it_by_its_file(server):
    assert isinstance(make(Backend, {"backend": "tgi", "url": server.url}, "site"), TGI)


def test_a_prompt_is_sent_as_tgi_wants_it(server):
    (completion,) = ask(backend(server), a_prompt())
    assert server.bodies(CHAT) == [
        {
            "model": "tgi",
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


def test_a_nucleus_of_everything_is_left_out_because_tgi_refuses_it(server):
    ask(backend(server), a_prompt(top_p=1.0))
    assert "top_p" not in server.bodies(CHAT)[0]


def test_at_temperature_0_nothing_makes_it_sample(server):
    ask(backend(server), a_prompt(temperature=0.0))
    body = server.bodies(CHAT)[0]
    assert body["temperature"] == 0.0
    assert "top_p" not in body


def test_a_schema_goes_in_tgis_own_form(server):
    ask(backend(server), a_prompt(schema=SCHEMA))
    assert server.bodies(CHAT)[0]["response_format"] == {"type": "json_object", "value": SCHEMA}


@pytest.mark.parametrize("api", ["messages", "generate"])
def test_no_penalty_is_ever_sent(server, api):
    ask(backend(server, api=api), a_prompt(), a_prompt(schema=SCHEMA, temperature=0.0))
    assert not server.penalties
    assert "penalty" not in str([seen.body for seen in server.seen])


@pytest.mark.parametrize("api", ["messages", "generate"])
def test_a_completion_cut_off_says_so(server, api):
    (completion,) = ask(backend(server, api=api), a_prompt(max_tokens=2))
    assert (completion.text, completion.finish_reason, completion.completion_tokens) == (
        "You said:",
        "length",
        2,
    )


def test_generate_gets_the_templated_chat_without_a_second_start():
    with TGIServer(HUB_ID, lambda *_: "Hello, you.") as server:
        (completion,) = ask(backend(server, api="generate"), a_prompt())
        assert server.bodies("/chat_tokenize")[-1] == {"messages": MESSAGES}
        assert server.bodies("/generate") == [
            {
                "inputs": " system: Be brief. user: Say hello. assistant:",
                "parameters": {
                    "do_sample": True,
                    "temperature": 0.7,
                    "top_p": 0.95,
                    "max_new_tokens": 128,
                    "seed": 7,
                    "details": True,
                },
            }
        ]
        assert (completion.text, completion.finish_reason) == ("Hello, you.", "stop")
        assert (completion.prompt_tokens, completion.completion_tokens) == (8, 2)
        assert server.counts()["/tokenize"] == 1


def test_a_template_without_a_start_token_is_left_as_it_is():
    with TGIServer(HUB_ID, words, bos="") as server:
        ask(backend(server, api="generate"), a_prompt())
        assert server.bodies("/generate")[0]["inputs"] == "system: Be brief. user: Say hello. assistant:"


def test_a_start_that_is_doubled_and_unnamed_is_refused_with_the_repair():
    class Nameless(TGIServer):
        """As with a slow tokenizer, of which TGI does not know where in the text a token stands."""

        def _tokenize(self, body):
            tokens = json.loads(super()._tokenize(body).text)
            return web.json_response([{**token, "text": ""} for token in tokens])

    with Nameless(HUB_ID, words) as server, pytest.raises(ProtocolError, match="set api = 'messages'"):
        opened(backend(server, api="generate"))


def test_greedy_by_generate_sends_neither_temperature_nor_nucleus(server):
    ask(backend(server, api="generate"), a_prompt(temperature=0.0, schema=SCHEMA))
    assert server.bodies("/generate")[0]["parameters"] == {
        "do_sample": False,
        "max_new_tokens": 128,
        "seed": 7,
        "details": True,
        "grammar": {"type": "json", "value": SCHEMA},
    }


@pytest.mark.parametrize(
    ("sha", "checkpoint"),
    [(SHA, f"{HUB_ID}@{SHA}"), (None, HUB_ID)],
    ids=["revision known", "revision unknown"],
)
def test_the_checkpoint_is_what_the_server_says(sha, checkpoint):
    with TGIServer(HUB_ID, words, model_sha=sha) as server:
        assert opened(backend(server)) == (checkpoint, 64)


def test_the_revision_that_the_study_pins_must_be_the_one_served(server):
    assert opened(backend(server), a_model(revision=SHA)) == (f"{HUB_ID}@{SHA}", 64)
    with pytest.raises(ProtocolError, match=rf"at revision '{SHA}', the study pins 'abc'.*--revision"):
        opened(backend(server), a_model(revision="abc"))


def test_another_model_is_refused_by_both_names(server):
    with pytest.raises(ProtocolError, match=rf"serves '{HUB_ID}', not 'google/gemma-3-4b-it'"):
        opened(backend(server), a_model(hub_id="google/gemma-3-4b-it"))


def test_a_server_may_know_the_model_by_another_name():
    with TGIServer("/repository", words) as server:
        assert opened(backend(server, served_as="/repository")) == ("/repository", 64)
        with pytest.raises(ProtocolError, match="served_as"):
            opened(backend(server))


def test_the_servers_own_limit_binds():
    with TGIServer(HUB_ID, words, max_concurrent_requests=3) as server:
        assert opened(backend(server)) == (HUB_ID, 3)
        assert opened(backend(server, limit=2)) == (HUB_ID, 2)
        assert opened(backend(server, share=0.7)) == (HUB_ID, 2)
        assert opened(backend(server, share=0.1)) == (HUB_ID, 1)
        server.takes_s = 0.01
        assert len(ask(backend(server, attempts=1), *(a_prompt(str(n)) for n in range(30)))) == 30
        assert server.peak == 3
        assert server.counts()[CHAT] == 30


def test_beyond_its_limit_tgi_refuses_at_once_and_another_try_may_pass():
    with TGIServer(HUB_ID, words, max_concurrent_requests=1) as server:

        async def main():
            settings = backend(server, attempts=1000, pause_s=0.01)
            async with settings.open(a_model()) as first, settings.open(a_model()) as second:
                server.held.clear()
                tasks = [asyncio.create_task(one.complete(a_prompt())) for one in (first, second)]
                while server.in_flight < 2:  # noqa: ASYNC110 - the server is in another thread
                    await asyncio.sleep(0.01)
                server.held.set()
                return await asyncio.gather(*tasks)

        assert [completion.text for completion in asyncio.run(main())] == ["You said: Say hello."] * 2
        assert server.counts()[CHAT] >= 2


@pytest.mark.parametrize("api", ["messages", "generate"])
def test_tgis_failures_are_asked_again(server, api):
    server.faults += [
        answer(429, {"error": "Model is overloaded", "error_type": "overloaded"}),
        answer(424, {"error": "Request failed during generation: CUDA", "error_type": "generation"}),
        answer(500, {"error": "Incomplete generation", "error_type": "incomplete_generation"}),
    ]
    assert len(ask(backend(server, api=api), a_prompt())) == 1


@pytest.mark.parametrize("api", ["messages", "generate"])
def test_tgis_refusals_are_not_asked_again(server, api):
    with pytest.raises(
        ProtocolError, match=r"422 .*: Input validation error: `max_new_tokens` must be strictly"
    ):
        ask(backend(server, api=api), a_prompt(max_tokens=0))
    assert server.counts()[CHAT] + server.counts()["/generate"] == 1


def test_a_chat_template_without_a_system_role_refuses_one():
    with TGIServer(HUB_ID, words, system_role=False) as server:
        with pytest.raises(ProtocolError, match="System role not supported"):
            ask(backend(server), a_prompt())
        assert len(ask(backend(server), a_prompt(system=False))) == 1


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls"])
def test_an_end_that_is_no_end_is_a_protocol_error(server, reason):
    server.faults.append(
        answer(
            200,
            {
                "choices": [{"message": {"content": "Hi"}, "finish_reason": reason}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1},
            },
        )
    )
    with pytest.raises(ProtocolError, match="finish_reason"):
        ask(backend(server), a_prompt())


def test_a_stop_sequence_is_an_end_and_no_content_is_an_empty_text(server):
    server.faults.append(
        answer(
            200,
            {
                "choices": [{"message": {"content": None}, "finish_reason": "stop_sequence"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            },
        )
    )
    (completion,) = ask(backend(server), a_prompt())
    assert (completion.text, completion.finish_reason) == ("", "stop")


def test_a_dead_endpoint_is_named_when_it_opens():
    url = free_url()
    with pytest.raises(EndpointError, match=rf"^GET {url}/info"):
        opened(TGI(url=url, attempts=2, pause_s=0.0))


def test_a_missing_token_is_a_matter_of_settings(server, monkeypatch):
    monkeypatch.delenv("NODE_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="NODE_TOKEN"):
        opened(backend(server, token_env="NODE_TOKEN"))
    assert not server.seen


def test_its_token_goes_along_with_every_request(server, token):
    ask(backend(server, api="generate", token_env="NODE_TOKEN"), a_prompt())
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {token}"}


def test_what_does_not_speak_tgi_is_told_from_what_does():
    from tests.servers.openai import OpenAIServer

    with (
        OpenAIServer(HUB_ID, lambda _: "Hi") as server,
        pytest.raises(ProtocolError, match=r"/info: 404 .*TGI"),
    ):
        opened(backend(server))


def test_the_loopback_refuses_what_tgi_refuses(server):
    """The rules that the tests above lean on, asked for directly."""

    async def status(path, body):
        async with aiohttp.ClientSession() as session, session.post(server.url + path, json=body) as reply:
            return reply.status, reply.content_type

    def post(path, **body):
        return asyncio.run(status(path, body))

    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    assert post(CHAT, **chat, top_p=1.0) == (422, "application/json")
    assert post(CHAT, **chat, temperature=-1) == (422, "application/json")
    assert post(CHAT, **chat, response_format={"type": "json_schema", "json_schema": {}}) == (
        422,
        "text/plain",
    )
    assert post(CHAT) == (422, "text/plain")
    assert post("/generate", inputs="Hi", parameters={"temperature": 0.0}) == (422, "application/json")
    assert post(CHAT, **chat, presence_penalty=0.0)[0] == 200
    assert server.penalties == [2.0]
