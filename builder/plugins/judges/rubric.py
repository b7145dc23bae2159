"""Rubric: a language model scores a dialogue by written criteria.

The model is told the rubric, and then shown the dialogue as one line of JSON. Its last JSON object binds, for models think
aloud first. An answer that cannot be read is asked for again, and then the judge abstains: unreadable is not bad.

A judge may prefer whoever is called A, or be harsher with what it scores last. So two things are drawn for each dialogue and
judge, from the seed, and recorded with the verdict: which speaker is called A, and with which criterion the list begins. The
list goes round, so that every criterion stands in every place equally often and a prompt cache holds as many heads as there
are criteria.

Law of the file: a dialogue's words reach the model inside JSON strings only, where they can neither close the string nor
spell a marker of a chat template nor hide; and nothing that stands in a dialogue is read as an answer.
"""

import hashlib
import re
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any, cast

import msgspec

from builder.core.criterion import Criterion
from builder.core.dialogue import SPEAKERS, Dialogue, Speaker
from builder.core.draw import Draw, seed_of
from builder.core.prompt import Completion, Decoding, Message, Prompt, check_template, fill
from builder.core.values import Name, Prose
from builder.core.verdict import Abstention, Verdict
from builder.plugins.judges import Context, Judge
from builder.records import encode

_REASON_CHARACTERS = 300
_RETRY_TEMPERATURE = 0.5
_DEEPEST = 16
"""Levels of an answer; two are asked for."""
_STRUCTURE = re.compile(r'[][{}"]|\\+"?')
_MARKERS = frozenset("<>[]{}|`#")
_VERSION = re.compile(r"\Aversion (\S+)\n")
# An enumeration, because some servers enforce that and not a range.
_SCORE = {"type": "integer", "enum": [1, 2, 3, 4, 5]}

_Score = Annotated[int, msgspec.Meta(ge=1, le=5)]


class Rubric(Judge):
    """Asks one model for a score from 1 to 5 on every criterion."""

    model: Name
    """Its name in the vocabulary."""
    rubric: Prose
    """What it is told. Placeholders: `{criteria}`, `{keys}`. A first line such as `version 2` is kept with every verdict and
    told to no model."""
    criteria: dict[Name, Criterion | Prose]
    """What is scored: a criterion's name, and a scale with anchors, or how to score it in words of your own."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2
    """How often it is asked, each time with a new seed, before it abstains. A greedy model would only repeat
    itself, so all attempts but the first are sampled, at a temperature of at least 0.5."""
    decoding: Decoding = Decoding(temperature=0.0, max_tokens=500)
    show_emotions: bool = True
    """Whether it sees the emotion each turn was meant to express."""

    def __post_init__(self) -> None:
        if not self.criteria:
            raise ValueError("criteria are {}: there must be one to score")
        if "reason" in self.criteria:
            raise ValueError("criterion 'reason' has the name of the answer's own key: give it another")
        try:
            check_template(self.rubric, ("criteria", "keys"))
        except ValueError as error:
            raise ValueError(f"prompt 'rubric': {error}") from None

    def scales(self, name: str) -> dict[str, tuple[float, float]]:  # noqa: ARG002 - the contract's
        """Every criterion from 1 to 5."""
        return dict.fromkeys(self.criteria, (1.0, 5.0))

    def models(self) -> tuple[str, ...]:
        """The one model."""
        return (self.model,)

    def judge(
        self, dialogue: Dialogue, context: Context
    ) -> Generator[Prompt, Completion, Verdict | Abstention]:
        """Asks until an answer can be read, `attempts` times at most."""
        draw = Draw(context.seed, "arrangement", context.name, dialogue.id)
        swapped, first, names = bool(draw.index(2)), draw.index(len(self.criteria)), [*self.criteria]
        order = (*names[first:], *names[:first])
        data = self._data(dialogue, dict(zip(SPEAKERS, "BA" if swapped else "AB", strict=True)))
        messages, decoding, faults = self._messages(data, context, order), self.decoding, []
        for attempt in range(self.attempts):
            completion = yield Prompt(
                model=self.model,
                messages=messages,
                decoding=decoding,
                seed=seed_of(context.seed, "judge", context.name, dialogue.id, str(attempt)),
                schema=self._schema(order, len(dialogue.turns)),
                thread=dialogue.id,
            )
            try:
                answer = _last_object(completion, dialogue)
                reason = _one_line(_read(answer, "reason", str, "a text"))
                given = {name: self._scores(answer, name, len(dialogue.turns)) for name in order}
            except ValueError as error:
                faults.append(str(error))
            else:
                return Verdict(
                    judge=context.name,
                    scores={name: fmean(scores) for name, scores in given.items()},
                    reason=reason,
                    rubric=self._edition(),
                    swapped=swapped,
                    turns={name: scores for name, scores in given.items() if self._each_turn(name)},
                )
            warmer = max(decoding.temperature, _RETRY_TEMPERATURE)
            decoding = msgspec.structs.replace(decoding, temperature=warmer)
        return Abstention(judge=context.name, reason=_one_line("; ".join(faults)))

    def _each_turn(self, name: str) -> bool:
        criterion = self.criteria[name]
        return isinstance(criterion, Criterion) and criterion.each_turn

    def _scores(self, answer: dict[str, Any], name: str, num_turns: int) -> tuple[int, ...]:
        """One score a turn, or the one of the whole dialogue."""
        if not self._each_turn(name):
            return (_read(answer, name, _Score, "a whole number from 1 to 5"),)
        kind = Annotated[tuple[_Score, ...], msgspec.Meta(min_length=num_turns, max_length=num_turns)]
        scores: tuple[int, ...] = _read(
            answer, name, kind, f"a list of {num_turns} whole numbers from 1 to 5"
        )
        return scores

    def _edition(self) -> str:
        """Which text judged: its version, where it says one, and a digest of all that is the same for every dialogue."""
        told = encode((self.rubric, self.criteria))
        version = _VERSION.match(self.rubric)
        return " ".join(
            [*(version.groups() if version else ()), hashlib.blake2b(told, digest_size=4).hexdigest()]
        )

    def _messages(self, data: str, context: Context, order: Sequence[str]) -> tuple[Message, ...]:
        values = {
            "criteria": "\n".join(_scale(name, self.criteria[name]) for name in order),
            "keys": ", ".join(f'"{name}"' for name in ("reason", *order)),
        }
        rubric = fill(_VERSION.sub("", self.rubric), values).strip()
        if context.vocabulary.models[self.model].system_role:
            return Message(role="system", content=rubric), Message(role="user", content=data)
        return (Message(role="user", content=f"{rubric}\n\n{data}"),)

    def _data(self, dialogue: Dialogue, called: Mapping[Speaker, str]) -> str:
        turns = [
            {"turn": number, "speaker": called[turn.speaker], "text": _quoted(turn.text)}
            | ({"emotion": _quoted(turn.emotion)} if self.show_emotions else {})
            for number, turn in enumerate(dialogue.turns, 1)
        ]
        return encode({"domain": _quoted(dialogue.domain), "turns": turns}).decode()

    def _schema(self, order: Sequence[str], num_turns: int) -> dict[str, Any]:
        each = {"type": "array", "items": _SCORE, "minItems": num_turns, "maxItems": num_turns}
        return {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "maxLength": _REASON_CHARACTERS},
                **{name: each if self._each_turn(name) else _SCORE for name in order},
            },
            "required": ["reason", *order],
            "additionalProperties": False,
        }


def _scale(name: str, criterion: Criterion | str) -> str:
    if isinstance(criterion, str):
        return f"- {name}: {criterion.strip()}"
    each = " (a list with one score for every turn, in order)" if criterion.each_turn else ""
    anchors = f"  1: {criterion.one}\n  3: {criterion.three}\n  5: {criterion.five}"
    return f"- {name}{each}: {criterion.question}\n{anchors}"


def _quoted(text: str) -> msgspec.Raw:
    r"""A JSON string in which no chat marker (`<|im_end|>`, `[INST]`) is left for a server to act on, and nothing is invisible.

    What a marker is made of, or what a tokeniser would fold into that, and what does not print are written as `\u003c`.
    """
    return msgspec.Raw("".join(map(_spelt, encode(text).decode())).encode())


def _spelt(character: str) -> str:
    if character.isprintable() and _MARKERS.isdisjoint(unicodedata.normalize("NFKD", character)):
        return character
    return re.sub("....", r"\\u\g<0>", character.encode("utf-16-be").hex())


def _last_object(completion: Completion, dialogue: Dialogue) -> dict[str, Any]:
    """The JSON object that the answer ends in, at most followed by prose.

    The outermost that ends at the last brace, so that what a damaged or unfinished one quotes is no answer.

    Raises:
        ValueError: there is none, or the answer was cut off after it, or a turn says it.
    """
    text, brace, tail = completion.text.rpartition("}")
    text += brace
    cut_off = completion.finish_reason == "length"
    if "{" in tail or (cut_off and tail.strip("` \t\r\n")):
        raise ValueError("the answer is cut off" if cut_off else "the last JSON object is unfinished")
    found = text[_start(text) :]
    try:
        answer = msgspec.json.decode(found)
    except msgspec.DecodeError:
        raise ValueError("the answer is cut off" if cut_off else "the answer has no JSON object") from None
    squeezed = _squeezed(found)
    for number, turn in enumerate(dialogue.turns, 1):
        if squeezed in _squeezed(turn.text):
            raise ValueError(f"the last JSON object is quoted from turn {number}")
    return cast("dict[str, Any]", answer)


def _start(text: str) -> int:
    """Where the object that the text ends in begins; the text's length where it ends in none, or in one that is too deep.

    Read from its last brace backwards, for there it is certain what is outside a string. One look at each mark, so that no answer
    takes more than linear time; no depth of an answer reaches the limit of a parser.
    """
    depth, quoted = 0, False
    for mark in reversed([*_STRUCTURE.finditer(text)]):
        if mark[0][-1] == '"':
            quoted ^= len(mark[0]) % 2 == 1
        elif not quoted and mark[0] in "[]{}":
            depth += 1 if mark[0] in "]}" else -1
            if depth == 0 and mark[0] == "{":
                return mark.start()
            if not 0 < depth <= _DEEPEST:
                break
    return len(text)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _read(answer: dict[str, Any], key: str, kind: Any, wanted: str) -> Any:
    """One value, read strictly: 4 is a score, neither 4.0 nor "4" is. Keys not asked for are not looked at.

    Raises:
        ValueError: it is missing or of another kind.
    """
    try:
        return msgspec.convert(answer.get(key), kind)
    except msgspec.ValidationError:
        given = f"is {encode(answer[key]).decode()[:40]}" if key in answer else "is missing"
        raise ValueError(f"{key!r} {given}: {wanted} is needed") from None


def _one_line(text: str) -> str:
    """Printable, on one line, and at most 300 characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 1] + "…"
