import asyncio
import threading

import pytest

from builder.errors import SynthesisError
from builder.remote.batches import Batches
from tests.patience import PATIENCE_S


def ask_all(work, requests, most=4):
    async def main():
        async with Batches("a worker", work, most) as batches:
            return await asyncio.gather(*map(batches.ask, requests), return_exceptions=True)

    return asyncio.run(main())


def test_what_waits_is_worked_through_together_and_everyone_gets_their_own():
    sizes = []

    def double(requests):
        sizes.append(len(requests))
        return [2 * request for request in requests]

    assert ask_all(double, range(10)) == [2 * request for request in range(10)]
    assert sizes == [4, 4, 2]


def test_a_batch_that_fails_is_heard_of_by_all_in_it_and_the_next_is_answered():
    def fail(requests):
        if 1 in requests:
            raise RuntimeError("CUDA out of memory\nTried to allocate")
        return requests

    *failed, answered = ask_all(fail, range(3), most=2)
    assert [type(one) for one in failed] == [SynthesisError, SynthesisError]
    assert str(failed[0]).startswith("a worker: a batch of 2 failed: CUDA out of memory (")
    assert answered == 2


def test_a_request_given_up_is_not_worked_at_and_leaves_the_others_alone():
    worked, free, begun = [], threading.Event(), threading.Event()

    def wait(requests):
        begun.set()
        free.wait()
        worked.extend(requests)
        return requests

    async def main():
        async with Batches("a worker", wait, 1) as batches:
            first, given_up, kept = (asyncio.create_task(batches.ask(number)) for number in range(3))
            await asyncio.to_thread(begun.wait)
            given_up.cancel()
            await asyncio.sleep(0)
            free.set()
            return await first, await kept

    assert asyncio.run(main()) == (0, 2)
    assert worked == [0, 2]


def test_one_batch_at_a_time_in_one_thread():
    threads = []

    def note(requests):
        threads.append(threading.get_ident())
        return requests

    ask_all(note, range(6), most=1)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_who_still_waits_when_it_closes_hears_of_it():
    begun, free = threading.Event(), threading.Event()

    def work(requests):
        begun.set()
        free.wait()
        return requests

    async def main():
        async with Batches("a worker", work, 1) as batches:
            asked = [asyncio.create_task(batches.ask(number)) for number in range(2)]
            await asyncio.to_thread(begun.wait)
            asyncio.get_running_loop().call_soon(free.set)  # which is not before it begins to close
        late = asyncio.create_task(batches.ask(2))
        done, waiting = await asyncio.wait([*asked, late], timeout=PATIENCE_S)
        return [str(one.exception()) for one in done], waiting

    said, waiting = asyncio.run(main())
    assert not waiting
    assert set(said) == {"a worker: closed before it answered: run the same command again"}


@pytest.mark.parametrize("count", [0, 1])
def test_closing_needs_no_work(count):
    assert ask_all(lambda requests: requests, range(count)) == list(range(count))
