import asyncio
import json
import tempfile
from contextlib import ExitStack

import msgspec
import pytest
from rich.console import Console

from builder.config import Site, load_study
from builder.errors import ConfigError
from builder.run.doctor import doctor, show_findings
from tests.llm.asking import free_url
from tests.patience import PATIENCE_S
from tests.servers.loopback import answer
from tests.servers.openai import OpenAIServer
from tests.servers.tgi import TGIServer, invalid

PAIRING = "llama3-8B_gemma3-4B"
FIRST, SECOND, JUDGE = "llama3-8B", "gemma3-4B", "llama3-70B"
TOKEN = "tok-5ecret-5ecret"
SPEECH = {"*": {"engine": "espeak"}}


def a_study(*, judges=("rubric-llama",), speech=(), **models):
    """The shipped study with one pairing of two models, and a third that judges."""
    study = load_study("quickstart")
    known = dict(study.vocabulary.models)
    for name, changes in models.items():
        known[name] = msgspec.structs.replace(known[name], **changes)
    return msgspec.structs.replace(
        study,
        vocabulary=msgspec.structs.replace(study.vocabulary, models=known),
        plan=msgspec.structs.replace(study.plan, pairings=(PAIRING,)),
        judges={name: study.judges[name] for name in judges},
        speech={name: study.speech[name] for name in speech},
    )


def fit(schema):
    """An answer that follows a schema."""
    if "mood" in schema["properties"]:
        return '{"mood":"glad"}'
    scores = {
        name: [4] * part["minItems"] if part["type"] == "array" else 4
        for name, part in schema["properties"].items()
    }
    return json.dumps(scores | {"reason": "It flows."})


def speak(_messages, parameters):
    grammar = parameters.get("grammar")
    return fit(grammar["value"]) if grammar else "That sounds lovely, tell me more."


def speak_openai(body):
    wanted = body.get("response_format")
    return fit(wanted["json_schema"]["schema"]) if wanted else "That sounds lovely, tell me more."


@pytest.fixture
def servers():
    """One TGI for each of the three models, by name."""
    models = load_study("quickstart").vocabulary.models
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(TGIServer(models[name].hub_id, speak))
            for name in (FIRST, SECOND, JUDGE)
        }


def examine(servers, study=None, speech=SPEECH, **settings):
    """The findings by name; every server is a TGI of the site, with `settings` by model."""
    tables = {name: {"backend": "tgi", "url": server.url, "pause_s": 0} for name, server in servers.items()}
    for name, changes in settings.items():
        tables[name] = tables.get(name, {}) | changes
    site = Site(name="here", models=tables, speech=speech)
    findings = asyncio.run(doctor(study or a_study(), site))
    return {finding.name: finding for finding in findings}


def test_what_is_fit_is_found_well_with_what_it_serves_and_what_it_takes(servers):
    found = examine(servers, a_study(speech=("xtts",)))
    assert [(name, finding.verdict) for name, finding in found.items()] == [
        (FIRST, "well"),
        (SECOND, "well"),
        (JUDGE, "well"),
        ("xtts", "well"),
    ]
    judge = found[JUDGE]
    assert judge.where == f"tgi {servers[JUDGE].url}"
    assert judge.serves == "meta-llama/Meta-Llama-3-70B-Instruct"
    assert {"64 at once of the server's 128", "4096 tokens at most", "schema"} <= set(judge.facts)
    assert "judges as 'rubric-llama'" in judge.facts
    assert found["xtts"].serves.startswith("espeak-ng")


def test_a_speaker_is_asked_for_its_last_turn_of_the_longest_dialogue(servers):
    examine(servers)
    for name, spoken in ((FIRST, 8), (SECOND, 9)):
        chat = servers[name].bodies("/v1/chat/completions")[0]
        roles = [message["role"] for message in chat["messages"]]
        assert roles.count("user") + roles.count("assistant") == 9
        # Every turn that was said before stands in it, each of the study's greatest length.
        said = " ".join(message["content"] for message in chat["messages"][1:])
        assert len(said.split()) >= spoken * a_study().script.max_words


def test_a_judge_is_asked_to_judge_the_longest_dialogue(servers):
    examine(servers)
    rubric = servers[JUDGE].bodies("/v1/chat/completions")[-1]
    assert '"turn":10' in rubric["messages"][-1]["content"]
    assert "response_format" in rubric


def test_a_model_that_only_speaks_is_not_asked_to_judge_and_the_other_way_round(servers):
    examine(servers)
    assert len(servers[FIRST].bodies("/v1/chat/completions")) == 2
    assert len(servers[JUDGE].bodies("/v1/chat/completions")) == 2


def test_one_that_is_gone_fails_and_the_others_are_examined(servers):
    found = examine(servers, **{SECOND: {"url": (gone := free_url())}})
    assert [finding.verdict for finding in found.values()] == ["well", "fails", "well"]
    assert gone in found[SECOND].faults[0]


def test_a_model_without_a_table_of_the_site_fails(servers):
    del servers[SECOND]
    assert "no table" in examine(servers)[SECOND].faults[0]


def test_a_server_of_another_model_fails_and_both_are_named(servers):
    servers[FIRST].model_id = "org/other"
    (fault,) = examine(servers)[FIRST].faults
    assert "'org/other'" in fault
    assert "'meta-llama/Meta-Llama-3-8B-Instruct'" in fault


def test_a_prompt_too_long_for_the_server_fails(servers):
    def narrow(messages, parameters):
        if sum(len(message["content"].split()) for message in messages) > 300:
            raise invalid("`inputs` tokens + `max_new_tokens` must be <= 400")
        return speak(messages, parameters)

    servers[FIRST].speak = servers[JUDGE].speak = narrow
    found = examine(servers)
    assert [len(found[name].faults) for name in (FIRST, SECOND, JUDGE)] == [1, 0, 1]
    assert "must be <= 400" in found[JUDGE].faults[0]


def test_a_template_without_a_system_role_fails_where_the_study_sends_one(servers):
    servers[FIRST].system_role = False
    assert "System role not supported" in examine(servers)[FIRST].faults[0]
    assert examine(servers, a_study(**{FIRST: {"system_role": False}}))[FIRST].verdict == "well"


def test_a_server_that_holds_nothing_to_a_schema_is_a_doubt_for_a_judge_and_a_fact_for_a_speaker(servers):
    def free(messages, parameters):
        rubric = "rubric" if len(messages) > 1 and "turns" in messages[-1]["content"] else ""
        return speak(messages, parameters) if rubric else "Good morning to you."

    servers[FIRST].speak = servers[JUDGE].speak = free
    found = examine(servers)
    assert found[FIRST].verdict == "well"
    assert "no schema" in found[FIRST].facts
    assert found[JUDGE].verdict == "doubtful"
    assert "judges as 'rubric-llama'" in found[JUDGE].facts


def test_a_judge_that_cannot_be_read_fails(servers):
    servers[JUDGE].speak = lambda *_: "I would rather not say."
    (fault,) = examine(servers)[JUDGE].faults
    assert "'rubric-llama' it abstains: the answer has no JSON object" in fault


def test_a_speaker_that_does_not_keep_to_the_rules_is_a_doubt(servers):
    servers[FIRST].speak = lambda *_: "As an AI language model, I cannot feel anything."
    found = examine(servers)[FIRST]
    assert found.verdict == "doubtful"
    assert "did not keep to the rules of a reply" in found.doubts[0]


def dated(server, date):
    """Has the server's `/info` carry another date."""

    async def handle(request):
        response = await server._info(request)
        response.headers["Date"] = date
        return response

    server.guarded = ("/info",)
    server.faults.extend([handle] * 2)


def test_a_clock_that_is_wrong_is_a_doubt_with_its_seconds(servers):
    dated(servers[FIRST], "Mon, 01 Jan 2001 00:00:00 GMT")
    found = examine(servers)
    (doubt,) = found[FIRST].doubts
    assert doubt.startswith("clock -")
    assert any(
        fact in {"clock +0 s", "clock -0 s", "clock +1 s", "clock -1 s"} for fact in found[SECOND].facts
    )


def test_a_clock_that_cannot_be_read_is_no_matter(servers):
    dated(servers[FIRST], "half past nine")
    found = examine(servers)[FIRST]
    assert found.verdict == "well"
    assert not any("clock" in fact for fact in found.facts)


def test_a_busy_server_is_forgiven_once(servers):
    servers[FIRST].faults.append(answer(429, {"error": "Model is overloaded"}))
    servers[SECOND].faults.extend([answer(429, {"error": "Model is overloaded"})] * 2)
    found = examine(servers)
    assert [finding.verdict for finding in found.values()] == ["well", "fails", "well"]
    assert "overloaded" in found[SECOND].faults[0]


def test_all_are_asked_at_once(servers):
    """The first one's answers wait until the second one was asked."""

    def release(messages, parameters):
        servers[FIRST].held.set()
        return speak(messages, parameters)

    servers[FIRST].held.clear()
    servers[SECOND].speak = release
    assert examine(servers, **{FIRST: {"timeout_s": PATIENCE_S}})[FIRST].verdict == "well"


def test_a_revision_that_the_protocol_does_not_tell_is_a_doubt(servers):
    study = a_study(**{FIRST: {"revision": "abc123"}})
    with OpenAIServer("meta-llama/Meta-Llama-3-8B-Instruct", speak_openai) as server:
        found = examine(servers, study, **{FIRST: {"backend": "openai", "url": server.url}})[FIRST]
    assert found.doubts == ["does not tell its revision, the study pins 'abc123'"]
    servers[FIRST].model_sha = "abc123"
    assert examine(servers, study)[FIRST].verdict == "well"


def test_what_is_not_the_studys_is_a_doubt_by_both_names_and_a_fault_where_the_site_is_strict(servers):
    with OpenAIServer("my-llama", speak_openai) as server:
        table = {"backend": "openai", "url": server.url, "served_as": "my-llama"}
        for strict, verdict in ((False, "doubtful"), (True, "fails")):
            site = Site(name="here", models={"*": table}, strict=strict)
            found = {one.name: one for one in asyncio.run(doctor(a_study(), site))}
            assert {one.verdict for one in found.values()} == {verdict}
            first = found[FIRST]
            assert first.serves == "my-llama"
            (told,) = first.faults if strict else first.doubts[:1]
            assert told == (
                f"the study asks for 'meta-llama/Meta-Llama-3-8B-Instruct' as {FIRST!r}, and 'my-llama' answers"
            )
            assert f"'{FIRST}', '{SECOND}', '{JUDGE}' are one: 'my-llama' answers for all 3" in first.doubts
            assert (
                "judges its own dialogues, in 1 of 1 pairings: acceptance.own = 'count'" in found[JUDGE].facts
            )


@pytest.mark.parametrize(
    ("model", "extra", "line"),
    [
        ("qwen3-8b", {}, "extra = { chat_template_kwargs = { enable_thinking = false } } stops most that do"),
        ("gpt-oss-20b", {}, 'extra = { reasoning_effort = "low" } shortens it'),
        ("qwen3-8b", {"reasoning_effort": "low"}, "its `extra` does not stop it"),
    ],
)
def test_a_model_that_thinks_is_a_doubt_that_names_the_line_against_it(servers, model, extra, line):
    def think(body):
        return f"<think>Hm.</think>{speak_openai(body)}"

    with OpenAIServer(model, think) as server:
        table = {"backend": "openai", "url": server.url, "served_as": model, "extra": extra}
        site = Site(name="here", models={"*": table})
        found = {one.name: one for one in asyncio.run(doctor(a_study(), site))}
    told = "; ".join(found[FIRST].doubts)
    assert "thinks before it speaks, " in told
    assert line in told
    assert found[FIRST].faults == []


def test_a_token_that_goes_unencrypted_to_another_machine_is_a_doubt_and_refused_where_the_site_is_strict(
    servers, monkeypatch
):
    monkeypatch.setenv("NODE_TOKEN", TOKEN)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with OpenAIServer("my-llama", speak_openai) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        table = {
            "backend": "openai", "url": "http://node7.invalid", "served_as": "my-llama", "token_env": "NODE_TOKEN"
        }  # fmt: skip
        found = asyncio.run(doctor(a_study(), Site(name="here", models={"*": table})))[0]
        assert any("NODE_TOKEN" in line and "unencrypted" in line for line in found.doubts)
        asked = len(proxy.seen)
        with pytest.raises(ConfigError, match=r"NODE_TOKEN would go over plain http .* the site is strict"):
            asyncio.run(doctor(a_study(), Site(name="here", models={"*": table}, strict=True)))
        assert len(proxy.seen) == asked
        table["url"] = proxy.url
        found = asyncio.run(doctor(a_study(), Site(name="here", models={"*": table})))[0]
        assert not any("unencrypted" in line for line in found.doubts)


def test_judges_of_one_model_are_one_judge_and_a_judge_that_speaks_judges_its_own(servers):
    study = a_study(judges=("rubric-llama", "rubric-qwen"))
    judges = study.judges | {"rubric-qwen": study.judges["rubric-qwen"] | {"model": JUDGE}}
    study = msgspec.structs.replace(study, judges=judges)
    found = examine(servers, study)
    assert found[JUDGE].doubts == [
        "the judges 'rubric-llama', 'rubric-qwen' are one judge in different words"
    ]
    assert not any("its own" in fact for fact in found[JUDGE].facts)
    own = {"rubric-llama": study.judges["rubric-llama"] | {"model": FIRST}}
    found = examine(servers, msgspec.structs.replace(study, judges=own))
    assert "judges its own dialogues, in 1 of 1 pairings: acceptance.own = 'count'" in found[FIRST].facts


def test_what_vllm_says_of_its_context_is_told(servers):
    with OpenAIServer("meta-llama/Meta-Llama-3-8B-Instruct", speak_openai) as server:
        models = {"data": [{"id": server.model, "max_model_len": 8192}]}
        server.guarded = ("/v1/models",)
        server.faults.extend([answer(200, models)] * 2)
        found = examine(servers, **{FIRST: {"backend": "openai", "url": server.url}})[FIRST]
    assert "8192 tokens at most" in found.facts


def test_a_stand_in_is_said_to_be_one():
    study = a_study(speech=("xtts",))
    site = Site(name="rehearsal", models={"*": {"backend": "rehearsal"}}, speech=SPEECH)
    for finding in asyncio.run(doctor(study, site)):
        assert finding.verdict == "well"
        assert "a stand-in" in finding.facts


def test_an_engine_at_another_sampling_rate_fails(servers):
    speech = {"xtts": {"engine": "espeak", "sampling_rate_hz": 16000}}
    found = examine(servers, a_study(speech=("xtts", "orpheus")), speech=speech)
    assert found["xtts"].faults == ["speaks at 16000 Hz, the study wants 24000 Hz"]
    assert "no table" in found["orpheus"].faults[0]


def test_a_token_that_is_not_set_is_named_by_its_variable(servers, monkeypatch):
    monkeypatch.delenv("NODE_TOKEN", raising=False)
    assert "'NODE_TOKEN'" in examine(servers, **{FIRST: {"token_env": "NODE_TOKEN"}})[FIRST].faults[0]


def test_a_token_is_never_shown(servers, monkeypatch, capsys):
    monkeypatch.setenv("NODE_TOKEN", TOKEN)
    servers[FIRST].faults.append(answer(422, {"error": f"I was told {TOKEN}", "error_type": "validation"}))
    found = examine(servers, **{FIRST: {"token_env": "NODE_TOKEN"}})
    assert servers[FIRST].seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    show_findings(list(found.values()), Console(width=100))
    shown = capsys.readouterr()
    assert "I was told" in shown.out
    assert TOKEN not in shown.out + shown.err


def test_each_finding_is_one_line_with_its_verdict_first_and_control_codes_are_marked(servers, capsys):
    servers[SECOND].model_id = "org/\x1b[31mred"
    found = examine(servers)
    show_findings(list(found.values()), Console(width=40))
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["well", FIRST], ["fails", SECOND], ["well", JUDGE]]
    assert last == "1 of 3 fail: mend them, then ask again"
    assert "\x1b" not in "".join(lines)


def test_nothing_that_it_writes_stays(servers, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(examine(servers)) == 3
    assert list(tmp_path.iterdir()) == []
