import pytest

from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm.openai import OpenAI
from tests.llm.asking import HUB_ID, MESSAGES, SCHEMA, SHA, a_model, a_prompt, ask, free_url, opened
from tests.servers.loopback import answer
from tests.servers.openai import OpenAIServer

CHAT = "/v1/chat/completions"
DIALECTS = ["openai", "llama-cpp-python", "transformers"]


@pytest.fixture(params=DIALECTS)
def server(request):
    with OpenAIServer(
        HUB_ID, lambda body: f"You said: {body['messages'][-1]['content']}", request.param
    ) as one:
        yield one


def backend(server, **settings):
    return OpenAI(**{"url": server.url, "dialect": server.dialect, "pause_s": 0.0, **settings})


def test_every_dialect_takes_the_same_prompt(server):
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
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 4)


def test_what_a_server_would_set_by_itself_is_sent_even_where_it_says_nothing(server):
    ask(backend(server), a_prompt(top_p=1.0, temperature=0.0))
    assert (server.bodies(CHAT)[0]["top_p"], server.bodies(CHAT)[0]["temperature"]) == (1.0, 0.0)


def test_a_schema_goes_in_the_form_of_the_dialect(server):
    ask(backend(server), a_prompt(schema=SCHEMA))
    forms = {
        "openai": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
        "llama-cpp-python": {"type": "json_object", "schema": SCHEMA},
        "transformers": None,
    }
    assert server.bodies(CHAT)[0].get("response_format") == forms[server.dialect]


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_in_v1(server, end):
    assert len(ask(backend(server, url=server.url + end), a_prompt())) == 1
    assert server.counts()[CHAT] == 1


def test_a_completion_cut_off_says_so(server):
    (completion,) = ask(backend(server), a_prompt(max_tokens=2))
    assert (completion.text, completion.finish_reason) == ("You said:", "length")


def test_the_checkpoint_claims_no_revision(server):
    assert opened(backend(server, limit=9), a_model(revision="abc")) == (HUB_ID, 9)


@pytest.mark.parametrize("dialect", ["openai", "llama-cpp-python"])
def test_a_model_that_is_not_listed_is_refused_with_the_nearest_that_is(dialect):
    with OpenAIServer("meta-llama/Llama-3.1-70B-Instruct", lambda _: "Hi", dialect) as server:
        with pytest.raises(ProtocolError, match=r"does not serve .* did you mean 'meta-llama/Llama-3.1-70B"):
            opened(backend(server))
        assert server.counts() == {"/v1/models": 1}


def test_a_transformers_server_refuses_another_model_when_it_is_asked():
    with (
        OpenAIServer("another/model", lambda _: "Hi", "transformers") as server,
        pytest.raises(ProtocolError, match=r"400 .*does not exist"),
    ):
        ask(backend(server), a_prompt())


def test_a_server_may_know_the_model_by_another_name():
    with OpenAIServer("llama", lambda _: "Hi") as server:
        ask(backend(server, served_as="llama"), a_prompt())
        assert server.bodies(CHAT)[0]["model"] == "llama"
        assert opened(backend(server, served_as="llama"))[0] == "llama"


@pytest.mark.parametrize(
    ("listed", "pages", "checkpoint"),
    [
        ({}, {}, "llama"),
        ({"root": "org/real", "owned_by": "vllm"}, {}, "org/real"),
        ({"root": "/models/real", "owned_by": "vllm"}, {"/props": {"model_path": "no"}}, "/models/real"),
        ({"root": f"/cache/models--org--real/snapshots/{SHA}"}, {}, f"org/real@{SHA}"),
        ({"root": "/loras/mine", "parent": HUB_ID}, {}, "/loras/mine"),
        ({"owned_by": "llamacpp"}, {"/props": {"model_path": "/models/real.gguf"}}, "/models/real.gguf"),
        (
            {"root": "llama", "owned_by": "sglang"},
            {"/get_model_info": {"model_path": "org/real"}},
            "org/real",
        ),
        ({"root": None}, {"/props": {"model_path": ""}}, "llama"),
        ({"root": 7}, {"/props": {"build": 3}}, "llama"),
    ],
)
def test_the_checkpoint_is_what_a_server_tells_that_it_loaded_under_a_name(listed, pages, checkpoint):
    with OpenAIServer("llama", lambda _: "Hi", listed=listed, pages=pages) as server:
        assert opened(backend(server, served_as="llama"))[0] == checkpoint


def test_a_name_that_is_the_studys_does_not_hide_what_was_loaded():
    with OpenAIServer(HUB_ID, lambda _: "Hi", listed={"root": "Qwen/Qwen2.5-0.5B-Instruct"}) as server:
        assert opened(backend(server))[0] == "Qwen/Qwen2.5-0.5B-Instruct"


def test_no_more_than_the_limit_are_in_flight(server):
    server.takes_s = 0.01
    assert len(ask(backend(server, limit=3), *(a_prompt(str(n)) for n in range(20)))) == 20
    assert server.peak == 3


def test_a_failure_is_asked_again_and_a_refusal_is_not(server):
    server.faults += [answer(503, "<html>"), answer(422, {"error": {"message": "prompt too long"}})]
    with pytest.raises(ProtocolError, match="prompt too long"):
        ask(backend(server), a_prompt())
    assert server.counts()[CHAT] == 2


def test_a_dead_endpoint_is_named_when_it_opens(server):
    url = free_url()
    with pytest.raises(EndpointError, match=url):
        opened(backend(server, url=url, attempts=1))


def test_its_token_goes_along(server, token):
    ask(backend(server, token_env="NODE_TOKEN"), a_prompt())
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {token}"}
