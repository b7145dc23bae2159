"""What the room at an endpoint promises."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import clock
from builder.errors import ProtocolError
from builder.plugins.llm.openai import OpenAI
from builder.plugins.llm.tgi import TGI
from builder.remote.room import LONGEST_PAUSE_S, Pace, Room, TryError
from tests.llm.asking import HUB_ID, a_model, a_prompt
from tests.servers.loopback import answer
from tests.servers.tgi import TGIServer

times = st.floats(min_value=0, max_value=1000)
good = st.tuples(st.just("good"), st.booleans(), times, times)
overloaded = st.tuples(st.just("overloaded"), st.booleans(), times, times)
events = st.lists(st.tuples(st.integers(0, 5), good | overloaded), max_size=300)


def succeed(pace, tries, *, used=True, queue_s=0.0, inference_s=0.0):
    for _ in range(tries):
        pace.succeeded(pace.cuts, used=used, queue_s=queue_s, inference_s=inference_s)


def refuse(pace, tries):
    """So many tries that the server refuses, each admitted when it is."""
    for _ in range(tries):
        pace.overloaded(pace.cuts, 0.0)


@given(st.integers(1, 300), events)
def test_whatever_happens_the_limit_stays_between_one_and_the_most(most, happened):
    pace = Pace(most)
    assert pace.limit == max(1, most // 2)
    for now, (age, (what, used, queue_s, inference_s)) in enumerate(happened):
        before = pace.limit, pace.cuts
        admitted = pace.cuts - age
        if what == "good":
            pace.succeeded(admitted, used=used, queue_s=queue_s, inference_s=inference_s)
        else:
            pace.overloaded(admitted, float(now), queue_s)
        assert 1 <= pace.limit <= most
        if age:
            assert (pace.limit, pace.cuts) == before
        elif what == "overloaded":
            assert pace.limit <= before[0]
        assert pace.cuts <= before[1] + 1


@given(st.integers(1, 300), st.integers(100, 400))
def test_a_burst_of_failures_is_one_cut(most, burst):
    pace = Pace(most)
    succeed(pace, 2 * most)
    before, admitted = pace.limit, pace.cuts
    for _ in range(burst):
        pace.overloaded(admitted, 0.0)
    assert pace.cuts == 1
    assert max(1, before // 2) <= pace.limit <= max(1, before * 3 // 4 + 1)


def test_a_server_that_refuses_everything_halves_the_limit_again_and_again():
    pace = Pace(64)
    refuse(pace, 8)
    assert pace.limit == 16
    refuse(pace, 8)
    assert pace.limit == 8
    refuse(pace, 100)
    assert pace.limit == 1


def test_refusals_that_have_nothing_to_do_with_the_load_leave_most_of_the_limit():
    pace = Pace(64)
    least = 64
    for _ in range(500):
        refuse(pace, 1)
        succeed(pace, 19)
        least = min(least, pace.limit)
    assert least >= 24


def test_what_was_admitted_before_a_cut_does_not_raise_the_limit_after_it():
    pace = Pace(64)
    refuse(pace, 8)
    for _ in range(100):
        pace.succeeded(0, used=True)
    assert (pace.cuts, pace.limit) == (1, 16)


def test_a_limit_that_the_server_tells_is_where_it_starts_and_no_other():
    assert Pace(64, told=True).limit == 64
    assert Pace(64).limit == 32


def test_the_limit_doubles_until_it_is_first_cut():
    pace = Pace(200)
    assert pace.limit == 100
    succeed(pace, 50)
    assert pace.limit == 150
    succeed(pace, 1000)
    assert pace.limit == 200


def test_after_a_cut_it_takes_a_limits_worth_of_good_tries_for_one_more():
    pace = Pace(64)
    refuse(pace, 8)
    assert pace.limit == 16
    tries = []
    for limit in (17, 18, 19):
        tries.append(0)
        while pace.limit < limit:
            succeed(pace, 1)
            tries[-1] += 1
    assert 17 <= tries[1] <= tries[2] <= 19


@given(st.integers(1, 128), st.integers(1, 200))
def test_it_recovers_from_any_number_of_cuts(most, refusals):
    pace = Pace(most)
    refuse(pace, refusals)
    succeed(pace, most * (most + 1))
    assert pace.limit == most


def test_a_limit_that_is_not_reached_does_not_grow():
    pace = Pace(64)
    refuse(pace, 8)
    succeed(pace, 1000, used=False)
    assert pace.limit == 16


def test_a_server_that_queues_longer_than_it_works_is_given_less():
    pace = Pace(64)
    succeed(pace, 100, queue_s=0.9, inference_s=1.0)
    assert (pace.cuts, pace.limit) == (0, 64)
    succeed(pace, 100, queue_s=2.0, inference_s=1.0)
    assert pace.cuts > 0
    assert pace.limit < 64


def test_one_slow_answer_among_many_cuts_nothing():
    pace = Pace(64)
    for _ in range(100):
        succeed(pace, 1, queue_s=10.0, inference_s=1.0)
        succeed(pace, 9, inference_s=1.0)
    assert pace.cuts == 0


def test_the_longest_pause_that_a_server_asks_for_holds_and_a_minute_at_most():
    pace = Pace(64)
    pace.overloaded(0, 100.0, 7.0)
    pace.overloaded(0, 101.0, 2.0)
    assert pace.resumes_at == 107.0
    pace.overloaded(0, 102.0, 3600.0)
    assert pace.resumes_at == 102.0 + LONGEST_PAUSE_S


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def visitors(room, names, log):
    """Tasks that come one after another, note that they are in, and stay until cancelled."""

    async def visit(name):
        async with room.place():
            log.append(name)
            await asyncio.Event().wait()

    return [asyncio.create_task(visit(name)) for name in names]


async def end(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_places_are_given_first_come_first_served_and_a_cancelled_holder_frees_its_own():
    async def main():
        room, log = Room(1), []
        tasks = visitors(room, "abcd", log)
        for length in range(1, 5):
            await settle()
            assert log == list("abcd")[:length]
            assert (room.in_flight, room.waiting) == (1, 4 - length)
            tasks[length - 1].cancel()
        await end(tasks)
        assert (room.in_flight, room.waiting, room.tries) == (0, 0, 4)
        assert not room.failed

    asyncio.run(main())


def test_a_cancelled_waiter_costs_the_next_one_nothing():
    async def main():
        room, log = Room(1), []
        first, second, third = tasks = visitors(room, "abc", log)
        await settle()
        second.cancel()
        await settle()
        assert (room.in_flight, room.waiting) == (1, 1)
        first.cancel()
        await settle()
        assert log == ["a", "c"]
        await end(tasks)
        assert third.cancelled()
        assert (room.in_flight, room.waiting) == (0, 0)

    asyncio.run(main())


def test_one_who_is_cancelled_as_the_place_is_given_hands_it_on():
    async def main():
        room, log = Room(1), []
        holder = room.place()
        await holder.__aenter__()
        second, third = tasks = visitors(room, "bc", log)
        await settle()
        await holder.__aexit__(None, None, None)
        assert room.in_flight == 1  # it is the second one's, who has not woken up yet
        second.cancel()
        await settle()
        assert log == ["c"]
        assert (room.in_flight, room.waiting) == (1, 0)
        await end(tasks)
        assert third.cancelled()
        assert room.in_flight == 0

    asyncio.run(main())


@given(st.integers(1, 9), st.lists(st.sampled_from(["come", "go", "give up", "turn"]), max_size=80))
def test_no_order_of_coming_going_and_giving_up_loses_a_place(most, steps):
    async def main():
        room, log = Room(most), []
        tasks = []
        for step in steps:
            if step == "come":
                tasks += visitors(room, [len(tasks)], log)
            elif step == "turn":
                await asyncio.sleep(0)
            elif tasks:
                tasks[-1 if step == "give up" else 0].cancel()
                tasks = [task for task in tasks if not task.done() and not task.cancelling()]
            assert 0 <= room.in_flight <= room.limit
        await settle()
        assert room.in_flight == min(room.limit, len(tasks))
        await end(tasks)
        assert (room.in_flight, room.waiting) == (0, 0)

    asyncio.run(main())


def test_while_a_server_asks_to_be_left_alone_nobody_is_admitted():
    async def main():
        room, now = Room(8), asyncio.get_running_loop().time
        with pytest.raises(TryError):
            async with room.place():
                raise TryError("busy", "429", 30)

        async def visit():
            async with room.place():
                return now()

        visits = asyncio.gather(*(visit() for _ in range(5)))
        await settle()
        assert (room.in_flight, room.waiting) == (0, 5)
        assert min(await visits) >= 30

    clock.run(main())


def test_how_long_a_server_is_left_alone_the_loops_own_clock_tells():
    async def main():
        room = Room(8)
        with pytest.raises(TryError):
            async with room.place():
                raise TryError("busy", "429", 30)
        async with room.place():
            return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(30)


def test_how_tries_ended_is_counted_and_only_overload_cuts():
    async def main():
        room = Room(8)
        for error in [
            TryError("a", "500"),
            TryError("b", "424"),
            TryError("c", "connection"),
            ProtocolError("d"),
            ProtocolError("e"),
        ]:
            with pytest.raises(type(error)):
                async with room.place():
                    raise error
        assert (room.cuts, room.limit) == (0, 4)
        for kind in ["429", "503", "504", "timeout"]:
            for _ in range(2):
                with pytest.raises(TryError):
                    async with room.place():
                        raise TryError("f", kind)
        async with room.place() as place:
            place.queue_s, place.inference_s = 0.25, 0.5
        assert (room.cuts, room.tries) == (1, 14)
        assert room.failed == {
            **dict.fromkeys(["500", "424", "connection"], 1),
            **dict.fromkeys(["429", "503", "504", "timeout"], 2),
            "protocol": 2,
        }
        assert room.queue_s == 0.25
        assert room.latency_s > 0

    asyncio.run(main())


def talk(backend, callers, turns):
    """So many callers, each with so many prompts one after another; gives the room as they leave it."""

    async def main():
        async with backend.open(a_model()) as endpoint:

            async def caller():
                for _ in range(turns):
                    await endpoint.complete(a_prompt())

            await asyncio.gather(*(caller() for _ in range(callers)))
            return endpoint.room

    return asyncio.run(main())


@pytest.fixture
def server():
    with TGIServer(HUB_ID, lambda *_: "Hi", max_concurrent_requests=8) as one:
        one.takes_s = 0.005
        yield one


def test_a_limit_that_a_server_does_not_tell_is_found_with_few_refusals(server):
    room = talk(OpenAI(url=server.url, limit=64, attempts=1000, pause_s=0.01), 64, 10)
    assert room.tries == 641 + room.failed.total()  # and the one that asked for the models
    assert set(room.failed) == {"429"}
    assert room.failed["429"] < room.tries / 5
    assert 4 <= room.limit < 24


def test_a_limit_that_the_server_tells_is_kept_and_nothing_is_refused(server):
    room = talk(TGI(url=server.url, attempts=1), 64, 10)
    assert (room.limit, room.most, room.failed.total(), room.cuts) == (8, 8, 0, 0)
    assert server.peak == 8


def test_processes_that_share_a_server_by_shares_are_never_refused(server):
    async def main():
        backend = TGI(url=server.url, attempts=1, share=0.5)
        async with backend.open(a_model()) as one, backend.open(a_model()) as other:
            endpoints = [one, other] * 100
            await asyncio.gather(*(endpoint.complete(a_prompt()) for endpoint in endpoints))
            return one.room, other.room

    for room in asyncio.run(main()):
        assert (room.limit, room.failed.total()) == (4, 0)


def test_a_rising_queue_at_the_server_cuts_the_limit_before_anything_is_refused():
    class Batches(TGIServer):
        """Works on four at once, lets all others queue, and says for how long."""

        batch = asyncio.Semaphore(4)

        def _guard(self, handle):
            guarded = super()._guard(handle)

            async def handler(request):
                came = time.monotonic()
                async with self.batch:
                    began = time.monotonic()
                    await asyncio.sleep(0.01)
                    response = await guarded(request)
                response.headers["x-queue-time"] = str(round(1000 * (began - came)))
                response.headers["x-inference-time"] = str(round(1000 * (time.monotonic() - began)))
                return response

            return handler

    with Batches(HUB_ID, lambda *_: "Hi", max_concurrent_requests=48) as server:
        room = talk(TGI(url=server.url, attempts=1), 48, 8)
    assert not room.failed
    assert room.cuts > 0
    assert room.limit < 24
    assert room.queue_s > 0


def test_times_that_are_no_numbers_are_not_believed(server):
    body = {
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    for time_told in ["soon", "-5", "1e9", "9" * 400]:
        server.faults.append(answer(200, body, {"x-queue-time": time_told}))
    room = talk(TGI(url=server.url, attempts=1), 1, 4)
    assert (room.queue_s, room.cuts) == (0.0, 0)
