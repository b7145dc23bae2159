"""What measuring promises: every clip once, by every measure that can run, whatever is killed, damaged or missing meanwhile."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest

from builder.config import Site
from builder.core.part import Part
from builder.core.speech import Take, pauses
from builder.errors import ConfigError, RunError
from builder.run.audio import encode
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.stages.measure import measure
from tests.patience import PATIENCE_S
from tests.runs import held, small

RATE = 16_000
ROOT = Path(__file__).parents[2]
PROSODY = {"prosody": {}}
BOTH = {"prosody": {}, "naturalness": {"samples": "float32"}}


def study(measures):
    return small(judges=(), measures=measures)


def sound(seed):
    """A buzz with a pitch of its own, in bursts."""
    draw = np.random.default_rng(seed)
    time = np.arange(RATE // 2) / RATE
    f0_hz = draw.uniform(90, 300)
    wave = sum(np.sin(2 * np.pi * f0_hz * number * time) / number for number in range(1, 8))
    return np.rint(4000 * wave * (1 + np.sin(2 * np.pi * 4 * time))).astype(np.int16)


def recorded(folder, measures=PROSODY, configs=("xtts",), order=1, **how):
    """A run whose eight dialogues are spoken in these configs."""
    run = held(folder, study(measures), order=order, **how)
    for number, config in enumerate(configs):
        with Recorder(run.audio(config), run.recorded(config)) as recorder:
            for id in run.dialogues.ids():
                speak(recorder, run.dialogues[id], number)
    return run


def speak(recorder, dialogue, number):
    texts = tuple(turn.text for turn in dialogue.turns)
    takes = [
        Take(
            samples=sound([number, position, *dialogue.id.encode()]),
            pause_samples=pause,
            ravdess="neutral",
        )
        for position, pause in enumerate(pauses(texts, RATE))
    ]
    recorder.keep(
        dialogue.id,
        engine="buzz",
        rehearsal=True,
        voices=("Anna", "Karl"),
        sampling_rate_hz=RATE,
        takes=takes,
    )


def again(folder, measures=PROSODY, **how):
    return Run(folder, study(measures), **how)


def measured(run):
    return asyncio.run(measure(run))


async def begun(run):
    while not run.measured("xtts").ids():  # noqa: ASYNC110 - a ledger tells nobody
        await asyncio.sleep(0.001)


def lines(run, config="xtts"):
    """What was measured, by id, as it is written."""
    return {record.id: msgspec.json.encode(record) for record in run.measured(config)}


@pytest.fixture(scope="module")
def loudest(tmp_path_factory):
    """A predictor that says the highest sample."""
    torch = pytest.importorskip("torch", reason="the extra 'transformers' is not installed")

    class Loudest(torch.nn.Module):
        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            return samples.abs().amax(dim=1)

    path = tmp_path_factory.mktemp("jit") / "loudest.jit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Loudest()).save(path)
    return Site(name="here", measures={"naturalness": {"path": str(path)}})


def test_every_clip_of_every_config_is_measured_once(tmp_path):
    with recorded(tmp_path / "run", configs=("orpheus", "xtts")) as run:
        assert measured(run).done == 16
        for config in ("orpheus", "xtts"):
            assert set(run.measured(config).ids()) == set(run.dialogues.ids())
            for record in run.measured(config):
                assert record.done == ("prosody",)
                assert len(record.clips) == len(run.dialogues[record.id].turns)
                assert all(
                    clip["f0_median_hz"] > 80 and clip["characters_per_s"] > 0 for clip in record.clips
                )
        before = lines(run, "orpheus"), lines(run, "xtts")
        assert before[0] != before[1]
        tally = measured(run)
        assert (tally.done, tally.skipped) == (0, 16)
        assert (lines(run, "orpheus"), lines(run, "xtts")) == before


def test_the_order_of_work_and_the_number_of_runs_it_took_leave_no_trace(tmp_path, loudest):
    with recorded(tmp_path / "one", BOTH) as run:
        run.site = loudest
        measured(run)
        straight = lines(run)
    with recorded(tmp_path / "other", BOTH, order=-1) as run:
        measured(run)
        run.site = loudest
        measured(run)
        assert lines(run) == straight


def test_a_study_that_measures_nothing_measures_nothing(tmp_path):
    with recorded(tmp_path / "run", {}) as run:
        assert measured(run).done == 0
        assert not lines(run)


def test_a_measure_without_weights_is_said_not_to_have_run_and_runs_once_there_are_some(tmp_path, loudest):
    folder = tmp_path / "run"
    with recorded(folder, BOTH) as run:
        assert measured(run).done == 8
        for record in run.measured("xtts"):
            assert record.done == ("prosody",)
            assert record.not_run == {
                "naturalness": "no site names its weights: set path under [measures.naturalness] in a site"
            }
        assert measured(run).skipped == 8, "what cannot run is not tried again and again"
        prosody = {record.id: record.clips for record in run.measured("xtts")}
    with again(folder, BOTH, site=loudest) as run:
        assert measured(run).done == 8
        for record in run.measured("xtts"):
            assert record.done == ("naturalness", "prosody")
            assert record.not_run == {}
            for clip, before in zip(record.clips, prosody[record.id], strict=True):
                assert {name: clip[name] for name in before} == before
                assert 0.1 < clip["mos"] < 1
    with again(folder, BOTH) as run:
        assert measured(run).skipped == 8, "what was measured stays, also where its weights are not"


def test_another_reason_not_to_run_is_said(tmp_path, loudest, monkeypatch):
    with recorded(tmp_path / "run", BOTH) as run:
        measured(run)
        run.site = loudest
        monkeypatch.setitem(sys.modules, "torch", None)
        assert measured(run).done == 8
        (reason,) = {record.not_run["naturalness"] for record in run.measured("xtts")}
        assert "pip install 'deepdialogue[transformers]'" in reason


def test_weights_that_cannot_be_loaded_stop_it_before_anything_is_measured(tmp_path):
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    with recorded(tmp_path / "run", BOTH) as run:
        run.site = Site(name="here", measures={"naturalness": {"path": str(tmp_path / "no.jit")}})
        with pytest.raises(ConfigError, match=r"no\.jit' cannot be loaded"):
            measured(run)
        assert not lines(run)


def test_a_damaged_clip_is_named_and_the_rest_goes_on(tmp_path):
    with recorded(tmp_path / "run") as run:
        torn, changed, *_ = run.dialogues.ids()
        audio = run.folder / "audio/xtts/00000.flacs"
        whole = audio.read_bytes()
        first, second = run.recordings["xtts"][torn].clips[1], run.recordings["xtts"][changed].clips[2]
        damaged = bytearray(whole)
        damaged[first.offset : first.offset + 4] = b"OggS"
        other = encode(np.full(RATE // 2, 3, np.int16), RATE)
        damaged[second.offset : second.offset + len(other)] = other
        audio.write_bytes(damaged)
        tally = measured(run)
        assert (tally.done, tally.failed) == (6, 2)
        failures = {failure.id: failure for failure in run.failures.unresolved("measure-xtts")}
        assert failures.keys() == {torn, changed}
        assert {failure.boundary for failure in failures.values()} == {"source"}
        assert failures[torn].message.startswith(
            f"turn 2 of {torn}, at byte {first.offset} of 00000.flacs: {first.num_bytes} bytes that are not whole FLAC"
        )
        assert failures[changed].message == (
            f"turn 3 of {changed}, at byte {second.offset} of 00000.flacs: "
            "its samples are not those that were recorded: bring the audio file back"
        )
        audio.write_bytes(whole)
        assert measured(run).done == 2
        assert run.failures.unresolved("measure-xtts") == []


def test_an_audio_file_that_is_gone_stops_it_by_name(tmp_path):
    with recorded(tmp_path / "run") as run:
        (run.folder / "audio/xtts/00000.flacs").unlink()
        with pytest.raises(RunError, match=r"00000\.flacs: No such file"):
            measured(run)


def test_a_part_measures_its_own_dialogues_and_the_fullest_record_counts(tmp_path, loudest):
    folder = tmp_path / "run"
    with recorded(folder, BOTH) as run:
        measured(run)
        ids = set(run.dialogues.ids())
    done = set()
    for index in (1, 2):
        part = Part(index=index, count=2)
        with again(folder, BOTH, site=loudest, part=part) as run:
            mine = {id for id in ids if id in part}
            assert measured(run).done == len(mine)
            assert measured(run).skipped == len(mine)
            assert {record.id for record in run.measured("xtts").own} == mine
            done |= mine
    assert done == ids
    with again(folder, BOTH, site=loudest) as run:
        assert measured(run).done == 0, "what the parts measured is not measured again"


def test_a_process_that_dies_is_said_and_what_was_measured_is_kept(tmp_path):
    folder = tmp_path / "run"

    async def killing(run):
        work = asyncio.create_task(measure(run))
        await begun(run)
        for process in multiprocessing.active_children():
            process.kill()
        await work

    with recorded(folder) as run:
        # Enough work that some is left when the first is done.
        for id in run.dialogues.ids():
            for number in range(9):
                twin = f"{id.rpartition('_')[0]}{number:03}_{len(run.dialogues[id].turns)}"
                run.dialogues.append(twin, msgspec.structs.replace(run.dialogues[id], id=twin))
                run.recordings["xtts"].append(
                    twin, msgspec.structs.replace(run.recordings["xtts"][id], id=twin)
                )
        with pytest.raises(
            RunError, match=r"a process that ran the measure 'prosody' died.*run measure again"
        ):
            asyncio.run(killing(run))
        kept = lines(run)
        assert 0 < len(kept) < 8 * 10
        assert measured(run).skipped == len(kept)
        assert lines(run).items() >= kept.items()


def test_an_interruption_ends_its_processes_and_keeps_what_is_done(tmp_path):
    async def interrupted(run):
        work = asyncio.create_task(measure(run))
        await begun(run)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    with recorded(tmp_path / "run") as run:
        asyncio.run(interrupted(run))
        assert not multiprocessing.active_children()
        done = len(lines(run))
        assert done >= 1
        tally = measured(run)
        assert (tally.done, tally.skipped) == (8 - done, done)


PARENT = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import os
from builder.plugins.measures.prosody import Prosody
from builder.stages.measure import _begin
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), _begin, ({"prosody": Prosody()},)) as pool:
        pool.submit(os.getpid).result()
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        sys.stdin.read()
"""


def test_its_processes_do_not_outlive_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    ) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert children
        for number in (signal.SIGINT, signal.SIGTERM):
            for pid in children:
                os.kill(pid, number)
        time.sleep(0.2)
        assert all(map(alive, children)), "what the whole group hears is for the parent to answer"
        parent.kill()
    deadline = time.monotonic() + PATIENCE_S
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
