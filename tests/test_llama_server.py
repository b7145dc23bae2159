"""What a real server that decodes by a grammar makes of it: random weights judge, and every answer can be read."""

import asyncio
import importlib.util
import json
import shutil

import pytest

from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm.openai import OpenAI
from tests.commands import deepdialogue, site, study
from tests.llm.asking import SCHEMA, a_model, a_prompt, ask, opened
from tests.servers.llama_server import NEEDS, LlamaServer, make_speaker

_MISSING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"the extra 'test' is not installed: {', '.join(_MISSING)} missing"
)

PANEL = {"rubric-llama", "rubric-qwen", "rubric-gemma"}


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    return make_speaker(tmp_path_factory.mktemp("speaker") / "speaker.gguf")


@pytest.fixture(scope="module")
def server(speaker, tmp_path_factory):
    with LlamaServer(speaker, tmp_path_factory.mktemp("serve")) as one:
        yield one


@pytest.fixture(scope="module")
def held(server, tmp_path_factory):
    """A folder with a study of text alone that only the panel judges, a site, and a run whose dialogues are held."""
    folder = tmp_path_factory.mktemp("held")
    path = study(folder, pairings='["phi4-mini"]', dialogues_per_cell="2")
    before, _, after = path.read_text().partition("[speech.xtts]")
    path.write_text(before + after[after.index("[splits]") :])
    judges = folder / "configs/prompts/judges.toml"
    judges.write_text(judges.read_text()[judges.read_text().index("[rubric-llama]") :])
    located(folder, server)
    for verb in ("plan", "generate"):
        done = run(folder, verb)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def lab(held, tmp_path):
    return shutil.copytree(held, tmp_path / "lab")


def located(folder, server, dialect="openai"):
    site(
        folder,
        f'[models."*"]\nbackend = "openai"\nurl = "{server.url}"\nserved_as = "{server.model}"\n'
        f'dialect = "{dialect}"\n',
    )


def run(folder, verb):
    return deepdialogue(verb, "configs/quickstart.toml", "--site", "site.toml", "--run", "run", cwd=folder)


def records(folder, ledger):
    return [json.loads(line) for line in (folder / "run" / ledger).read_bytes().splitlines()[1:]]


def backend(server, **settings):
    return OpenAI(**{"url": server.url, "served_as": server.model, "attempts": 2, "pause_s": 0.0, **settings})


def readable(completion):
    try:
        return set(json.loads(completion.text)) == {"score"}
    except ValueError:
        return False


def test_it_is_reached_and_answers_in_words(server):
    assert opened(backend(server, limit=9)) == (server.model, 9)
    (completion,) = ask(backend(server), a_prompt())
    assert completion.text.replace('"', " ").replace(" ", "").isalpha()
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens == len("[system]Be brief.[user]Say hello.[assistant]")
    assert 0 < completion.completion_tokens < 128


def test_the_seed_decides_what_is_said(server):
    (first,), (again,), (other,) = (ask(backend(server), a_prompt(seed=seed)) for seed in (11, 11, 12))
    assert first.text == again.text != other.text


def test_a_reply_that_is_cut_off_says_so(server):
    (completion,) = ask(backend(server), a_prompt(seed=3, max_tokens=2, schema=SCHEMA))
    assert (completion.finish_reason, completion.completion_tokens) == ("length", 2)


@pytest.mark.parametrize("dialect", ["openai", "llama-cpp-python"])
def test_a_schema_is_followed_where_the_dialect_sends_it(server, dialect):
    prompts = [a_prompt(seed=seed, schema=SCHEMA) for seed in range(8)]
    assert all(map(readable, ask(backend(server, dialect=dialect), *prompts)))


def test_without_the_schema_the_same_prompts_are_answered_with_anything_else(server):
    assert not any(map(readable, ask(backend(server), *(a_prompt(seed=seed) for seed in range(8)))))


def test_a_schema_that_the_server_cannot_follow_is_refused_with_its_reason(server):
    with pytest.raises(ProtocolError, match=r"400 .*no-such-type"):
        ask(backend(server), a_prompt(schema={"type": "no-such-type"}))


def test_a_prompt_too_long_for_its_context_is_refused_with_both_lengths(server):
    with pytest.raises(ProtocolError, match=r"400 .*20\d\d\d tokens.*16384"):
        ask(backend(server), a_prompt("ha! " * 5000))


def test_another_model_is_refused_by_name_when_it_is_opened(server):
    with pytest.raises(ProtocolError, match=r"does not serve 'some/other': .*speaker\.gguf"):
        opened(backend(server, served_as="some/other"))


def test_a_server_that_is_killed_is_an_endpoint_that_fails(speaker, tmp_path):
    with LlamaServer(speaker, tmp_path) as server:

        async def main():
            async with backend(server).open(a_model()) as endpoint:
                await endpoint.complete(a_prompt())
                server.kill()
                await endpoint.complete(a_prompt())

        with pytest.raises(EndpointError, match=server.url):
            asyncio.run(main())


def test_two_speakers_hold_whole_dialogues_through_it(held):
    dialogues = records(held, "dialogues.jsonl")
    assert len(dialogues) == 4
    for dialogue in dialogues:
        assert len(dialogue["turns"]) == int(dialogue["id"].rpartition("_")[2])
        assert all(turn["text"] for turn in dialogue["turns"])
        assert not dialogue["rehearsal"]


def test_a_panel_held_to_its_schema_never_abstains(lab):
    assert run(lab, "judge").returncode == 0
    reviews = records(lab, "reviews.jsonl")
    assert len(reviews) == 4
    for review in reviews:
        assert not review["abstentions"]
        assert {verdict["judge"] for verdict in review["verdicts"]} == PANEL
        for verdict in review["verdicts"]:
            assert len(verdict["scores"]) == 6
            assert all(1 <= score <= 5 for score in verdict["scores"].values())


def test_the_same_panel_that_is_held_to_nothing_abstains(lab, server):
    located(lab, server, dialect="transformers")  # which sends no schema
    assert run(lab, "judge").returncode == 0
    reviews = records(lab, "reviews.jsonl")
    assert len(reviews) == 4
    for review in reviews:
        assert not review["verdicts"]
        assert {abstention["judge"] for abstention in review["abstentions"]} == PANEL


def test_the_doctor_finds_its_grammar_and_every_judge_fit(lab):
    done = deepdialogue("doctor", "site.toml", "configs/quickstart.toml", cwd=lab)
    assert done.returncode == 0, done.stdout
    speaking, *judging = done.stdout.splitlines()[:4]
    assert "; schema" in speaking
    assert all("; schema; judges as 'rubric-" in line for line in judging)


def test_the_doctor_finds_every_judge_unfit_that_is_held_to_nothing(lab, server):
    located(lab, server, dialect="transformers")
    done = deepdialogue("doctor", "site.toml", "configs/quickstart.toml", cwd=lab)
    assert done.returncode == 1
    assert done.stdout.count("it abstains") == 3
    assert done.stdout.count("no schema") == 4
    assert "3 of 4 fail" in done.stdout
