"""Backends: where a language model is asked. The folder is the registry: one file, one `Backend` record.

    [models.llama3-8B]          # in a site
    backend = "tgi"             # the file
    url = "http://node7:8080"   # the record's fields are its settings

Law of the folder: a backend knows prompts and completions and nothing of dialogues or judges. Modules whose name starts with
`_` are shared parts, not backends.
"""

from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol, Self

from builder.core.part import Part
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.records import Record


class Endpoint(Protocol):
    """An opened backend: one model, ready to answer."""

    checkpoint: str
    """What the server tells that it serves, in the words of `builder.core.checkpoint`, or the name of a stand-in. It is never
    taken from the study. Empty where nothing is told before the first answer."""
    limit: int
    """Prompts it takes at once."""

    @property
    def names(self) -> frozenset[str]:
        """What its answers may call it; one that has another name comes from something else."""
        ...

    async def complete(self, prompt: Prompt) -> Completion:
        """Answers one prompt. Safe to call `limit` times at once.

        Raises:
            EndpointError: unreachable, overloaded or failing, after the backend's own bounded retries.
            ProtocolError: the server refused the request or answered what its protocol does not allow.
        """
        ...


class About(Record):
    """What a server says of itself, for whoever looks after it; None where it does not say."""

    max_concurrent_requests: int | None = None
    max_total_tokens: int | None = None
    """Of a prompt and its completion together."""
    clock_ahead_s: float | None = None
    """How far its clock is ahead of ours, to about a second."""


class Backend(Record):
    """The settings of a backend; `open` makes it an endpoint."""

    rehearsal: ClassVar[bool] = False
    """Whether it only stands in for a model, so that what it writes is not training data."""

    def among(self, place: Part) -> Self:
        """The settings of one of several processes that ask the same server; a model in the process is its own."""
        return self

    def address(self, model: Model) -> str:
        """Where the model is asked and by which name: the same of two models means that one answers for both."""
        return f"{type(self).__name__} {model.hub_id}"

    def open(self, model: Model) -> AbstractAsyncContextManager[Endpoint]:
        """Reaches the server, or loads the model, and lets go of it at the end.

        Raises:
            EndpointError: it cannot be reached.
            ProtocolError: what answers does not speak the protocol, or serves another model.
            ConfigError: the settings cannot work here, such as a missing extra or token.
        """
        raise TypeError(f"{type(self).__name__} does not say how to open {model.hub_id}")

    async def about(self, model: Model) -> About:
        """Asks the server about itself; empty where there is no server to ask. Raises as `open` does."""
        return About()
