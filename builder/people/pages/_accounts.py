"""Who may log in: pseudonyms with passwords, which come from the environment and stay in memory.

    DEEPDIALOGUE_ANNOTATORS="alice:PASSWORD bob:PASSWORD"

What a browser keeps is a ticket: the name, when it ends, and a signature made with a key that is stretched from the account's
own password. So a server that was killed and started again knows its people, and a new password turns the old tickets out. A
ticket that was given back by logging out is dead, also for the next server where a file remembers it.
Law of the file: a password is never shown, stored or told; a wrong one costs a second, and whoever tries many for one name waits
for each; nobody waits for what is tried for another name.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from builder.errors import ConfigError

VARIABLE = "DEEPDIALOGUE_ANNOTATORS"
NAME = re.compile(r"[a-z0-9_-]{1,32}")
TICKET_S = 30 * 24 * 3600
"""How long a ticket is good for, in seconds."""
ENDED = ".logged-out"
"""Where a run remembers which tickets were given back."""

_FEWEST_CHARACTERS = 8
_WRONG_COSTS_S = 1.0
_STRANGERS = 64
"""So many queues there are for names without an account, however many names are tried."""
_ENDED = re.compile(r"([0-9]{1,12}) ([0-9a-f]{64})")


def passwords(*, required: bool = True) -> dict[str, str]:
    """The passwords by name, as the environment says them.

    Args:
        required: whether a page needs somebody to log in.

    Raises:
        ConfigError: there are none, or one cannot be used; it is told by its place, never by its words.
    """
    given = os.environ.get(VARIABLE, "").split()
    if required and not given:
        raise ConfigError(
            f'no one may log in: set {VARIABLE}="NAME:PASSWORD NAME:PASSWORD", a pseudonym for each annotator'
        )
    found: dict[str, str] = {}
    for place, account in enumerate(given, start=1):
        name, _, password = account.partition(":")
        if not NAME.fullmatch(name):
            fault = "its name needs 1 to 32 of a-z 0-9 _ - and a colon after it"
        elif len(password) < _FEWEST_CHARACTERS:
            fault = f"its password needs at least {_FEWEST_CHARACTERS} characters without a space"
        elif name in found:
            fault = "its name was given before"
        else:
            found[name] = password
            continue
        raise ConfigError(f"{VARIABLE}, account {place} of {len(given)}: {fault}")
    return found


class Accounts:
    """Those who may log in.

    Args:
        passwords: by name.
        ended: a file that remembers the tickets that were given back; without one only this process does.
        lasting: whether the next process takes the tickets of this one.
    """

    def __init__(
        self, passwords: Mapping[str, str], ended: Path | None = None, *, lasting: bool = True
    ) -> None:
        self._keys = {name: _key(name, password) for name, password in passwords.items()}
        self._queues = {name: asyncio.Lock() for name in passwords}
        self._strangers = [asyncio.Lock() for _ in range(_STRANGERS)]
        self._one_stranger = asyncio.Lock()
        self._secret = secrets.token_bytes()
        self._mark = b"" if lasting else self._secret
        self._last = 0
        self._file, self._ended = ended, dict[str, int]()
        """When a ticket would have ended, by its digest."""
        if ended is not None and ended.exists():
            for line in ended.read_text(encoding="utf-8", errors="replace").splitlines():
                if match := _ENDED.fullmatch(line):
                    self._ended[match[2]] = int(match[1])

    def __bool__(self) -> bool:
        return bool(self._keys)

    async def enter(self, name: str, password: str) -> str | None:
        """A ticket for whoever gives the right password; None for whoever does not, a second later."""
        async with self._queue(name):
            # Stretched for any name, so that the time it takes says nothing of which names there are.
            given = await self._stretched(name, password)
            if hmac.compare_digest(given, self._keys.get(name, bytes(len(given)))):
                # No two tickets are the same, or whoever logs out in one browser would in another.
                self._last = max(self._last + 1, int(time.time()) + TICKET_S)
                return self._ticket(name, self._last)
            await asyncio.sleep(_WRONG_COSTS_S)
            return None

    def who(self, ticket: str) -> str | None:
        """Whose ticket this is; None for one that is forged, over, given back, or of an account that is gone or changed."""
        name, _, rest = ticket.partition(".")
        until = rest.partition(".")[0]
        if name not in self._keys or not re.fullmatch(r"[0-9]{1,12}", until) or int(until) < time.time():
            return None
        right = self._ticket(name, int(until))
        if not hmac.compare_digest(ticket.encode(errors="replace"), right.encode()):
            return None
        return None if _digest(ticket) in self._ended else name

    def leave(self, ticket: str) -> None:
        """Ends a ticket before its time.

        Raises:
            OSError: that could not be written; it is dead as long as this process lives.
        """
        if self.who(ticket) is None:
            return
        now = time.time()
        self._ended = {digest: until for digest, until in self._ended.items() if until >= now}
        digest, until = _digest(ticket), int(ticket.split(".")[1])
        self._ended[digest] = until
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{until} {digest}\n")

    def _queue(self, name: str) -> asyncio.Lock:
        if name in self._queues:
            return self._queues[name]
        place = hmac.digest(self._secret, name.encode(errors="replace"), "sha256")[0]
        return self._strangers[place % _STRANGERS]

    async def _stretched(self, name: str, password: str) -> bytes:
        if name in self._keys:
            return await asyncio.to_thread(_key, name, password)
        # Strangers together get no more than one thread to stretch in.
        async with self._one_stranger:
            return await asyncio.to_thread(_key, name, password)

    def _ticket(self, name: str, until: int) -> str:
        said = f"{name}.{until}"
        return f"{said}.{hmac.new(self._keys[name] + self._mark, said.encode(), 'sha256').hexdigest()}"


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="replace")).hexdigest()


def _key(name: str, password: str) -> bytes:
    """32 bytes that are slow to guess a password from."""
    salt = f"deepdialogue {name}".encode(errors="replace")
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=2**14, r=8, p=1, dklen=32)
