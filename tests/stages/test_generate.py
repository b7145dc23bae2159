"""What generating and judging promise, against real servers on loopback and through the public command line."""

import json
import re
from collections import Counter

import pytest

from tests.commands import REHEARSAL, deepdialogue, site, study
from tests.servers.loopback import answer
from tests.servers.tgi import TGIServer
from tests.tiny import make_llama

FIRST, SECOND = "meta-llama/Meta-Llama-3-8B-Instruct", "google/gemma-3-4b-it"
JUDGE = "Qwen/Qwen2.5-72B-Instruct"
ONE_PAIRING = {
    "pairings": '["llama3-8B_gemma3-4B"]',
    "domains": '["travel"]',
    "turns": "{ min = 4, max = 4 }",
}


def reply(messages, parameters):
    """What a model says: different words every time, so that no judge finds a repetition."""
    if grammar := parameters.get("grammar"):
        scores = {
            name: [4] * part["minItems"] if part["type"] == "array" else 4
            for name, part in grammar["value"]["properties"].items()
        }
        return json.dumps(scores | {"reason": "fine"})
    place = ("harbour", "island", "museum", "market", "castle", "forest")[parameters["seed"] % 6]
    number = parameters["seed"] % 9973
    return (
        f"My sister and I found the {place} after {number} wrong turns, and it was worth every one.",
        f"Was that the {place} on the postcard? I counted {number} steps up to it once!",
        f"The very same {place}, and this time we took a picnic for {number} hungry people.",
        f"Next summer I am coming along, even if your {place} costs me {number} euros.",
    )[turn_of(messages)]


def turn_of(messages):
    """Which turn is asked for, counted from 0: each speaker sees its own view of the dialogue."""
    opens = "Start the conversation" in messages[1]["content"]
    return len(messages) - 2 + (not opens)


def servers(speak=reply):
    return [TGIServer(hub_id, speak, model_sha="abc1234") for hub_id in (FIRST, SECOND, JUDGE)]


def tgi_site(folder, first, second, judge, extra=""):
    tables = {"llama3-8B": first, "gemma3-4B": second, "qwen2.5-72B": judge}
    text = "".join(
        f'[models."{name}"]\nbackend = "tgi"\nurl = "{url}"\n{extra}\n' for name, url in tables.items()
    )
    return site(folder, text + REHEARSAL.partition("\n\n")[2])


def one_judge(folder, **plan):
    what = study(folder, **{**ONE_PAIRING, **plan})
    judges = folder / "configs/prompts/judges.toml"
    text = judges.read_text()
    head, qwen = (
        text.partition("[rubric-llama]")[0],
        text.partition("[rubric-qwen]")[2].partition("[rubric-gemma]")[0],
    )
    judges.write_text(f"{head}[rubric-qwen]{qwen}")
    what.write_text(what.read_text().replace("quorum = 2", "quorum = 1"))
    return what


def records(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()[1:]]


def test_two_models_behind_tgi_hold_dialogues_that_a_third_judges_and_a_voice_speaks(tmp_path):
    what = one_judge(tmp_path, dialogues_per_cell="5")
    first, second, judge = servers()
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        done = deepdialogue("build", what, "--site", where, "--run", "run", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dialogues = records(tmp_path / "run/dialogues.jsonl")
    assert len(dialogues) == 5
    assert {dialogue["first_checkpoint"] for dialogue in dialogues} == {f"{FIRST}@abc1234"}
    assert not any(dialogue["rehearsal"] for dialogue in dialogues)
    assert all(len(review["verdicts"]) == 6 for review in records(tmp_path / "run/reviews.jsonl"))
    assert first.counts()["/v1/chat/completions"] == second.counts()["/v1/chat/completions"] == 5 * 2
    assert judge.counts()["/v1/chat/completions"] == 5
    card = (tmp_path / "out/README.md").read_text()
    assert f"| `{FIRST}@abc1234` | 5 |" in card


def test_what_a_speaker_is_sent_only_grows_and_ends_with_the_emotion(tmp_path):
    what = one_judge(tmp_path)
    first, second, judge = servers()
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    (scenario,) = records(tmp_path / "run/scenarios.jsonl")
    (dialogue,) = records(tmp_path / "run/dialogues.jsonl")
    assert [turn["emotion"] for turn in dialogue["turns"]] == scenario["emotions"]
    for server, speaker in ((first, 0), (second, 1)):
        earlier, later = (body["messages"] for body in server.bodies("/v1/chat/completions"))
        assert later[: len(earlier)] == earlier
        for position, messages in zip((speaker, speaker + 2), (earlier, later), strict=True):
            assert messages[-1]["content"].endswith(scenario["emotions"][position])


def test_a_reply_that_breaks_the_rules_is_asked_again_with_a_new_seed_and_never_kept(tmp_path):
    broken = Counter()

    def speak(messages, parameters):
        said = reply(messages, parameters)
        if parameters["seed"] % 3 == 0:
            broken["LLM1"] += 1
            return f"LLM1: {said}"
        return said

    what = one_judge(tmp_path, dialogues_per_cell="6")
    first, second, judge = servers(speak)
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        asked = [body["seed"] for server in (first, second) for body in server.bodies("/v1/chat/completions")]
    assert done.returncode == 0, done.stderr
    assert broken["LLM1"] > 0
    assert len(asked) == len(set(asked))
    for dialogue in records(tmp_path / "run/dialogues.jsonl"):
        assert not any("LLM1" in turn["text"] for turn in dialogue["turns"])


def test_a_model_that_never_keeps_the_rules_ends_in_a_recorded_failure_that_is_owed_again(tmp_path):
    what = one_judge(tmp_path)
    silent = {"now": True}
    first, second, judge = servers(lambda *asked: "" if silent["now"] else reply(*asked))
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        assert done.returncode == 0
        assert "1 given up" in done.stderr
        assert first.counts()["/v1/chat/completions"] == 4, "as often as the study allows"
        (failure,) = records(tmp_path / "run/failures/generate.jsonl")
        assert failure["boundary"] == "reply"
        assert failure["message"] == "turn 1 of 4, llama3-8B: empty, empty, empty, empty"
        assert "1 x reply" in deepdialogue("status", "run", cwd=tmp_path).stdout
        silent["now"] = False
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        assert "generate: 1 done" in done.stderr
        assert "x reply" not in deepdialogue("status", "run", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("down", r"http://127\.0\.0\.1:9/info"),
        ("html", "/info"),
        ("model", "some/other-model"),
    ],
)
def test_an_endpoint_that_is_down_or_no_tgi_or_serves_another_model_stops_with_one_line(
    tmp_path, fault, said
):
    what = one_judge(tmp_path)
    first, second, judge = servers()
    if fault == "model":
        first.model_id = "some/other-model"
    if fault == "html":
        first.guarded = ("/info",)
        first.faults.append(answer(200, "<html><body>welcome to nginx</body></html>"))
    with first, second, judge:
        url = "http://127.0.0.1:9" if fault == "down" else first.url
        where = tgi_site(tmp_path, url, second.url, judge.url, extra="attempts = 2\npause_s = 0.01")
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(said, line), line
    assert not (tmp_path / "run/dialogues.jsonl").exists()


def test_a_prompt_that_the_server_refuses_is_a_failure_with_its_reason_and_the_rest_goes_on(tmp_path):
    what = one_judge(tmp_path, dialogues_per_cell="4")
    first, second, judge = servers()
    first.faults.append(
        answer(422, {"error": "Input validation error: too long", "error_type": "validation"})
    )
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        assert done.returncode == 3
        assert "generate: 3 done, 0 done before, 1 failed" in done.stderr
        (failure,) = records(tmp_path / "run/failures/generate.jsonl")
        assert failure["boundary"] == "protocol"
        assert "422" in failure["message"]
        assert "too long" in failure["message"]
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 0
    assert "generate: 1 done, 3 done before" in done.stderr


def test_a_judge_that_cannot_be_read_abstains_and_the_dialogue_is_undecided_not_rejected(tmp_path):
    def speak(messages, parameters):
        return "I like it." if parameters.get("grammar") else reply(messages, parameters)

    what = one_judge(tmp_path)
    first, second, judge = servers(speak)
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        for verb in ("plan", "generate", "judge"):
            done = deepdialogue(verb, what, "--run", "run", "--site", where, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    (review,) = records(tmp_path / "run/reviews.jsonl")
    assert [one["judge"] for one in review["abstentions"]] == ["rubric-qwen"]
    assert "0 rejected, 1 undecided" in " ".join(deepdialogue("status", "run", cwd=tmp_path).stdout.split())


def test_rejected_dialogues_are_kept_with_their_reasons_and_what_a_rule_rejects_costs_no_judge(tmp_path):
    said = "The very same words, again and again, from both of us."
    what = one_judge(tmp_path)
    first, second, judge = servers(lambda *_: said)
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        for verb in ("plan", "generate", "judge"):
            done = deepdialogue(verb, what, "--run", "run", "--site", where, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        assert judge.counts()["/v1/chat/completions"] == 0
    (review,) = records(tmp_path / "run/reviews.jsonl")
    verdict = next(one for one in review["verdicts"] if one["judge"] == "repetition")
    assert verdict["scores"] == {"repetition": 0.0}
    assert verdict["reason"]
    shown = deepdialogue("show", "run", cwd=tmp_path).stdout
    assert "rejected repetition" in " ".join(shown.split())


def test_of_dialogues_with_the_same_text_the_first_by_id_is_kept_whatever_order_they_were_held_in(tmp_path):
    def speak(messages, parameters):
        if parameters.get("grammar"):
            return reply(messages, parameters)
        return (
            "The harbour was lovely and my sister sang all evening.",
            "I would love to hear her sing, was it an old song?",
            "It was, and three strangers danced along on the pier!",
            "Next summer I am coming with you, no excuses this time.",
        )[turn_of(messages)]

    what = one_judge(tmp_path, dialogues_per_cell="3")
    first, second, judge = servers(speak)
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        for verb in ("plan", "generate", "judge"):
            assert deepdialogue(verb, what, "--run", "run", "--site", where, cwd=tmp_path).returncode == 0
    scores = {
        review["id"]: next(
            one["scores"]["duplicate"] for one in review["verdicts"] if one["judge"] == "duplicate"
        )
        for review in records(tmp_path / "run/reviews.jsonl")
    }
    assert scores == {id: float(id == min(scores)) for id in scores}


def test_a_small_model_in_process_is_asked_through_the_same_command_and_what_it_babbles_is_not_kept(tmp_path):
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    what = one_judge(tmp_path, turns="{ min = 3, max = 3 }")
    script = tmp_path / "configs/prompts/script.toml"
    script.write_text(
        script.read_text()
        .replace("max_tokens = 128", "max_tokens = 12")
        .replace("attempts = 4", "attempts = 2")
    )
    model = make_llama(tmp_path / "model", context=4096)
    vocabulary = tmp_path / "configs/vocabularies/deepdialogue.toml"
    text = vocabulary.read_text()
    vocabulary.write_text(
        text.replace("billion_parameters = 8 }", "billion_parameters = 8, system_role = false }")
    )
    where = site(tmp_path, f'[models."*"]\nbackend = "transformers"\npath = "{model}"\ndevice = "cpu"\n')
    deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
    done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 failed, 1 given up" in done.stderr
    (failure,) = records(tmp_path / "run/failures/generate.jsonl")
    assert failure["message"].startswith("turn 1 of 3, llama3-8B: ")
    assert failure["boundary"] == "reply"


def test_a_model_whose_weights_are_not_there_stops_with_one_line(tmp_path):
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    what = one_judge(tmp_path)
    where = site(tmp_path, '[models."*"]\nbackend = "transformers"\npath = "no/such-model"\n')
    deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
    done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("deepdialogue: error:")]
    assert "no/such-model" in line
