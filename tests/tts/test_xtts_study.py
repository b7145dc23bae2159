"""What XTTS promises of a whole study: spoken by the real command line, killed, and gone on with."""

import json
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import msgspec
import pytest

pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.__main__ import main
from builder.config import Speech
from builder.core.emotion import RAVDESS
from builder.core.scenario import TurnRange
from builder.run.folder import Run
from tests.commands import kill, site, wait_for
from tests.processes import Verb, environment
from tests.ravdess import make_ravdess
from tests.runs import held
from tests.runs import small as small_study
from tests.tiny_xtts import make_xtts, small


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a function of this module as a process that has the library, which takes ten seconds to import, from the first."""
    server = forkserver.ForkServer()
    server.set_forkserver_preload(["tests.processes", "builder.pipeline", "TTS.tts.models.xtts"])
    monkeypatch.setattr(forkserver, "set_forkserver_preload", mock.Mock())
    monkeypatch.setattr(forkserver, "ensure_running", server.ensure_running)
    monkeypatch.setattr(forkserver, "connect_to_new_process", server.connect_to_new_process)
    yield lambda do, *arguments: Verb(arguments, tmp_path, environment(), do=do)
    server._stop()


def small_main(arguments):
    """The command line, where the library builds its networks small."""
    with small():
        return main(arguments)


def make(arguments):
    with small():
        make_xtts(Path(*arguments))


def heard(folder):
    with Run(folder, writable=False) as run:
        return {
            one.id: (one.first_voice, one.second_voice, [(clip.sha256, clip.gain_db) for clip in one.clips])
            for one in run.recordings["xtts"]
        }


@pytest.fixture
def command(tmp_path, started):
    """Two runs of four dialogues of three turns, and what speaks one of them."""
    # Random weights say nothing that a check should hear.
    speech = Speech(voices={"actor-01": "male", "actor-02": "female"})
    study = small_study(judges=(), speech={"xtts": speech})
    plan = msgspec.structs.replace(study.plan, domains=("travel",), turns=TurnRange(min=3, max=3))
    for name in ("calm", "killed"):
        held(tmp_path / name, msgspec.structs.replace(study, plan=plan)).__exit__(None, None, None)
    model = tmp_path / "model"
    making = started(make, model)
    said, _ = making.communicate()
    assert making.returncode == 0, said
    references = make_ravdess(tmp_path / "clips", classes=RAVDESS)

    def command(name, batch):
        settings = {
            "engine": "xtts",
            "path": str(model),
            "references": str(references),
            "cache": str(tmp_path / "cache"),
            "device": "cpu",
            "batch": batch,
        }
        rows = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        (tmp_path / f"site-{batch}").mkdir(exist_ok=True)
        where = site(tmp_path / f"site-{batch}", f"[speech.xtts]\n{rows}")
        return "synthesize", "--run", name, "--site", where

    return command


def test_a_killed_run_ends_in_the_clips_of_one_that_was_not_also_with_another_batch(
    tmp_path, started, command
):
    calmly = started(small_main, *command("calm", 4))
    said, _ = calmly.communicate()
    assert calmly.returncode == 0, said
    process = started(small_main, *command("killed", 2))
    ledger = tmp_path / "killed/recordings/xtts.jsonl"
    was_running = wait_for(lambda: ledger.exists() and b'"clips"' in ledger.read_bytes(), process)
    kill(process)
    assert was_running
    kept = heard(tmp_path / "killed")
    resumed = started(small_main, *command("killed", 3))
    said, _ = resumed.communicate()
    assert resumed.returncode == 0, said
    assert f"synthesize: {4 - len(kept)} done, {len(kept)} done before" in said
    killed = heard(tmp_path / "killed")
    assert {id: killed[id] for id in kept} == kept
    assert killed == heard(tmp_path / "calm")
    assert len(killed) == 4
