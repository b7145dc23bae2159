"""That Orpheus speaks a whole study: from the command line, through a kill, and past failures."""

import asyncio
import json

import msgspec
import pytest

pytest.importorskip("torch", reason="the extra 'orpheus' is not installed")

from builder.config import Site, load_study
from builder.core.scenario import TurnRange
from builder.plugins.tts.orpheus.tokens import FRAME_SAMPLES, VOICES
from builder.run.folder import Run
from builder.stages.synthesize import synthesize
from tests.commands import deepdialogue, kill, site, started, wait_for
from tests.runs import held, small
from tests.servers.orpheus import CHECKPOINT, END, OrpheusServer, spoken

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@pytest.fixture
def table(snac):
    """The engine's settings, for a server."""
    return lambda server, **more: {"engine": "orpheus", "api": "vllm", "url": server.url, "snac": snac} | more


@pytest.fixture(scope="module")
def a_study():
    """Four dialogues of three turns, which only Orpheus speaks.

    Random weights make noise: it is checked for what noise has, and kept as it is spoken.
    """
    speech = msgspec.structs.replace(
        load_study("quickstart").speech["orpheus"],
        checks={"audible": {}, "clipping": {}, "pace": {}},
        mastering=None,
    )
    whole = small(judges=(), speech={"orpheus": speech})
    plan = msgspec.structs.replace(whole.plan, domains=("travel",), turns=TurnRange(min=3, max=3))
    return msgspec.structs.replace(whole, plan=plan)


def heard(folder):
    """Every recording of a run by its id: who spoke, and the clips."""
    with Run(folder, writable=False) as run:
        return {
            one.id: (
                one.engine,
                one.rehearsal,
                one.first_voice,
                one.second_voice,
                [(clip.sha256, clip.num_samples) for clip in one.clips],
            )
            for one in run.recordings["orpheus"]
        }


def test_a_study_is_spoken_from_the_command_line_and_a_killed_run_ends_as_one_that_was_not(
    tmp_path, a_study, table
):
    with OrpheusServer() as server:
        for name in ("calm", "killed"):
            held(tmp_path / name, a_study).__exit__(None, None, None)
        (tmp_path / "slow").mkdir()
        rows, slow = (
            "".join(f"{key} = {json.dumps(value)}\n" for key, value in one.items())
            for one in (table(server), table(server, limit=1))
        )
        where = site(tmp_path, f"[speech.orpheus]\n{rows}")
        # In processes of their own, both: SNAC's sums depend on how many threads PyTorch has, and other tests change that here.
        calmly = deepdialogue("synthesize", "--run", "calm", "--site", where, cwd=tmp_path)
        assert calmly.returncode == 0, calmly.stderr + calmly.stdout
        where = site(tmp_path / "slow", f"[speech.orpheus]\n{slow}")
        command = ("synthesize", "--run", "killed", "--site", where)
        server.takes_s = 0.05
        process = started(*command, cwd=tmp_path)
        ledger = tmp_path / "killed" / "recordings" / "orpheus.jsonl"
        assert wait_for(lambda: ledger.exists() and b'"clips"' in ledger.read_bytes(), process)
        kill(process)
        kept = heard(tmp_path / "killed")
        server.takes_s = 0.0
        done = deepdialogue(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
    calm, killed = heard(tmp_path / "calm"), heard(tmp_path / "killed")
    assert 0 < len(kept) < len(killed) == 4, "it was killed on the way"
    assert {id: killed[id] for id in kept} == kept
    assert killed == calm, "another process, another batch, the same samples"
    for engine, rehearsal, first, second, clips in calm.values():
        assert engine == f"orpheus {CHECKPOINT} with SNAC snac_tiny"
        assert not rehearsal
        assert first != second
        assert {first, second} < set(VOICES)
        assert len(clips) == len({sha for sha, _ in clips}) == 3
        assert all(samples % FRAME_SAMPLES == 0 for _, samples in clips)


def test_what_cannot_be_spoken_is_recorded_and_owed_again(tmp_path, a_study, table):
    def never(voice, text, seed):
        return [END] if "not even one times" in text else spoken(voice, text, seed)

    with OrpheusServer(never) as server, held(tmp_path / "run", a_study) as run:
        run.site = Site(name="here", speech={"orpheus": table(server)})
        assert asyncio.run(synthesize(run)).failed == 4
        failures = run.failures.unresolved("synthesize-orpheus")
        assert {failure.boundary for failure in failures} == {"synthesis"}
        assert all("at last by no audio in 1 tokens" in failure.message for failure in failures)
        server.compose = spoken
        assert asyncio.run(synthesize(run)).done == 4
        assert not run.failures.unresolved("synthesize-orpheus")
