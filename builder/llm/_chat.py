"""What the dialects of `/v1/chat/completions` have in common.

Law of the file: only what all of them agree on; where they differ, each backend says its own.
"""

from typing import Annotated, Any, Literal

import msgspec

from builder.core.prompt import Completion, Decoding, Prompt
from builder.errors import ProtocolError, nearest
from builder.llm import About
from builder.remote.client import Client

Finish = Literal["stop", "stop_sequence", "eos_token", "length"]
"""Why a server stopped. Any other reason (`content_filter`, `tool_calls`) is no completion."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Finish


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class Answer(msgspec.Struct):
    """A chat completion as it comes over the wire."""

    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: _Usage

    def completion(self) -> Completion:
        """The first choice."""
        choice = self.choices[0]
        return Completion(
            text=choice.message.content or "",
            finish_reason=finish(choice.finish_reason),
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
        )


class _Listed(msgspec.Struct):
    id: str
    max_model_len: int | None = None
    """vLLM's and SGLang's word for the most tokens of prompt and completion."""


class _Models(msgspec.Struct):
    data: list[_Listed]


def finish(reason: Finish) -> Literal["stop", "length"]:
    """A server's reason in the project's words."""
    return "length" if reason == "length" else "stop"


def sampling(decoding: Decoding) -> dict[str, float]:
    """Temperature and nucleus for TGI: it refuses a `top_p` of 1, and any other makes it sample even at 0."""
    if decoding.temperature > 0 and decoding.top_p < 1:
        return {"temperature": decoding.temperature, "top_p": decoding.top_p}
    return {"temperature": decoding.temperature}


def json_schema(prompt: Prompt) -> dict[str, Any]:
    """The request's `response_format` in OpenAI's form; nothing where the prompt has no schema."""
    if prompt.schema is None:
        return {}
    wanted = {"name": "answer", "schema": prompt.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


async def check_served(client: Client, url: str, name: str) -> None:
    """Makes sure that `/v1/models` lists the model.

    Raises:
        EndpointError: the server cannot be reached.
        ProtocolError: it lists others, or does not list models at all.
    """
    models = await client.get("/v1/models", _Models)
    served = [model.id for model in models.data]
    if name not in served:
        raise ProtocolError(
            f"{url} does not serve {name!r}: {nearest(name, served)} "
            "(served_as says the server's own name for it)"
        )


async def about(client: Client, name: str) -> About:
    """What `/v1/models` says of the model; raises as `check_served` does."""
    models = await client.get("/v1/models", _Models)
    return About(
        max_total_tokens=next((model.max_model_len for model in models.data if model.id == name), None),
        clock_ahead_s=client.clock_ahead_s,
    )
