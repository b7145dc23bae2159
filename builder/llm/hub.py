"""Inference Endpoints and Inference Providers, through `huggingface_hub`'s own `AsyncInferenceClient`.

Law of the file: a key is always given, because the client would otherwise send the machine's own token to
whatever address it is told.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.errors import ProtocolError
from builder.llm import About, Backend, Endpoint
from builder.llm._chat import Answer, about, check_served, json_schema, sampling
from builder.remote import Remote, base
from builder.remote.client import connect, excerpt, refusal
from builder.remote.retry import persist
from builder.remote.room import Room, TryError

_NO_TOKEN = "none"  # noqa: S105 - it says that there is none
"""What is sent as the key where none is wanted: an empty one is replaced by the machine's token."""


class Hub(Remote, Backend, kw_only=True):
    """An Inference Endpoint (`url`) or an Inference Provider (`provider`)."""

    url: str | None = None
    """The Endpoint's address. It should run TGI: the client puts a schema into TGI's form. For one that runs
    vLLM, the backend `openai` holds completions to their schema."""
    provider: str | None = None
    """A provider's name, such as `together`, or `auto` for the Hub's choice. It is first asked at the first
    prompt, and needs a token: one that starts with `hf_` goes to the Hub's router, any other to the provider
    itself."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 64
    """Prompts in flight at once. The client keeps 100 connections at most."""

    def __post_init__(self) -> None:
        if (self.url is None) == (self.provider is None):
            raise ValueError("a hub backend has either a url (an Inference Endpoint) or a provider")
        if self.url is not None:
            base(self.url)
        elif self.token_env is None:
            raise ValueError(f"provider {self.provider!r} needs token_env, the variable that holds its token")

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Asks an Endpoint whether it serves the model; raises as the contract says.

        Neither an Endpoint nor a provider tells the revision in this protocol, so the checkpoint names none.
        """
        import huggingface_hub

        token, name = self.token(), self.served_as or model.hub_id
        url = None if self.url is None else base(self.url)
        if url is not None:
            async with connect(url, self, "OpenAI's protocol") as line:
                await check_served(line, url, name)
        client = huggingface_hub.AsyncInferenceClient(
            base_url=url,
            provider=self.provider,  # type: ignore[arg-type] # a Literal of the providers of one version
            api_key=token or _NO_TOKEN,
            timeout=self.timeout_s,
        )
        async with client:
            yield _Opened(model.hub_id, self.limit, self, client, name, token, Room(self.limit))

    async def about(self, model: Model) -> About:
        """What an Endpoint's `/v1/models` says; a provider is not asked. Raises as the contract says."""
        if self.url is None:
            return About()
        async with connect(base(self.url), self, "OpenAI's protocol") as client:
            return await about(client, self.served_as or model.hub_id)


@dataclass
class _Opened:
    checkpoint: str
    limit: int
    settings: Hub
    client: Any
    name: str
    token: str | None = field(repr=False)
    room: Room

    async def complete(self, prompt: Prompt) -> Completion:
        return await persist(
            lambda _: self._ask(prompt), self.room, self.settings.attempts, self.settings.pause_s
        )

    async def _ask(self, prompt: Prompt) -> Completion:
        # The root of the HTTP library's errors: httpx with version 1 of the client, httpx2 with version 2.
        from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

        where = f"POST {self.settings.url or self.settings.provider}"
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                answer = await self.client.chat_completion(
                    [{"role": message.role, "content": message.content} for message in prompt.messages],
                    model=self.name,
                    max_tokens=prompt.decoding.max_tokens,
                    seed=prompt.seed,
                    **sampling(prompt.decoding),
                    **json_schema(prompt),
                )
            return msgspec.json.decode(msgspec.json.encode(answer), type=Answer).completion()
        except HfHubHTTPError as error:
            response = error.response
            retry_after = response.headers.get("Retry-After")
            raise refusal(where, response.status_code, retry_after, response.content, self.token) from None
        except TimeoutError:
            raise TryError(f"{where}: no answer in {self.settings.timeout_s:g} s", "timeout") from None
        except (HTTPError, OSError) as error:
            said = excerpt(str(error), self.token) or type(error).__name__
            raise TryError(f"{where}: {said}", "connection") from None
        except ValueError as error:
            # Both what the client says of a provider and what it says of an answer that it cannot read.
            text = excerpt(getattr(error, "doc", ""), self.token, 80)
            reason = excerpt(str(error), self.token)
            raise ProtocolError(f"{where}: {reason}" + (f": {text!r}" if text else "")) from None
