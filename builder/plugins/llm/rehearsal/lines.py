"""The parts that rehearsed talk is made of, read from the two files beside this one.

`subjects.toml` holds what friends say about a domain, `manners.toml` how an emotion says it.
Law of the file: the parts are read once, as records, and nothing is made of them here.
"""

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path

from builder.records import Record, convert

Ask = tuple[str, str, str]
"""A question and two answers to it."""

ELSEWHERE = "elsewhere"
"""The subject whose parts have `{topic}` for a domain that is not known."""

KINDS = ("things", "did", "good", "slip", "bad", "odd", "before", "soon")
"""The kinds of parts of a subject."""

NOUN = re.compile(r"\*([^*]+)\*")
"""A noun that the partner may take up, as the parts mark it."""


class Subject(Record):
    """What can be said about a domain; the head of `subjects.toml` says what each kind of part is."""

    things: tuple[str, ...]
    did: tuple[str, ...]
    good: tuple[str, ...]
    slip: tuple[str, ...]
    bad: tuple[str, ...]
    odd: tuple[str, ...]
    before: tuple[str, ...]
    soon: tuple[str, ...]
    asks: tuple[Ask, ...]

    def parts(self, slot: str) -> tuple[str, ...]:
        """The parts that fit a slot, a noun between stars in each."""
        parts: tuple[str, ...] = getattr(self, "things" if slot == "thing" else slot)
        return parts


class Manner(Record):
    """How an emotion talks; the head of `manners.toml` says what each kind of sentence is."""

    cues: tuple[str, ...]
    openers: tuple[str, ...]
    pickups: tuple[str, ...]
    bodies: tuple[str, ...]
    closers: tuple[str, ...]
    questions: tuple[Ask, ...]


class Answers(Record):
    """What to say first to a question that no file has an answer to."""

    whether: tuple[str, ...]
    what: tuple[str, ...]


class Faults(Record):
    """The words of every way to go wrong."""

    generic: tuple[str, ...]
    foreign: tuple[str, ...]
    label: tuple[str, ...]
    stage: tuple[str, ...]
    refusal: tuple[str, ...]
    unreadable: tuple[str, ...]


class Manners(Record):
    """The whole of `manners.toml`."""

    manners: dict[str, Manner]
    neutral: Manner
    answers: Answers
    faults: Faults


@cache
def subjects() -> dict[str, Subject]:
    """Every domain that is known, by name, and `elsewhere` for all others."""
    return convert(_table("subjects.toml"), dict[str, Subject], "subjects.toml")


@cache
def manners() -> Manners:
    """How every emotion talks, and what goes wrong."""
    return convert(_table("manners.toml"), Manners, "manners.toml")


@cache
def answers() -> dict[str, tuple[str, str]]:
    """Every question of the two files, with its answers."""
    speakers = (*manners().manners.values(), manners().neutral)
    asks = [ask for subject in subjects().values() for ask in subject.asks]
    asks += [ask for manner in speakers for ask in manner.questions]
    return {question: (one, other) for question, one, other in asks}


@cache
def feelings() -> re.Pattern[str]:
    """Finds the words that any emotion is heard by."""
    cues = {cue for manner in manners().manners.values() for cue in manner.cues}
    return re.compile(rf"\b(?:{_any_of(cues)})", re.IGNORECASE)


@lru_cache(maxsize=64)
def nouns(subject: Subject) -> re.Pattern[str]:
    """Finds the nouns of a subject."""
    marked = {noun for kind in KINDS for part in subject.parts(kind) for noun in NOUN.findall(part)}
    return re.compile(rf"\b(?:{_any_of(marked)})\b", re.IGNORECASE)


def _any_of(words: set[str]) -> str:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return "|".join(map(re.escape, longest_first)) or "(?!)"


def _table(name: str) -> dict[str, object]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
