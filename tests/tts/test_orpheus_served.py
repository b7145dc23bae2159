import pytest

torch = pytest.importorskip("torch", reason="the extra 'orpheus' is not installed")

from builder.core.speech import Sampling  # noqa: E402
from builder.errors import ConfigError, EndpointError, ProtocolError  # noqa: E402
from builder.plugins.tts.orpheus import Orpheus  # noqa: E402
from tests.llm.asking import free_url  # noqa: E402
from tests.servers.loopback import answer  # noqa: E402
from tests.servers.openai import OpenAIServer  # noqa: E402
from tests.servers.orpheus import CHECKPOINT, END, OrpheusServer  # noqa: E402
from tests.servers.tgi import TGIServer  # noqa: E402
from tests.tts.speaking import line, opened, speak  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]
PATHS = {"tgi": "/generate", "vllm": "/v1/completions"}
PROMPT = "<custom_token_3><|begin_of_text|>tara: Say hello.<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
TOKEN = "tok-5ecret-5ecret"


@pytest.fixture(params=PATHS)
def api(request):
    return request.param


@pytest.fixture
def server():
    with OrpheusServer() as one:
        yield one


@pytest.fixture
def engine(server, snac, api):
    return lambda **settings: Orpheus(
        **{"api": api, "url": server.url, "snac": snac, "device": "cpu", "pause_s": 0.0, **settings}
    )


def test_tgi_is_asked_as_it_wants_it(server, snac):
    speak(Orpheus(api="tgi", url=server.url, snac=snac), line("Say hello"))
    (body,) = server.bodies("/generate")
    seed = body["parameters"].pop("seed")
    assert body == {
        "inputs": PROMPT,
        "parameters": {
            "do_sample": True,
            "temperature": 0.6,
            "top_p": 0.9,
            "repetition_penalty": 1.1,
            "max_new_tokens": 1024,
            "stop": ["<custom_token_2>"],
            "details": True,
        },
    }
    assert 0 <= seed < 2**31


def test_vllm_is_asked_as_it_wants_it(server, snac):
    speak(Orpheus(api="vllm", url=f"{server.url}/v1/", snac=snac), line("Say hello"))
    (body,) = server.bodies("/v1/completions")
    seed = body.pop("seed")
    assert body == {
        "model": CHECKPOINT,
        "prompt": PROMPT,
        "add_special_tokens": False,
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 0,
        "repetition_penalty": 1.1,
        "max_tokens": 1024,
        "stop_token_ids": [END],
        "return_token_ids": True,
        "stream": False,
    }
    assert 0 <= seed < 2**31


def test_the_lines_own_sampling_goes_out_whole(server, engine, api):
    sampling = Sampling(temperature=0.8, top_p=1.0, top_k=30, repetition_penalty=1.3)
    speak(engine(), line(sampling=sampling))
    (body,) = server.bodies(PATHS[api])
    sent = body.get("parameters", body)
    assert (sent["temperature"], sent["top_k"], sent["repetition_penalty"]) == (0.8, 30, 1.3)
    assert sent.get("top_p") == (None if api == "tgi" else 1.0), "TGI refuses a nucleus of everything"


def test_both_servers_give_the_same_speech(server, snac):
    (first,), (second,) = (speak(Orpheus(api=api, url=server.url, snac=snac), line()) for api in PATHS)
    assert (first.samples == second.samples).all()


def test_the_name_says_the_checkpoint_with_its_revision_and_the_codec(snac):
    with OrpheusServer(model_sha="0e9e39f") as server:
        tgi, vllm = (opened(Orpheus(api=api, url=server.url, snac=snac))[0] for api in PATHS)
    assert tgi == f"orpheus {CHECKPOINT}@0e9e39f with SNAC snac_tiny"
    assert vllm == f"orpheus {CHECKPOINT} with SNAC snac_tiny"


def test_the_servers_own_limit_binds(snac):
    with OrpheusServer(max_concurrent_requests=3) as server:
        assert opened(Orpheus(api="tgi", url=server.url, snac=snac))[1] == 3
        assert opened(Orpheus(api="tgi", url=server.url, snac=snac, limit=2))[1] == 2
        server.takes_s = 0.2  # so long that even a busy machine asks for the third meanwhile
        speak(Orpheus(api="tgi", url=server.url, snac=snac), *(line(seed=seed) for seed in range(9)))
        assert server.peak == 3


def test_another_model_is_refused_by_both_names(engine):
    with pytest.raises(ProtocolError, match=rf"does not serve 'ORG/NAME': known: '{CHECKPOINT}' \(served_as"):
        opened(engine(checkpoint="ORG/NAME"))


def test_a_server_may_know_the_checkpoint_by_another_name(snac, api):
    with OrpheusServer(checkpoint="/repository") as server:
        name, _ = opened(Orpheus(api=api, url=server.url, snac=snac, served_as="/repository"))
    assert name == f"orpheus {CHECKPOINT} with SNAC snac_tiny"


def test_a_dead_endpoint_is_named_when_it_opens(engine, api):
    url = free_url()
    with pytest.raises(EndpointError, match=rf"^GET {url}/(info|v1/models)"):
        opened(engine(url=url, attempts=2))


def test_what_does_not_speak_the_protocol_is_told_from_what_does(snac):
    with OpenAIServer(CHECKPOINT, str) as server, pytest.raises(ProtocolError, match=r"/info: 404 .*TGI"):
        opened(Orpheus(api="tgi", url=server.url, snac=snac))
    with (
        TGIServer(CHECKPOINT, lambda *_: "") as server,
        pytest.raises(ProtocolError, match="/v1/completions"),
    ):
        speak(Orpheus(api="vllm", url=server.url, snac=snac), line())


def test_failures_that_may_pass_are_asked_again(server, engine, api):
    busy = {"error": {"message": "Busy", "code": 503}}
    server.faults += [answer(429, {"error": "overloaded"}), answer(408, ""), answer(200, busy)]
    assert len(speak(engine(), line())) == 1
    assert server.counts()[PATHS[api]] == 4


def test_a_failing_server_is_an_endpoint_error(server, engine):
    server.faults += [answer(503, {"error": "loading"})] * 2
    with pytest.raises(EndpointError, match=r"503 .*loading \(2 attempts\)"):
        speak(engine(attempts=2), line())


def test_a_refused_prompt_is_never_asked_again(server, engine, api):
    server.faults.append(answer(422, {"error": "Input validation error: too long"}))
    with pytest.raises(ProtocolError, match=r"422 .*: Input validation error: too long"):
        speak(engine(), line())
    assert server.counts()[PATHS[api]] == 1


def test_an_answer_that_is_not_the_protocols_is_never_asked_again(server, engine, api):
    server.faults.append(answer(200, {"choices": ["Hi"], "generated_text": "Hi"}))
    with pytest.raises(ProtocolError, match="does not speak"):
        speak(engine(), line())
    assert server.counts()[PATHS[api]] == 1


@pytest.mark.parametrize("odd", [-1, 2**31, 2**64])
def test_an_id_that_no_vocabulary_has_is_not_the_protocols(server, engine, odd):
    server.compose = lambda *_: [odd]
    with pytest.raises(ProtocolError, match="does not speak"):
        speak(engine(), line())


def test_a_vllm_too_old_to_give_token_ids_is_named_with_the_repair(snac):
    with (
        OrpheusServer(token_ids=False) as server,
        pytest.raises(ProtocolError, match=r"no token ids: vLLM .*0\.10\.2"),
    ):
        speak(Orpheus(api="vllm", url=server.url, snac=snac), line())


def test_its_token_goes_along_with_every_request_and_into_no_message(server, engine, monkeypatch, api):
    monkeypatch.setenv("NODE_TOKEN", TOKEN)
    speak(engine(token_env="NODE_TOKEN"), line())
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {TOKEN}"}
    server.faults.append(answer(401, {"error": f"Bearer {TOKEN} is not allowed"}))
    with pytest.raises(ProtocolError) as refused:
        speak(engine(token_env="NODE_TOKEN"), line())
    assert "[token]" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_missing_token_is_a_matter_of_settings(server, engine, monkeypatch):
    monkeypatch.delenv("NODE_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="NODE_TOKEN"):
        opened(engine(token_env="NODE_TOKEN"))
    assert not server.seen
