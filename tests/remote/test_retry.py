import asyncio

import pytest

from builder.errors import EndpointError, ProtocolError
from builder.remote import retry
from builder.remote.retry import persist
from builder.remote.room import Room, TryError


def failed(message):
    return TryError(message, "500")


def busy(message, wait_s):
    return TryError(message, "500", wait_s)


def run(outcomes, attempts=5, pause_s=8.0, monkeypatch=None, room=None):
    """Plays the outcomes; gives the answer and the pauses taken, without waiting for them."""
    room = room or Room(4)
    pauses = []

    async def ask(_):
        assert room.in_flight == 1
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def sleep(seconds):
        assert room.in_flight == 0
        pauses.append(seconds)

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    return asyncio.run(persist(ask, room, attempts, pause_s)), pauses


def test_a_failure_that_may_pass_is_tried_again_and_the_place_is_given_up_meanwhile(monkeypatch):
    room = Room(4)
    answer, pauses = run([failed("a"), failed("b"), "yes"], monkeypatch=monkeypatch, room=room)
    assert (answer, len(pauses), room.tries) == ("yes", 2, 3)


def test_a_refusal_goes_straight_through(monkeypatch):
    room = Room(4)
    with pytest.raises(ProtocolError, match="no such model"):
        run([ProtocolError("no such model"), "never"], monkeypatch=monkeypatch, room=room)
    assert room.tries == 1


def test_the_last_failure_says_how_often_it_was_tried(monkeypatch):
    with pytest.raises(EndpointError, match=r"^b \(2 attempts\)$"):
        run([failed("a"), failed("b")], attempts=2, monkeypatch=monkeypatch)


def test_a_server_that_answers_others_meanwhile_is_asked_three_times_as_often(monkeypatch):
    room = Room(4)

    async def sleep(_):
        async with room.place():  # another prompt's good try
            pass

    def asking(kind, failures):
        outcomes = [*(TryError("a", kind) for _ in range(failures)), "yes"]

        async def ask(_):
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return asyncio.run(persist(ask, room, 2, 1.0))

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    assert asking("429", 5) == "yes"
    with pytest.raises(EndpointError, match=r"^a \(6 attempts\)$"):
        asking("429", 6)
    with pytest.raises(EndpointError, match=r"^a \(2 attempts\)$"):
        asking("timeout", 2)


def test_the_longest_pause_doubles_up_to_a_minute_and_each_is_drawn_anew(monkeypatch):
    drawn = []
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: drawn.append((low, high)) or high)
    _, pauses = run([*(failed("a") for _ in range(5)), 1], attempts=6, monkeypatch=monkeypatch)
    assert drawn == [(0, 8), (0, 16), (0, 32), (0, 60), (0, 60)]
    assert pauses == [8, 16, 32, 60, 60]


def test_it_comes_back_no_sooner_than_the_server_asks_and_waits_a_minute_at_most_for_it(monkeypatch):
    monkeypatch.setattr(retry.random, "uniform", lambda _low, _high: 0.25)
    _, pauses = run([busy("a", 3), busy("b", 3600), failed("c"), 1], monkeypatch=monkeypatch)
    assert pauses == [3.25, 60.25, 0.25]
