"""Orpheus behind a server: token ids from TGI's `/generate` or from vLLM's `/v1/completions`.

Both read the prompt as text, special tokens and all, so that the server's own tokenizer is the only one there is. vLLM is told
to add nothing, which makes it the sequence that the checkpoint was trained on. TGI always puts one more `<|begin_of_text|>` in
front; so it is with the checkpoint's own package, which hands vLLM text and does not tell it so.
Law of the file: ids in, never text; what is sent stands here in full.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from builder.core.speech import Sampling
from builder.errors import ProtocolError, nearest
from builder.plugins.tts.orpheus.tokens import END, Generation
from builder.remote import Remote, base
from builder.remote.client import Client, connect
from builder.remote.fault import finish
from builder.remote.room import Room, TryError

END_TEXT = f"<custom_token_{END - 128256}>"

_Id = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class _Info(msgspec.Struct):
    model_id: str
    max_concurrent_requests: int
    model_sha: str | None = None


class _Token(msgspec.Struct):
    id: _Id


class _Details(msgspec.Struct):
    tokens: list[_Token]
    finish_reason: Any = None


class _Generated(msgspec.Struct):
    details: _Details

    def generation(self) -> Generation:
        """The tokens; raises as a completion does."""
        tokens = [token.id for token in self.details.tokens]
        return Generation(tokens, finish(self.details.finish_reason) != "length")


class _Listed(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Listed]


class _Choice(msgspec.Struct):
    finish_reason: Any = None
    token_ids: list[_Id] | None = None


class _Completed(msgspec.Struct):
    choices: list[_Choice] | None

    def generation(self) -> Generation:
        """The tokens of the first choice; raises as a completion does."""
        if not self.choices:
            raise TryError("an answer without choices", "error")
        choice = self.choices[0]
        ended = finish(choice.finish_reason) != "length"
        if choice.token_ids is None:
            raise ProtocolError("no token ids: vLLM gives them from 0.10.2 on")
        return Generation(choice.token_ids, ended)


@dataclass
class _TGI:
    checkpoint: str
    limit: int
    client: Client

    async def generate(self, prompt: str, sampling: Sampling, seed: int, max_tokens: int) -> Generation:
        parameters: dict[str, Any] = {
            "do_sample": True,
            "temperature": sampling.temperature,
            # A nucleus of everything is refused.
            **({"top_p": sampling.top_p} if sampling.top_p < 1 else {}),
            **({} if sampling.top_k is None else {"top_k": sampling.top_k}),
            "repetition_penalty": sampling.repetition_penalty,
            "max_new_tokens": max_tokens,
            "stop": [END_TEXT],
            "seed": seed,
            "details": True,
        }
        body = {"inputs": prompt, "parameters": parameters}
        return await self.client.post("/generate", body, _Generated, _Generated.generation)


@dataclass
class _VLLM:
    checkpoint: str
    limit: int
    client: Client
    served_as: str

    async def generate(self, prompt: str, sampling: Sampling, seed: int, max_tokens: int) -> Generation:
        body: dict[str, Any] = {
            "model": self.served_as,
            "prompt": prompt,
            "add_special_tokens": False,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or 0,
            "repetition_penalty": sampling.repetition_penalty,
            "max_tokens": max_tokens,
            "stop_token_ids": [END],
            "seed": seed,
            "return_token_ids": True,
            "stream": False,
        }
        return await self.client.post("/v1/completions", body, _Completed, _Completed.generation)


@asynccontextmanager
async def open_tgi(url: str, settings: Remote, checkpoint: str) -> AsyncIterator[_TGI]:
    """Asks `/info` what is served.

    Raises:
        EndpointError: it cannot be reached.
        ProtocolError: it does not speak TGI, or serves another model.
        ConfigError: the token is missing.
    """
    url, name = base(url), settings.served_as or checkpoint
    async with connect(url, settings, "TGI") as client:
        info = await client.get("/info", _Info)
        _check_served(url, name, [info.model_id])
        limit = min(settings.limit, info.max_concurrent_requests)
        client.room = Room(limit)
        yield _TGI(f"{checkpoint}@{info.model_sha}" if info.model_sha else checkpoint, limit, client)


@asynccontextmanager
async def open_vllm(url: str, settings: Remote, checkpoint: str) -> AsyncIterator[_VLLM]:
    """Asks `/v1/models` whether the model is served; raises as `open_tgi` does. It has no word for a revision."""
    url, name = base(url), settings.served_as or checkpoint
    async with connect(url, settings, "OpenAI's protocol") as client:
        models = await client.get("/v1/models", _Models)
        _check_served(url, name, [model.id for model in models.data])
        yield _VLLM(checkpoint, settings.limit, client, name)


def _check_served(url: str, name: str, served: list[str]) -> None:
    if name not in served:
        raise ProtocolError(
            f"{url} does not serve {name!r}: {nearest(name, served)} (served_as says the server's own name for it)"
        )
