"""What the simulation of a thousand endpoints promises, and that the page's arithmetic is what the code computes."""

import asyncio
import sys
from pathlib import Path

import pytest

import builder.plugins.llm
from benchmarks import ahead, clock
from benchmarks.fleet import Server, Service, Troubles, shared_out
from benchmarks.scale import Case, simulate
from builder.core.prompt import Decoding, Message, Prompt
from builder.dataset import shards
from builder.remote.room import Place, Room, TryError
from builder.run.share import _desk
from builder.stages import generate

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
SERVICE = Service(step_s=0.01, read_s=0.001, slots=4, queue=2)
CALM = Troubles()


def a_prompt(thread="one", characters=400, seed=0):
    """Of a hundred tokens, answered with sixteen."""
    messages = (Message(role="user", content="x" * characters),)
    return Prompt(model="", messages=messages, decoding=Decoding(), seed=seed, thread=thread)


def served(ask, troubles=CALM):
    """What `ask` gives for a server, and when it ended."""

    async def main():
        server = Server(SERVICE, troubles, asyncio.get_running_loop(), "seed")
        return await ask(server), asyncio.get_running_loop().time()

    return clock.run(main())


def all_at_once(number):
    async def ask(server):
        asked = (server.answer(a_prompt(str(thread)), Place(Room(1))) for thread in range(number))
        return await asyncio.gather(*asked, return_exceptions=True)

    return ask


def test_in_virtual_time_a_day_passes_in_no_time_and_timers_keep_their_order():
    async def main():
        woken = []

        async def sleep(seconds):
            await asyncio.sleep(seconds)
            woken.append((seconds, asyncio.get_running_loop().time()))

        await asyncio.gather(*map(sleep, (86_400, 1, 60)))
        return woken

    woken = clock.run(main())
    assert [seconds for seconds, _ in woken] == [1, 60, 86_400]
    assert [at for _, at in woken] == pytest.approx([1, 60, 86_400])


def test_what_a_charged_clock_computes_passes_as_time_and_else_none_does():
    async def main():
        sum(range(300_000))
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == 0
    assert 0 < clock.run(main(), charged=True) < 10


def test_a_thread_from_elsewhere_is_waited_for_where_there_is_no_timer():
    async def main():
        return await asyncio.to_thread(lambda: 7)

    assert clock.run(main()) == 7


def test_an_answer_takes_the_reading_of_its_prompt_and_a_step_for_each_token():
    _, ended_s = served(all_at_once(1))
    assert ended_s == pytest.approx(100 * 0.001 + 16 * SERVICE.step(1))


def test_a_fuller_batch_writes_slower_and_reading_stops_all_writing():
    _, ended_s = served(all_at_once(4))
    assert ended_s == pytest.approx(4 * 100 * 0.001 + 16 * SERVICE.step(4))
    assert SERVICE.step(4) > SERVICE.step(1)


def test_who_finds_the_batch_full_waits_and_who_finds_the_queue_full_is_refused():
    answers, _ = served(all_at_once(8))
    assert [getattr(one, "kind", "") for one in answers] == [""] * 6 + ["429"] * 2

    async def ask(server):
        places = [Place(Room(1)) for _ in range(6)]
        await asyncio.gather(*(server.answer(a_prompt(str(at)), place) for at, place in enumerate(places)))
        return [place.queue_s > 0 for place in places]

    assert served(ask)[0] == [False] * 4 + [True] * 2


def test_what_a_server_holds_of_a_thread_it_does_not_read_again():
    async def ask(server):
        for thread in ("one", "one", "other"):
            await server.answer(a_prompt(thread), Place(Room(1)))

    assert served(ask)[1] == pytest.approx(2 * 100 * 0.001 + 3 * 16 * SERVICE.step(1))


def test_a_server_that_dies_drops_what_it_holds_refuses_and_comes_back_empty():
    async def ask(server):
        ends = []
        while len(ends) < 3:
            try:
                await server.answer(a_prompt(), Place(Room(1)))
            except TryError as error:
                ends.append((error.kind, asyncio.get_running_loop().time()))
                await asyncio.sleep(4)
        await server.answer(a_prompt(), Place(Room(1)))  # twelve seconds later it is there again
        return ends, server.down_s, asyncio.get_running_loop().time()

    (ends, down_s, ended_s), _ = served(ask, Troubles(lives_s=30.0, away_s=10.0))
    assert [kind for kind, _ in ends] == ["connection"] * 3
    assert [at for _, at in ends] == pytest.approx([ends[0][1] + seconds for seconds in (0, 4, 8)])
    assert down_s == pytest.approx(10)
    assert ended_s == pytest.approx(ends[0][1] + 12 + 100 * 0.001 + 16 * SERVICE.step(1))


def test_endpoints_are_shared_out_by_work_and_every_model_has_one():
    assert shared_out({"large": 6.0, "small": 3.0, "rare": 0.01}, 10) == {"large": 6, "small": 3, "rare": 1}


@pytest.fixture
def plugins(monkeypatch):
    """Whatever the simulation adds to the folder of backends is taken away again."""
    monkeypatch.setattr(builder.plugins.llm, "__path__", list(builder.plugins.llm.__path__))
    monkeypatch.setattr(builder.plugins.llm, "simulated", None, raising=False)
    monkeypatch.setitem(sys.modules, "builder.plugins.llm.simulated", None)
    monkeypatch.delitem(sys.modules, "builder.plugins.llm.simulated")


@pytest.mark.parametrize(("processes", "rough"), [(1, False), (3, True)])
def test_the_real_scheduler_holds_every_dialogue_and_not_before_the_bound(
    plugins, tmp_path, processes, rough
):
    outcome = simulate(Case(endpoints=18, per_cell=1, processes=processes, rough=rough), tmp_path)
    assert outcome.dialogues == 41 * 16
    assert outcome.calls >= 41 * 16 * 3
    assert outcome.bound_s <= outcome.span_s < 3 * outcome.bound_s
    assert 0 < outcome.used <= outcome.used_before_tail <= 1
    assert outcome.jain > 0.98
    assert ("503" in outcome.failed) == rough


def test_the_page_holds_the_tables_that_are_computed():
    lines = PAGE.read_text().splitlines()
    for line in filter(None, ahead.tables(ahead.RUNS)):
        assert line in lines


def test_the_plan_of_the_paper_is_what_the_page_multiplies():
    run = ahead.Ahead(65_600, 9)
    assert (run.dialogues, run.turns) == (65_600, 426_909)
    assert run.clips == pytest.approx(243_295)
    assert set(run.replicas.values()) == {1}
    assert run.gpus == 17


def test_ten_times_the_dialogues_take_ten_times_as_much_and_more_endpoints_less_time():
    one, ten, wide = ahead.Ahead(10**6, 100), ahead.Ahead(10**7, 100), ahead.Ahead(10**6, 200)
    assert ten.text_hours == pytest.approx(10 * one.text_hours, rel=1e-4)
    assert sum(ten.audio.values()) == pytest.approx(10 * sum(one.audio.values()))
    assert one.text_hours / 2.1 < wide.text_hours < one.text_hours / 1.9
    assert wide.text_gpu_hours == pytest.approx(one.text_gpu_hours)


@pytest.mark.parametrize("worked_s", [3, 60, 499, 3_000, 40_000])
def test_as_often_as_a_desk_would_a_part_is_taken_to_be_published(worked_s):
    now, made = 0.0, 0
    while now < worked_s:
        now += min(_desk._LONGEST_PAUSE_S, max(_desk._PAUSE_S, _desk._PAUSE_SHARE * now))
        made += now <= worked_s
    assert ahead.commits(worked_s) == pytest.approx(max(1, made), rel=0.02, abs=1)
    assert ahead.commits(worked_s, audio=1e12) == pytest.approx(1e12 / _desk._MOST_AUDIO)


def test_what_the_arithmetic_takes_from_the_project_is_so():
    assert shards.FILE_BYTES == ahead.SHARD
    assert generate._MOST_AT_ONCE == ahead.DIALOGUES_AT_ONCE
    assert [limit.dialogues for limit in ahead.limits()] == sorted(
        limit.dialogues for limit in ahead.limits()
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (9.0, "9"),
        (0.00313, "0.00313"),
        (57.94, "57.9"),
        (624_018, "624,000"),
        (10.0**8, "100,000,000"),
    ],
)
def test_a_figure_has_three_digits_that_count(value, text):
    assert ahead.told(value) == text
