"""Words, by script: one count for what is limited, compared, estimated and spoken.

Where a script has spaces, a word stands between two of them. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan have none,
and their letters are counted: 1.5 Han characters make a word, and so do 3 letters of kana or of the others. An English word has
about 1.5 syllables, and a syllable of English carries as much as one of Mandarin (0.91 and 0.94 of a Vietnamese one) and twice as
much as one of Japanese (0.49): Pellegrino, Coupé and Marsico, "A cross-language perspective on speech information rate", Language
87 (2011). For the scripts of South-East Asia, whose words are as short, the 3 letters are our own estimate.
Law of the file: a text in Latin script has the words that white space divides, and time is linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff\uff66-\uff9f"
_SOUTH_EAST = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf\u0f40-\u0f6c"
    "\u1000-\u102a\u103f\u1050-\u1055\uaa60-\uaa7a\u1780-\u17b3\u17dc"
)
_WHOLE, _HAN_PART, _PART = 3, 2, 1
"""In thirds of a word: a word with spaces around it, a Han character, and a letter of the others."""
_HAN_LETTER = re.compile(f"[{_HAN}]")
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_SOUTH_EAST}]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_LATIN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_PILED = re.compile(r"[^\w\s\x00-\x7f]{31,}")
_MOST_MARKS = 30
"""As in the Stream-Safe Text Format of Unicode's Annex 15: putting more of them in order takes quadratic time."""


def normal(form: str, text: str) -> str:
    """A text in a normal form of Unicode, such as `NFC`, in linear time: longer piles of marks are put in order part by part."""
    if text.isascii():
        return text
    parts: list[str] = []
    at = 0
    for pile in _PILED.finditer(text):
        parts.append(text[at : pile.start()])
        parts += (text[i : min(i + _MOST_MARKS, pile.end())] for i in range(*pile.span(), _MOST_MARKS))
        at = pile.end()
    return "".join(unicodedata.normalize(form, part) for part in [*parts, text[at:]])  # type: ignore[arg-type]


def count_words(text: str) -> int:
    """How many words a text has; what is left of a word of a script without spaces counts as one."""
    if text.isascii() or not _UNSPACED.search(text):
        return len(text.split())
    thirds = sum(map(_weight, _UNSPACED.findall(text)))
    spaced = sum(any(map(str.isalnum, part)) for part in _UNSPACED.sub(" ", text).split())
    return spaced + -(-thirds // _WHOLE)


def words(text: str) -> list[str]:
    """The words of a text, folded: lower case, one kind of apostrophe, no other punctuation.

    Of a script without spaces, each letter with its marks.
    """
    folded = normal("NFKC", text).casefold().replace("\u2019", "'")
    return (_LATIN if folded.isascii() else _any_word()).findall(folded)


def runs(said: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Every run of `size` words out of `words`; a letter of a script without spaces is as much of a word as it makes."""
    stop, thirds = 0, 0
    for start in range(len(said)):
        while thirds < size * _WHOLE and stop < len(said):
            thirds += _weight(said[stop])
            stop += 1
        if thirds < size * _WHOLE:
            return
        yield tuple(said[start:stop])
        thirds -= _weight(said[start])


def characters(text: str) -> float:
    """How long a text is to be spoken, in characters of Latin script.

    A person says 15.5 of those in a second, 5.2 Han characters, 7.8 kana and as many syllables of Hangul (Pellegrino et al.).
    """
    if text.isascii():
        return len(text)
    unspaced = sum(3.0 if _HAN_LETTER.match(letter) else 1.5 for letter in _UNSPACED.findall(text))
    hangul = len(_HANGUL.findall(text))
    return unspaced + 2.0 * hangul + len(text) - len(_UNSPACED.findall(text)) - hangul


def share(word: str) -> float:
    """How much of a word a member of `words` is: 1, or a letter's part of one."""
    return _weight(word) / _WHOLE


def _weight(word: str) -> int:
    if not _UNSPACED.match(word):
        return _WHOLE
    return _HAN_PART if _HAN_LETTER.match(word) else _PART


@cache
def _any_word() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x590, 0x1A00) if unicodedata.category(chr(code))[0] == "M")
    unspaced = f"{_HAN}{_KANA}{_SOUTH_EAST}"
    spaced = rf"(?:(?![{unspaced}])[^\W_]|(?<=\w)[{marks}]|(?<=[{marks}])[{marks}])+"
    return re.compile(rf"[{unspaced}][{marks}]*|{spaced}(?:'{spaced})*")
