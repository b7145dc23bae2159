"""What a run promises of its folder and of the items it works through."""

import asyncio
import errno
import json
import os
from pathlib import Path

import msgspec
import pytest

from builder.config import Speech, load_site
from builder.core.dialogue import Dialogue
from builder.errors import ConfigError, EndpointError, ProtocolError, ReplyError, RunError
from builder.pipeline.places import refuse_nothing
from builder.run.failures import Failure
from builder.run.folder import Run
from builder.run.journal import Answered
from builder.run.ledger import Ledger
from builder.run.work import work
from builder.stages.judge import judge
from tests.commands import deepdialogue, tree
from tests.patience import PATIENCE_S
from tests.runs import held, small, speak


def worked(run, do, items="abcdef", at_once=1):
    return asyncio.run(work(run, "try", items, do, total=len(items), at_once=at_once, done=0))


def journal(run, item):
    run.turns.append(item, Answered(id=item, index=0, checkpoint="x", text=item))


def test_an_item_that_fails_is_recorded_with_its_boundary_and_the_rest_goes_on(tmp_path):
    async def do(item):
        if item == "b":
            raise ProtocolError("the server answers nonsense")
        if item == "d":
            raise ReplyError("empty, empty")
        journal(run, item)

    with Run(tmp_path, small()) as run:
        tally = worked(run, do, at_once=2)
        assert (tally.done, tally.failed, tally.given_up) == (4, 1, 1)
    with Run(tmp_path, writable=False) as run:
        assert sorted(run.turns.ids()) == ["a", "c", "e", "f"]
        failures = {
            failure.id: (failure.boundary, failure.message) for failure in run.failures.unresolved("try")
        }
    assert failures == {"b": ("protocol", "the server answers nonsense"), "d": ("reply", "empty, empty")}


def test_what_failed_and_is_done_later_is_a_failure_no_more(tmp_path):
    async def fail(item):
        raise ReplyError("empty")

    async def do(item):
        journal(run, item)

    with Run(tmp_path, small()) as run:
        worked(run, fail, "ab")
    with Run(tmp_path, small()) as run:
        assert [failure.id for failure in run.failures.unresolved("try")] == ["a", "b"]
        worked(run, do, "b")
    with Run(tmp_path, writable=False) as run:
        assert [failure.id for failure in run.failures.unresolved("try")] == ["a"]


def test_twenty_failures_in_a_row_at_an_endpoint_stop_the_work_and_nineteen_do_not(tmp_path):
    tried = []

    async def do(item):
        tried.append(item)
        if item != 19:
            raise EndpointError("no connection")

    with Run(tmp_path, small()) as run:
        with pytest.raises(EndpointError, match="20 items in a row failed, the last with: no connection"):
            worked(run, do, range(100))
        assert tried == list(range(40))
        assert len(run.failures.unresolved("try")) == 39


def test_replies_that_break_the_rules_never_stop_the_work_however_many_they_are(tmp_path):
    async def do(item):
        raise ReplyError("empty")

    with Run(tmp_path, small()) as run:
        assert worked(run, do, range(50)).given_up == 50


def test_a_disk_error_stops_all_items_at_once_and_what_is_finished_is_kept(tmp_path):
    late = []

    async def do(item):
        if item == "c":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if item == "b":
            await asyncio.sleep(PATIENCE_S)
            late.append(item)
        journal(run, item)

    with Run(tmp_path, small()) as run, pytest.raises(OSError, match="No space left"):
        worked(run, do, at_once=2)
    with Run(tmp_path, writable=False) as run:
        assert run.turns.ids() == ["a"]
        assert not run.failures.unresolved("try")
    assert not late


def test_the_last_line_before_a_lull_reaches_the_disk_though_no_line_follows(tmp_path, monkeypatch):
    on_disk, reached = {}, asyncio.Event()
    sync = os.fdatasync

    def watched(fd):
        sync(fd)
        on_disk[Path(f"/proc/self/fd/{fd}").resolve()] = os.fstat(fd).st_size
        reached.set()

    monkeypatch.setattr(os, "fdatasync", watched)
    with Run(tmp_path / "run", small()) as run:
        path = run.turns.own.path.resolve()

        async def do(item):
            for index in range(2):  # the first waits for the disk, the second need not
                run.turns.append(item, Answered(id=item, index=index, checkpoint="c", text="Well."))
            written = path.stat().st_size
            assert on_disk[path] < written
            async with asyncio.timeout(PATIENCE_S):
                while on_disk[path] < written:
                    reached.clear()
                    await reached.wait()

        asyncio.run(work(run, "try", ["a"], do, total=1, at_once=1, done=0))


def test_an_interruption_is_heard_where_no_item_ever_waits(tmp_path):
    done = []

    async def do(item):
        done.append(item)
        if item == "b":
            asyncio.get_running_loop().call_soon(main[0].cancel)

    main = []

    async def all_of_them():
        main.append(asyncio.current_task())
        await work(run, "try", "abcdef", do, total=6, at_once=1, done=0)

    with Run(tmp_path, small()) as run, pytest.raises(asyncio.CancelledError):
        asyncio.run(all_of_them())
    assert done in (["a", "b"], ["a", "b", "c"])


def test_a_failure_that_names_a_file_whose_name_is_no_text_is_recorded_escaped(tmp_path):
    name = os.fsdecode(b"caf\xe9.json")

    async def do(item):
        raise ProtocolError(f"{name}: not JSON")

    with Run(tmp_path, small()) as run:
        assert worked(run, do, "a").failed == 1
        (failure,) = run.failures.unresolved("try")
    assert failure.message == r"caf\udce9.json: not JSON"


def test_a_study_with_a_misspelt_plugin_is_not_pinned_so_that_the_mended_one_goes_on_in_the_same_folder(
    tmp_path,
):
    wrong = msgspec.structs.replace(small(), judges={"lenght": {}})
    with pytest.raises(ConfigError, match="did you mean 'length'"):
        Run(tmp_path, wrong)
    with Run(tmp_path, small()) as run:
        assert list(run.plugins.judges()) == ["length", "duplicate"]


def test_a_misspelt_run_folder_is_not_made(tmp_path):
    with pytest.raises(RunError, match="is no run folder"):
        Run(tmp_path / "tpyo", site=load_site("rehearsal"))
    assert not tree(tmp_path)
    assert not (tmp_path / "tpyo").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"study":3}', b'{"study":{"name":"\xff"}}'])
def test_a_run_json_that_is_none_is_named_and_left_as_it_is(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    for study in (None, small()):
        with pytest.raises(RunError, match=r"run\.json: cannot be read by this version"):
            Run(tmp_path, study)
    assert (tmp_path / "run.json").read_bytes() == content


def test_a_run_json_with_a_byte_order_mark_is_read_past_it(tmp_path):
    with Run(tmp_path, small()):
        pass
    pin = tmp_path / "run.json"
    pin.write_bytes(b"\xef\xbb\xbf" + pin.read_bytes())
    with Run(tmp_path, small()) as run:
        assert run.study == small()


def test_a_stage_that_has_nothing_to_work_on_says_what_comes_first(tmp_path):
    study = small(speech={"xtts": Speech(voices={"a": "male", "b": "male"})}, measures={"prosody": {}})

    def refused(folder, verb):
        with Run(folder, study) as run, pytest.raises(RunError) as refusal:
            refuse_nothing(run, verb)
        return str(refusal.value).removeprefix(f"{folder}: ")

    assert (
        refused(tmp_path / "a", "generate")
        == "nothing is planned to be held: `deepdialogue plan` comes first"
    )
    assert refused(tmp_path / "a", "judge") == "no dialogue is held yet: `deepdialogue generate` comes first"
    assert refused(tmp_path / "a", "synthesize") == refused(tmp_path / "a", "judge")
    assert refused(tmp_path / "a", "measure").startswith("nothing is recorded yet: `deepdialogue synthesize`")
    with held(tmp_path / "b", study) as run:
        for verb in ("plan", "generate", "judge", "package"):
            refuse_nothing(run, verb)
    assert refused(tmp_path / "b", "synthesize").startswith("none of its 8 dialogues is accepted")


def test_what_is_there_of_a_dialogue_without_its_text_is_told_and_left_out_until_the_text_is_back(
    tmp_path, capsys
):
    with held(tmp_path / "run", small()) as run:
        asyncio.run(judge(run))
        speak(run, list(run.dialogues)[:2])
        lost = run.dialogues.ids()[0]
    ledger = tmp_path / "run/dialogues.jsonl"
    whole = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([whole[0], *whole[2:]]))
    for verb in ("measure", "status", "show", "report"):
        arguments = {"measure": ["--run", "run"], "report": ["run", "--out", "report"]}.get(verb, ["run"])
        done = deepdialogue(verb, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"reviews.jsonl: what it says of 1 dialogue, such as {lost}, is left out until" in done.stderr
        assert "recordings/xtts.jsonl: what it says of 1 dialogue" in done.stderr
    with Run(tmp_path / "run") as run:
        run.dialogues.append(lost, msgspec.json.decode(b"{" + whole[1].partition(b",")[2], type=Dialogue))
        assert asyncio.run(judge(run)).done == 0
    assert capsys.readouterr().err.count("is left out until") == 2


def test_an_id_that_is_none_is_refused_with_its_line_however_the_run_is_opened(tmp_path):
    with held(tmp_path / "run", small()) as run:
        first = next(iter(run.scenarios))
        run.scenarios.append("../../etc", msgspec.structs.replace(first))
    with Ledger(tmp_path / "run/scenarios.jsonl", Failure, writable=True) as ledger:
        ledger.append("x", Failure(id="../../etc", boundary="", message=""))
    with pytest.raises(RunError, match=r"scenarios\.jsonl, line 11: .*'\.\./\.\./etc' is not <pairing>"):
        Run(tmp_path / "run", writable=False)


def test_what_the_folder_is_pinned_to_holds_the_study_and_nothing_of_the_site(tmp_path, monkeypatch):
    monkeypatch.setenv("OUR_TOKEN", "hf_averysecrettokenofours")
    site = tmp_path / "site.toml"
    site.write_text(
        '[models."*"]\nbackend = "tgi"\nurl = "http://node7:8080"\ntoken_env = "OUR_TOKEN"\n',
        encoding="utf-8",
    )
    with Run(tmp_path / "run", small(), load_site(str(site))):
        pinned = (tmp_path / "run/run.json").read_text()
    assert set(json.loads(pinned)) == {"study", "rehearsal", "formerly"}
    assert not any(word in pinned for word in ("node7", "OUR_TOKEN", "hf_avery"))
