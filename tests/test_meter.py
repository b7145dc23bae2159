"""What the meter promises: every call counted, nothing asked past the budget, what is paid for answered."""

import asyncio
import io
import subprocess
import sys
import textwrap
import time
from contextlib import suppress

import pytest
from rich.console import Console

from builder.commands._views import show_status
from builder.core.prompt import Completion, Decoding, Message, Prompt
from builder.core.usage import Budget, Price, Usage
from builder.core.vocabulary import Model
from builder.errors import BudgetError, ConfigError, EndpointError
from builder.plugins.llm.rehearsal import Rehearsal
from builder.records import encode
from builder.remote.room import Room, TryError
from builder.run.folder import Run
from builder.run.meter import Beat, Meter, Pulse, read_pulse, read_usage
from builder.run.replicas import Replica
from tests.runs import small

PROMPT = Prompt(
    model="one",
    messages=(
        Message(role="system", content="You are chatting with a close friend about travel: trips."),
        Message(role="user", content="Start the conversation.\nThe emotion you feel: happy"),
    ),
    decoding=Decoding(),
    seed=7,
)


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Desk:
    """An endpoint that answers after half a second of the clock, where its gate is open."""

    checkpoint = "org/one@01ab"
    limit = 4

    def __init__(self, clock=None):
        self.clock = clock or Clock()
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, prompt):
        self.asked += 1
        await self.gate.wait()
        self.clock.now += 0.5
        if prompt.seed == 0:
            raise EndpointError("the server is down (5 attempts)")
        return Completion(text="Yes.", finish_reason="stop", prompt_tokens=30, completion_tokens=4)


class Counter(Desk):
    """One with a server behind it, which fails once before it answers and lets every prompt queue for a quarter second."""

    def __init__(self, clock=None):
        super().__init__(clock)
        self.room = Room(4)

    async def complete(self, prompt):
        with suppress(TryError):
            async with self.room.place():
                raise TryError("500 Internal Server Error", "500")
        async with self.room.place() as place:
            place.queue_s, place.inference_s = 0.25, 0.25
            return await super().complete(prompt)


class Pool(Desk):
    """Two replicas, of which the second cannot be reached."""

    def __init__(self, clock=None):
        super().__init__(clock)
        self.replicas = (
            Replica("replica 1", Rehearsal(), endpoint=Counter(self.clock)),
            Replica("replica 2", Rehearsal()),
        )

    async def complete(self, prompt):
        return await self.replicas[0].endpoint.complete(prompt)


def lines(folder):
    ledger = folder / "usage.jsonl"
    return ledger.read_bytes().count(b"\n") - 1 if ledger.exists() else 0


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for is a file
        await asyncio.sleep(0.001)


async def go_on(one, then=lambda: None):
    """Asks for ever."""
    while True:
        await one.complete(PROMPT)
        then()
        await asyncio.sleep(0.001)


def test_every_call_is_counted_with_its_tokens_and_its_time(tmp_path):
    async def ask():
        async with Rehearsal().open(Model(hub_id="org/one", billion_parameters=8)) as endpoint:
            with Meter(tmp_path) as meter:
                one = meter.wrap("one", endpoint)
                answers = await asyncio.gather(*(one.complete(PROMPT) for _ in range(5)))
            return answers, meter.usage["one"]

    answers, usage = asyncio.run(ask())
    assert (usage.calls, usage.failed) == (5, 0)
    assert usage.prompt_tokens == sum(answer.prompt_tokens for answer in answers) > 0
    assert usage.completion_tokens == sum(answer.completion_tokens for answer in answers) > 0
    assert usage.open_s > 0
    assert read_usage(tmp_path) == {"one": usage}


def test_tokens_that_a_server_does_not_tell_are_unknown_and_a_budget_of_them_says_once_that_it_cannot_hold(
    tmp_path, capsys
):
    class Silent(Desk):
        async def complete(self, prompt):
            await super().complete(prompt)
            return Completion(text="Yes.", finish_reason="stop", thinking="Hm.")

    async def ask():
        with Meter(tmp_path, budget=Budget(tokens=100)) as meter:
            one, two = meter.wrap("one", Silent()), meter.wrap("two", Silent())
            for endpoint in (one, two, one, two):
                await endpoint.complete(PROMPT)
        return meter.usage["one"]

    usage = asyncio.run(ask())
    assert (usage.uncounted, usage.uncounted_thinking, usage.tokens) == (2, 2, 0)
    said = capsys.readouterr().err
    assert said.count("the budget of tokens cannot hold") == 2
    assert "the server of one does not say how many tokens" in said
    assert read_usage(tmp_path)["one"] == usage
    console = Console(width=200, file=io.StringIO())
    with Run(tmp_path, small()) as run:
        show_status(run, console)
    told = [line.split() for line in console.file.getvalue().splitlines()]
    assert next(line for line in told if line[:2] == ["│", "one"]).count("unknown") == 3


def test_in_all_else_it_is_the_endpoint_itself_as_it_stands(tmp_path):
    async def ask():
        desk = Counter()
        with Meter(tmp_path) as meter:
            one = meter.wrap("one", desk)
            assert (one.checkpoint, one.limit, one.room) == ("org/one@01ab", 4, desk.room)
            desk.limit = 2
            assert one.limit == 2
            assert not hasattr(one, "colour")

    asyncio.run(ask())


def test_a_call_that_fails_or_is_interrupted_is_counted_and_goes_on_as_it_is(tmp_path):
    async def ask():
        desk = Desk()
        with Meter(tmp_path, clock=desk.clock) as meter:
            one = meter.wrap("one", desk)
            with pytest.raises(EndpointError, match=r"the server is down \(5 attempts\)"):
                await one.complete(Prompt(model="one", messages=(), decoding=Decoding(), seed=0))
            desk.gate.clear()
            waiting = asyncio.create_task(one.complete(PROMPT))
            await until(lambda: one.in_flight)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert one.in_flight == 0
            return meter.usage["one"]

    assert asyncio.run(ask()) == Usage(calls=2, failed=2, latency_s=0.5, open_s=0.5)


@pytest.mark.parametrize("kind", [Counter, Pool])
def test_what_servers_tell_of_retries_and_queues_is_added_once(tmp_path, kind):
    async def ask():
        desk = kind()
        with Meter(tmp_path, clock=desk.clock) as meter:
            one = meter.wrap("one", desk)
            for _ in range(3):
                await one.complete(PROMPT)
                meter.beat()
            meter.beat()
            return meter.usage["one"]

    usage = asyncio.run(ask())
    assert (usage.retries, usage.queue_s) == (3, 0.75)


@pytest.mark.parametrize("workers", [1, 20])
def test_a_budget_of_calls_is_never_passed_however_many_ask_at_once(tmp_path, workers):
    desk = Desk()
    answered = []

    async def work(one):
        while True:
            answered.append(await one.complete(PROMPT))
            await asyncio.sleep(0)

    async def ask():
        with Meter(tmp_path, budget=Budget(calls=7)) as meter:
            one = meter.wrap("one", desk)
            return await asyncio.gather(*(work(one) for _ in range(workers)), return_exceptions=True)

    ends = asyncio.run(ask())
    assert desk.asked == len(answered) == 7
    said = (
        "7 calls are used, the budget is 7 calls: what is finished is kept; "
        "raise the budget in the site and run the same command to go on"
    )
    assert [str(end) for end in ends] == [said] * workers
    assert all(isinstance(end, BudgetError) for end in ends)


def test_what_is_in_flight_at_the_end_of_the_budget_is_answered_before_the_run_stops(tmp_path):
    finished = []

    async def work(one, number):
        await one.complete(PROMPT)
        finished.append(number)
        await one.complete(PROMPT)

    async def work_together(one, desk):
        """As the stages work: the first error ends all."""
        async with asyncio.TaskGroup() as workers:
            for number in range(5):
                workers.create_task(work(one, number))
            await until(lambda: one.in_flight == 3)
            for _ in range(20):
                await asyncio.sleep(0)
            assert finished == []
            desk.gate.set()

    async def ask():
        desk = Desk()
        with Meter(tmp_path, budget=Budget(calls=3)) as meter:
            one = meter.wrap("one", desk)
            desk.gate.clear()
            with pytest.raises(BaseExceptionGroup) as caught:
                await work_together(one, desk)
            assert all(isinstance(error, BudgetError) for error in caught.value.exceptions)

    asyncio.run(ask())
    assert finished == [0, 1, 2]


def test_tokens_and_money_that_are_used_up_stop_the_next_prompt_and_only_that(tmp_path):
    async def ask(folder, prices, budget):
        desk = Desk()
        with Meter(folder, prices, budget, clock=desk.clock) as meter:
            one = meter.wrap("one", desk)
            with pytest.raises(BudgetError) as caught:
                await go_on(one, then=meter.beat)
        return desk.asked, str(caught.value).partition(":")[0]

    assert asyncio.run(ask(tmp_path / "tokens", {}, Budget(tokens=100))) == (
        3,
        "102 tokens are used, the budget is 100 tokens",
    )
    # Half a second of an endpoint at 7,200 an hour.
    assert asyncio.run(ask(tmp_path / "money", {"*": Price(per_hour=7200)}, Budget(money=2))) == (
        2,
        "2.00 USD are spent, the budget is 2.00 USD",
    )


def test_what_earlier_processes_of_the_run_used_counts_and_more_budget_lets_it_go_on(tmp_path):
    async def ask(budget):
        desk = Desk()
        with Meter(tmp_path, budget=budget) as meter:
            one = meter.wrap("one", desk)
            try:
                for _ in range(4):
                    await one.complete(PROMPT)
            except BudgetError:
                pass
        return desk.asked

    assert asyncio.run(ask(Budget(calls=3))) == 3
    assert asyncio.run(ask(Budget(calls=3))) == 0
    assert asyncio.run(ask(Budget(calls=5))) == 2
    assert read_usage(tmp_path)["one"].calls == 5


def test_a_kill_loses_what_was_not_yet_written_down_and_no_more(tmp_path):
    script = textwrap.dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        from tests.test_meter import PROMPT, Desk
        from builder.run.meter import Meter

        async def ask():
            meter = Meter(Path(sys.argv[1]), every_s=3600)
            one = meter.wrap("one", Desk())
            for _ in range(3):
                await one.complete(PROMPT)
            meter.beat()
            await one.complete(PROMPT)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(ask())
    """)
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == -9
    assert read_usage(tmp_path)["one"].calls == 3
    with Meter(tmp_path) as meter:
        assert meter.usage["one"].calls == 3


def test_a_money_budget_wants_a_price_for_every_model_that_is_asked(tmp_path):
    async def ask():
        with Meter(tmp_path, {"two": Price()}, Budget(money=20)) as meter:
            meter.wrap("two", Desk())
            with pytest.raises(
                ConfigError, match="the budget is 20 USD and model 'one' has no price: name it"
            ):
                meter.wrap("one", Desk())

    asyncio.run(ask())


def test_prices_in_two_currencies_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="prices are in EUR and USD"):
        Meter(tmp_path, {"one": Price(currency="EUR"), "two": Price()})
    assert list(tmp_path.iterdir()) == []


def test_the_time_that_endpoints_are_open_counts_once_for_each_model_and_ends_with_the_last(tmp_path):
    async def ask():
        clock = Clock()
        with Meter(tmp_path, clock=clock) as meter:
            one, again = meter.wrap("one", Desk()), meter.wrap("one", Desk())
            clock.now += 10
            two = meter.wrap("two", Desk())
            clock.now += 10
            one.close()
            clock.now += 10
            again.close()
            again.close()
            clock.now += 10
            two.close()
            clock.now += 10
            return meter.usage

    assert {model: usage.open_s for model, usage in asyncio.run(ask()).items()} == {"one": 30.0, "two": 30.0}


def test_the_pulse_says_for_each_model_how_it_goes_and_is_gone_when_nothing_runs(tmp_path):
    async def ask():
        desk = Counter()
        with Meter(tmp_path, clock=desk.clock) as meter:
            one = meter.wrap("one", desk)
            for _ in range(4):
                await one.complete(PROMPT)
            desk.gate.clear()
            waiting = asyncio.create_task(one.complete(PROMPT))
            await until(lambda: one.in_flight)
            meter.beat()
            pulse, limit = read_pulse(tmp_path), desk.room.limit
            desk.gate.set()
            await waiting
            # Ten seconds later nothing of it is recent.
            for _ in range(12):
                desk.clock.now += 1
                meter.beat()
            later = read_pulse(tmp_path)
            one.close()
            assert read_pulse(tmp_path) is None
            return pulse.models, limit, later.models

    pulse, limit, later = asyncio.run(ask())
    assert pulse == {
        "one": Beat(
            in_flight=1,
            limit=limit,
            usage=Usage(
                calls=4,
                retries=5,
                prompt_tokens=120,
                completion_tokens=16,
                latency_s=2.0,
                queue_s=1.0,
                open_s=2.0,
            ),
            calls_per_s=2.0,
            prompt_tokens_per_s=60.0,
            completion_tokens_per_s=8.0,
            latency_s=0.5,
            queue_s=0.25,
        )
    }
    assert later["one"].usage.calls == 5
    assert (later["one"].in_flight, later["one"].calls_per_s, later["one"].latency_s) == (0, 0.0, None)
    assert not (tmp_path / "pulse.json").exists()


def test_the_run_folder_is_brought_up_to_date_while_nobody_is_answered(tmp_path):
    async def ask():
        desk = Desk()
        with Meter(tmp_path, every_s=0.01) as meter:
            one = meter.wrap("one", desk)
            await one.complete(PROMPT)
            await until(lambda: read_usage(tmp_path) and read_usage(tmp_path)["one"].calls == 1)
            desk.gate.clear()
            waiting = asyncio.create_task(one.complete(PROMPT))
            await until(lambda: (pulse := read_pulse(tmp_path)) and pulse.models["one"].in_flight == 1)
            desk.gate.set()
            await waiting

    asyncio.run(ask())


def test_the_bookkeeping_is_not_written_with_every_call(tmp_path):
    async def ask():
        with Meter(tmp_path, every_s=3600) as meter:
            one = meter.wrap("one", Desk())
            await asyncio.sleep(0)
            for _ in range(500):
                await one.complete(PROMPT)
            assert lines(tmp_path) <= 1
        assert lines(tmp_path) <= 2

    asyncio.run(ask())
    assert read_usage(tmp_path)["one"].calls == 500


def test_a_second_stage_of_the_same_process_goes_on_where_the_first_ended(tmp_path):
    with Meter(tmp_path, every_s=0.01) as meter:

        async def stage():
            desk = Desk()
            one = meter.wrap("one", desk)
            desk.gate.clear()
            waiting = asyncio.create_task(one.complete(PROMPT))
            await until(lambda: (pulse := read_pulse(tmp_path)) and pulse.models["one"].in_flight == 1)
            desk.gate.set()
            await waiting
            one.close()

        for _ in range(2):
            asyncio.run(stage())
        assert meter.usage["one"].calls == 2
    assert read_usage(tmp_path)["one"].calls == 2


def test_bookkeeping_that_cannot_be_written_stops_the_next_prompt(tmp_path):
    (tmp_path / "pulse.json").mkdir()

    async def ask():
        desk = Desk()
        with Meter(tmp_path, every_s=0.01) as meter:
            one = meter.wrap("one", desk)
            with pytest.raises(IsADirectoryError):
                await go_on(one)
            (tmp_path / "pulse.json").rmdir()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b'{"at": 1',
        b'{"beats": 3}',
        encode(Pulse(at=time.time() - 60, models={})),
        encode(Pulse(at=time.time() + 3600, models={})),
    ],
    ids=["missing", "empty", "torn", "another", "old", "of tomorrow"],
)
def test_a_pulse_that_is_missing_unreadable_or_old_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "pulse.json").write_bytes(content)
    assert read_pulse(tmp_path) is None


def test_a_run_that_asked_nobody_used_nothing_and_is_left_as_it_is(tmp_path):
    assert read_usage(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
