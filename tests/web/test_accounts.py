"""Who may log in: only whom the environment names, with a ticket that outlives the server and not the password."""

import asyncio
import time

import pytest

from builder.errors import ConfigError
from builder.people.pages import _accounts
from builder.people.pages._accounts import TICKET_S, VARIABLE, Accounts, passwords

SECRET = "tr0ub4dor:and:3"


@pytest.fixture
def accounts(monkeypatch):
    monkeypatch.setattr(_accounts, "_WRONG_COSTS_S", 0.0)
    return Accounts({"anna": SECRET, "ben": "correct-horse"})


def test_names_and_passwords_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"  anna:{SECRET}\n\tben_2:correct-horse ")
    assert passwords() == {"anna": SECRET, "ben_2": "correct-horse"}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("", "no one may log in"),
        (f"ben:correct-horse Anna:{SECRET}", "account 2 of 2: its name"),
        (SECRET.replace(":", ""), "account 1 of 1: its name|its password needs"),
        ("../../x:" + SECRET, "account 1 of 1: its name"),
        ("anna:short77", "account 1 of 1: its password needs at least 8"),
        (f"anna:{SECRET} anna:{SECRET}", "account 2 of 2: its name was given before"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_place_and_never_by_its_words(monkeypatch, given, fault):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ConfigError, match=fault) as raised:
        passwords()
    assert all(word not in str(raised.value) for word in (SECRET, SECRET.replace(":", ""), "short77"))


def test_a_page_that_needs_no_login_does_without_accounts(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert passwords(required=False) == {}


def test_the_right_password_gives_a_ticket_that_the_next_server_knows_too(accounts):
    ticket = asyncio.run(accounts.enter("anna", SECRET))
    assert accounts.who(ticket) == "anna"
    assert Accounts({"anna": SECRET}).who(ticket) == "anna"
    assert SECRET not in ticket


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "correct-horse"), ("nobody", SECRET), ("", ""), ("anna", "\ud800")]
)
def test_a_wrong_name_or_password_gives_none(accounts, name, password):
    assert asyncio.run(accounts.enter(name, password)) is None


def test_a_ticket_ends_with_its_password_its_account_or_its_time(accounts, monkeypatch):
    ticket = asyncio.run(accounts.enter("anna", SECRET))
    assert Accounts({"anna": "another-one"}).who(ticket) is None
    assert Accounts({"ben": SECRET}).who(ticket) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + TICKET_S + 5)
    assert accounts.who(ticket) is None


def test_a_ticket_cannot_be_forged(accounts):
    _, until, signature = asyncio.run(accounts.enter("anna", SECRET)).split(".")
    for forged in (
        f"ben.{until}.{signature}",
        f"anna.{int(until) + 1}.{signature}",
        f"anna.{until}.{signature[::-1]}",
        f"anna.{until}.é",
        f"anna.²{until}.{signature}",
        f"anna.{until}",
        "anna..",
        "",
    ):
        assert accounts.who(forged) is None, forged


def test_whoever_tries_many_at_once_waits_for_each(monkeypatch):
    waited, at_once = [], []

    async def sleep(seconds):
        at_once.append(seconds)
        assert len(at_once) == 1
        for _ in range(5):
            await plain(0)
        waited.append(at_once.pop())

    plain = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", sleep)
    accounts = Accounts({"anna": SECRET})

    async def guess():
        return await asyncio.gather(*(accounts.enter("anna", f"guess-{number}") for number in range(5)))

    assert asyncio.run(guess()) == [None] * 5
    assert waited == [1.0] * 5
