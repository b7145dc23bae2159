"""Dialogues as chats: one speaker is the assistant whom a model learns to be, the other is the user.

Law of the file: a chat begins with the user, alternates and ends with the assistant, as every chat template wants it; nothing is
said that the dialogue does not say.
"""

from collections.abc import Sequence
from typing import Any

import datasets

SPEAKERS = ("LLM1", "LLM2")
_FIRST = {"LLM1": 1, "LLM2": 0}
"""The turn with which the chat begins: LLM1 opens a dialogue, and an opening answers nobody."""


def fewest(assistant: str) -> int:
    """The fewest turns of a dialogue of which a chat can be made."""
    return _FIRST[assistant] + 2


def chat(row: dict[str, Any], *, assistant: str, emotions: Sequence[str] | None) -> dict[str, Any]:
    """The chat of a dialogue.

    Args:
        row: with `turns`.
        assistant: one of `SPEAKERS`.
        emotions: the names of the emotions, to tell the assistant before each answer which one it feels; None tells nothing.

    Returns:
        `messages`, a list of `role` and `content`; a last turn that has no answer is left out, and as LLM1 the opening.
    """
    turns = row["turns"][_FIRST[assistant] :]
    messages = []
    for heard, said in zip(turns[0::2], turns[1::2], strict=False):
        tag = f"\n\nThe emotion you feel: {emotions[said['emotion']]}" if emotions else ""
        messages.append({"role": "user", "content": heard["text"] + tag})
        messages.append({"role": "assistant", "content": said["text"]})
    return {"messages": messages}


def features() -> datasets.Features:
    """The columns of a chat."""
    string = datasets.Value("string")
    return datasets.Features({"messages": [{"role": string, "content": string}]})
