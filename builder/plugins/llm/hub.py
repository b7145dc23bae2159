"""Inference Endpoints and Inference Providers.

An Endpoint is asked as any other server is. Of a provider `huggingface_hub` says the address, the headers and the form that a
request takes there; it is sent as every other.
Law of the file: a key is always given, because the library would otherwise send the machine's own token to whatever address it
is told.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.errors import EndpointError, ProtocolError
from builder.plugins.llm import About, Backend, Endpoint
from builder.plugins.llm._chat import Answer, about, check_served, json_schema, sampling
from builder.plugins.llm._extra import Served
from builder.remote import base
from builder.remote.client import Client, connect
from builder.remote.fault import excerpt
from builder.remote.room import Room


class Hub(Served, Backend, kw_only=True):
    """An Inference Endpoint (`url`) or an Inference Provider (`provider`)."""

    url: str | None = None
    """The Endpoint's address. It should run TGI: a schema is sent in TGI's form. For one that runs vLLM, the backend
    `openai` holds completions to their schema."""
    provider: str | None = None
    """A provider's name, such as `together`, or `auto` for the Hub's choice. It needs a token: one that starts with
    `hf_` goes to the Hub's router, any other to the provider itself. The Hub is asked what the provider calls the
    model, the provider itself first at the first prompt."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 64
    """Prompts in flight at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.url is None) == (self.provider is None):
            raise ValueError("a hub backend has either a url (an Inference Endpoint) or a provider")
        if self.url is not None:
            base(self.url)
        elif self.token_env is None:
            raise ValueError(f"provider {self.provider!r} needs token_env, the variable that holds its token")

    def address(self, model: Model) -> str:
        """The Endpoint or the provider, and the name that it knows the model by."""
        where = self.provider if self.url is None else base(self.url)
        return f"{where} {self.served_as or model.hub_id}"

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Asks an Endpoint whether it serves the model; raises as the contract says.

        The checkpoint is what the Endpoint tells. A provider tells nothing before its first answer.
        """
        name = self.served_as or model.hub_id
        if self.url is not None:
            url = base(self.url)
            async with connect(url, self, "OpenAI's protocol") as client:
                checkpoint = await check_served(client, url, name)
                names = frozenset({name, checkpoint})
                yield _Opened(checkpoint, self.limit, names, client.room, client, self._to_endpoint(name))
            return
        form = await asyncio.to_thread(self._to_provider, name)
        first = form([], {})
        parts = urlsplit(first.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        async with connect(origin, self, "OpenAI's protocol", first.headers) as client:
            untold = f"{name} via {self.provider}"
            yield _Opened("", self.limit, frozenset(), client.room, client, form, untold)

    async def about(self, model: Model) -> About:
        """What an Endpoint's `/v1/models` says; a provider is not asked. Raises as the contract says."""
        if self.url is None:
            return About()
        async with connect(base(self.url), self, "OpenAI's protocol") as client:
            return await about(client, self.served_as or model.hub_id)

    def _to_endpoint(self, name: str) -> "_Form":
        def form(messages: list[dict[str, str]], parameters: dict[str, Any]) -> _Request:
            body = {"model": name, "messages": messages, **parameters, "stream": False, **self.extra}
            if wanted := parameters.get("response_format"):
                body["response_format"] = {"type": "json_object", "value": wanted["json_schema"]["schema"]}
            return _Request("/v1/chat/completions", "", {}, body)

        return form

    def _to_provider(self, name: str) -> "_Form":
        """The provider's own form of a request; asks the Hub what it calls the model.

        Raises:
            EndpointError: the Hub cannot be reached.
            ProtocolError: there is no such provider, or it does not serve the model.
        """
        # They are insides of the library, whose versions pyproject.toml bounds: its client alone would send what they prepare,
        # and follow redirects, read answers of any size and drop a server's words.
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
        from huggingface_hub.inference._providers import get_provider_helper

        where, token = f"provider {self.provider!r}", self.token() or ""
        try:
            helper = get_provider_helper(self.provider, task="conversational", model=name)  # type: ignore[arg-type] # a Literal of one version's providers

            def form(messages: list[dict[str, str]], parameters: dict[str, Any]) -> _Request:
                asked = helper.prepare_request(
                    inputs=messages,
                    parameters={"model": name, **parameters, "stream": False, **self.extra},
                    headers={},
                    model=name,
                    api_key=token,
                )
                return _Request(urlsplit(asked.url).path, asked.url, asked.headers, asked.json)  # type: ignore[arg-type] # of chats it is a table

            form([], {})
        except (HTTPError, OSError) as error:
            raise EndpointError(f"{where}: {excerpt(str(error), token) or type(error).__name__}") from None
        except ValueError as error:
            raise ProtocolError(f"{where}: {excerpt(str(error), token)}") from None
        return form


class _Request(NamedTuple):
    path: str
    url: str
    headers: dict[str, Any]
    body: dict[str, Any]


_Form = Callable[[list[dict[str, str]], dict[str, Any]], _Request]
"""From messages and parameters to what is sent."""


@dataclass
class _Opened:
    checkpoint: str
    limit: int
    names: frozenset[str]
    room: Room
    client: Client
    form: _Form
    untold: str = ""
    """What has answered where the answer does not tell, and nothing did before."""

    async def complete(self, prompt: Prompt) -> Completion:
        request = self.form(
            [{"role": message.role, "content": message.content} for message in prompt.messages],
            {
                "max_tokens": prompt.decoding.max_tokens,
                **sampling(prompt.decoding),
                "seed": prompt.seed,
                **json_schema(prompt),
            },
        )
        answer = await self.client.post(request.path, request.body, Answer, Answer.completion)
        return answer if answer.model or not self.untold else replace(answer, model=self.untold)
