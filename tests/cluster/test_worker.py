"""What a worker promises, asked as Ray asks it."""

import asyncio
import re
import shutil
from contextlib import asynccontextmanager

import pytest

from builder import terminal
from builder.config import load_site, load_study
from builder.core.part import Part
from builder.core.vocabulary import Model
from builder.pipeline.ray._press import Packer
from builder.pipeline.ray._worker import Worker
from builder.plugins.llm.tgi import TGI
from builder.plugins.tts.espeak import Espeak
from builder.run.folder import Run
from builder.run.pin import begun
from builder.run.share import Share
from builder.stages.package import Cell
from tests.commands import REHEARSAL, site, study
from tests.servers.tgi import TGIServer

PARTS = [Part(index=1, count=2), Part(index=2, count=2)]


@pytest.fixture
def share(tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "_relay", None)
    monkeypatch.setenv("DEEPDIALOGUE_SCRATCH", str(tmp_path / "scratch"))
    what = load_study(
        str(study(tmp_path, dialogues_per_cell="3", pairings='["phi4-mini"]', turns="{ min = 3, max = 3 }"))
    )
    share = Share(str(tmp_path / "shared"))
    share.begin(begun(what))
    return share


def worker(share, folder, where=REHEARSAL):
    return Worker(share.url, load_site(str(site(folder, where))), Part(index=1, count=1), 1)


def held(share):
    with Run(share.view(), writable=False) as run:
        return run.dialogues.ids()


def test_an_engine_is_opened_once_for_all_parts_and_anew_after_an_error(share, tmp_path, monkeypatch):
    opened = []
    usual = Espeak.open

    @asynccontextmanager
    async def counted(self):
        async with usual(self) as synthesizer:
            opened.append(self)
            yield synthesizer
            opened.remove(self)

    monkeypatch.setattr(Espeak, "open", counted)

    async def work():
        one = worker(share, tmp_path)
        for part in PARTS:
            for stages in (("plan", "generate"), ("judge",)):
                assert (await one.work(part, stages, "")).ending == "done"
        tallies = [(await one.work(part, ("synthesize",), "")).tallies[0] for part in PARTS]
        assert all(tally.done for tally in tallies)
        assert len(opened) == 2  # one for each dataset config, over both parts
        assert (await one.work(Part(index=1, count=2), ("sing",), "")).ending == "failed"
        assert not opened

    asyncio.run(work())


def test_what_is_wrong_for_every_part_is_refused_and_the_rest_is_an_answer(share, tmp_path):
    async def ending(text, *stages):
        return await worker(share, tmp_path, text).work(PARTS[0], stages, "")

    nothing = asyncio.run(ending("", "plan", "generate"))
    assert (nothing.ending, nothing.part) == ("refused", "1-of-2")
    assert "has no table [models" in nothing.message
    with share.working(PARTS[0]):
        taken = asyncio.run(ending(REHEARSAL, "plan"))
    assert taken.ending == "lost"
    assert "another process on this machine works on part 1-of-2" in taken.message
    dead = '[models."*"]\nbackend = "openai"\nurl = "http://127.0.0.1:9"\nattempts = 1\n'
    failed = asyncio.run(ending(dead, "plan", "generate"))
    assert failed.ending == "failed"
    assert "http://127.0.0.1:9" in failed.message


def test_what_keeps_a_shard_from_being_written_is_an_answer_that_names_it(share, tmp_path):
    asyncio.run(worker(share, tmp_path).work(Part(index=1, count=1), ("plan", "generate", "judge"), ""))
    packer = Packer(share.url)
    cell = Cell("text-only", "train", "travel", tuple(sorted(held(share))))
    shutil.rmtree(share.scratch())
    share.scratch().write_text("")
    assert re.fullmatch(rf"{re.escape(str(share.scratch()))}/\w+: Not a directory", packer.pack(cell).fault)


def test_a_worker_that_is_stopped_publishes_what_is_finished(share, tmp_path):
    slow = REHEARSAL.replace('"rehearsal"', '"rehearsal"\nlatency_s = 0.05\nlimit = 1')

    async def stopped():
        one = worker(share, tmp_path, slow)
        work = asyncio.create_task(one.work(Part(index=1, count=1), ("plan", "generate"), ""))
        told = [await one.told()]
        while not work.done() and not sum(answer.done for answer in told):
            await asyncio.sleep(0.01)
            told.append(await one.told())
        await one.stop()
        return await work, sum(answer.total for answer in told)

    outcome, total = asyncio.run(stopped())
    assert outcome.ending == "stopped"
    assert total == 6
    assert 1 <= len(held(share)) < 6


def test_what_a_worker_says_is_said_where_it_is_asked(share, tmp_path, capsys):
    async def work():
        one = worker(share, tmp_path, REHEARSAL)
        await one.work(Part(index=1, count=1), ("plan", "generate"), "")
        terminal.say("a line")
        return await one.told(), await one.told()

    first, second = asyncio.run(work())
    assert (first.lines, first.done, first.total) == (("a line",), 6, 6)
    assert (second.lines, second.done, second.total) == ((), 0, 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("limit", "allowed"), [(64, 9), (8, 128)])
def test_workers_together_keep_to_what_the_site_and_the_server_allow(limit, allowed):
    async def limits(url):
        given = []
        for index in (1, 2, 3):
            backend = TGI(url=url, served_as="any", limit=limit).among(Part(index=index, count=3))
            async with backend.open(Model(hub_id="org/any", billion_parameters=1.0)) as endpoint:
                given.append(endpoint.limit)
        return given

    with TGIServer("any", lambda *_: "Yes.", max_concurrent_requests=allowed) as server:
        given = asyncio.run(limits(server.url))
    assert sum(given) == min(limit, allowed)
    assert min(given) >= 2
