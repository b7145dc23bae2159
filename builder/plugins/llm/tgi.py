"""Text Generation Inference, by its Messages API or by `/generate`.

Law of the file: what a request may hold was read from TGI 3.3's own source. `presence_penalty` is never sent:
TGI adds 2 to it and makes it a repetition penalty.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import msgspec

from builder.core.checkpoint import named
from builder.core.part import Part
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.errors import ProtocolError
from builder.plugins.llm import About, Backend, Endpoint
from builder.plugins.llm._chat import Answer, completed, count, sampling
from builder.plugins.llm._extra import Served
from builder.remote import base
from builder.remote.client import Client, connect
from builder.remote.room import Room

_TEMPLATE = "chat_template_kwargs"
"""What of `extra` the chat's template is told, where a request of its own fills it in."""


_MODEL = "tgi"
"""Any other name in a request is taken for an adapter's."""


class TGI(Served, Backend, kw_only=True):
    """A server of `text-generation-inference`."""

    url: str
    """Its address, such as `http://node7:8080`."""
    api: Literal["messages", "generate"] = "messages"
    """`generate` templates the chat with `/chat_tokenize` first and costs a second request."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """The part of the server's `max_concurrent_requests` to use at most. It refuses what goes beyond, whoever sent
    it: processes that share a server set shares that make up 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        base(self.url)

    def among(self, place: Part) -> Self:
        """As of every server; and what this one says that it takes is cut likewise."""
        return msgspec.structs.replace(super().among(place), share=self.share / place.count)

    def address(self, model: Model) -> str:  # noqa: ARG002 - a server has one model
        """The server."""
        return base(self.url)

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Asks `/info` what is served; raises as the contract says."""
        url = base(self.url)
        async with connect(url, self, "TGI") as client:
            info = await client.get("/info", _Info)
            if info.model_id != (self.served_as or model.hub_id):
                raise ProtocolError(
                    f"{url} serves {info.model_id!r}, not {self.served_as or model.hub_id!r} "
                    "(served_as says the server's own name for the model)"
                )
            if model.revision is not None and model.revision != info.model_sha:
                raise ProtocolError(
                    f"{url} serves {info.model_id!r} at revision {info.model_sha!r}, the study pins "
                    f"{model.revision!r}: start it with --revision"
                )
            checkpoint = named(info.model_id)
            if info.model_sha and "@" not in checkpoint:
                checkpoint = f"{checkpoint}@{info.model_sha}"
            names = frozenset({info.model_id, _MODEL})
            limit = max(1, min(self.limit, int(info.max_concurrent_requests * self.share)))
            client.room = Room(limit, told=True)
            if self.api == "messages":
                yield _Messages(checkpoint, limit, names, client.room, client, self.extra)
            else:
                doubled = await _doubled(client, url)
                yield _Generate(checkpoint, limit, names, client.room, client, self.extra, doubled)

    async def about(self, model: Model) -> About:  # noqa: ARG002 - a server has one model
        """What `/info` says; raises as the contract says."""
        async with connect(base(self.url), self, "TGI") as client:
            info = await client.get("/info", _Info)
            return About(
                max_concurrent_requests=info.max_concurrent_requests,
                max_total_tokens=info.max_total_tokens,
                clock_ahead_s=client.clock_ahead_s,
            )


class _Info(msgspec.Struct):
    model_id: str
    max_concurrent_requests: int
    model_sha: str | None = None
    max_total_tokens: int | None = None


class _Token(msgspec.Struct):
    id: int
    text: str


class _Templated(msgspec.Struct):
    templated_text: str
    tokenize_response: list[_Token]


class _Details(msgspec.Struct):
    finish_reason: Any = None
    generated_tokens: Any = None


class _Generated(msgspec.Struct):
    generated_text: str
    details: _Details | None = None

    def completion(self, prompt_tokens: int) -> Completion:
        """What was generated; raises as a chat completion does."""
        details = self.details or _Details()
        return completed(
            self.generated_text,
            details.finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=count(details.generated_tokens),
        )


@dataclass
class _Messages:
    checkpoint: str
    limit: int
    names: frozenset[str]
    room: Room
    client: Client
    extra: dict[str, Any]

    async def complete(self, prompt: Prompt) -> Completion:
        body: dict[str, Any] = {
            "model": _MODEL,
            "messages": prompt.messages,
            "max_tokens": prompt.decoding.max_tokens,
            **sampling(prompt.decoding),
            "seed": prompt.seed,
            "stream": False,
            **self.extra,
        }
        if prompt.schema is not None:
            body["response_format"] = {"type": "json_object", "value": prompt.schema}
        return await self.client.post("/v1/chat/completions", body, Answer, Answer.completion)


@dataclass
class _Generate:
    checkpoint: str
    limit: int
    names: frozenset[str]
    room: Room
    client: Client
    extra: dict[str, Any]
    doubled: str
    """What the chat template begins with and `/generate` would put there once more."""

    async def complete(self, prompt: Prompt) -> Completion:
        template = {key: value for key, value in self.extra.items() if key == _TEMPLATE}
        chat = await self.client.post("/chat_tokenize", {"messages": prompt.messages, **template}, _Templated)
        greedy = prompt.decoding.temperature == 0
        parameters: dict[str, Any] = {
            "do_sample": not greedy,
            # Here a temperature of 0 is refused; greedy is to sample by nothing.
            **({} if greedy else sampling(prompt.decoding)),
            "max_new_tokens": prompt.decoding.max_tokens,
            "seed": prompt.seed,
            "details": True,
            **{key: value for key, value in self.extra.items() if key != _TEMPLATE},
        }
        if prompt.schema is not None:
            parameters["grammar"] = {"type": "json", "value": prompt.schema}
        inputs = chat.templated_text.removeprefix(self.doubled)
        body = {"inputs": inputs, "parameters": parameters}
        read = len(chat.tokenize_response)
        return await self.client.post("/generate", body, _Generated, lambda answer: answer.completion(read))


async def _doubled(client: Client, url: str) -> str:
    """The start token that a templated chat has and `/generate` adds again; empty where it is not doubled.

    Raises:
        ProtocolError: it is doubled, and the server does not say what its text is.
    """
    probe = {"messages": [{"role": "user", "content": "Hello."}]}
    chat = await client.post("/chat_tokenize", probe, _Templated)
    tokens = await client.post("/tokenize", {"inputs": chat.templated_text}, list[_Token])
    if len(tokens) <= len(chat.tokenize_response) or tokens[0].id != tokens[1].id:
        return ""
    # The added one stands nowhere in the text; the template's own does.
    if not tokens[1].text or not chat.templated_text.startswith(tokens[1].text):
        raise ProtocolError(
            f"{url} doubles the start of every chat and does not say its text: set api = 'messages'"
        )
    return tokens[1].text
