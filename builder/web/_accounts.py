"""Who may log in: pseudonyms with passwords, which come from the environment and stay in memory.

    DEEPDIALOGUE_ANNOTATORS="alice:PASSWORD bob:PASSWORD"

What a browser keeps is a ticket: the name, when it ends, and a signature made with a key that is stretched from the account's
own password. So a server that was killed and started again knows its people, and a new password turns the old tickets out.
Law of the file: a password is never shown, stored or told; a wrong one costs a second, and whoever tries many waits for each.
"""

import asyncio
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping

from builder.errors import ConfigError

VARIABLE = "DEEPDIALOGUE_ANNOTATORS"
NAME = re.compile(r"[a-z0-9_-]{1,32}")
TICKET_S = 30 * 24 * 3600
"""How long a ticket is good for, in seconds."""

_FEWEST_CHARACTERS = 8
_WRONG_COSTS_S = 1.0


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
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._keys = {name: _key(name, password) for name, password in passwords.items()}
        self._one_at_a_time = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._keys)

    async def enter(self, name: str, password: str) -> str | None:
        """A ticket for whoever gives the right password; None for whoever does not, a second later."""
        async with self._one_at_a_time:
            # Stretched for any name, so that the time it takes says nothing of which names there are.
            given = await asyncio.to_thread(_key, name, password)
            if hmac.compare_digest(given, self._keys.get(name, bytes(len(given)))):
                return self._ticket(name, int(time.time()) + TICKET_S)
            await asyncio.sleep(_WRONG_COSTS_S)
            return None

    def who(self, ticket: str) -> str | None:
        """Whose ticket this is; None for one that is forged, over, or of an account that is gone or changed."""
        name, _, rest = ticket.partition(".")
        until = rest.partition(".")[0]
        if name not in self._keys or not re.fullmatch(r"[0-9]{1,12}", until) or int(until) < time.time():
            return None
        right = self._ticket(name, int(until))
        return name if hmac.compare_digest(ticket.encode(), right.encode()) else None

    def _ticket(self, name: str, until: int) -> str:
        said = f"{name}.{until}"
        return f"{said}.{hmac.new(self._keys[name], said.encode(), 'sha256').hexdigest()}"


def _key(name: str, password: str) -> bytes:
    """32 bytes that are slow to guess a password from."""
    salt = f"deepdialogue {name}".encode()
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=2**14, r=8, p=1, dklen=32)
