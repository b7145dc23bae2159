"""What a reasoning model thinks before it speaks, told from what it says.

Servers give both in one text unless they were started with a parser of reasoning: between tags, after an opening tag that the
chat template has put into the prompt, or in the channels of gpt-oss's Harmony format, with its special tokens or without them.
Only what comes first is thinking; a tag in the middle of what is said stays, and a rule finds it.
Law of the file: what is said is kept to the byte, but for the white space before it.
"""

import re

_NAMES = (
    "think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|seed:think|seed:cot_budget_reflect"
)
_TAG = re.compile(
    rf"(?P<close></(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>|<channel\|>)"
    rf"|<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|channel>thought\b",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"<(?:answer|response)>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>"
    r"|(?P<close></(?:answer|response)>|<\|end_of_solution\|>|<\|END_RESPONSE\|>)\s*\Z",
    re.IGNORECASE,
)
"""What some models put around what they say once they have thought."""
_CHANNEL = re.compile(
    r"\s*(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
_ENDED = re.compile(r"<\|(?:end|return|call)\|>")
_BARE = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)(?=[^\W\da-z])")
"""A channel whose special tokens were dropped in decoding, so that its name runs into the thought."""
_BARE_FINAL = "assistantfinal"


def split_thinking(text: str) -> tuple[str, str]:
    """What a model thought, and what it says.

    Args:
        text: a completion as the server gave it.

    Returns:
        The thinking, empty where there is none, and the speech: the text as it is where there is no thinking, else what follows
        it. Where the thinking does not end, as when tokens ran out, all is thinking and nothing is said.
    """
    if _CHANNEL.match(text):
        return _channels(text)
    if bare := _BARE.match(text):
        thought, _, said = text[bare.end() :].partition(_BARE_FINAL)
        return thought.strip(), said.lstrip()
    if "<" in text or "[" in text or "◁" in text:
        return _tagged(text)
    return "", text


def _tagged(text: str) -> tuple[str, str]:
    thoughts: list[str] = []
    at = 0
    opened = False
    for tag in _TAG.finditer(text):
        if tag["close"]:
            thoughts.append(text[at : tag.start()].strip())
            opened = False
        elif opened:
            continue
        elif text[at : tag.start()].strip():  # nothing but a thought may come first
            break
        else:
            opened = True
        at = tag.end()
    if opened:
        return "\n".join(filter(None, [*thoughts, text[at:].strip()])), ""
    return "\n".join(filter(None, thoughts)), _unframed(text[at:].lstrip()) if at else text


def _unframed(said: str) -> str:
    """What is said, out of the tags that some models put around it."""
    opened = _ANSWER.match(said)
    if opened is None or opened["close"]:
        return said
    closed = next((tag for tag in _ANSWER.finditer(said) if tag["close"]), None)
    inner = said[opened.end() : closed.start() if closed else None]
    return said if _TAG.search(inner) else inner.strip()


def _channels(text: str) -> tuple[str, str]:
    """The messages of Harmony: the final one is said, and so is whatever follows it or is in no channel."""
    thoughts: list[str] = []
    at = 0
    while (header := _CHANNEL.match(text, at)) and header[1] != "final":
        end = _ENDED.search(text, header.end())
        thoughts.append(text[header.end() : end.start() if end else None].strip())
        at = end.end() if end else len(text)
    if header:
        end = _ENDED.search(text, header.end())
        stop = end.start() if end and not text[end.end() :].strip() else None
        return "\n".join(thoughts), text[header.end() : stop]
    return "\n".join(thoughts), text[at:].lstrip()
