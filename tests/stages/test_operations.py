"""What running at scale promises: replicas, a budget, judging while generating, and figures to look at."""

import json

import pytest

from tests.commands import REHEARSAL, deepdialogue, kill, lines, site, started, study, tree, wait_for
from tests.patience import PATIENCE_S
from tests.servers.tgi import TGIServer
from tests.stages.test_generate import FIRST, JUDGE, SECOND, one_judge, records, reply, servers, tgi_site


def test_a_dead_replica_loses_nothing_its_dialogues_move_on(tmp_path):
    what = one_judge(tmp_path, dialogues_per_cell="12")
    first, second, judge = servers()
    spare = TGIServer(FIRST, reply, model_sha="abc1234")
    quick = f"attempts = 1\ntimeout_s = {PATIENCE_S}\npause_s = 0.01\n"
    with first, second, judge, spare:
        first.faults.extend([_gone] * 500)
        replicas = "".join(
            f'[[models."llama3-8B"]]\nbackend = "tgi"\nurl = "{one.url}"\n{quick}\n' for one in (first, spare)
        )
        other = f'[models."gemma3-4B"]\nbackend = "tgi"\nurl = "{second.url}"\n'
        where = site(tmp_path, replicas + other)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "generate: 12 done, 0 done before, 0 failed" in done.stderr
    assert f"replica 1 ({first.url}) is down, the others go on" in done.stderr
    assert spare.counts()["/v1/chat/completions"] >= 24


async def _gone(request):
    request.transport.close()
    raise ConnectionResetError


def test_a_budget_stops_the_run_with_its_reason_and_a_larger_one_goes_on_without_asking_twice(tmp_path):
    what = one_judge(tmp_path, dialogues_per_cell="5")
    first, second, judge = servers()
    with first, second, judge:
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        where.write_text(where.read_text() + "\n[budget]\ncalls = 7\n")
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("deepdialogue: error:")]
        assert "the budget is 7 calls" in line
        assert "raise the budget in the site and run the same command" in line
        assert first.counts()["/v1/chat/completions"] + second.counts()["/v1/chat/completions"] == 7
        assert lines(tmp_path / "run/turns.jsonl") == 1 + 7
        where.write_text(where.read_text().replace("calls = 7", "calls = 700"))
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        asked = first.counts()["/v1/chat/completions"] + second.counts()["/v1/chat/completions"]
    assert asked == 5 * 4
    status = deepdialogue("status", "run", cwd=tmp_path).stdout
    assert "asked so far" in status
    assert "llama3-8B" in status


def test_judging_while_generating_ends_in_the_same_dataset(tmp_path):
    what = study(tmp_path, dialogues_per_cell="2")
    slow = REHEARSAL.replace('"rehearsal"\n', '"rehearsal"\nlatency_s = 0.02\nlimit = 2\n')
    for name, more in (("apart", ""), ("together", "overlap = true\n")):
        where = site(tmp_path, more + slow)
        done = deepdialogue(
            "build", what, "--site", where, "--run", name, "--out", f"{name}-out", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "judge: 8 done" in done.stderr
    assert tree(tmp_path / "apart-out") == tree(tmp_path / "together-out")


def test_a_dialogue_begun_with_one_checkpoint_is_not_finished_by_another(tmp_path):
    what = one_judge(tmp_path)
    first, second, judge = servers()
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
        second.held.clear()
        process = started("generate", "--run", "run", "--site", where, cwd=tmp_path)
        # The first turn passes, the second hangs at its server.
        assert wait_for(lambda: second.in_flight or lines(tmp_path / "run/turns.jsonl") > 1, process)
        assert wait_for(lambda: lines(tmp_path / "run/turns.jsonl") == 2, process)
        kill(process)
        second.held.set()
        first.model_sha = "def5678"
        done = deepdialogue("generate", "--run", "run", "--site", where, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (dialogue,) = records(tmp_path / "run/dialogues.jsonl")
    assert dialogue["first_checkpoint"] == f"{FIRST}@def5678"
    journal = [(entry["index"], entry["checkpoint"]) for entry in records(tmp_path / "run/turns.jsonl")]
    assert journal[0] == (0, f"{FIRST}@abc1234")
    assert [index for index, _ in journal[1:]] == [0, 1, 2, 3]
    assert {checkpoint for _, checkpoint in journal[1:]} == {f"{FIRST}@def5678", f"{SECOND}@abc1234"}


def test_an_estimate_tells_calls_tokens_hours_and_money_before_anything_is_asked(tmp_path):
    what = study(tmp_path, dialogues_per_cell="2")
    where = site(
        tmp_path,
        REHEARSAL + '\n[speeds."*"]\nprompt_tokens_per_s = 1000\ncompletion_tokens_per_s = 30\nparallel = 8\n'
        '\n[prices."*"]\nper_hour = 4.0\ncurrency = "EUR"\n',
    )
    done = deepdialogue("plan", what, "--run", "run", "--site", where, "--estimate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    turns = sum(
        len(json.loads(line)["emotions"])
        for line in (tmp_path / "run/scenarios.jsonl").read_bytes().splitlines()[1:]
    )
    (total,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["all"]]
    assert total[1] == str(turns)
    assert total[2] == str(3 * 8), "three judges mark eight dialogues"
    assert len(total) == 9
    assert not (tmp_path / "run/usage.jsonl").exists()


@pytest.mark.parametrize("fault", [None, "model"])
def test_doctor_asks_every_endpoint_and_exits_by_what_it_finds(tmp_path, fault):
    what = one_judge(tmp_path)
    first, second, judge = servers()
    if fault:
        second.model_id = "some/other-model"
    with first, second, judge:
        where = tgi_site(tmp_path, first.url, second.url, judge.url)
        done = deepdialogue("doctor", where, what, cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert done.returncode == (1 if fault else 0), done.stdout
    assert f"{FIRST}@abc1234" in said
    assert f"{JUDGE}@abc1234" in said
    assert ("some/other-model" in said) == bool(fault)


def test_endpoints_without_a_table_or_a_token_say_what_is_missing(tmp_path):
    where = site(tmp_path, REHEARSAL)
    done = deepdialogue("endpoints", "list", where, "quickstart", cwd=tmp_path)
    assert done.returncode == 1
    assert "has no table [endpoints]" in done.stderr
    where = site(
        tmp_path,
        '[endpoints]\nnamespace = "me"\nvendor = "aws"\nregion = "us-east-1"\n'
        '[endpoints.models.phi4-mini]\ninstance_type = "nvidia-l4"\ninstance_size = "x1"\nprice_per_hour = 0.8\n',
    )
    done = deepdialogue("endpoints", "up", where, "quickstart", cwd=tmp_path)
    assert done.returncode == 1
    assert "HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
