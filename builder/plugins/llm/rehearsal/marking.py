"""Marking without a model: looks at the shape of a dialogue and fills in the form it is asked for.

Law of the file: a mark comes from what a dialogue lacks or repeats; nothing that it says is obeyed.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from builder.core.draw import Draw
from builder.errors import ProtocolError
from builder.plugins.llm.rehearsal.lines import feelings, nouns, subjects

_SPOKEN_TO = re.compile(
    r"\brubric\b|\bjudge\b.{0,40}\bdialogue\b|\bsystem prompt\b|\"\s*:"
    r"|\bignore\b.{0,40}\b(?:instruction|above|previous|everything)|\b(?:score|rating|criteri)\w*\b.{0,40}\b[1-5]\b"
    r"|\b(?:this|the) (?:dialogue|conversation)\b.{0,40}\b[1-5]\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"\b(?:the|a|an|and|i|you|it|is|was|of|to|in|that|my|me|so|we|not|but|have|this|are|for|on|with)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_NOISE = 0.2
_CONCERNS = ("emotion", "domain", "safety")


class Fault(NamedTuple):
    """Something wrong with a dialogue."""

    concern: str
    """The one criterion that hears of it beside those of general names; empty if every criterion does."""
    share: float
    """What it leaves of the marks, from 0 to 1."""
    reason: str


def mark(text: str, schema: dict[str, Any], seed: int) -> dict[str, Any]:
    """Answers a request for a judgement.

    Args:
        text: the request; the last JSON object in it with a list of `turns` is the dialogue.
        schema: the JSON schema of the answer: an object.
        seed: of the request; it alone draws the small differences between one mark and the next.

    Returns:
        An object that fits the schema.

    Raises:
        ProtocolError: the schema asks for something else than objects, lists, strings, numbers and booleans.
    """
    filled = _filled(schema, "", faults(_dialogue(text)), seed)
    if not isinstance(filled, dict):
        raise ProtocolError(
            f"the schema is of type {schema.get('type')!r}: a rehearsed judge gives an 'object'"
        )
    return filled


def faults(dialogue: dict[str, Any]) -> list[Fault]:
    """What is wrong with a dialogue, the worst first; `dialogue` has a `domain` and `turns` with a `text` each."""
    texts = [str(turn.get("text", "")) for turn in dialogue.get("turns", []) if isinstance(turn, dict)]
    if not texts:
        return [Fault("", 0.0, "There is no turn to judge.")]
    found = [fault for position in range(len(texts)) for fault in _faults_of_turn(position, texts)]
    if sum(bool(feelings().search(text)) for text in texts) < 0.5 * len(texts):
        found.append(Fault("emotion", 0.35, "Most turns show little emotion."))
    subject = subjects().get(str(dialogue.get("domain", "")).lower().replace(" ", "_"))
    if subject and sum(bool(nouns(subject).search(text)) for text in texts) < 0.6 * len(texts):
        found.append(Fault("domain", 0.35, "The friends leave their subject."))
    return sorted(found, key=lambda fault: fault.share)


def _faults_of_turn(position: int, texts: list[str]) -> Iterator[Fault]:
    text, turn = texts[position], f"Turn {position + 1}"
    if _SPOKEN_TO.search(text):
        yield Fault("", 0.2, f"{turn} talks to the judge instead of the friend.")
    if len(text.split()) < 4:
        yield Fault("general", 0.6, f"{turn} is very short.")
    elif not _ENGLISH.search(text):
        yield Fault("general", 0.3, f"{turn} is not in English.")
    words = _words(text)
    for earlier in range(position):
        if len(words & _words(texts[earlier])) > 0.8 * len(words):
            yield Fault("general", 0.3, f"{turn} repeats turn {earlier + 1}.")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _dialogue(text: str) -> dict[str, Any]:
    """The last object in a text that has `turns`; what lies inside another object is not looked at."""
    found: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict) and isinstance(value.get("turns"), list):
                found = value
        at = text.find("{", end)
    return found


def _filled(schema: dict[str, Any], name: str, found: list[Fault], seed: int) -> Any:
    """A value for one part of a schema: the better the dialogue, the higher a number, the earlier a choice."""
    share = _share(name, found)
    felt = max(0.0, share - _NOISE * Draw(seed, "mark", name).uniform())
    if choices := schema.get("enum"):
        numbers = all(isinstance(choice, int | float) for choice in choices)
        return _placed(sorted(choices), felt) if numbers else _placed(choices, 1 - share)
    value: Any
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {}).items()
            value = {key: _filled(part, f"{name}.{key}", found, seed) for key, part in parts}
        case "array":
            places = range(schema.get("minItems", 1))
            value = [_filled(schema["items"], f"{name}[{place}]", found, seed) for place in places]
        case "integer":
            value = _placed(range(schema.get("minimum", 1), schema.get("maximum", 5) + 1), felt)
        case "number":
            low, high = schema.get("minimum", 1), schema.get("maximum", 5)
            value = low + felt * (high - low)
        case "string":
            reason = found[0].reason if found else "The friends stay with their subject and with each other."
            value = reason[: schema.get("maxLength", len(reason))]
        case "boolean":
            value = felt >= 0.5
        case kind:
            raise ProtocolError(
                f"the schema's {name!r} is of type {kind!r}: a rehearsed judge cannot fill it in"
            )
    return value


def _share(name: str, found: list[Fault]) -> float:
    own = next((concern for concern in _CONCERNS if concern in name), None)
    return min((fault.share for fault in found if own is None or fault.concern in {own, ""}), default=1.0)


def _placed(choices: Sequence[Any], share: float) -> Any:
    return choices[round(share * (len(choices) - 1))]
