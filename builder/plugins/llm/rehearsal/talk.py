"""Small talk without a model: reads what a prompt is about and says one more line, from parts that fit.

Law of the file: a line depends on the scene and the draw alone, and no sentence of the scene is said again while
another is left.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from builder.core.draw import Draw
from builder.core.prompt import Prompt
from builder.plugins.llm.rehearsal.lines import (
    ELSEWHERE,
    KINDS,
    Manner,
    Subject,
    answers,
    manners,
    nouns,
    subjects,
)

_HEAD = re.compile(r"\babout ([^:.\n]{1,400}): ([^.\n]+)")
_LIMIT = re.compile(r"\b(\d+) words\b")
_TOPICS = re.compile(r", | and | or ")
_SLOT = re.compile(r"\{(\w+)\}")
_NOUN_SLOT = re.compile(r"(?:[Tt]he )?\{noun\}")
_SENTENCE = re.compile(r"(?<![^.!?])[^.!?]+[.!?]+")
_LAST_SENTENCE = re.compile(r"(?<![^.!?])[^.!?]*[.!?]*$")
_START = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
_WH = re.compile(r"(?:who|what|which|when|where|why|how)\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_LONG_WORD = re.compile(r"[a-z]{4,}")
_FUNCTION_WORDS = frozenset(
    _LONG_WORD.findall("""
    about after again also answer been before being conversation could does emotion feel friend from have hello here
    into just know like make more most much only other over please said same should some start such tell than that
    their them then there these they this thing those very want well were what when where which while will with would
    write your
    """)
)
_WORD_LIMIT = 25


class Scene(NamedTuple):
    """What a prompt asks for."""

    domain: str
    """As a vocabulary names it, such as `social_media`; empty where the prompt names none."""
    topics: tuple[str, ...]
    """What belongs to the domain, as the prompt says; else the longer words of the prompt. At least one."""
    emotion: str
    """The last word of the instruction that is an emotion; empty where none is."""
    turns: tuple[str, ...]
    """What was said, the oldest first; the last is the partner's."""
    word_limit: int


def read(prompt: Prompt) -> Scene:
    """Takes a prompt apart.

    The last paragraph of a user's message is the instruction; a paragraph of one line before it is what the partner
    said.
    """
    head = _HEAD.search(prompt.messages[0].content)
    limit = _LIMIT.search(prompt.messages[0].content)
    turns: list[str] = []
    instruction = ""
    for message in prompt.messages:
        if message.role == "assistant":
            turns.append(message.content)
        elif message.role == "user":
            *before, instruction = message.content.split("\n\n")
            if before and "\n" not in before[-1]:
                turns.append(before[-1])
    known = manners().manners
    return Scene(
        domain=head[1].strip().lower().replace(" ", "_") if head else "",
        topics=tuple(filter(None, map(str.strip, _TOPICS.split(head[2] if head else ""))))
        or _content_words(prompt),
        emotion=next((word for word in reversed(_WORD.findall(instruction.lower())) if word in known), ""),
        turns=tuple(turns),
        word_limit=int(limit[1]) if limit else _WORD_LIMIT,
    )


def say(scene: Scene, draw: Draw) -> str:
    """One more line of the scene.

    It may begin with an answer or a word on what was said, then comes the matter itself, and often a question or a
    closing remark. All of it keeps to the word limit, unless no matter is that short.
    """
    subject = _subject(scene, draw)
    manner = manners().manners.get(scene.emotion, manners().neutral)
    body = _body(scene, subject, manner, draw)
    lead = _fitting(_leads(scene, subject, manner, draw), scene, manner, body, draw)
    tail = _fitting(_tails(subject, manner, draw, alone=not lead), scene, manner, f"{lead} {body}", draw)
    line = " ".join(part for part in (lead, body, tail) if part)
    return _START.sub(lambda match: match[0].upper(), line)


def _content_words(prompt: Prompt) -> tuple[str, ...]:
    words = set(_LONG_WORD.findall(" ".join(message.content for message in prompt.messages).lower()))
    return tuple(sorted(words - _FUNCTION_WORDS - manners().manners.keys())) or ("life",)


def _subject(scene: Scene, draw: Draw) -> Subject:
    if scene.domain in subjects().keys() - {ELSEWHERE}:
        return subjects()[scene.domain]
    elsewhere = subjects()[ELSEWHERE]
    topic = draw.choice(scene.topics)
    parts = {kind: tuple(part.replace("{topic}", topic) for part in elsewhere.parts(kind)) for kind in KINDS}
    return Subject(**parts, asks=elsewhere.asks)


def _body(scene: Scene, subject: Subject, manner: Manner, draw: Draw) -> str:
    """The matter itself: a frame and a part that are new and fit; half the time the part stays with a noun heard."""
    said = _said(scene)
    frames = [(frame, _SLOT.findall(frame)[0]) for frame in manner.bodies]
    pairs = [(frame, slot, part) for frame, slot in frames for part in subject.parts(slot)]
    unheard = [pair for pair in pairs if _mark(pair[0]) not in said and _plain(pair[2]) not in said]
    if not unheard:
        unheard = [pair for pair in pairs if not _says_again(_filled(*pair), said)] or pairs
    short = [pair for pair in unheard if len(_filled(*pair).split()) <= scene.word_limit] or unheard
    heard = _heard(scene, subject)
    near = [pair for pair in short if any(f"*{noun}*" in pair[2] for noun in heard)]
    return _filled(*draw.choice(near if near and draw.uniform() < 0.5 else short))


def _leads(scene: Scene, subject: Subject, manner: Manner, draw: Draw) -> tuple[str, ...]:
    """What may come before the matter: answers to a question, a word on a noun heard, or the feeling alone."""
    if scene.turns and scene.turns[-1].endswith("?"):
        return _answers(scene.turns[-1])
    heard = _heard(scene, subject)
    if heard and draw.uniform() < 0.5:
        noun = draw.choice(heard)
        owned = re.search(rf"\b(?:my|our) (?:[\w'-]+ ){{0,2}}{re.escape(noun)}\b", scene.turns[-1].lower())
        named = f"{'your' if owned else 'the'} {noun}"
        return tuple(_NOUN_SLOT.sub(lambda _: named, pickup) for pickup in manner.pickups)
    return manner.openers if draw.uniform() < 0.7 else ()


def _answers(turn: str) -> tuple[str, ...]:
    question = _LAST_SENTENCE.findall(turn)[0].strip()
    generic = manners().answers
    return answers().get(question) or (generic.what if _WH.match(question) else generic.whether)


def _tails(subject: Subject, manner: Manner, draw: Draw, *, alone: bool) -> tuple[str, ...]:
    """What may come after the matter: a question or a closing remark; always one where the matter is alone."""
    chance = draw.uniform()
    if chance < 0.46:
        return tuple(ask[0] for ask in draw.choice((subject.asks, manner.questions)))
    return manner.closers if alone or chance < 0.8 else ()


def _fitting(options: tuple[str, ...], scene: Scene, manner: Manner, line: str, draw: Draw) -> str:
    """One of the options that is new, leaves the line within its limit and names no feeling again; else nothing."""
    said = _said(scene)
    room = scene.word_limit - len(line.split())
    felt = [cue for cue in manner.cues if cue in line.lower()]
    fitting = [
        option
        for option in options
        if len(option.split()) <= room
        and not _says_again(option, said)
        and not any(cue in option.lower() for cue in felt)
    ]
    return draw.choice(fitting) if fitting else ""


@lru_cache(maxsize=16)
def _said(scene: Scene) -> str:
    return " ".join(scene.turns).lower()


def _heard(scene: Scene, subject: Subject) -> list[str]:
    """The nouns of the subject that the partner has just used."""
    return nouns(subject).findall(scene.turns[-1].lower()) if scene.turns else []


def _says_again(text: str, said: str) -> bool:
    return any(sentence.strip() in said for sentence in _SENTENCE.findall(text.lower()))


@lru_cache(maxsize=1024)
def _mark(frame: str) -> str:
    """What a frame is known by whatever fills it: its longest stretch without a slot."""
    return max(_SLOT.split(frame)[::2], key=len).lower()


@lru_cache(maxsize=4096)
def _plain(part: str) -> str:
    return part.replace("*", "").lower()


@lru_cache(maxsize=65536)
def _filled(frame: str, slot: str, part: str) -> str:
    return frame.replace(f"{{{slot}}}", part.replace("*", ""))
