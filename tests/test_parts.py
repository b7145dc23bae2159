"""What sharing a run between processes promises."""

import asyncio
import fcntl
import re
import resource

import pytest

from builder.config import Speech
from builder.core.part import Part
from builder.errors import RunError, SourceError
from builder.run import Failure, Run
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
        run.failures("synthesize-xtts").append("a", Failure(id="a", boundary="synthesis", message="no"))
        run.failures("synthesize-xtts").append("b", Failure(id="b", boundary="synthesis", message="no"))
    with Run(judged / "shared") as run:
        run.failures("synthesize-xtts").append("a", Failure(id="a", boundary="resolved", message=""))
        assert [failure.id for failure in run.unresolved("synthesize-xtts")] == ["b"]
    with Run(judged / "shared", part=Part.parse("2/2")) as run:
        assert [failure.id for failure in run.unresolved("synthesize-xtts")] == ["b"]


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
            run.failures("synthesize-xtts")

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

    def work(run, do):
        asyncio.run(run.work("measure-xtts", ["a"], do, total=1, at_once=1, done=0))

    with held(tmp_path / "run", small(judges=())):
        pass
    for part, do, owed in (("1/2", fail, ["a"]), ("1/2", mend, []), (None, fail, ["a"]), ("1/3", mend, [])):
        with Run(tmp_path / "run", part=part and Part.parse(part)) as run:
            work(run, do)
        with Run(tmp_path / "run", writable=False) as run:
            assert [failure.id for failure in run.unresolved("measure-xtts")] == owed
