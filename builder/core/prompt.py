"""What goes to a language model and what comes back; and templates, filled in one pass.

Law of the file: text that was filled in is never looked at again, so a reply that contains `{emotion}` stays a reply.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from builder.core.values import Heat, Nucleus, Tokens
from builder.errors import nearest
from builder.records import Record

_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Role = Literal["system", "user", "assistant"]


class Message(Record):
    """One message of a chat."""

    role: Role
    content: str


class Decoding(Record):
    """How a model samples."""

    temperature: Heat = 0.7
    """0 is greedy. The paper does not say; 0.7 is our choice."""
    top_p: Nucleus = 0.95
    """The nucleus, in (0, 1]."""
    max_tokens: Tokens = 128
    """The most tokens of one completion; small, because servers reserve memory for all of them."""


class Prompt(Record):
    """One request to a model."""

    model: str
    """The model's name in the vocabulary."""
    messages: tuple[Message, ...]
    decoding: Decoding
    seed: int
    """In 0..2**31 - 1."""
    schema: dict[str, Any] | None = None
    """A JSON schema the completion should follow, where the server can hold it to one."""
    thread: str = ""
    """What the prompts that share a beginning have in common, such as a dialogue's id: they are best asked of one
    server. It is sent to none."""


class Completion(Record):
    """What a model answered."""

    text: str
    finish_reason: Literal["stop", "length"]
    """`length`: cut off at `max_tokens`."""
    prompt_tokens: int | None = None
    """None: the server did not say."""
    completion_tokens: int | None = None
    """Those of the thinking included; None: the server did not say."""
    thinking: str = ""
    """What a reasoning model thought before it answered, which is no part of `text`."""
    thinking_tokens: int | None = None
    """Of `completion_tokens`; None: the server did not say."""
    model: str = ""
    """What the answer says has answered; empty where it says nothing. An endpoint gives the server's own words, a run the
    checkpoint, and that only where it is not what the endpoint tells."""


def check_template(template: str, placeholders: tuple[str, ...]) -> None:
    """Makes sure a template has every placeholder it needs and no other.

    Raises:
        ValueError: names the missing or unknown placeholder.
    """
    found = set(_PLACEHOLDER.findall(template))
    for name in placeholders:
        if name not in found:
            raise ValueError(f"the placeholder {{{name}}} is missing")
    for name in sorted(found - set(placeholders)):
        raise ValueError(f"the placeholder {{{name}}} is unknown: {nearest(name, placeholders)}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replaces every `{name}` by its value, in one pass."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
