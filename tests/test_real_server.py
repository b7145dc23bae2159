"""What the backends promise holds in front of a real inference server with real weights, however few."""

import asyncio
import importlib.util
import json
from contextlib import ExitStack

import pytest

from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm.openai import OpenAI
from tests.commands import deepdialogue, site, study
from tests.llm.asking import a_model, a_prompt, ask, opened
from tests.servers.transformers_serve import NEEDS, TransformersServe, make_talker

_MISSING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"transformers[serving] is not installed: {', '.join(_MISSING)} missing"
)


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    return make_talker(tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="module")
def servers(talker, tmp_path_factory):
    """Gives the server that runs, for as long as nobody killed it; then another."""
    with ExitStack() as stack:
        running = []

        def server():
            if not running or running[-1].is_dead():
                running.append(
                    stack.enter_context(TransformersServe(talker, tmp_path_factory.mktemp("serve")))
                )
            return running[-1]

        yield server


@pytest.fixture
def server(servers):
    return servers()


def backend(server, **settings):
    return OpenAI(
        **{
            "url": server.url,
            "dialect": "transformers",
            "served_as": server.model,
            "attempts": 2,
            "pause_s": 0.0,
            **settings,
        }
    )


def words(text="Say hello.", **more):
    return a_prompt(text, system=False, **more)


def test_it_is_reached_and_answers(server):
    assert opened(backend(server, limit=9)) == (server.model, 9)
    (completion,) = ask(backend(server), words())
    assert completion.text.strip(" abcdefghijklmnopqrstuvwxyz") == ""
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens == len("[user]Say hello.[assistant]") + 2
    assert 0 < completion.completion_tokens < 128


def test_asked_one_after_another_the_seed_decides_what_is_said(server):
    (first,), (again,), (other,) = (
        ask(backend(server), words(seed=seed, max_tokens=40)) for seed in (11, 11, 12)
    )
    assert first == again
    assert first.text != other.text


def test_at_temperature_0_no_seed_matters(server):
    (one,), (other,) = (ask(backend(server), words(seed=seed, temperature=0.0)) for seed in (1, 2))
    assert one == other


def test_a_reply_that_is_cut_off_says_so(server):
    (completion,) = ask(backend(server), words(seed=3, max_tokens=2))
    assert (completion.finish_reason, completion.completion_tokens) == ("length", 2)


def test_what_is_asked_at_once_is_answered_each_for_itself(server):
    prompts = [words("Hello" + "!" * count, seed=count) for count in range(24)]
    completions = ask(backend(server, limit=16), *prompts)
    shortest = completions[0].prompt_tokens
    assert [one.prompt_tokens - shortest for one in completions] == list(range(24))
    assert len({one.text for one in completions}) > 12


def test_another_model_is_refused_by_name(server):
    with pytest.raises(ProtocolError, match=r"400 .*requested 'some/other'"):
        ask(backend(server, served_as="some/other"), words())


def test_a_server_without_a_list_of_what_it_serves_is_known_by_its_dialect(server):
    with pytest.raises(ProtocolError, match="does not serve"):
        opened(backend(server, dialect="openai"))


def test_two_speakers_hold_whole_dialogues_through_it(server, tmp_path):
    what = study(tmp_path, pairings='["phi4-mini"]', dialogues_per_cell="2")
    models = tmp_path / "configs/vocabularies/deepdialogue.toml"
    at = 'Phi-4-mini-instruct", '
    models.write_text(models.read_text().replace(at, at + "system_role = false, "))
    where = site(
        tmp_path,
        '[models."*"]\nbackend = "openai"\ndialect = "transformers"\n'
        f'url = "{server.url}"\nserved_as = "{server.model}"\n',
    )
    for verb in ("plan", "generate"):
        done = deepdialogue(verb, what, "--site", where, "--run", "run", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    dialogues = [
        json.loads(line) for line in (tmp_path / "run/dialogues.jsonl").read_bytes().splitlines()[1:]
    ]
    assert len(dialogues) == 4
    for dialogue in dialogues:
        assert dialogue["first_checkpoint"] == dialogue["second_checkpoint"]
        assert dialogue["first_checkpoint"] == server.model
        assert len(dialogue["turns"]) == int(dialogue["id"].rpartition("_")[2])
        assert all(turn["text"] for turn in dialogue["turns"])


def test_a_server_that_is_killed_in_the_middle_is_an_endpoint_that_fails(server):
    async def main():
        async with backend(server).open(a_model()) as endpoint:
            await endpoint.complete(words())
            asked = [asyncio.create_task(endpoint.complete(words(seed=seed))) for seed in range(16)]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            server.kill()
            return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(main())
    failed = [one for one in results if isinstance(one, BaseException)]
    assert 0 < len(failed) < 16
    assert all(isinstance(one, EndpointError) and server.url in str(one) for one in failed)
