"""From a completion to the words of a turn: what is cleaned off, and what breaks the rules.

Law of the file: cleaning never loses a word. What cannot be kept whole is a breach, and the model is asked
again; the published data shows what cutting does ("Jungle Cruise," was left of a whole sentence).
"""

import re
import unicodedata
from typing import Literal

Breach = Literal["empty", "cut off", "role label", "stage direction", "too long", "refusal"]

_QUOTES = {'"': '"', "“": "”", "«": "»", "'": "'", "‘": "’"}
_ACTS = (
    r"(?i:(?:\w+ )?(?:(?:sigh|laugh|smirk|grinn?|nodd?|shrugg?|gasp|whisper|cough|wink|frown|sobb?|groan|yawn"
    r"|blush|snort|gulp)(?:s|es|ing)?|(?:chuckl|giggl|smil|paus|winc)(?:e|es|ing)|cr(?:y|ies|ying))"
    r"|(?:beam|bounc|clap|clear|lean|shak)e?s|rolls (?:\w+ )?eyes|looks (?:at|away|around|down|up)"
    r"|(?:eyes|voice) \w+ing|(?:angri|excited|happi|nervous|soft|tearful)ly)(?![^\W_])"
)
_BOLD = re.compile(rf"(?<!\w)(\*\*|__)(?=\S)(?!{_ACTS})(.+?)(?<=\S)\1(?!\w)")
# Around one word, or a title, which begins and ends with a capital. Marks around an act are left standing.
_EMPHASIS = re.compile(
    rf"(?<![\w*])([*_])(?!{_ACTS})([^\W_][\w'’-]*[.,!?…]*|[^\W_a-z][^*]*?\s[^\W_a-z][^*\s]*)\1(?![\w*])"
)
_LABEL = re.compile(
    r"^[\s>*_\"“(\[]*(?:LLM\s?\d|(?:speaker|person)\s?[\dab]|assistant|user|human|AI|bot|friend|you|me|emotion"
    r"|response|reply|answer)(?:\s?\([^)\n]*\))?\W{0,3}:",
    re.IGNORECASE | re.MULTILINE,
)
_NAMED = re.compile(r"\bLLM\s?[12]\b|<[|/]?\w+[|/]?>|\[/?INST\]")
_STAGED = re.compile(rf"\*[^*]+\*|(?<!\w)_+[^_]+_+(?!\w)|\[[^\]]*\]|^\([^)]*\)|\({_ACTS}[^()]*\)")
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
    """Takes off what is not speech: quotes around the whole and marks of emphasis; white space is single.

    Every word of the text is in the result, in order.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(r"\2", _BOLD.sub(r"\2", text))
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and not set(text[1:-1]) & {text[0], text[-1]}:
        text = text[1:-1].strip()
    return text


def breach(completion: str, finish_reason: str, max_words: int) -> Breach | None:
    """The first rule that a completion breaks; None if it can become a turn.

    Args:
        completion: as the model gave it, before `clean`.
        finish_reason: `stop` or `length`.
        max_words: more words than this are too many.
    """
    text = clean(completion)
    if not any(character.isalnum() for character in text):
        return "empty"
    if finish_reason == "length":
        return "cut off"
    # A search is dear and its marks are rare: most completions have none of them.
    if (":" in completion and _LABEL.search(completion)) or _NAMED.search(completion):
        return "role label"
    if any(mark in text for mark in "*_[(") and _STAGED.search(text):
        return "stage direction"
    if REFUSAL.search(text):
        return "refusal"
    return "too long" if len(text.split()) > max_words else None
