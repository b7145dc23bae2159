"""A simulated endpoint, asked as a server is: through a room, again after a pause, and by a share of what it takes.

Law of the file: between the product and the simulated server stands what stands before a real one, less HTTP.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Self

import msgspec

from benchmarks.clock import VirtualLoop
from benchmarks.fleet import SERVERS, Server
from builder.core.part import Part
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.plugins.llm import Backend, Endpoint
from builder.remote import Remote
from builder.remote.retry import persist
from builder.remote.room import Room


class Simulated(Remote, Backend, kw_only=True):
    """One of `benchmarks.fleet`'s servers."""

    server: str
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Of what the server takes, as TGI's."""
    http_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What a call is taken to cost the process in HTTP and JSON: it passes as time."""

    def among(self, place: Part) -> Self:
        """As TGI's."""
        return msgspec.structs.replace(super().among(place), share=self.share / place.count)

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Is there at once."""
        server = SERVERS[self.server]
        limit = max(1, min(self.limit, int(server.admits * self.share)))
        yield _Endpoint(model.hub_id, limit, Room(limit, told=True), server, self)


@dataclass
class _Endpoint:
    checkpoint: str
    limit: int
    room: Room
    server: Server
    settings: Simulated

    async def complete(self, prompt: Prompt) -> Completion:
        ask = partial(self.server.answer, prompt)
        answer = await persist(ask, self.room, self.settings.attempts, self.settings.pause_s)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "the servers are simulated in virtual time"
        loop.spend(self.settings.http_ms / 1000)
        return answer
