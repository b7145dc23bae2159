"""What the dialects of `/v1/chat/completions` have in common.

Law of the file: only what all of them agree on; where they differ, each backend says its own. A server is believed in what it
says, and not held to what it leaves out.
"""

from typing import Any

import msgspec

from builder.core.checkpoint import named
from builder.core.prompt import Completion, Decoding, Prompt
from builder.core.thinking import split_thinking
from builder.errors import ItemError, ProtocolError, nearest
from builder.plugins.llm import About
from builder.remote.client import Client
from builder.remote.fault import finish
from builder.remote.room import Room, TryError

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put what was thought, if they tell it from what is said."""


class _Message(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None
    finish_reason: Any = None
    error: Any = None
    """OpenRouter's word for what happened behind it."""


class Answer(msgspec.Struct):
    """A chat completion as it comes over the wire."""

    choices: list[_Choice] | None
    usage: msgspec.Raw = msgspec.Raw()
    model: Any = None

    def completion(self) -> Completion:
        """The first choice.

        Raises:
            TryError: there is none, or the server broke off.
            ProtocolError: it is a call of a tool, or was held back by a filter.
        """
        if not self.choices:
            raise TryError("an answer without choices", "error")
        choice, usage = self.choices[0], _usage(self.usage)
        if choice.error:
            raise TryError(f"broke off: {_words(choice.error) or choice.error}", "error")
        message = choice.message or _Message()
        said, thought = _parts(message.content)
        told = next((text for key in _THOUGHTS if (text := _words(getattr(message, key)))), "")
        details = usage.get("completion_tokens_details")
        thought_about = details.get("reasoning_tokens") if isinstance(details, dict) else None
        return completed(
            said,
            choice.finish_reason,
            prompt_tokens=count(usage.get("prompt_tokens")),
            completion_tokens=count(usage.get("completion_tokens")),
            thinking=told or thought,
            thinking_tokens=count(usage.get("reasoning_tokens") if thought_about is None else thought_about),
            model=self.model if isinstance(self.model, str) else "",
        )


class _Listed(msgspec.Struct):
    id: str
    root: Any = None
    """vLLM's word for what it loaded, or for the adapter."""
    owned_by: Any = None
    max_model_len: int | None = None
    """vLLM's and SGLang's word for the most tokens of prompt and completion."""


class _Models(msgspec.Struct):
    data: list[_Listed]


class _Loaded(msgspec.Struct):
    model_path: str


def completed(
    text: str,
    reason: Any,
    *,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    thinking: str = "",
    thinking_tokens: int | None = None,
    model: str = "",
) -> Completion:
    """The completion that a server's answer is; what it thought is told from what it says.

    Args:
        text: as it came.
        reason: why the server says that it stopped, of whatever kind.
        prompt_tokens: None where the server does not say.
        completion_tokens: likewise.
        thinking: what the server has told apart already.
        thinking_tokens: None where the server does not say.
        model: what the server says has answered.

    Raises:
        TryError: the server broke off.
        ProtocolError: it is a call of a tool, or was held back by a filter.
    """
    finish_reason = finish(reason)
    thought, said = split_thinking(text)
    return Completion(
        text=said,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        thinking="\n".join(filter(None, (thinking, thought))),
        thinking_tokens=thinking_tokens,
        model=model,
    )


def count(tokens: Any) -> int | None:
    """A number of tokens; None for what is none."""
    return int(tokens) if isinstance(tokens, int | float) and 0 <= tokens < 2**53 else None


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


async def check_served(client: Client, url: str, name: str) -> str:
    """Makes sure that `/v1/models` lists the model.

    Returns:
        The checkpoint that the server tells of it: what was loaded under that name, where the server says so, else the name.

    Raises:
        EndpointError: the server cannot be reached.
        ProtocolError: it lists others, or does not list models at all.
    """
    models = await client.get("/v1/models", _Models)
    served = {model.id: model for model in models.data}
    if name not in served:
        raise ProtocolError(
            f"{url} does not serve {name!r}: {nearest(name, served)} "
            "(served_as says the server's own name for it)"
        )
    return named(await _loaded(client, served[name]))


async def _loaded(client: Client, listed: _Listed) -> str:
    """What a server has loaded under a name; the name itself where it does not say."""
    root = listed.root if isinstance(listed.root, str) else ""
    if root and root != listed.id:
        return root
    if not root or listed.owned_by == "sglang":
        # llama-server lists an alias, SGLang repeats one as the root; each tells the file or the folder elsewhere.
        page = "/get_model_info" if listed.owned_by == "sglang" else "/props"
        # A server that lacks the page has failed at nothing.
        room, client.room = client.room, Room(1)
        try:
            return (await client.get(page, _Loaded)).model_path or listed.id
        except ItemError:
            pass
        finally:
            client.room = room
    return listed.id


async def about(client: Client, name: str) -> About:
    """What `/v1/models` says of the model; raises as `check_served` does."""
    models = await client.get("/v1/models", _Models)
    return About(
        max_total_tokens=next((model.max_model_len for model in models.data if model.id == name), None),
        clock_ahead_s=client.clock_ahead_s,
    )


def _parts(content: Any) -> tuple[str, str]:
    """What is said and what is thought, where a message comes in parts."""
    said: list[Any] = []
    thought: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        is_thought = isinstance(kind, str) and ("think" in kind or "reason" in kind)
        (thought if is_thought else said).append(part)
    return _words(said), _words(thought)


def _words(value: Any) -> str:
    """The text of a part, of a list of them, or of what one is made of; empty where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_words, value))
    if isinstance(value, dict):
        return next(
            (text for key in ("text", *_THOUGHTS, "content", "message") if (text := _words(value.get(key)))),
            "",
        )
    return ""


def _usage(told: msgspec.Raw) -> dict[str, Any]:
    """What an answer says of its tokens; empty where that cannot be read."""
    try:
        return msgspec.json.decode(told, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
