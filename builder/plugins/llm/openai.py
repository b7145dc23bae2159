"""Servers that speak OpenAI's protocol: vLLM, SGLang, llama-server, llama-cpp-python, `transformers serve`.

Law of the file: temperature, `top_p`, `seed` and `max_tokens` are always sent. What a server adds by itself
is its operator's to switch off: vLLM's defaults from the model with `--generation-config vllm`,
llama-server's own with `--top-k 0 --min-p 0`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from builder.core.checkpoint import named
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.plugins.llm import About, Backend, Endpoint
from builder.plugins.llm._chat import Answer, about, check_served, json_schema
from builder.plugins.llm._extra import Served
from builder.remote import base
from builder.remote.client import Client, connect
from builder.remote.room import Room

Dialect = Literal["openai", "llama-cpp-python", "transformers"]


class OpenAI(Served, Backend, kw_only=True):
    """A server of `/v1/chat/completions`."""

    url: str
    """Its address, with or without `/v1` at its end."""
    dialect: Dialect = "openai"
    """How a prompt's schema is sent: `openai` as vLLM, SGLang and llama-server take it, `llama-cpp-python` in
    its own form. `transformers` holds no completion to a schema, so none is sent; and it lists what its cache
    has rather than what it serves, so that it is only asked for its health."""

    def __post_init__(self) -> None:
        super().__post_init__()
        base(self.url)

    def address(self, model: Model) -> str:
        """The server, and the name that it knows the model by."""
        return f"{base(self.url)} {self.served_as or model.hub_id}"

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Asks `/v1/models` whether the model is served; raises as the contract says.

        The checkpoint is what the server tells of that name; `transformers serve` loads whatever it is asked for.
        """
        url, name = base(self.url), self.served_as or model.hub_id
        async with connect(url, self, "OpenAI's protocol") as client:
            if self.dialect == "transformers":
                await client.get("/health", dict[str, Any])
                checkpoint = named(name)
            else:
                checkpoint = await check_served(client, url, name)
            names = frozenset({name, checkpoint, f"{name}@main"})  # the last is `transformers serve`'s
            yield _Opened(checkpoint, self.limit, names, client.room, client, name, self.dialect, self.extra)

    async def about(self, model: Model) -> About:
        """What `/v1/models` says; raises as the contract says."""
        async with connect(base(self.url), self, "OpenAI's protocol") as client:
            return await about(client, self.served_as or model.hub_id)


@dataclass
class _Opened:
    checkpoint: str
    limit: int
    names: frozenset[str]
    room: Room
    client: Client
    name: str
    dialect: Dialect
    extra: dict[str, Any]

    async def complete(self, prompt: Prompt) -> Completion:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": prompt.messages,
            "max_tokens": prompt.decoding.max_tokens,
            "temperature": prompt.decoding.temperature,
            "top_p": prompt.decoding.top_p,
            "seed": prompt.seed,
            "stream": False,
            **self.extra,
        }
        if self.dialect == "openai":
            body |= json_schema(prompt)
        elif self.dialect == "llama-cpp-python" and prompt.schema is not None:
            body["response_format"] = {"type": "json_object", "schema": prompt.schema}
        return await self.client.post("/v1/chat/completions", body, Answer, Answer.completion)
