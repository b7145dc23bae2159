"""What a desk promises: killed, lost, doubled or cut off at any moment, what was published stays, and once."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from builder.core.part import Part
from builder.errors import BusyError, EndpointError, OvertakenError, RunError, StorageError
from builder.run.folder import Run
from builder.run.share import _desk
from tests.processes import Verb
from tests.servers.s3 import BUCKET
from tests.share import parts
from tests.share.parts import all_ids, begun, do, owed, published, work

HALF, OTHER = Part.parse("1/2"), Part.parse("2/2")


def worker(share, who, *, every=1, part="1/2", when=(), **environment):
    arguments = [share.url, part, who, every, *when]
    return Verb(arguments, Path.cwd(), os.environ | environment, do=parts.main)


def left(share):
    """What the folders of killed processes hold, as this machine keeps them."""
    return sorted(path.name for path in share.scratch().glob("*-of-*") if path.is_dir())


@pytest.mark.parametrize(("when", "number"), [("before", 1), ("before", 3), ("after", 3), ("before", 5)])
def test_a_killed_process_goes_on_where_it_was_and_what_it_published_is_not_done_again(
    share, tmp_path, when, number
):
    """The third object that is created is the first commit; before it go the ledgers and the audio that it names."""
    killed = worker(share, "ann", when=(when, number))
    assert killed.wait() == -signal.SIGKILL, killed.communicate()
    killed.communicate()
    before, _ = published(share, tmp_path / "before")
    assert len(before) == (1 if (when, number) in {("after", 3), ("before", 5)} else 0)
    assert left(share) == ["1-of-2"]
    work(share, HALF, "bob")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)
    assert before.items() <= who.items()
    assert list(who.values()).count("ann") == max(1, len(before) + (number == 5))
    assert {share.chain("1-of-2").commit(number).writer for number in range(1, share.head("1-of-2") + 1)} == {
        "1-of-2.000001"
    }
    assert left(share) == []


def test_a_lost_nodes_part_is_taken_over_and_only_what_it_did_not_publish_is_done(share, tmp_path):
    killed = worker(share, "ann", when=("before", 6))
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    before, _ = published(share, tmp_path / "before")
    assert len(before) == 1
    shutil.rmtree(share.scratch())
    work(share, HALF, "bob")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)
    assert {id for id, name in who.items() if name == "ann"} == set(before)


def test_of_two_attempts_at_once_one_goes_on_and_the_other_stops_and_publishes_nothing_more(
    share, tmp_path, monkeypatch
):
    monkeypatch.setattr(_desk, "_LONGEST_PAUSE_S", 0)
    with share.working(HALF, tmp_path / "ann") as ann, Run(ann.folder, part=HALF, desk=ann) as hers:
        first, second, *_ = owed(hers)
        do(hers, first, "ann")
        ann.publish()
        overtaken = pytest.raises(
            OvertakenError, match="another process went on with part 1-of-2, and published commit 2"
        )
        with (
            overtaken,
            share.working(HALF, tmp_path / "bob") as bob,
            Run(bob.folder, part=HALF, desk=bob) as his,
        ):
            assert first.id not in {one.id for one in owed(his)}
            do(his, second, "bob")
            do(hers, second, "ann")
            ann.publish_if_due()
            bob.publish_if_due()
        assert bob.overtaken
        assert not bob.folder.exists()
        for scenario in owed(hers):
            do(hers, scenario, "ann")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)
    assert set(who.values()) == {"ann"}


def test_two_that_began_from_nothing_bear_one_name_and_are_told_apart(share, tmp_path):
    """Neither had published anything, so that both are the first writer."""
    overtaken = pytest.raises(OvertakenError)
    with (
        overtaken,
        share.working(HALF, tmp_path / "ann") as ann,
        Run(ann.folder, part=HALF, desk=ann) as hers,
    ):
        do(hers, owed(hers)[0], "ann")
        left = tmp_path / "copy"
        with share.working(HALF, tmp_path / "bob") as bob, Run(bob.folder, part=HALF, desk=bob) as his:
            assert bob.writer == ann.writer
            do(his, owed(his)[0], "bob")
        shutil.copytree(tmp_path / "ann", left)
    with share.working(HALF, left) as again:
        assert again.writer == "1-of-2.000002"
    who, _ = published(share, tmp_path / "view")
    assert list(who.values()) == ["bob"]


def test_two_processes_on_two_nodes_at_one_part_publish_it_exactly_once(share, tmp_path):
    nodes = [worker(share, who, DEEPDIALOGUE_SCRATCH=str(tmp_path / who)) for who in ("ann", "bob")]
    said = [node.communicate()[0] for node in nodes]
    if all(node.returncode for node in nodes):
        pytest.fail("\n".join(said))
    for node, words in zip(nodes, said, strict=True):
        assert node.returncode == 0 or "another process went on with part 1-of-2" in words
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)


def test_two_processes_on_one_machine_do_not_work_on_one_part(share):
    busy = pytest.raises(BusyError, match="another process on this machine works on part 1-of-2: wait for it")
    with share.working(HALF), share.working(OTHER), busy, share.working(HALF):
        pass


def test_what_another_cutting_published_is_not_done_again(share, tmp_path):
    work(share, HALF, "ann")
    for part in ("1/3", "2/3", "3/3"):
        work(share, Part.parse(part), "bob")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids()
    assert {id for id, name in who.items() if name == "ann"} == all_ids(HALF)


def test_nothing_to_do_publishes_nothing(share):
    work(share, HALF, "ann")
    head = share.head("1-of-2")
    work(share, HALF, "bob")
    assert share.head("1-of-2") == head


def test_a_torn_line_and_audio_that_no_line_names_stay_behind(share, tmp_path):
    work(share, HALF, "ann", limit=1)
    with share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        do(run, owed(run)[0], "bob")
        desk.publish()
        (ledger,) = desk.folder.glob(f"dialogues.{desk.writer}.jsonl")
        (audio,) = desk.folder.glob(f"audio/xtts/*.{desk.writer}.flacs")
        sizes = ledger.stat().st_size, audio.stat().st_size
        with ledger.open("ab") as lines, audio.open("ab") as clips:
            lines.write(b'{"id":"torn')
            clips.write(b"fLaC")
    share.pull(tmp_path / "view", audio=True)
    pulled = tmp_path / "view" / ledger.name, tmp_path / "view/audio/xtts" / audio.name
    assert tuple(path.stat().st_size for path in pulled) == sizes


def test_much_audio_is_published_in_several_commits_each_whole_in_itself(share, tmp_path, monkeypatch):
    monkeypatch.setattr(_desk, "_MOST_AUDIO", 40_000)
    work(share, HALF, "ann", every=100)
    assert share.head("1-of-2") > 1
    for number in range(1, share.head("1-of-2") + 1):
        share.pull_to(tmp_path / str(number), {"1-of-2": number}, audio=True)
        for line in (
            (tmp_path / str(number) / "recordings/xtts.1-of-2.000001.jsonl").read_text().splitlines()[1:]
        ):
            for clip in json.loads(line)["clips"]:
                file = tmp_path / str(number) / "audio/xtts" / clip["file"]
                assert file.stat().st_size >= clip["offset"] + clip["num_bytes"]
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)


def test_an_error_and_an_interruption_publish_what_is_finished(share, tmp_path):
    for error in (EndpointError("gone"), KeyboardInterrupt()):
        raised = pytest.raises(type(error))
        with (
            raised,
            share.working(HALF) as desk,
            Run(desk.folder, part=HALF, desk=desk) as run,
        ):
            do(run, owed(run)[0], "ann")
            raise error
    who, told = published(share, tmp_path / "view")
    assert len(who) == len(told) == 2
    assert left(share) == []


def test_storage_that_is_away_for_a_while_stops_no_work_and_is_said_once(
    share, place, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(_desk, "_LONGEST_PAUSE_S", 0)
    with share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        first, second, third, *_ = owed(run)
        do(run, first, "ann")
        desk.publish_if_due()
        place.away()
        for scenario in (second, third):
            do(run, scenario, "ann")
            desk.publish_if_due()
        said = capsys.readouterr().err
        assert said.count(f"work goes on in {desk.folder}, and is published when it does") == 1
        place.back()
        desk.publish_if_due()
        assert "answers again; what was finished meanwhile is published" in capsys.readouterr().err
        who, told = published(share, tmp_path / "view")
        assert set(who) == told == {first.id, second.id, third.id}


def test_a_server_that_is_killed_and_comes_back_in_mid_work_costs_nothing(s3, tmp_path, monkeypatch):
    said = []

    def say(line):
        said.append(line)
        s3.start()

    monkeypatch.setattr(_desk, "_AGAIN_S", 0.1)
    monkeypatch.setattr(_desk, "say", say)
    share = begun(f"s3://{BUCKET}/restarted/run")
    with share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        for count, scenario in enumerate(owed(run)):
            do(run, scenario, "ann")
            if not count:
                desk.publish()
                s3.stop()
    (line,) = said
    assert line.endswith("trying again for 60 s")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)


def test_storage_that_stays_away_is_one_line_and_the_same_command_later_publishes_what_is_there(
    share, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(_desk, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(_desk, "_AGAIN_S", 0.1)
    folder = share.scratch() / "1-of-2"
    said = pytest.raises(
        StorageError, match=f"what is finished is in {folder}, and is published by the same command"
    )
    with said, share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        do(run, owed(run)[0], "ann")
        place.away()
    place.back()
    assert left(share) == ["1-of-2"]
    work(share, HALF, "bob")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)
    assert list(who.values()).count("ann") == 1


def test_who_interrupts_does_not_wait_for_storage_that_is_away(share, place, capsys, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        do(run, owed(run)[0], "ann")
        place.away()
        raise KeyboardInterrupt
    assert "is published by the same command on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("pattern", [r"\d{6}\.json$", r"\.ledgers$"])
def test_an_answer_that_is_lost_publishes_nothing_twice(s3, tmp_path, monkeypatch, pattern):
    monkeypatch.setattr(_desk, "_AGAIN_S", 0.1)
    share = begun(f"s3://{BUCKET}/lost-{len(pattern)}/run")
    with share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        for scenario in owed(run):
            do(run, scenario, "ann")
            s3.faults.append(("PUT", pattern, "lost answer"))
            desk.finish(60)
    assert not s3.faults
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)


def test_a_scratch_folder_that_lost_files_is_dropped_and_not_trusted(share, tmp_path):
    killed = worker(share, "ann", when=("before", 6))
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    next((share.scratch() / "1-of-2").glob("audio/xtts/*")).unlink()
    work(share, HALF, "bob")
    who, told = published(share, tmp_path / "view")
    assert set(who) == told == all_ids(HALF)


def test_whether_stand_ins_take_part_is_said_once_for_all_nodes(share, tmp_path):
    with share.working(HALF) as desk, Run(desk.folder, part=HALF, desk=desk) as run:
        run.pin.rehearse("text", rehearsal=True)
    with share.working(OTHER) as desk, Run(desk.folder, part=OTHER, desk=desk) as run:
        assert run.pin.rehearsal
        with pytest.raises(
            RunError, match="its text was rehearsed so far, and with this site would be really made"
        ):
            run.pin.rehearse("text", rehearsal=False)
    with share.working(OTHER) as one, share.working(HALF) as other:
        assert one.pin_rehearsal("judges", rehearsal=False) is False
        assert other.pin_rehearsal("judges", rehearsal=True) is False
