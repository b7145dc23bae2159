"""What every backend over a network is told: where its token lies, how long to wait, how often to try.

Law of the file: a token is read from the environment when an endpoint opens, and is never a setting.
"""

import os
from typing import Annotated, Self
from urllib.parse import urlsplit

import msgspec

from builder.core.part import Part
from builder.errors import ConfigError
from builder.records import Record
from builder.remote.proxy import is_loopback


class Remote(Record):
    """The settings that do not depend on the protocol."""

    served_as: str | None = None
    """The server's own name for the model, where it is not the hub id: `/repository`, a folder, an alias."""
    token_env: str | None = None
    """The environment variable that holds the token for this endpoint. It is sent nowhere else."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    """Prompts in flight at once."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 300.0
    """For one whole answer."""
    connect_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 10.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """Tries before an overloaded, failing or silent server is an error."""
    pause_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 1.0
    """The longest pause after the first failed try; it doubles with each next one."""
    max_answer_bytes: Annotated[int, msgspec.Meta(ge=1024, le=2**30)] = 4 * 2**20
    """A larger answer is not read to its end, and is an error."""

    def among(self, place: Part) -> Self:
        """The settings of one of several processes that ask the same server: together they keep to the limit."""
        return msgspec.structs.replace(self, limit=place.of(self.limit))

    @property
    def exposes_token(self) -> bool:
        """Whether the token goes to another machine unencrypted, where whatever lies between can read it."""
        address = urlsplit(getattr(self, "url", None) or "")
        return (
            self.token_env is not None
            and address.scheme == "http"
            and not is_loopback(address.hostname or "")
        )

    def token(self) -> str | None:
        """The token, or None where none is wanted.

        Raises:
            ConfigError: the variable is unset, empty, or holds what cannot stand in a header.
        """
        if self.token_env is None:
            return None
        token = os.environ.get(self.token_env, "").strip()
        if not token:
            raise ConfigError(
                f"token_env = {self.token_env!r}: this environment variable is not set: export it"
            )
        if not (token.isascii() and token.isprintable()):
            raise ConfigError(
                f"token_env = {self.token_env!r}: this environment variable does not hold a token"
            )
        return token


def base(url: str) -> str:
    """A server's address as the setting gives it, without the `/` or `/v1` at its end.

    Raises:
        ValueError: it is no address, or it carries what may be a secret; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("url is not an address like 'http://node7:8080'")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "url carries a user, a password or a query: leave it out, and let token_env name the variable "
            "that holds the token"
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
