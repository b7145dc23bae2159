"""What several endpoints of one model promise to be together."""

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager

import msgspec
import pytest

from builder.core.prompt import Completion
from builder.errors import ConfigError, EndpointError, ProtocolError
from builder.plugins.llm import Backend
from builder.plugins.llm.tgi import TGI
from builder.run import replicas
from builder.run.replicas import Breaker, Replicas, open_replicas
from tests.llm.asking import HUB_ID, SHA, a_model, a_prompt, free_url
from tests.servers.tgi import TGIServer

CHAT = "/v1/chat/completions"


class Clock:
    """Stands still until it is put forward."""

    now = 0.0

    def __call__(self):
        return self.now


def words(messages, _parameters):
    return f"You said: {messages[-1]['content']}"


def start(port=0, sha=SHA):
    server = TGIServer(HUB_ID, words, model_sha=sha)
    server.port = port
    server.takes_s = 0.002
    return server.__enter__()


def stop(server):
    server.__exit__()
    return server.port


@pytest.fixture
def servers():
    """Two replicas; a test that stops one starts another in its place."""
    running = [start(), start()]
    yield running
    for server in running:
        if server._thread.is_alive():
            stop(server)


def at(url):
    return TGI(url=url, attempts=2, pause_s=0.0)


def backends(servers):
    return [at(server.url) for server in servers]


def threads_of(server):
    """What each server was asked, by thread: every prompt of these tests begins with its thread."""
    asked = defaultdict(list)
    for body in server.bodies(CHAT):
        thread, turn = body["messages"][-1]["content"].split("/")
        asked[thread].append(int(turn))
    return asked


async def say(endpoint, thread, turn):
    text = f"{thread}/{turn}"
    completion = await endpoint.complete(msgspec.structs.replace(a_prompt(text), thread=thread))
    assert completion.text == f"You said: {text}"


async def hold(endpoint, threads, turns):
    """Holds all threads at once, each turn by turn."""

    async def one(thread):
        for turn in turns:
            await say(endpoint, thread, turn)

    await asyncio.gather(*map(one, threads))


def names(letter, count=10):
    return [f"{letter}{number}" for number in range(count)]


def test_a_dialogue_stays_with_one_replica_and_all_are_used(servers):
    async def main():
        async with open_replicas(backends(servers), a_model()) as endpoint:
            await hold(endpoint, names("a"), range(5))
            return endpoint.checkpoint, endpoint.limit

    assert asyncio.run(main()) == (f"{HUB_ID}@{SHA}", 128)
    first, second = map(threads_of, servers)
    assert (len(first), len(second)) == (5, 5)
    assert all(turns == [0, 1, 2, 3, 4] for turns in [*first.values(), *second.values()])


def test_prompts_of_no_thread_go_where_there_is_least_to_do(servers):
    async def main():
        async with open_replicas(backends(servers), a_model()) as endpoint:
            await asyncio.gather(*(endpoint.complete(a_prompt(f"x/{n}")) for n in range(20)))
            assert not endpoint._pins

    asyncio.run(main())
    assert [server.counts()[CHAT] for server in servers] == [10, 10]


def test_when_a_replica_dies_its_dialogues_go_on_elsewhere_and_when_it_is_back_it_is_used_again(
    servers, capsys
):
    clock = Clock()

    async def main():
        async with open_replicas(backends(servers), a_model(), clock) as endpoint:
            await hold(endpoint, names("a"), range(3))
            # It dies with five prompts in flight.
            servers[0].held.clear()
            going_on = asyncio.create_task(hold(endpoint, names("a"), range(3, 6)))
            while servers[0].in_flight < 5:  # noqa: ASYNC110 - the server is in another thread
                await asyncio.sleep(0.002)
            port = stop(servers[0])
            await going_on
            await hold(endpoint, names("b"), range(2))

            servers[0] = back = start(port)
            await hold(endpoint, names("c"), range(2))
            assert not back.counts()[CHAT]
            clock.now += 5.0
            await hold(endpoint, ["probe"], range(2))
            await hold(endpoint, names("d"), range(2))
            return back

    dead, alive = servers
    back = asyncio.run(main())
    assert set(threads_of(alive)) >= {*names("a"), *names("b"), *names("c")}
    for thread in names("a"):
        turns = [*threads_of(dead)[thread], *threads_of(alive)[thread]]
        assert set(turns) == set(range(6))
    assert len(threads_of(back)) == 6
    assert all(turns == [0, 1] for turns in threads_of(back).values())
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in said] == [
        f"replica 1 ({back.url}) is down, the others go on",
        f"replica 1 ({back.url}) is up again",
    ]


def test_one_prompt_alone_finds_out_whether_a_replica_is_back(servers):
    clock = Clock()

    async def main():
        async with open_replicas(backends(servers), a_model(), clock) as endpoint:
            port = stop(servers[0])
            await say(endpoint, "a", 0)
            servers[0] = back = start(port)
            back.held.clear()
            clock.now += 5.0
            probe, *others = [asyncio.create_task(say(endpoint, name, 0)) for name in names("b")]
            await asyncio.gather(*others)
            while not back.in_flight:  # noqa: ASYNC110 - the server is in another thread
                await asyncio.sleep(0.002)
            assert not probe.done()
            assert (back.in_flight, len(threads_of(servers[1]))) == (1, 10)
            back.held.set()
            await probe

    asyncio.run(main())


def test_when_all_are_down_it_says_so_and_names_each(servers):
    async def main():
        async with open_replicas(backends(servers), a_model(), Clock()) as endpoint:
            for server in servers:
                stop(server)
            for _ in range(2):
                with pytest.raises(EndpointError) as caught:
                    await say(endpoint, "a", 0)
                line = str(caught.value)
                assert line.startswith(f"none of the 2 replicas of {HUB_ID} answers: replica 1 (")
                assert all(server.url in line for server in servers)
                assert "\n" not in line

    asyncio.run(main())


def test_a_replica_that_is_down_at_the_start_is_said_and_opened_later_while_nobody_waits(servers, capsys):
    clock = Clock()

    async def main():
        port = stop(servers[0])
        async with open_replicas(backends(servers), a_model(), clock) as endpoint:
            assert f"replica 1 ({servers[0].url}) is down" in capsys.readouterr().err
            assert endpoint.limit == 64
            clock.now += 5.0
            await hold(endpoint, names("a"), [0])
            await asyncio.gather(*endpoint._openings)
            clock.now += 5.0
            servers[0] = back = start(port)
            await hold(endpoint, names("b"), [0])
            await asyncio.gather(*endpoint._openings)
            assert back.counts()["/info"] == 0  # a failed opening doubles the time it is left alone
            clock.now += 5.0
            await hold(endpoint, names("c"), [0])
            await asyncio.gather(*endpoint._openings)
            assert endpoint.limit == 128
            await hold(endpoint, names("d"), range(2))
            assert len(threads_of(back)) == 5

    asyncio.run(main())
    assert capsys.readouterr().err == f"{HUB_ID}: replica 1 ({servers[0].url}) is up\n"


def test_a_replica_that_comes_later_with_another_checkpoint_stays_out(servers, capsys):
    clock = Clock()

    async def main():
        port = stop(servers[0])
        async with open_replicas(backends(servers), a_model(), clock) as endpoint:
            servers[0] = start(port, sha="abc")
            for _ in range(3):
                clock.now += 300.0
                await hold(endpoint, names("a"), [0])
                await asyncio.gather(*endpoint._openings)
            assert (servers[0].counts()["/info"], servers[0].counts()[CHAT]) == (3, 0)

    asyncio.run(main())
    down, *left_out = capsys.readouterr().err.splitlines()
    assert "is down" in down
    (line,) = left_out
    assert "is still left out" in line
    assert f"{HUB_ID}@abc" in line
    assert f"{HUB_ID}@{SHA}" in line


def test_a_run_that_ends_while_a_replica_is_being_opened_leaves_nothing_behind(servers):
    clock = Clock()

    async def main():
        port = stop(servers[0])
        async with open_replicas(backends(servers), a_model(), clock) as endpoint:
            servers[0] = start(port)
            clock.now += 5.0
            await say(endpoint, "a", 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_replicas_that_serve_different_checkpoints_are_refused_by_both_names(servers):
    async def main():
        stop(servers[1])
        servers[1] = start(sha="abc")
        async with open_replicas(backends(servers), a_model()):
            pass

    with pytest.raises(ConfigError) as caught:
        asyncio.run(main())
    first, second = (f"replica {place} ({server.url})" for place, server in enumerate(servers, 1))
    assert str(caught.value) == (
        f"{HUB_ID}: {first} serves {HUB_ID}@{SHA}, and {second} {HUB_ID}@abc: "
        "replicas serve one checkpoint: start them at one revision"
    )


def test_a_replica_of_another_model_is_refused(servers):
    with TGIServer("google/gemma-3-4b-it", words) as other:

        async def main():
            async with open_replicas([*backends(servers), at(other.url)], a_model()):
                pass

        with pytest.raises(ProtocolError, match="google/gemma-3-4b-it"):
            asyncio.run(main())


def test_replicas_of_which_none_is_up_are_an_error_that_names_each():
    urls = [free_url(), free_url()]

    async def main():
        async with open_replicas([at(url) for url in urls], a_model()):
            pass

    with pytest.raises(EndpointError, match="none of the 2 replicas") as caught:
        asyncio.run(main())
    assert all(url in str(caught.value) for url in urls)


def test_an_only_replica_is_opened_as_it_is(servers):
    async def main():
        async with open_replicas(backends(servers)[:1], a_model()) as endpoint:
            await say(endpoint, "a", 0)
            return endpoint

    assert not isinstance(asyncio.run(main()), Replicas)


def test_a_refused_prompt_is_not_asked_of_the_others(servers):
    async def main():
        async with open_replicas(backends(servers), a_model()) as endpoint:
            with pytest.raises(ProtocolError, match="max_new_tokens"):
                await endpoint.complete(a_prompt("a/0", max_tokens=0))
            assert all(replica.breaker.until is None for replica in endpoint.replicas)

    asyncio.run(main())
    assert sum(server.counts()[CHAT] for server in servers) == 1


class Scripted(Backend):
    """Answers at once, but for a prompt that says `poison`: that fails, once the gate is opened."""

    gate: asyncio.Event

    checkpoint = "org/one"
    limit = 4

    @asynccontextmanager
    async def open(self, model):  # noqa: ARG002
        yield self

    async def complete(self, prompt):
        if prompt.messages[-1].content == "poison":
            await self.gate.wait()
            raise EndpointError("CUDA error")
        return Completion(text="Hi", finish_reason="stop", prompt_tokens=1, completion_tokens=1)


def test_a_prompt_that_nobody_can_answer_takes_no_replica_from_the_others():
    async def main():
        gates = [asyncio.Event(), asyncio.Event()]
        async with open_replicas([Scripted(gate) for gate in gates], a_model(), Clock()) as endpoint:
            poisoned = asyncio.create_task(endpoint.complete(a_prompt("poison")))
            for replica, gate in zip(endpoint.replicas, gates, strict=True):
                for _ in range(10):
                    await asyncio.sleep(0)
                assert replica.in_flight == 1
                await endpoint._ask(replica, a_prompt())
                gate.set()
            with pytest.raises(EndpointError, match="CUDA error"):
                await poisoned
            return [replica.breaker.until for replica in endpoint.replicas]

    assert asyncio.run(main()) == [None, None]


def test_only_so_many_threads_are_remembered(monkeypatch):
    monkeypatch.setattr(replicas, "_PINS", 10)

    async def main():
        gate = asyncio.Event()
        async with open_replicas([Scripted(gate), Scripted(gate)], a_model()) as endpoint:
            for thread in [*names("a", 100), "a95", "new"]:
                await endpoint.complete(msgspec.structs.replace(a_prompt(), thread=thread))
            return list(endpoint._pins)

    assert asyncio.run(main()) == [*(f"a{n}" for n in (91, 92, 93, 94, 96, 97, 98, 99)), "a95", "new"]


def test_a_dialogue_that_was_silent_while_its_replica_failed_moves_on_unasked_and_stays_there():
    async def main():
        clock, gate = Clock(), asyncio.Event()
        async with open_replicas([Scripted(gate), Scripted(gate)], a_model(), clock) as endpoint:
            first, second = endpoint.replicas
            prompt = msgspec.structs.replace(a_prompt(), thread="a")
            await endpoint.complete(prompt)
            assert (first.answers, second.answers) == (1, 0)
            first.breaker.fail(clock.now)
            await endpoint.complete(prompt)
            first.breaker.close()
            await endpoint.complete(prompt)
            assert (first.answers, second.answers) == (1, 2)

    asyncio.run(main())


def test_a_probe_that_is_cancelled_leaves_the_next_prompt_to_probe():
    async def main():
        clock, gate = Clock(), asyncio.Event()
        async with open_replicas([Scripted(gate), Scripted(gate)], a_model(), clock) as endpoint:
            first, _ = endpoint.replicas
            first.breaker.fail(clock.now)
            clock.now += 5.0
            probe = asyncio.create_task(endpoint.complete(a_prompt("poison")))
            await asyncio.sleep(0)
            assert first.breaker.probing
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
            await endpoint.complete(a_prompt())
            assert (first.breaker.until, first.answers) == (None, 1)

    asyncio.run(main())


def test_a_burst_of_failures_begins_one_pause_and_every_failed_probe_doubles_it_within_bounds():
    breaker, lengths, now = Breaker(), [], 0.0
    for _ in range(5):
        breaker.fail(now)
    assert breaker.until == 5.0
    assert not breaker.is_due(4.9)
    while len(lengths) < 9:
        now = breaker.until
        assert breaker.is_due(now)
        breaker.probing = True
        assert not breaker.is_due(now)
        breaker.fail(now)
        assert breaker.until == now
        breaker.fail(now, probe=True)
        lengths.append(breaker.until - now)
    assert lengths == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0]
    breaker.close()
    breaker.fail(now)
    assert breaker.until == now + 5.0
