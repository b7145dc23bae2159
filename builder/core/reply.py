"""From a completion to the words of a turn: what is cleaned off, and what breaks the rules.

What is not speech is found by its structure: where it stands, what stands around it and what it is made of. Both sides count: a
reply that is asked for again for nothing costs a call, one that should have been costs a line that is read aloud in the dataset.
Law of the file: cleaning never loses a word that is said. What cannot be kept whole is a breach, and the model is asked again;
the published data shows what cutting does ("Jungle Cruise," was left of a whole sentence). Time is linear in the text.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from typing import Literal

from builder.core.label import labelled
from builder.core.span import has_act, unmarked
from builder.core.thinking import split_thinking
from builder.core.word import count_words, normal

Breach = Literal[
    "empty", "cut off", "thought too long", "broken text", "markup", "role label", "remark", "placeholder", "stage direction",
    "too long", "refusal",
]  # fmt: skip

_QUOTES = {
    '"': '"', "“": "”", "”": "”", "„": "“”", "«": "»", "»": "«", "'": "'", "‘": "’", "‚": "‘’", "‹": "›", "›": "‹",
    "「": "」", "『": "』",
}  # fmt: skip
_MARKED = re.compile(r"[*＊_~]")
_UNUSUAL = re.compile(r"[^\w\s.,!?'\"’‘“”…;–—-]|_|LLM|'{3}|\"{3}|\B-\w")
"""A search is dear and its marks are rare: most completions have none of these."""

_MOST_CHARACTERS = 30
"""Of a word, on average: a reply without a space has none of its own, and no language has longer ones."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_STRANGE = re.compile(
    "[\u00ad\u115f\u1160\u180e\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufeff\uffa0"
    "\ufff9-\uffff\U000f0000-\U0010ffff]"
    # What a tokeniser puts for a space, and UTF-8 that was read as Windows-1252.
    "|\u2581|[a-z!?.,]\u0120\\w|\u00e2\u20ac|\u00c3[\u0080-\u00bf\u201a-\u2122]|\u00c2[\u0080-\u00bf]|\u00f0\u0178"
)
_JOINER = re.compile("[\u200b-\u200f\u061c\U000e0020-\U000e007f]")
"""Right beside the scripts, pictures and flags that need them."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_WRAPPED = re.compile(
    r"```|~~~|\A\s*(?:\"\"\"|'''|`[^`]*`\s*\Z)|\A\s*\{[^}]*:|\}\s*\Z|\A\s*\[\s*[\"'{]|\]\("
    r"|^[ \t]*(?:>[ \t]+[^\W\d]|[*•][ \t]|\|.*\|[ \t]*$|-[ \t].*\n+[ \t]*-[ \t])"
    r"|\A\s*[\"']?(?:text|reply|response|content|message|output)[\"']?\s*[:=]\s*[\"']",
    re.MULTILINE,
)
"""Fences, JSON, code, links, and lines that are quoted, listed or in a table."""
_ESCAPED = re.compile(
    r"\\(?:[ntr](?-i:(?![a-z]{3}))|[\"'\\]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|[A-Za-z,.!?]%(?:20|2C|27|0A)[A-Za-z]",
    re.IGNORECASE,
)
_PATH = re.compile(r"\b[A-Za-z]:\\")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
_TAGGED = re.compile(r"[<＜|｜{\[⟨]|_(?:id|of|start|end)")
_TAG = re.compile(
    r"[<＜][|｜/!?]{0,2}[^\W\d_][^<>＜＞\s]{0,60}(?:\s[^<>＜＞]{0,80})?[>＞]|<[|｜][^\s<>]{1,60}|[<＜]{2}[/\w]"
    r"|[|｜]\w{2,40}[|｜][>＞]?|\|>|\[/?INST\]|<0x[0-9A-F]{2}>|\{\{|\}\}|⟨[^⟨⟩]{1,40}⟩"
    r"|\bim_(?:start|end)\b|\b(?:start|end)_of_turn\b|\beot_id\b"
)
_BLANK = re.compile(
    r"\{\s*[^\W\d][^{}\n]{0,40}\}|_{3,}|\((?:insert|your name|name)\b[^()\n]{0,40}\)|(?<!\w)%[sd](?!\w)",
    re.IGNORECASE,
)
_SPEECH = r"(?:response|reply|line|message|sentence|turn|dialogue|utterance|version|example|statement|expression|answer)s?"
_GIVEN = r"here(?:['’]s| is| are| you go)|(?:as|like) an? [^\n:：]{0,60}I(?:['’]d| would| might) (?:say|respond|reply)"
_PREAMBLE = re.compile(
    r"\A[^\n:：]{0,300}[:：][*_]{0,3}[ \t]*\n\s*(?:\n|[\"“«„])"
    rf"|\A[^\n:：]{{0,80}}\b(?:{_GIVEN})\b(?:[^\n:：]{{0,120}}\b{_SPEECH}\b(?! (?:to|is|was|are)\b)[^\n:：]{{0,120}}"
    r"|(?<=say|ond|ply)[^\n:：]{0,40})[:：]"
    r"|\A[^\n:：]{0,40}\bhere(?:['’]s| is) (?:what|how) I(?:['’]d| would| might) (?:say|respond|reply|put)\b"
    r"[^\n:：]{0,40}[:：]\s*[\"“«„]",
    re.IGNORECASE,
)
_AFTERWORD = re.compile(
    r"^[ \t]*(?:[-*_=~][ \t]*){3,}$|\bword count\s*[:=]?\s*\d|^[^\w\n]*(?:total )?(?:words?|length)\s*[:=]\s*\d+[^\w\n]*$"
    r"|[(\[*]\s*(?:about |approx\w*\.? |~)?\d{1,4} (?:words?|tokens?|characters?)[^()\[\]\n]{0,20}[)\]*]*\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_MACHINE = (
    r"(?:AI|artificial intelligence|(?:large )?language model|virtual assistant|computer program|chatbot)"
    r"(?= (?:(?:language )?(?:model|assistant|chatbot)|created|designed|trained|developed|and|so|I)\b"
    r"|\s*(?:[^\w\s-]|$))"
)
_CANNOT = r"I(?: can['’]?t| cannot| can not| won['’]t|(?: am|['’]m) (?:unable|not able) to)"
REFUSAL = re.compile(
    rf"\b(?:as|I(?:['’]m| am)(?: just| only)?) an? {_MACHINE}"
    rf"|\bsorry,? (?:but )?{_CANNOT} (?:help (?:you )?with|continue (?:this|the|with)|generate|create"
    r"|respond to|(?:engage|participate) in)\b"
    rf"|\b{_CANNOT} (?:assist|fulfil|comply|help you with (?:this|that)\b|provide (?!for\b)"
    r"|continue this (?:conversation|dialogue|role)|(?:engage|participate) in (?:this|that|such)\b)"
    r"|\bI (?:do not|don['’]t) (?:really |actually )?have (?:any |real |human |personal )*"
    r"(?:feelings|emotions)\b(?! (?:for|about|towards?|left|any ?more)\b)"
    r"|\bI (?:do not|don['’]t) have (?:any )?personal (?:experience|opinion|preference)s?\b"
    r"|\bhow (?:may I (?:assist|help) you|can I (?:assist you|help you today))\b",
    re.IGNORECASE,
)
"""A model that refuses, or speaks as an assistant. What friends say passes: "I'm sorry, I can't make it",
"I'm an AI engineer", "I don't have feelings for him"."""


def clean(text: str) -> str:
    """Takes off what is not speech: thinking, quotes around the whole and marks of emphasis; white space is single.

    Every word of what is said is in the result, in order.
    """
    text = " ".join(normal("NFC", split_thinking(text)[1]).split())
    if _MARKED.search(text):
        text = " ".join(unmarked(text).split())
    while (
        len(text) > 1 and text[-1] in _QUOTES.get(text[0], ()) and not set(text[1:-1]) & {text[0], text[-1]}
    ):
        text = text[1:-1].strip()
    return text


def breach(completion: str, finish_reason: str, max_words: int, *, thought: bool = False) -> Breach | None:
    """The first rule that a completion breaks; None if it can become a turn.

    Args:
        completion: as the model gave it, before `clean`.
        finish_reason: `stop` or `length`.
        max_words: more words than this are too many.
        thought: whether thinking was already taken off.
    """
    thinking, said = split_thinking(completion)
    text = clean(said)
    if not any(map(str.isalnum, text)):
        cut_off = finish_reason == "length" and (thought or thinking)
        return "thought too long" if cut_off else "empty"
    if finish_reason == "length":
        return "cut off"
    if (not said.isascii() and _broken(said)) or _CONTROL.search(said):
        return "broken text"
    if ("\n" in said or _UNUSUAL.search(said)) and (
        fault := next((fault for fault, found in _RULES if found(said)), None)
    ):
        return fault
    if REFUSAL.search(text):
        return "refusal"
    too_long = count_words(text) > max_words or len(text) > _MOST_CHARACTERS * max_words
    return "too long" if too_long else None


def _broken(said: str) -> bool:
    """Whether it has characters that no one writes: invisible ones out of their scripts, halves of others, or none at all."""
    return _STRANGE.search(said) is not None or any(
        not _joins(said, found.start()) for found in _JOINER.finditer(said)
    )


def _joins(said: str, at: int) -> bool:
    """Whether an invisible character stands where its script or picture has a use for it."""
    before = said[at - 1 : at] or " "
    if said[at] in "\u200e\u200f\u061c":
        return _RIGHT_TO_LEFT.search(said, max(0, at - 80), at + 80) is not None
    return unicodedata.category(before) in {"Lo", "Mn", "Mc", "So", "Sk", "Cf"}


def _escaped(said: str) -> bool:
    found = _ESCAPED.search(said) if "\\" in said or "%" in said else None
    if found and not (found[0][1:] in {"n", "t", "r"} and _PATH.search(said)):
        return True
    return "&" in said and any(html.unescape(entity) != entity for entity in _ENTITY.findall(said))


def _marked(said: str) -> bool:
    """Whether it holds a tag or a marker of a chat; addresses in angle brackets are none."""
    return _TAGGED.search(said) is not None and any(
        "://" not in found[0] and "@" not in found[0] for found in _TAG.finditer(said)
    )


_RULES: tuple[tuple[Breach, Callable[[str], object]], ...] = (
    ("markup", _WRAPPED.search),
    ("markup", _escaped),
    ("role label", _marked),
    ("remark", _PREAMBLE.match),
    ("remark", _AFTERWORD.search),
    ("role label", labelled),
    ("placeholder", _BLANK.search),
    ("stage direction", has_act),
)
"""What a reply may hold beside what is said, and what finds it. More than one may."""
