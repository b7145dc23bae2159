"""What taking in a published repository promises: what a folder of it gives, from one commit, fetched once and not kept."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.__main__ import main
from builder.config import load_study
from builder.errors import ConfigError, EndpointError, RunError, SourceError
from builder.evidence.findings import gather
from builder.evidence.findings.speech import find
from builder.hub.address import Address
from builder.remote import hub as client
from builder.run.audio import decode
from builder.run.folder import Run
from builder.run.work import Tally
from builder.stages.ingest import Chosen, ingest
from tests.commands import kill, lines, tree, wait_for
from tests.patience import PATIENCE_S
from tests.published import (
    ENGINES,
    FINANCE,
    PAIRING,
    TRAVEL,
    TURNS,
    noise,
    publish,
    read,
    rows_of,
    segments_of,
    text_of,
)
from tests.releases import pointed
from tests.servers.hub import READER, Hub, cut, drop, refuse

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT.parent / "shared" / "published-sample"
XTTS, ORPHEUS = Address("lab/talk-xtts", None), Address("lab/talk-orpheus", None)
OTHER = "phi4-14B/work_1_3"

needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="the sample of published dialogues is not beside the checkout"
)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_S", 0.0)
    with Hub(page=5) as hub, pointed(hub, tmp_path / "hf"):
        yield hub


@pytest.fixture
def source(tmp_path, hub):
    """Three dialogues, each spoken by both engines, in a folder and on the Hub."""
    for dialogue in (TRAVEL, FINANCE):
        publish(tmp_path / "source", dialogue)
    publish(tmp_path / "source", OTHER, model1="microsoft/phi-4", model2="microsoft/phi-4")
    for engine, address in zip(ENGINES, (ORPHEUS, XTTS), strict=True):
        hub.commit_folder(address.name, tmp_path / "source" / engine)
    return tmp_path / "source"


def upload(hub, source, engine="xtts", **repository):
    """Brings what a test changed in the folder to the Hub."""
    hub.commit_folder(f"lab/talk-{engine}", source / engine, **repository)


def take_in(folder, *sources, **chosen):
    """The tally, and the failures by id, of one ingestion."""
    with Run(folder, load_study("published")) as run:
        tally = asyncio.run(ingest(run, *sources, chosen=Chosen(**chosen)))
        return tally, {failure.id: failure.message for failure in run.failures.unresolved("ingest")}


def held(folder):
    """All that a run holds, in an order that does not depend on what came first."""
    with Run(folder, load_study("published")) as run:
        sounds = {}
        for config, recordings in run.recordings.items():
            for recording in recordings:
                clips = [
                    (
                        decode(run.audio(config).read(clip.file, clip.offset, clip.num_bytes))[0].tobytes(),
                        (clip.ravdess, clip.pause_samples, clip.faults, clip.sha256),
                    )
                    for clip in recording.clips
                ]
                sounds[config, recording.id] = clips
        return {dialogue.id: dialogue for dialogue in run.dialogues}, sounds


def fetched(hub):
    """How often each file was sent whole, by its path in the repository."""
    return Counter(
        call.path.partition("/resolve/")[2].partition("/")[2] for call in hub.asked("GET /datasets/")
    )


def left(folder):
    """The files of the published layout that a run still has."""
    return [path for path in folder.glob("sources/*/data/**/*") if path.is_file()]


def test_the_hub_gives_the_run_that_the_folder_gives_and_keeps_no_file_of_it(hub, source, tmp_path):
    assert take_in(tmp_path / "local", source) == (Tally(done=6), {})
    assert take_in(tmp_path / "run", XTTS, ORPHEUS, full=True) == (Tally(done=6), {})
    assert held(tmp_path / "run") == held(tmp_path / "local")
    assert left(tmp_path / "run") == []
    assert not (tmp_path / "hf").exists()


def test_only_segments_are_fetched_where_there_are_some_and_that_is_said(hub, source, tmp_path, capsys):
    shutil.rmtree(segments_of(source, "xtts", TRAVEL)[0].parent)
    upload(hub, source)
    assert take_in(tmp_path / "run", XTTS) == (Tally(done=3), {})
    asked = fetched(hub)
    fulls = [path for path in asked if path.endswith("_full.wav")]
    assert [Path(path).name for path in fulls] == ["travel_1_3_full.wav"]
    assert set(asked.values()) == {1}
    assert "that the segments join to them is not verified" in capsys.readouterr().err
    for path in source.rglob("*_full.wav"):
        if "travel" not in path.name:
            path.unlink()
    take_in(tmp_path / "local", source / "xtts")
    assert held(tmp_path / "run") == held(tmp_path / "local")


def test_dialogues_bytes_and_the_time_that_is_left_are_told_on_the_way(
    hub, source, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("builder.terminal._LINE_EVERY_S", 0.0)
    take_in(tmp_path / "run", XTTS)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ingest: ")]
    assert len(lines) == 3
    told = r"ingest: 3 of 3, [\d.]+/s, 0:00:00 left; ([\d.]+ kB) of \1, [\d.]+ [kM]?B(ytes)?/s, 0:00:00 left"
    assert re.fullmatch(told, lines[-1]), lines[-1]


def test_a_second_run_fetches_nothing_and_lists_nothing_again(hub, source, tmp_path):
    take_in(tmp_path / "run", XTTS)
    before = tree(tmp_path / "run")
    hub.calls.clear()
    assert take_in(tmp_path / "run", XTTS) == (Tally(skipped=3), {})
    assert not fetched(hub)
    assert len(hub.calls) == 3
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ({"domains": ("travel", "work")}, {TRAVEL, OTHER}),
        ({"pairings": (PAIRING,)}, {TRAVEL, FINANCE}),
        ({"domains": ("finance",), "pairings": (PAIRING,)}, {FINANCE}),
    ],
)
@pytest.mark.parametrize("where", ["hub", "folder"])
def test_a_subset_is_all_that_is_fetched_and_taken_in(hub, source, tmp_path, chosen, ids, where):
    tally, _ = take_in(tmp_path / "run", XTTS if where == "hub" else source / "xtts", **chosen)
    assert tally == Tally(done=len(ids))
    dialogues, _ = held(tmp_path / "run")
    assert set(dialogues) == ids
    assert {Path(path).stem for path in fetched(hub) if path.endswith(".json")} == (
        {id.partition("/")[2] for id in ids} if where == "hub" else set()
    )
    if "pairings" in chosen:
        assert not hub.asked("/tree/.*phi4-14B")
    assert take_in(tmp_path / "run", XTTS if where == "hub" else source / "xtts")[0].done == 3 - len(ids)


def test_a_text_that_was_lost_is_fetched_again_without_its_sound(hub, source, tmp_path):
    take_in(tmp_path / "run", XTTS)
    ledger = tmp_path / "run/dialogues.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    hub.calls.clear()
    assert take_in(tmp_path / "run", XTTS) == (Tally(done=1, skipped=2), {})
    ((path, count),) = fetched(hub).items()
    assert (Path(path).suffix, count) == (".json", 1)


def test_a_subset_of_unknown_words_or_of_nothing_is_refused_by_name(hub, source, tmp_path):
    with pytest.raises(ConfigError, match="unknown domain 'travels': did you mean 'travel'"):
        take_in(tmp_path / "run", XTTS, domains=("travels",))
    with pytest.raises(ConfigError, match="unknown pairing 'phi4-15B': did you mean 'phi4-14B'"):
        take_in(tmp_path / "run", XTTS, pairings=("phi4-15B",))
    for one in (XTTS, source):
        with pytest.raises(SourceError, match="holds no published dialogue of art"):
            take_in(tmp_path / "run", one, domains=("art",))


@pytest.mark.parametrize(
    "fault", [refuse(503), refuse(429, retry_after=0), drop, cut], ids=["503", "429", "drop", "cut"]
)
def test_whichever_call_fails_the_run_is_the_same(hub, source, tmp_path, fault):
    take_in(tmp_path / "whole", XTTS, pairings=("phi4-14B",))
    whole, count = held(tmp_path / "whole"), len(hub.calls)
    for index in range(count):
        hub.fail_call(index, fault)
        assert take_in(tmp_path / f"run{index}", XTTS, pairings=("phi4-14B",)) == (Tally(done=1), {})
        assert held(tmp_path / f"run{index}") == whole
        shutil.rmtree(tmp_path / f"run{index}")


def test_a_dialogue_whose_file_does_not_come_is_owed_and_the_rest_goes_on(hub, source, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_ATTEMPTS", 2)
    hub.fail("travel_1_3/segments/002", refuse(503), times=2)
    tally, failures = take_in(tmp_path / "run", XTTS)
    assert tally == Tally(done=2, failed=1)
    assert "503 Service Unavailable" in failures[f"xtts:{TRAVEL}"]
    assert left(tmp_path / "run") == []
    hub.calls.clear()
    assert take_in(tmp_path / "run", XTTS) == (Tally(done=1, skipped=2), {})
    assert all("travel_1_3" in path for path in fetched(hub))


def test_a_hub_that_is_gone_ends_the_run_in_one_line(hub, source, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_ATTEMPTS", 2)
    hub.fail("GET /datasets/", refuse(503), times=10**6)
    for index in range(2, 30):
        publish(source, f"{PAIRING}/art_{index}_3", ["xtts"])
    upload(hub, source)
    with pytest.raises(EndpointError, match="20 items in a row failed"):
        take_in(tmp_path / "run", XTTS)


def test_what_is_damaged_on_the_hub_is_refused_by_its_place_there(hub, source, tmp_path):
    segment = segments_of(source, "xtts", TRAVEL)[1]
    segment.write_bytes(segment.read_bytes()[:-100])
    text_of(source, "xtts", FINANCE).unlink()
    upload(hub, source)
    tally, failures = take_in(tmp_path / "run", XTTS)
    assert tally == Tally(done=1, failed=2)
    place = f"hf://datasets/lab/talk-xtts@{hub.head('lab/talk-xtts')[:8]}/data/dialogues_{PAIRING}"
    assert failures[f"xtts:{TRAVEL}"].startswith(f"{place}/travel_1_3/segments/002_LLM2_happy.wav: cut off")
    assert failures[f"xtts:{FINANCE}"].startswith(f"{place}/finance_2_4.json: there is no such file")
    assert str(tmp_path) not in "".join(failures.values())


def test_a_run_stays_with_the_commit_it_began_with_and_says_that_there_is_another(
    hub, source, tmp_path, capsys
):
    take_in(tmp_path / "run", XTTS, domains=("travel",))
    first = hub.head(XTTS.name)
    shutil.rmtree(text_of(source, "xtts", FINANCE).with_suffix(""))
    publish(source, FINANCE, ["xtts"], clips=[noise(9, 900)] * 4)
    upload(hub, source)
    second = hub.head(XTTS.name)
    hub.calls.clear()
    capsys.readouterr()
    assert take_in(tmp_path / "run", XTTS)[0] == Tally(done=2, skipped=1)
    assert f"main is at {second} by now; this run stays with {first}" in capsys.readouterr().err
    assert all(first in call.path for call in hub.asked("GET /datasets/"))
    with pytest.raises(
        RunError, match=f"takes 'xtts' from {XTTS.name}@{first}, not from {XTTS.name}@{second}"
    ):
        take_in(tmp_path / "run", Address(XTTS.name, "main"))
    assert take_in(tmp_path / "run", Address(XTTS.name, first))[0] == Tally(skipped=3)
    hub.commit_folder("lab/other-xtts", source / "xtts")
    with pytest.raises(RunError, match=f"takes 'xtts' from {XTTS.name}@{first}, not from lab/other-xtts@"):
        take_in(tmp_path / "run", Address("lab/other-xtts", None))


def test_a_named_revision_is_what_is_taken_in(hub, source, tmp_path):
    hub.tag(XTTS.name, "v1")
    hub.commit(XTTS.name, {f"data/dialogues_{PAIRING}/travel_1_3.json": b"{}"})
    assert take_in(tmp_path / "run", Address(XTTS.name, "v1")) == (Tally(done=3), {})


def test_too_little_room_is_said_with_the_numbers_before_anything_is_fetched(
    hub, source, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3000))
    with pytest.raises(
        RunError, match=r"takes about 1\d\.\d kB as FLAC, and 3\.0 kB are free there: make room, or"
    ):
        take_in(tmp_path / "run", XTTS)
    assert not fetched(hub)


def test_a_repository_that_is_misspelt_is_refused_before_another_is_taken_in(hub, source, tmp_path):
    with pytest.raises(ConfigError, match="no dataset 'lab/walk-orpheus'"):
        take_in(tmp_path / "run", XTTS, Address("lab/walk-orpheus", None))
    assert not fetched(hub)


def test_a_folder_that_is_no_pairings_is_named_and_left_out(hub, source, tmp_path, capsys):
    hub.commit(XTTS.name, {"data/dialogues_a b/travel_1_3.json": b"{}", "data/notes/x.txt": b"x"})
    assert take_in(tmp_path / "run", XTTS) == (Tally(done=3), {})
    said = capsys.readouterr().err
    for name in ("data/dialogues_a b", "data/notes"):
        assert f"{name!r} is no pairing's folder: left where it is" in said


def test_a_repository_of_another_layout_is_refused_with_what_it_has_and_what_is_needed(hub, tmp_path):
    hub.commit("lab/walk-xtts", {"data/train-0.parquet": b"x", "data/more/a.wav": b"y", "README.md": b"z"})
    hub.commit("lab/none-xtts", {"README.md": b"z"})
    with pytest.raises(
        SourceError, match=r"has 'data/more', 'data/train-0\.parquet', where data/dialogues_<pairing>"
    ):
        take_in(tmp_path / "run", Address("lab/walk-xtts", None))
    with pytest.raises(SourceError, match=r"'README\.md', where data/dialogues_<pairing>/<id>\.json"):
        take_in(tmp_path / "run2", Address("lab/none-xtts", None))


def test_a_path_that_leads_out_is_no_part_of_the_layout(hub, source, tmp_path):
    folder = f"data/dialogues_{PAIRING}"
    names = [
        f"{folder}/../../../../out.json",
        f"{folder}/..json",
        f"{folder}/...json",
        f"{folder}/../segments/001_LLM1_sad.wav",
        f"{folder}/x/y.json",
    ]
    hub.commit(XTTS.name, dict.fromkeys(names, b"{}"))
    assert take_in(tmp_path / "run", XTTS)[0].done == 3
    assert not set(names) & set(fetched(hub))
    assert not list(tmp_path.rglob("out.json"))


def write_rows(path, ids, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([row for id in ids for row in rows_of(id, **columns)]), path)


@pytest.mark.parametrize("where", ["hub", "folder"])
def test_text_that_there_is_in_rows_alone_is_taken_from_them(hub, source, tmp_path, where):
    take_in(tmp_path / "whole", source / "xtts", pairings=(PAIRING,))
    write_rows(source / "xtts/data/train-00000-of-00001.parquet", (TRAVEL, FINANCE))
    for path in source.rglob("*.json"):
        path.unlink()
    upload(hub, source)
    taken = take_in(
        tmp_path / "run", XTTS if where == "hub" else source / "xtts", pairings=(PAIRING,), full=True
    )
    assert taken == (Tally(done=2), {})
    (texts, sounds), (whole, heard) = held(tmp_path / "run"), held(tmp_path / "whole")
    assert sounds == heard
    for id, dialogue in texts.items():
        assert dialogue.turns == whole[id].turns
        # No column says what spoke, nor when: the names of the pairing's models do, as the vocabulary has them.
        assert (dialogue.timestamp, dialogue.second_checkpoint) == (None, "Qwen/Qwen2.5-72B-Instruct")
    assert (
        take_in(tmp_path / "run", XTTS if where == "hub" else source / "xtts", pairings=(PAIRING,))[0].skipped
        == 2
    )


def test_rows_are_fetched_once_and_fetched_again_where_they_are_damaged(hub, source, tmp_path):
    write_rows(source / "xtts/data/train.parquet", (TRAVEL, FINANCE))
    upload(hub, source)
    take_in(tmp_path / "run", XTTS, domains=("travel",))
    take_in(tmp_path / "run", XTTS, domains=("finance",))
    assert fetched(hub)["data/train.parquet"] == 1
    (kept,) = left(tmp_path / "run")
    kept.write_bytes(kept.read_bytes()[:-9])
    assert take_in(tmp_path / "run", XTTS)[0] == Tally(done=1, skipped=2)
    assert fetched(hub)["data/train.parquet"] == 2


def test_parquet_of_another_kind_is_left_unread_and_parquet_too_large_for_text_unfetched(
    hub, source, tmp_path, capsys, monkeypatch
):
    write_rows(source / "xtts/data/large.parquet", [TRAVEL] * 500, text="x" * 100)
    pq.write_table(pa.table({"audio": [b"x"]}), source / "xtts/data/other.parquet")
    upload(hub, source)
    monkeypatch.setattr("builder.hub.published._ROWS_MOST", 2000)
    assert take_in(tmp_path / "run", XTTS) == (Tally(done=3), {})
    said = capsys.readouterr().err
    assert "data/large.parquet has" in said
    assert "other.parquet is no text in rows, for it has no column conversation_id, model_dir" in said
    assert fetched(hub)["data/large.parquet"] == 0


def test_a_link_to_rows_out_of_the_source_is_refused(source, tmp_path):
    write_rows(tmp_path / "rows.parquet", [TRAVEL])
    (source / "xtts/data/rows.parquet").symlink_to(tmp_path / "rows.parquet")
    with pytest.raises(SourceError, match="is a link out of the source"):
        take_in(tmp_path / "run", source)


@pytest.mark.parametrize("where", ["hub", "folder"])
def test_a_clip_that_another_text_was_spoken_for_is_kept_and_flagged_by_the_rows(
    hub, source, tmp_path, where
):
    rows = [row for id in (TRAVEL, FINANCE) for row in rows_of(id)]
    spoken = {
        TRAVEL: ["Shall we go", TURNS[2][1], TURNS[2][1]],
        FINANCE: ["shall we go?", None, "I miss it", "So do I"],
    }
    for row, text in zip(rows, [text for texts in spoken.values() for text in texts], strict=True):
        row["audio_original_text"] = text
    pq.write_table(pa.Table.from_pylist(rows), source / "xtts/data/train.parquet")
    upload(hub, source)
    assert take_in(tmp_path / "run", XTTS if where == "hub" else source / "xtts") == (Tally(done=3), {})
    with Run(tmp_path / "run", load_study("published")) as run:
        flags = {
            recording.id: ["text" in clip.faults for clip in recording.clips]
            for recording in run.recorded("xtts")
        }
    # Case and punctuation are no difference, nor is it one where the rows say nothing.
    assert flags == {TRAVEL: [False, True, False], FINANCE: [False] * 4, OTHER: [False] * 3}


def test_what_the_checks_find_is_recorded_counted_and_said_and_the_clip_is_kept_as_it_is(
    source, tmp_path, capsys
):
    steady = [noise(seed, 36_000) for seed in range(3)]
    gap = np.concatenate([noise(5, 12_000), np.zeros(30_000, np.int16), noise(6, 12_000)])
    publish(source, TRAVEL, ["xtts"], clips=[steady[0], gap, steady[2]])
    run = tmp_path / "run"
    assert main(["ingest", str(source / "xtts"), "--domain", "travel", "--run", str(run)]) == 0
    with Run(run, load_study("published")) as opened:
        (recording,) = opened.recorded("xtts")
        assert ["gap" in clip.faults for clip in recording.clips] == [False, True, False]
        assert {clip.attempts for clip in recording.clips} == {1}
    _, sounds = held(run)
    assert np.array_equal(np.frombuffer(sounds["xtts", TRAVEL][1][0], np.int16), gap)
    assert "xtts: " in (said := capsys.readouterr().err)
    assert "clips are flagged: " in said
    assert "gap (1)" in said
    with Run(run, load_study("published"), writable=False) as opened:
        finding = find(gather(opened))
    (faults,) = (table.rows for table in finding.tables if table.name == "faults")
    assert ("xtts", "clip as published", "gap", 1) in faults
    out = tmp_path / "dist"
    assert main(["package", "--run", str(run), "--out", str(out)]) == 0
    assert "kept as they were published, with" in (card := (out / "README.md").read_text())
    assert "`gap` (1)" in card


def process(hub, home, *arguments, token=None):
    """Starts the verb as a user does, on a token of its own."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return subprocess.Popen(
        [sys.executable, "-m", "builder", "ingest", *map(str, arguments)],
        cwd=ROOT,
        env=kept | hub.environment(home, token),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_killed_at_any_moment_it_goes_on_and_fetches_no_finished_dialogue_again(hub, source, tmp_path):
    async def slow(request, handler):
        await asyncio.sleep(0.02)
        return await handler(request)

    for index in range(2, 22):
        publish(source, f"{PAIRING}/art_{index}_3", ["xtts"])
    upload(hub, source)
    hub.fail("GET /cdn/", slow, times=10**6)
    hub.repos[XTTS.name].private = True
    run = tmp_path / "run"
    ledger, finished = run / "recordings/xtts.jsonl", set()
    for stop in (1, 6, 12, None):
        hub.calls.clear()
        started = process(hub, tmp_path / "hf", XTTS.name, "--run", run, "--connections", 2, token=READER)
        if stop:
            assert wait_for(lambda stop=stop: lines(ledger) > stop, started)
            kill(started)
        else:
            said = started.communicate(timeout=PATIENCE_S)[0]
            assert started.returncode == 0, said
        asked = {part for path in fetched(hub) for part in Path(path).with_suffix("").parts}
        assert asked.isdisjoint(finished)
        finished = {json.loads(line)["id"].partition("/")[2] for line in ledger.read_bytes().splitlines()[1:]}
    assert len(finished) == 23
    assert left(run) == []
    for path in source.rglob("*_full.wav"):
        path.unlink()
    take_in(tmp_path / "local", source / "xtts")
    assert held(run) == held(tmp_path / "local")


def test_interrupted_it_stops_cleanly_and_leaves_no_file_of_the_repository(hub, source, tmp_path):
    async def slow(request, handler):
        await asyncio.sleep(0.2)
        return await handler(request)

    hub.fail("GET /cdn/", slow, times=10**6)
    started = process(hub, tmp_path / "hf", XTTS.name, "--run", tmp_path / "run", "--connections", 1)
    assert wait_for(lambda: left(tmp_path / "run"), started)
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=PATIENCE_S)[0]
    assert started.returncode == 130
    assert said.splitlines()[-1].startswith("deepdialogue: interrupted: what is finished is kept")
    assert left(tmp_path / "run") == []


def test_a_private_repository_without_a_token_is_one_line_and_exit_status_1(hub, source, tmp_path):
    hub.repos[XTTS.name].private = True
    done = process(hub, tmp_path / "hf", XTTS.name, "--run", tmp_path / "run")
    (line,) = done.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert done.returncode == 1
    assert line.startswith(
        "deepdialogue: error: the Hub has no dataset 'lab/talk-xtts', or this token may not read it"
    )


@needs_sample
def test_the_published_sample_comes_from_the_hub_as_from_its_folder_up_to_load_dataset(hub, tmp_path):
    for engine in ENGINES:
        hub.commit_folder(f"SALT-Research/DeepDialogue-{engine}", SAMPLE / engine)
    names = [f"SALT-Research/DeepDialogue-{engine}" for engine in ENGINES]
    for run, sources in (("hub", [*names, "--full"]), ("folder", [SAMPLE])):
        assert main(["ingest", *map(str, sources), "--run", str(tmp_path / run)]) == 0
        assert main(["package", "--run", str(tmp_path / run), "--out", str(tmp_path / f"{run}-out")]) == 0
    assert held(tmp_path / "hub") == held(tmp_path / "folder")
    packaged = tree(tmp_path / "hub-out")
    assert packaged == tree(tmp_path / "folder-out")
    assert b"`gap` (6)" in packaged["README.md"]

    import datasets

    rows = datasets.load_dataset(
        str(tmp_path / "hub-out"), "xtts", split="train", cache_dir=str(tmp_path / "cache")
    )
    rows = rows.cast_column("audio", datasets.List(datasets.Audio(decode=False)))
    assert len(rows) > 5
    segment = segments_of(SAMPLE, "xtts", rows[0]["id"])[0]
    assert np.array_equal(decode(rows[0]["audio"][0]["bytes"])[0], read(segment))
