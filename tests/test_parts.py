"""What sharing a run between processes promises."""

import asyncio
import fcntl
import re
import resource

import pytest

from builder.config import Speech
from builder.core.part import Part
from builder.core.prompt import Completion, Decoding, Prompt
from builder.core.usage import Budget
from builder.errors import BudgetError, RunError, SourceError
from builder.run.failures import Failure
from builder.run.folder import Run
from builder.run.meter import Meter, read_usage
from builder.run.work import work
from builder.stages.judge import judge
from tests.commands import REHEARSAL, deepdialogue, kill, lines, site, started, study, tree, wait_for
from tests.runs import held, small


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A run with everything but its recordings, and the dataset that one process makes of its copy."""
    folder = tmp_path_factory.mktemp("parts")
    what, where = study(folder, dialogues_per_cell="3"), site(folder, REHEARSAL)
    for verb in ("plan", "generate", "judge"):
        assert deepdialogue(verb, what, "--site", where, "--run", "whole", cwd=folder).returncode == 0
    (folder / "shared").mkdir()
    for path in (folder / "whole").iterdir():
        if path.is_file():
            (folder / "shared" / path.name).write_bytes(path.read_bytes())
        else:
            (folder / "shared" / path.name).mkdir()
            for file in path.iterdir():
                (folder / "shared" / path.name / file.name).write_bytes(file.read_bytes())
    made = deepdialogue("build", "--run", "whole", "--site", where, "--out", "dist/whole", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder


def test_parts_at_once_make_the_bytes_that_one_process_makes_and_a_killed_one_goes_on(judged):
    where = judged / "site.toml"
    speak = ["synthesize", "--run", "shared", "--site", where, "--part"]
    first, second = started(*speak, "1/2", cwd=judged), started(*speak, "2/2", cwd=judged)
    own = judged / "shared/recordings/xtts.2-of-2.jsonl"
    assert wait_for(lambda: lines(own) > 1, second)
    kill(second)
    assert first.wait() == 0, first.stdout.read()
    first.communicate()
    said = deepdialogue(*speak, "2/2", cwd=judged)
    assert said.returncode == 0, said.stderr
    done, before = map(int, re.search(r"synthesize: (\d+) done, (\d+) done before", said.stderr).groups())
    assert done
    assert before
    both = deepdialogue("synthesize", "--run", "shared", "--site", where, cwd=judged)
    assert "synthesize: 0 done" in both.stderr
    packaged = deepdialogue("package", "--run", "shared", "--out", "dist/shared", cwd=judged)
    assert packaged.returncode == 0, packaged.stderr
    assert tree(judged / "dist/shared") == tree(judged / "dist/whole")
    held = {path.name for path in (judged / "shared/audio/xtts").iterdir()}
    assert held == {"00000.1-of-2.flacs", "00000.2-of-2.flacs"}


def test_dialogues_held_and_judged_by_parts_make_the_same_bytes_though_a_killed_part_is_cut_anew(judged):
    what, where = judged / "configs/quickstart.toml", judged / "site.toml"
    slow = site(judged / "configs", REHEARSAL.replace('"rehearsal"', '"rehearsal"\nlatency_s = 0.1'))
    assert deepdialogue("plan", what, "--run", "cut", cwd=judged).returncode == 0
    first = deepdialogue("generate", "--run", "cut", "--site", where, "--part", "1/2", cwd=judged)
    assert first.returncode == 0, first.stderr
    second = started("generate", "--run", "cut", "--site", slow, "--part", "2/2", cwd=judged)
    assert wait_for(lambda: lines(judged / "cut/turns.2-of-2.jsonl") > 1, second)
    kill(second)
    for verb in ("generate", "judge"):
        for part in ("1/3", "2/3", "3/3"):
            said = deepdialogue(verb, "--run", "cut", "--site", where, "--part", part, cwd=judged)
            assert said.returncode == 0, said.stderr
    with Run(judged / "cut", writable=False) as run:
        asked = [(entry.id, entry.prompt) for ledger in run.turns.all for entry in ledger.lines()]
    assert len(asked) == len(set(asked)) == lines(judged / "whole/turns.jsonl") - 1
    made = deepdialogue("build", "--run", "cut", "--site", where, "--out", "dist/cut", cwd=judged)
    assert made.returncode == 0, made.stderr
    assert "judge: 0 done" in made.stderr
    assert tree(judged / "dist/cut") == tree(judged / "dist/whole")


def test_twins_in_two_parts_are_found_once_the_later_part_is_there(tmp_path):
    with held(tmp_path / "run", small(judges=("duplicate",)), words="we all say the same thing every day"):
        pass
    halves = [Part.parse("2/2"), Part.parse("1/2")]

    def outcomes():
        with Run(tmp_path / "run", writable=False) as run:
            return {id: run.decision(run.reviews[id]).outcome for id in run.dialogues.ids()}

    def judged_by(part):
        with Run(tmp_path / "run", part=part) as run:
            return asyncio.run(judge(run))

    with Run(tmp_path / "run", writable=False) as run:
        late = [entry for entry in run.dialogues if entry.id in halves[0]]
        early = [entry for entry in run.dialogues if entry.id in halves[1]]
    assert early
    assert late
    for path in tmp_path.glob("run/dialogues.*jsonl"):
        path.unlink()
    for part, dialogues in zip(halves, (late, early), strict=True):
        with Run(tmp_path / "run", part=part) as run:
            for dialogue in dialogues:
                run.dialogues.append(dialogue.id, dialogue)
        judged_by(part)
    before = outcomes()
    judged_by(halves[0])
    found = outcomes()
    assert {found[id] for id in found if found[id] != before[id]} == {"rejected"}
    with held(
        tmp_path / "whole", small(judges=("duplicate",)), words="we all say the same thing every day"
    ) as run:
        asyncio.run(judge(run))
        assert {id: run.decision(run.reviews[id]).outcome for id in run.dialogues.ids()} == found
    with Run(tmp_path / "run") as run:
        assert asyncio.run(judge(run)).done == 0


def test_a_part_may_use_its_share_of_the_budget_and_what_its_earlier_attempts_used_counts(tmp_path):
    class Answers:
        checkpoint, limit = "ORG/NAME", 1

        async def complete(self, _):
            return Completion(text="yes", finish_reason="stop", prompt_tokens=1, completion_tokens=1)

    async def ask(writer, times):
        with Meter(tmp_path, budget=Budget(calls=11), part=Part.parse("2/3"), writer=writer) as meter:
            endpoint = meter.wrap("one", Answers())
            for _ in range(times):
                await endpoint.complete(Prompt(model="one", messages=(), decoding=Decoding(), seed=0))

    asyncio.run(ask("2-of-3.000001", 2))
    with pytest.raises(BudgetError, match="3 calls are used, the budget is 3 calls"):
        asyncio.run(ask("2-of-3.000002", 2))
    assert read_usage(tmp_path)["one"].calls == 3


def test_parts_and_the_whole_keep_out_of_each_others_way(judged):
    where = judged / "site.toml"
    assert (
        deepdialogue("plan", judged / "configs/quickstart.toml", "--run", "busy", cwd=judged).returncode == 0
    )
    waiting = site(judged / "configs", REHEARSAL.replace('"rehearsal"', '"rehearsal"\nlatency_s = 20'))
    whole = started("generate", "--run", "busy", "--site", waiting, cwd=judged)
    assert wait_for((judged / "busy/pulse.json").exists, whole)
    refused = deepdialogue("synthesize", "--run", "busy", "--site", where, "--part", "1/2", cwd=judged)
    kill(whole)
    assert refused.returncode == 1
    assert "another process works on part 1-of-2 of busy, or on the whole: wait for it" in refused.stderr


@pytest.mark.parametrize("part", ["0/2", "3/2", "half"])
def test_what_is_no_part_is_one_line(judged, part):
    refused = deepdialogue("synthesize", "--run", "shared", "--part", part, cwd=judged)
    assert refused.returncode == 2
    assert f"{part!r} is not a part such as 3/16" in refused.stderr


def test_a_part_twice_or_one_that_overlaps_with_another_is_refused(judged):
    with Run(judged / "whole", part=Part.parse("1/2")), Run(judged / "whole", part=Part.parse("2/2")):
        with pytest.raises(RunError, match="another process works on part 1-of-2"):
            Run(judged / "whole", part=Part.parse("1/2"))
        with pytest.raises(
            RunError, match="another process works on 1-of-2, which overlaps with 2-of-3: cut"
        ):
            Run(judged / "whole", part=Part.parse("2/3"))
        with pytest.raises(RunError, match=r"another process works on .*whole: wait for it"):
            Run(judged / "whole")
    with Run(judged / "whole"):
        pass


def test_a_failure_that_another_part_mended_is_not_owed_any_more(judged):
    with Run(judged / "shared", part=Part.parse("1/2")) as run:
        run.failures.of("synthesize-xtts").append("a", Failure(id="a", boundary="synthesis", message="no"))
        run.failures.of("synthesize-xtts").append("b", Failure(id="b", boundary="synthesis", message="no"))
    with Run(judged / "shared") as run:
        run.failures.of("synthesize-xtts").append("a", Failure(id="a", boundary="resolved", message=""))
        assert [failure.id for failure in run.failures.unresolved("synthesize-xtts")] == ["b"]
    with Run(judged / "shared", part=Part.parse("2/2")) as run:
        assert [failure.id for failure in run.failures.unresolved("synthesize-xtts")] == ["b"]


def test_parts_of_a_new_cut_that_start_at_once_do_not_take_each_other_for_parts_of_the_old_one(tmp_path):
    folder, old, new = tmp_path / "run", Part.parse("1/2"), Part.parse("1/3")
    with held(folder, small(judges=())):
        pass
    with Run(folder, part=old):
        pass
    with (folder / ".lock.1-of-2").open() as asked:
        fcntl.flock(asked, fcntl.LOCK_SH)  # as a sibling does that looks whether the old part is at work
        with Run(folder, part=new):
            pass
    with Run(folder, part=old), pytest.raises(RunError, match="works on 1-of-2, which overlaps with 1-of-3"):
        Run(folder, part=new)


def test_a_run_of_more_parts_than_files_may_usually_be_open_is_read_and_worked_on(tmp_path):
    with held(tmp_path / "run", small(judges=(), speech={"xtts": Speech(voices={"a": "male", "b": "male"})})):
        pass
    for index in range(1, 101):
        with Run(tmp_path / "run", part=Part(index=index, count=100)) as run:
            run.failures.of("synthesize-xtts").append("a", Failure(id="a", boundary="resolved", message=""))

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    looked = deepdialogue("status", "run", cwd=tmp_path, preexec=few)
    assert looked.returncode == 0, looked.stderr
    where = site(tmp_path, REHEARSAL)
    some = deepdialogue(
        "synthesize", "--run", "run", "--site", where, "--part", "7/100", cwd=tmp_path, preexec=few
    )
    assert some.returncode == 0, some.stderr


def test_what_fails_again_is_owed_though_another_part_had_mended_it_before(tmp_path):
    async def fail(id):
        raise SourceError(f"no {id}")

    async def mend(id):
        pass

    def worked(run, do):
        asyncio.run(work(run, "measure-xtts", ["a"], do, total=1, at_once=1, done=0))

    with held(tmp_path / "run", small(judges=())):
        pass
    for part, do, owed in (("1/2", fail, ["a"]), ("1/2", mend, []), (None, fail, ["a"]), ("1/3", mend, [])):
        with Run(tmp_path / "run", part=part and Part.parse(part)) as run:
            worked(run, do)
        with Run(tmp_path / "run", writable=False) as run:
            assert [failure.id for failure in run.failures.unresolved("measure-xtts")] == owed
