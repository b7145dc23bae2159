import asyncio
from contextlib import AsyncExitStack, ExitStack

import pytest

from builder.config import Site, load_study
from builder.core.usage import Budget
from builder.errors import BudgetError, ConfigError
from builder.plugins.llm.rehearsal import Rehearsal
from builder.plugins.llm.tgi import TGI
from builder.run.folder import Run
from builder.run.served import Served, Voice
from builder.stages.generate import generate
from builder.stages.judge import judge
from tests.runs import held, small
from tests.servers.openai import OpenAIServer
from tests.servers.tgi import TGIServer
from tests.test_doctor import speak, speak_openai

MODELS = load_study("quickstart").vocabulary.models
FIRST, SECOND, PHI = "llama3-8B", "gemma3-4B", "phi4-mini"


def a_site(server, *, strict=False, budget=None, **settings):
    """One server of OpenAI's protocol for every model."""
    table = {"backend": "openai", "url": server.url, "served_as": server.model, "pause_s": 0} | settings
    return Site(name="here", models={"*": table}, strict=strict, budget=Budget(calls=budget))


def planned(folder, site, study=None):
    """A run with its scenarios, and nothing held."""
    from builder.core.scenario import scenarios

    study = study or small()
    run = Run(folder, study, site)
    for scenario in scenarios(study.plan, study.vocabulary, study.seed):
        run.scenarios.append(scenario.id, scenario)
    return run


def checkpoints(run):
    """What spoke, by the place in the dialogue."""
    return {(one.first_checkpoint, one.second_checkpoint) for one in run.dialogues}


def test_one_small_model_behind_an_alias_speaks_as_itself_and_that_is_said_before_anything_is_asked(
    tmp_path, capsys
):
    with OpenAIServer("my-llama", speak_openai) as server, planned(tmp_path / "run", a_site(server)) as run:
        assert asyncio.run(generate(run)).done == len(run.scenarios)
        assert checkpoints(run) == {("my-llama", "my-llama")}
    said = capsys.readouterr().err
    for name in (FIRST, SECOND, PHI):
        assert (
            said.count(f"the study asks for {MODELS[name].checkpoint!r} as {name!r}, and 'my-llama' answers")
            == 1
        )
    assert f"'{SECOND}', '{FIRST}', '{PHI}' are one: 'my-llama' answers for all 3" in said


@pytest.mark.parametrize("stage", [generate, judge])
def test_a_strict_site_refuses_before_any_work_by_the_key_and_both_names(tmp_path, stage):
    judges = ("length", "rubric-llama")
    with OpenAIServer("my-llama", speak_openai) as server:
        with held(tmp_path / "run", small(judges)) if stage is judge else planned(tmp_path / "run", None):
            pass
        with Run(tmp_path / "run", None, a_site(server, strict=True)) as run:
            with pytest.raises(ConfigError, match="strict = true") as error:
                asyncio.run(stage(run))
            assert not len(run.turns)
            assert not len(run.reviews)
        assert set(server.counts()) <= {"/v1/models", "/props"}
    said = str(error.value)
    assert "site 'here', models." in said
    assert "'my-llama' answers" in said
    assert any(repr(model.checkpoint) in said for model in MODELS.values())


def test_a_strict_site_lets_through_what_is_served_as_asked(tmp_path):
    with ExitStack() as opened:
        servers = {
            name: opened.enter_context(TGIServer(MODELS[name].hub_id.upper(), speak, model_sha="abc1234"))
            for name in (FIRST, SECOND, PHI)
        }
        tables = {
            name: {"backend": "tgi", "url": one.url, "served_as": one.model_id}
            for name, one in servers.items()
        }
        site = Site(name="here", models=tables, strict=True)
        run = opened.enter_context(planned(tmp_path / "run", site))
        assert asyncio.run(generate(run)).failed == 0
        assert all(one.first_checkpoint.endswith("@abc1234") for one in run.dialogues)


def test_an_answer_that_names_another_model_came_from_that_one(tmp_path, capsys):
    with OpenAIServer("gpt-4o", speak_openai, answers_as="gpt-4o-2024-08-06") as server:
        with planned(tmp_path / "run", a_site(server)) as run:
            asyncio.run(generate(run))
            assert checkpoints(run) == {("gpt-4o-2024-08-06", "gpt-4o-2024-08-06")}
            (answered, *_) = run.turns.own.lines()
            assert (answered.checkpoint, answered.model) == ("gpt-4o", "gpt-4o-2024-08-06")
        assert "and 'gpt-4o-2024-08-06' answers" in capsys.readouterr().err


def test_a_strict_site_stops_at_the_first_answer_that_names_another_model(tmp_path):
    with ExitStack() as opened:
        servers = {
            name: opened.enter_context(OpenAIServer(MODELS[name].hub_id, speak_openai))
            for name in (FIRST, SECOND, PHI)
        }
        servers[SECOND].answers_as = "org/other"
        tables = {name: {"backend": "openai", "url": one.url} for name, one in servers.items()}
        run = opened.enter_context(planned(tmp_path / "run", Site(name="here", models=tables, strict=True)))
        with pytest.raises(ConfigError, match=f"models.{SECOND}: strict = true.*'org/other' answers"):
            asyncio.run(generate(run))
        assert not any(answered.model == "org/other" for answered in run.turns.own.lines())


def test_a_dialogue_goes_on_where_the_endpoint_tells_the_same_though_answers_name_another(tmp_path):
    with OpenAIServer("gpt-4o", speak_openai, answers_as="gpt-4o-2024-08-06") as server:
        with planned(tmp_path / "run", a_site(server, limit=1, budget=1)) as run, pytest.raises(BudgetError):
            asyncio.run(generate(run))
        server.answers_as = "gpt-4o-2024-11-20"
        with Run(tmp_path / "run", None, a_site(server)) as run:
            asyncio.run(generate(run))
            spoke = [one.first_checkpoint for one in run.dialogues]
            turns = sum(len(one.turns) for one in run.dialogues)
        assert set(spoke) == {"gpt-4o-2024-08-06, gpt-4o-2024-11-20", "gpt-4o-2024-11-20"}
        assert server.counts()["/v1/chat/completions"] == turns


def test_a_verdict_says_what_judged_and_whether_that_spoke_as_well(tmp_path):
    study = small(("length", "rubric-llama", "rubric-qwen"))
    with OpenAIServer("my-llama", speak_openai) as server:
        with held(tmp_path / "run", study, checkpoint="my-llama"):
            pass
        with Run(tmp_path / "run", None, a_site(server)) as run:
            asyncio.run(judge(run))
            for review in run.reviews:
                rule, *panel = review.verdicts
                assert (rule.checkpoint, rule.rehearsal, rule.own) == ("", False, False)
                assert len(panel) == 2
                assert {(one.checkpoint, one.rehearsal, one.own) for one in panel} == {
                    ("my-llama", False, True)
                }


def test_a_stand_in_that_judges_is_one_and_judges_its_own_where_the_study_says_so(tmp_path):
    study = small(("rubric-llama",))
    with held(tmp_path / "run", study, checkpoint="rehearsal"):
        pass
    with Run(tmp_path / "run", None, Site(name="r", models={"*": {"backend": "rehearsal"}})) as run:
        asyncio.run(judge(run))
        votes = [vote for review in run.reviews for vote in (*review.verdicts, *review.abstentions)]
        assert {(one.checkpoint, one.rehearsal, one.own) for one in votes} == {("rehearsal", True, False)}


def served(**urls):
    """What answers for the models of the study at servers of these addresses; none has a stand-in."""
    return Served(MODELS, lambda name: [TGI(url=urls[name])] if name in urls else [Rehearsal()], "here")


def test_endpoints_that_all_call_their_model_repository_are_told_apart_by_their_address():
    found = served(**{FIRST: "http://a", SECOND: "http://b", PHI: "http://a"})
    voices = [Voice(name, "/repository") for name in (FIRST, SECOND, PHI)]
    assert found.shared(voices) == [(FIRST, PHI)]
    assert found.is_one(voices[0], Voice(FIRST, "/repository"))
    assert not found.is_one(voices[0], voices[1])


def test_stand_ins_stand_for_themselves():
    found = served()
    voices = [Voice(FIRST, "rehearsal"), Voice(SECOND, "rehearsal")]
    assert found.shared(voices) == []
    assert found.difference(voices[0]) == ""


def test_what_spoke_at_a_site_that_is_not_known_here_is_compared_by_name():
    def nowhere(name):
        raise ConfigError(f"no table for {name}")

    found = Served(MODELS, nowhere, "here")
    assert found.is_one(Voice(FIRST, "org/x"), Voice(SECOND, "org/x@abc1234"))
    assert not found.is_one(Voice(FIRST, "org/x"), Voice(SECOND, "org/y"))


def test_endpoints_close_as_they_did(tmp_path):
    async def main(run):
        async with AsyncExitStack() as opened:
            return {name: one.limit for name, one in (await run.plugins.endpoints([FIRST], opened)).items()}

    with OpenAIServer("my-llama", speak_openai) as server, planned(tmp_path / "run", a_site(server)) as run:
        assert asyncio.run(main(run)) == {FIRST: 64}
