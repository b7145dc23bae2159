"""Text in pieces that an engine which reads characters can speak: clean, short enough, each with an end.

Such engines cut off what is long, run on where a text does not end, and read out or hallucinate around marks that nobody says
(coqui-ai/TTS issues 3598, 4171 and 4172; DrewThomasson/ebook2audiobook issue 34).
The rule for sentences is our own and looks at abbreviations and capitals only: pysbd is no longer kept, and sentencex 1.0.32
panics on some white space. Where it errs it leaves two sentences together.
Law of the file: no letter and no digit of the text, composed (NFC), is dropped, added, moved or rewritten.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from builder.core.stop import CALLS, QUESTIONS, STOPS, asks
from builder.core.word import normal

_STRAIGHT = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | {"\u2026": "..."}
)
_SAID = frozenset("%&@#/+=\u00b0\u00b1\u00d7\u00f7\u2212")
"""Marks with a name that a reader says; signs of currencies and of sums are as well, but for those that only draw."""
_DRAWN = frozenset("|~<>")
_MARKUP = frozenset("*_\\[]{}\u2020\u2021\u2022\u2023\u2043")

_HEADING = re.compile(r"(?<!\w)#(?!\w)")
_INSISTENT = re.compile(r"[!?]{2,}")
_LOOSE = re.compile(r" +(?=[,;:?!)]|\.(?!\w))")
_LEADING = re.compile(r"\A(?:[ ,;:?!)]|\.(?!\d))+")

_UNSPACED = {end for end in QUESTIONS | CALLS | STOPS if end >= "\u3000"}
_SPACED = (QUESTIONS | CALLS | STOPS) - _UNSPACED - {"\u2026"}
"""Ends of sentences with no space after them, and with one."""
_CLOSED = "\"')\u300d\u300f\uff09\u3011"
_SENTENCE = re.compile(
    r"""(?P<abbreviation>\b(?i:[^\W\d_]|approx|capt|cf|col|dept|dr|etc|gen|gov|hon|jr|lt|messrs|mr|mrs|ms|mt|mx|prof|rep|rev
    |sen|sgt|sr|st|vs|(?:fig|no|nos|pp|vol)(?=\.\ \d))\.\ )
    |[SPACED][CLOSING]*\ (?!["'(]*[a-z])
    |[UNSPACED][CLOSING]*\ ?""".replace("UNSPACED", "".join(_UNSPACED))
    .replace("SPACED", "".join(_SPACED))
    .replace("CLOSING", _CLOSED),
    re.VERBOSE,
)
_CLAUSE = re.compile(r"[,;:)] |[\u2013\u2014] ?| - |[\u3001\uff0c\uff1a\uff1b] ?")
_WORD = re.compile(r" ")


def pieces(text: str, limit: int = 220) -> list[str]:
    """Text as an engine is to read it.

    It is composed (NFC), its quotes are straight, and pictures, mark-up and the white space around them are one space. It is
    cut where sentences end, inside a sentence that is too long where a clause ends, else between words, and inside a word only
    if that alone is too long. What follows the last word of a piece is one `.`, `?` or `!`, added where there is none.

    Args:
        text: whatever a turn says.
        limit: the most characters of a piece, at least 2.

    Returns:
        The pieces in order, each as long as the limit allows; none where the text has neither a letter nor a digit.
    """
    return [
        _ended(part)
        for part in _parts(_clean(text), limit, _SENTENCE, _CLAUSE, _WORD)
        if any(map(str.isalnum, part))
    ]


def _clean(text: str) -> str:
    plain = "".join(map(_readable, normal("NFC", text).translate(_STRAIGHT)))
    plain = _INSISTENT.sub(lambda run: "?" if "?" in run[0] else "!", _HEADING.sub(" ", plain))
    return _LEADING.sub("", _LOOSE.sub("", " ".join(plain.split())))


def _readable(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in {"Cf", "Me"} or "\ufe00" <= character <= "\ufe0f":  # joins or dresses the characters beside it
        return ""
    read = kind[0] in "LMN" or kind in {"Sc", "Sm"} or character in _SAID
    return (
        character
        if (read and character not in _DRAWN) or (kind[0] == "P" and character not in _MARKUP)
        else " "
    )


def _parts(text: str, limit: int, *breaks: re.Pattern[str]) -> list[str]:
    """The text in parts that are short enough once ended, cut at the first of `breaks` wherever that will do."""
    if len(_ended(text)) <= limit:
        return [text]
    if not breaks:
        return [text[start : start + limit - 1] for start in range(0, len(text), limit - 1)]
    first, *finer = breaks
    ends = [found.end() for found in first.finditer(text) if found.lastgroup != "abbreviation"]
    units = (text[start:end] for start, end in pairwise([0, *ends, len(text)]))
    return _filled((part for unit in units for part in _parts(unit, limit, *finer)), limit)


def _filled(parts: Iterable[str], limit: int) -> list[str]:
    filled = [""]
    for part in parts:
        if len(_ended(filled[-1] + part)) > limit:
            filled.append("")
        filled[-1] += part
    return filled


def _ended(text: str) -> str:
    """The text up to its last word, and one stop: what it ended in where that was a question or a call."""
    end = max((place for place, character in enumerate(text, 1) if not _closing(character)), default=0)
    tail = text[end:]
    asked, called = asks(text) or not QUESTIONS.isdisjoint(tail), not CALLS.isdisjoint(tail)
    return text[:end] + ("?" if asked else "!" if called else ".")


def _closing(character: str) -> bool:
    return character == " " or (unicodedata.category(character)[0] == "P" and character not in _SAID)
