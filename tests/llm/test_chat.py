"""What a chat completion promises: whatever a server calls its parts, what is said is the text and nothing else is."""

import msgspec
import pytest

from builder.core.prompt import Completion
from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm.hub import Hub
from builder.plugins.llm.openai import OpenAI
from builder.plugins.llm.tgi import TGI
from tests.llm.asking import HUB_ID, a_prompt, ask
from tests.servers.loopback import answer
from tests.servers.openai import OpenAIServer
from tests.servers.tgi import TGIServer

CHAT = "/v1/chat/completions"


@pytest.fixture
def server():
    with OpenAIServer(HUB_ID, lambda _: "Hi") as one:
        yield one


def read(server, message, finish_reason="stop", backend=OpenAI, **more) -> Completion:
    body = {"choices": [{"message": message, "finish_reason": finish_reason}], **more}
    server.faults.append(answer(200, body))
    return ask(backend(url=server.url, attempts=1), a_prompt())[0]


@pytest.mark.parametrize(
    ("message", "text", "thinking"),
    [
        ({"content": "Hi"}, "Hi", ""),
        ({"content": None}, "", ""),
        ({}, "", ""),
        (None, "", ""),
        ({"content": None, "reasoning_content": "Hm."}, "", "Hm."),
        ({"content": "Hi", "reasoning_content": "Hm."}, "Hi", "Hm."),
        ({"content": "Hi", "reasoning_content": None, "reasoning": "Hm."}, "Hi", "Hm."),
        ({"content": "Hi", "thinking": "Hm."}, "Hi", "Hm."),
        ({"content": "<think>Hm.</think>\n\nHi"}, "Hi", "Hm."),
        ({"content": "Hm.</think>Hi"}, "Hi", "Hm."),
        ({"content": "Hi", "reasoning": {"text": "Hm."}}, "Hi", "Hm."),
        ({"content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]}, "Hi you", ""),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}]}, "Hi", "Hm."),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hi"}]},
            "Hi",
            "Hm.",
        ),
        ({"content": [{"type": "reasoning", "text": "Hm."}, "Hi"]}, "Hi", "Hm."),
        ({"content": [{"type": "output_text", "text": "Hi"}, {"type": "image"}, None, 5]}, "Hi", ""),
        ({"content": {"type": "text", "text": "Hi"}}, "Hi", ""),
        ({"content": 5}, "", ""),
    ],
)  # fmt: skip
def test_what_is_said_is_the_text_and_what_is_thought_is_told_apart(server, message, text, thinking):
    completion = read(server, message)
    assert (completion.text, completion.thinking) == (text, thinking)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({}, (None, None, None)),
        (None, (None, None, None)),
        ("many", (None, None, None)),
        ({"prompt_tokens": None, "completion_tokens": None}, (None, None, None)),
        ({"prompt_tokens": 7, "completion_tokens": 4}, (7, 4, None)),
        ({"prompt_tokens": 7.0, "completion_tokens": "4"}, (7, None, None)),
        ({"prompt_tokens": -7, "completion_tokens": 10**40}, (None, None, None)),
        ({"prompt_tokens": 7, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 5}}, (7, 9, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 9, "reasoning_tokens": 5}, (7, 9, 5)),
        ({"completion_tokens": 9, "completion_tokens_details": None}, (None, 9, None)),
    ],
)  # fmt: skip
def test_tokens_that_a_server_does_not_tell_are_unknown_and_the_answer_is_taken(server, usage, counts):
    one = read(server, {"content": "Hi"}, usage=usage)
    assert (one.text, one.prompt_tokens, one.completion_tokens, one.thinking_tokens) == ("Hi", *counts)


def test_an_answer_without_usage_model_or_reason_is_taken(server):
    server.faults.append(answer(200, {"choices": [{"message": {"content": "Hi"}}]}))
    assert ask(OpenAI(url=server.url), a_prompt()) == [Completion(text="Hi", finish_reason="stop")]


def test_what_the_answer_says_has_answered_is_kept(server):
    assert read(server, {"content": "Hi"}, model="my-llama").model == "my-llama"
    assert read(server, {"content": "Hi"}, model=None).model == ""


@pytest.mark.parametrize("backend", [OpenAI, Hub])
@pytest.mark.parametrize(
    "broken",
    [
        {"error": {"message": "Rate limited", "code": 429}},
        {"error": "Model is overloaded"},
        {"object": "error", "message": "Engine died", "code": 500},
        {"choices": None},
        {"choices": []},
        {"choices": [{"message": {"content": "Hal"}, "finish_reason": "abort"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "error"}]},
        {"choices": [{"message": {"content": "Hal"}, "error": {"code": 502, "message": "Upstream"}}]},
    ],
)
def test_an_answer_that_failed_behind_its_200_is_asked_again(server, backend, broken):
    server.faults += [answer(200, broken)] * 2
    assert ask(backend(url=server.url, pause_s=0.0), a_prompt())[0].text == "Hi"
    assert server.counts()[CHAT] == 3


@pytest.mark.parametrize("backend", [OpenAI, Hub])
def test_the_servers_own_words_are_told(server, backend):
    server.faults += [answer(200, {"error": {"message": "No GPU left", "code": 503}})] * 2
    with pytest.raises(EndpointError, match=r"503 Service Unavailable: No GPU left \(2 attempts\)$"):
        ask(backend(url=server.url, pause_s=0.0, attempts=2), a_prompt())
    server.faults.append(answer(200, {"error": {"message": "No such model", "code": 404}}))
    with pytest.raises(ProtocolError, match=r"404 Not Found: No such model$"):
        ask(backend(url=server.url), a_prompt())
    server.faults.append(answer(400, {"error": {"message": "Bad temperature"}}))
    with pytest.raises(ProtocolError, match=r"400 Bad Request: Bad temperature$"):
        ask(backend(url=server.url), a_prompt())


EXTRA = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}


@pytest.mark.parametrize("backend", [OpenAI, Hub, TGI])
def test_extra_goes_into_the_request_as_it_is(backend):
    kind = OpenAIServer(HUB_ID, lambda _: "Hi") if backend is OpenAI else TGIServer(HUB_ID, lambda *_: "Hi")
    with kind as server:
        ask(backend(url=server.url, extra=EXTRA), a_prompt())
        ask(backend(url=server.url), a_prompt())
        told, untold = server.bodies(CHAT)
    assert told == untold | EXTRA


def test_extra_goes_into_the_parameters_of_generate_and_the_templates_part_to_the_template():
    with TGIServer(HUB_ID, lambda *_: "Hi") as server:
        ask(TGI(url=server.url, api="generate", extra=EXTRA), a_prompt())
        (body,) = server.bodies("/generate")
        assert {key: body["parameters"].get(key) for key in EXTRA} == EXTRA | {"chat_template_kwargs": None}
        assert server.bodies("/chat_tokenize")[-1]["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    "key", ["messages", "model", "seed", "stream", "n", "response_format", "inputs", "details"]
)
@pytest.mark.parametrize("backend", [OpenAI, Hub, TGI])
def test_extra_says_nothing_that_the_run_says(backend, key):
    with pytest.raises(ValueError, match=rf"^extra.{key} is what the run itself says"):
        backend(url="http://node7", extra={key: 1})


@pytest.mark.parametrize("key", ["temperature", "top_p", "max_tokens", "max_new_tokens"])
def test_extra_says_nothing_that_the_studys_decoding_says(key):
    with pytest.raises(ValueError, match=rf"^extra.{key} is what the study's decoding says"):
        OpenAI(url="http://node7", extra={key: 1})


def test_generate_of_tgi_is_read_as_leniently():
    with TGIServer(HUB_ID, lambda *_: "Hi") as server:
        for details in (None, {}, {"finish_reason": "eos", "generated_tokens": None}):
            server.faults.append(answer(200, {"generated_text": "Hm.</think>Hi", "details": details}))
            (completion,) = ask(TGI(url=server.url, api="generate"), a_prompt())
            assert completion == msgspec.structs.replace(
                completion, text="Hi", thinking="Hm.", finish_reason="stop", completion_tokens=None
            )
        server.faults.append(
            answer(200, {"generated_text": "Hal", "details": {"finish_reason": "cancelled"}})
        )
        assert ask(TGI(url=server.url, api="generate", pause_s=0.0), a_prompt())[0].text == "Hi"
