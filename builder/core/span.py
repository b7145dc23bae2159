"""Spans of a reply that are set apart by marks or brackets: emphasis, asides that are spoken, and acts that are not.

An act ("*hugs*", "(sighs softly)") is told by where it stands: it is a segment of its own, between the ends of sentences, and no
one that is spoken. What stands inside a sentence is emphasis or an aside. Where its place does not tell, as in "Well (nervous
laugh), maybe", its words do.
Law of the file: one pass over the marks, and every look around one is at a window of bounded length: time is linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from builder.core.stop import CALLS, QUESTIONS, STOPS

_WINDOW = 80

_TOKEN = re.compile(r"[*＊]+|_+|~+|[(（\[［【〔{｛)）\]］】〕}｝]")
_KIND = dict(zip("（［【〔｛）］】〕｝", "([[[{)]]]}", strict=True))
_OPENING = {")": "(", "]": "[", "}": "{"}
_FACE = re.compile(r"[:;=][-^'’]?\Z")
_SMILE = re.compile(r"(?:[:;=8][-^'’]?[()DPpO3|/\\\]\[]|\b[xX]D|<3+|\^_?\^)\Z")

_ENDS = QUESTIONS | CALLS | STOPS | frozenset(";~～♪-–—")
_HALF = frozenset("…-–—~～")
"""What may as well stand within a sentence; so may three dots."""
_QUOTES = "\"'“”‘’„«»‹›「」『』"
_LAST = QUESTIONS | CALLS | STOPS

ACTS = re.compile(
    r"(?i:(?:\w+ )?(?:(?:sigh|laugh|smirk|grinn?|nodd?|shrugg?|gasp|whisper|cough|wink|frown|sobb?|groan|yawn"
    r"|blush|snort|gulp)(?:s|es|ing)?|(?:chuckl|giggl|smil|paus|winc)(?:e|es|ing)|cr(?:y|ies|ying))"
    r"|(?:beam|bounc|clap|clear|lean|shak)e?s|rolls (?:\w+ )?eyes|looks (?:at|away|around|down|up)"
    r"|facepalms?|eye-?rolls?|takes a (?:\w+ )?breath|(?:deep|shaky) breath|(?:eyes|voice) \w+ing"
    r"|(?:angri|excited|happi|nervous|soft|tearful|gentl)ly|lol)(?![^\W_])"
    r"|[苦爆微大冷偷]?[笑泣汗涙怒照哭叹嘆](?:[气氣](?![^\W_])|(?![^\W_])|[うい着著])|웃|يضحك|يبتسم|يتنهد"
)
"""Acts by their commonest words: the evidence only where the place of a span leaves both open."""
_VERBAL = re.compile(
    r"(?!(?:is|was|has|does|this|yes|his|as|us|its|always|sometimes|perhaps|thanks|besides|across|plus|yours|hers|ours|theirs"
    r"|towards|afterwards|nothing|something|everything|anything|during|being|amazing|exciting|king|thing|going)\b)"
    r"[a-z-]+(?:[^\Wsu]s|ing)(?![^\W_])",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"(?:(?:and|or|but|if|not?|nah|yes|yeah|yep|so|just|though|although|because|cause|which|who|whom|whose|when|where|while|since"
    r"|unless|until|at (?:least|last|the|my|your|this|that)|I|we|you|he|she|it|they|my|your|our|his|that|this|these|those|there"
    r"|what|why|how|thanks?|well|okay|ok|oh|ah|wow|hey|hi|like|finally|honestly|seriously|obviously|apparently|hopefully|luckily"
    r"|sadly|unfortunately|surprisingly|ironically|literally|actually|really|definitely|absolutely|(?:sort|kind) of|kidding|jk"
    r"|haha+|of course|by the way|btw|maybe|probably|almost|even|especially|except|including|plus|minus|pun intended|knock on"
    r"|fingers crossed|more|less|all|every|some|both|for|from|to|as|do|did|does|is|was|were|are|am|can|could|would|will|should"
    r"|too|very|never|ever|always|again|still|also|see|guess|sorry|please|let|god|don|congratulations|happy \w+day"
    r"|y|o|pero|si|porque|et|ou|mais|parce|und|oder|aber|wenn|weil|nicht|ma|se|perché|mas)\b"
    r"|[我你您他她它咱这那不没但而其虽因所如毕也还就是真别なもでまだしそこあ])",
    re.IGNORECASE,
)
"""How what a speaker adds begins: with a word that only holds sentences together, which acts do without."""
_OF_SPEAKERS = re.compile(
    r"\b(?:I|me|my|mine|we|us|our|ours|you|your|yours|this|that|it|it['’]s|these|those|there|not|never)\b|\w['’](?:s|re|t|ll)\b",
    re.IGNORECASE,
)
"""What two who talk to each other speak of; what a narrator tells of them, in a sentence of its own, has none of it."""
_GOES_ON = re.compile(r"(?:is|are|was|were|and|or|of|to|that|it)\b")
_BEGUN = re.compile(r"\s*\*(?=[^\W\d_A-Z])")
_DASHED = re.compile(rf"(?<![\w-])-(?:{ACTS.pattern})[^-\n]{{0,40}}-(?![\w-])", re.IGNORECASE)
_NARRATED = re.compile(
    r"[a-z-]+[^\Wsu]s (?:\w+ly\b|(?:at|away|up|down|around|over|into|toward)s?\b"
    r"|(?:a|an|the|his|her|their|your) (?:\w+ )?(?:hands?|arms?|shoulders?|head|face|cheeks?|hair|back|eyes|breath|tears?)\b)",
    re.IGNORECASE,
)
"""A sentence without its subject, of what somebody does: a speaker's own begins otherwise."""
_NAMED = re.compile(r"(?=[^\W\d_a-z]).*[,:]")
_I = re.compile(r"I\b")
_LETTER, _WORDED = re.compile(r"[^\W\d_]"), re.compile(r"[^\W_]")
_COUNT = re.compile(
    r"(?:word count|\W*(?:about |~)?\d+ (?:words?|tokens?|characters?)\b|note\s*:)", re.IGNORECASE
)


class Span(NamedTuple):
    """Text between a mark or bracket and its partner."""

    mark: str
    """As it opens: a run of marks, or `(`, `[` or `{` for brackets of that shape."""
    start: int
    inner: int
    """Where what is inside begins, and where it ends."""
    outer: int
    end: int


def spans(text: str) -> Iterator[Span]:
    """All spans, in the order in which they end. Faces, sums and names such as `snake_case` have none."""
    opened: dict[str, list[int]] = {}
    for token in _TOKEN.finditer(text):
        run, start, end = token[0].replace("＊", "*"), token.start(), token.end()
        before, after = text[start - 1 : start] if start else "", text[end : end + 1]
        mark = _KIND.get(run, run)
        if mark in _OPENING:
            if begun := opened.get(_OPENING[mark]):
                begin = begun.pop()
                yield Span(_OPENING[mark], begin, begin + 1, start, end)
        elif mark in "([{":
            if not _FACE.search(text[max(0, start - 2) : start]) and after not in {":", ";", "="}:
                opened.setdefault(mark, []).append(start)
        else:
            closes, opens = _flanks(mark, before, after)
            if closes and (begun := opened.get(mark)):
                begin = begun.pop()
                if _WORDED.search(text, begin, min(start, begin + _WINDOW)):
                    yield Span(mark, begin, begin + len(token[0]), start, end)
            elif opens:
                opened[mark] = [start]


def _flanks(mark: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of marks may close, and whether it may open, by the characters beside it."""
    if _cased(before) and _cased(after):  # within a word
        within = mark[0] == "*" and before.isalpha() and after.isalpha()
        return within, within
    closes = bool(before) and not before.isspace() and not _cased(after)
    opens = bool(after) and not after.isspace() and not _cased(before) and before not in {"\\", "/", "^", "¯"}
    return closes, opens and (mark[0] != "~" or after.isalpha())


def _cased(character: str) -> bool:
    """Whether it is of a word whose ends are seen: scripts without spaces and capitals set marks between any letters."""
    return character.isalnum() and unicodedata.category(character) != "Lo"


def unmarked(text: str) -> str:
    """The text without the marks of emphasis; no word of it is lost."""
    off = sorted(
        place
        for span in spans(text)
        if span.mark[0] in "*_~"
        for place in ((span.start, span.inner), (span.outer, span.end))
    )
    at, kept = 0, []
    for start, end in off:
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def has_act(text: str) -> bool:
    """Whether a span is an act, or one begins the text that is never closed."""
    if "-" in text and _DASHED.search(text):
        return True
    begun = _BEGUN.match(text)
    unclosed = begun.end() if begun else 0
    for span in spans(text):
        if _acted(text, span):
            return True
        unclosed = 0 if span.start < unclosed else unclosed
    return bool(unclosed)


def _acted(text: str, span: Span) -> bool:
    window = text[span.inner : min(span.outer, span.inner + _WINDOW)].strip(f" *＊_~([（{_QUOTES}")
    if span.mark in "[{" or not _LETTER.search(window):
        return _LETTER.search(window) is not None and window.casefold() != "sic"
    before, after, bracketed = _before(text, span.start), _after(text, span), span.mark == "("
    lower = next(filter(str.isalnum, window)).islower()
    verbal, spoken = _VERBAL.match(window) is not None, _SPOKEN.match(window) is not None
    worded = ACTS.match(window) is not None or (before != "" and _COUNT.match(window) is not None)
    last = text[max(span.inner, span.outer - 3) : span.outer].rstrip(f" *＊_~)]{_QUOTES}")[-1:]
    if before == "" or after in {"in", "on"} or window[0].isdigit():
        begun = after == "in" and lower and (before == "start" or (verbal and before != "" and " " in window))
        return (worded or begun) and (bracketed or verbal)
    if (
        last == "."
        and " " in window
        and (_NARRATED.match(window) or not (bracketed or _OF_SPEAKERS.search(window)))
    ):
        return True
    if last in _LAST or after == "point" or (before == "half" and not lower):
        return worded or (verbal and lower and last not in QUESTIONS)
    return worded or not (spoken or (_is_name(window, after) if not bracketed else _NAMED.search(window)))


def _is_name(window: str, after: str) -> bool:
    """Whether marks are around a title, or a word in capitals or before "I": more likely emphasis than an act."""
    if not window[:1].isupper():
        return False
    title = sum(word[:1].isupper() for word in window.split()) > 1
    alone = window.isupper() or (" " not in window and after != "new")
    return title or (alone and not _VERBAL.match(window))


def _before(text: str, start: int) -> str:
    """What a span comes after: `start` of the text or a line, `end` of a sentence, `half` an end, or nothing of the kind."""
    window = text[max(0, start - _WINDOW) : start]
    kept = window.rstrip()
    if "\n" in window[len(kept) :]:
        return "start"
    kept = kept.rstrip(_QUOTES + " ")
    if not kept:
        return "start"
    last = kept[-1]
    if kept.endswith("...") or last in _HALF:
        return "half"
    pictured = unicodedata.category(last) in {"So", "Sk"} or last in "\ufe0f\u200d" or _SMILE.search(kept)
    return "end" if last in _ENDS or pictured else ""


def _after(text: str, span: Span) -> str:
    """What follows a span: the `end` of the text or the line, a `new` sentence, `I`, a `point`, or its own (`in`, `on`)."""
    window = text[span.end : span.end + _WINDOW]
    rest = window.lstrip()
    if not rest or "\n" in window[: len(window) - len(rest)]:
        return "end"
    rest = rest.lstrip(_QUOTES + " ¿¡")
    first = rest[:1]
    spaced = span.mark == "(" or " " in window[: len(window) - len(rest)]
    if not first or unicodedata.category(first) in {"So", "Sk", "Sm"}:
        return "end"
    if first.isalnum():
        if first.islower() or not spaced:
            return "on" if _GOES_ON.match(rest) else "in"
        return "I" if _I.match(rest) else "new"
    return "new" if first in "*＊_~([（［【{@#$€£<" else "point"
