"""Marks that end a sentence, in every script.

Law of the file: what ends a sentence of English and what ends one of another script are told by the same sets.
"""

import re

QUESTIONS = frozenset("?\uff1f\ufe56\u061f\u037e\u055e\u2e2e\u1367\u2047\u2048\u2049\u203d")
"""Full-width and small forms, Arabic's, Greek's, Armenian's, Ethiopic's, and those that ask and call at once."""
CALLS = frozenset("!\uff01\ufe57\u055c\u07f9\u1944")
STOPS = frozenset(".\uff0e\u3002\uff61\u0964\u0965\u06d4\u0589\u0f0d\u104b\u17d4\u17d5\u1362\u2026")
"""What ends a sentence that neither asks nor calls."""

_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff];\\Z")
"""The Greek question mark is a semicolon once a text is composed (NFC)."""


def asks(text: str) -> bool:
    """Whether a text ends in a question mark."""
    return (
        text[-1:] in QUESTIONS if text[-1:] != ";" else _GREEK.search(text, max(0, len(text) - 2)) is not None
    )
