"""Rubric: a language model scores a dialogue by written criteria.

The model is shown the rubric, the same for every dialogue, and then the dialogue as JSON. Its last JSON
object binds, for models think aloud first. An answer that cannot be read is asked for again, and then the
judge abstains: unreadable is not bad.

Law of the file: a dialogue's words reach the model inside JSON strings only, where they can neither close the
string nor spell a marker of a chat template.
"""

from collections.abc import Generator
from typing import Annotated, Any, cast

import msgspec

from builder.core.dialogue import Dialogue
from builder.core.draw import seed_of
from builder.core.prompt import Completion, Decoding, Message, Prompt, check_template, fill
from builder.core.verdict import Abstention, Verdict
from builder.judges import Context, Judge
from builder.records import encode

_REASON_CHARACTERS = 300
_RETRY_TEMPERATURE = 0.5

_Score = Annotated[int, msgspec.Meta(ge=1, le=5)]


class Rubric(Judge):
    """Asks one model for a score from 1 to 5 on every criterion."""

    model: str
    """Its name in the vocabulary."""
    rubric: str
    """What it is told. Placeholders: `{criteria}`, `{keys}`."""
    criteria: Annotated[dict[str, str], msgspec.Meta(min_length=1)]
    """What is scored: a criterion's name, and how to score it."""
    attempts: Annotated[int, msgspec.Meta(ge=1)] = 2
    """How often it is asked, each time with a new seed, before it abstains. A greedy model would only repeat
    itself, so all attempts but the first are sampled, at a temperature of at least 0.5."""
    decoding: Decoding = Decoding(temperature=0.0, max_tokens=300)
    show_emotions: bool = True
    """Whether it sees the emotion each turn was meant to express."""

    def __post_init__(self) -> None:
        if "reason" in self.criteria:
            raise ValueError("criterion 'reason' has the name of the answer's own key: give it another")
        try:
            check_template(self.rubric, ("criteria", "keys"))
        except ValueError as error:
            raise ValueError(f"prompt 'rubric': {error}") from None

    def models(self) -> tuple[str, ...]:
        """The one model."""
        return (self.model,)

    def judge(
        self, dialogue: Dialogue, context: Context
    ) -> Generator[Prompt, Completion, Verdict | Abstention]:
        """Asks until an answer can be read, `attempts` times at most."""
        messages, decoding, faults = self._messages(dialogue, context), self.decoding, []
        for attempt in range(self.attempts):
            completion = yield Prompt(
                model=self.model,
                messages=messages,
                decoding=decoding,
                seed=seed_of(context.seed, "judge", context.name, dialogue.id, str(attempt)),
                schema=self._schema(),
                thread=dialogue.id,
            )
            try:
                answer = _last_object(completion)
                reason = _one_line(_read(answer, "reason", str, "a text"))
                scores = {
                    name: float(_read(answer, name, _Score, "a whole number from 1 to 5"))
                    for name in self.criteria
                }
            except ValueError as error:
                faults.append(str(error))
            else:
                return Verdict(judge=context.name, scores=scores, reason=reason)
            warmer = max(decoding.temperature, _RETRY_TEMPERATURE)
            decoding = msgspec.structs.replace(decoding, temperature=warmer)
        return Abstention(judge=context.name, reason=_one_line("; ".join(faults)))

    def _messages(self, dialogue: Dialogue, context: Context) -> tuple[Message, ...]:
        values = {
            "criteria": "\n".join(f"- {name}: {scale.strip()}" for name, scale in self.criteria.items()),
            "keys": ", ".join(f'"{name}"' for name in ("reason", *self.criteria)),
        }
        rubric, data = fill(self.rubric, values).strip(), self._data(dialogue)
        if context.vocabulary.models[self.model].system_role:
            return Message(role="system", content=rubric), Message(role="user", content=data)
        return (Message(role="user", content=f"{rubric}\n\n{data}"),)

    def _data(self, dialogue: Dialogue) -> str:
        turns = [
            {"turn": number, "speaker": turn.speaker, "text": _quoted(turn.text)}
            | ({"emotion": _quoted(turn.emotion)} if self.show_emotions else {})
            for number, turn in enumerate(dialogue.turns, 1)
        ]
        return encode({"domain": dialogue.domain, "turns": turns}).decode()

    def _schema(self) -> dict[str, Any]:
        # An enumeration, because some servers enforce that and not a range.
        score = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
        return {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "maxLength": _REASON_CHARACTERS},
                **dict.fromkeys(self.criteria, score),
            },
            "required": ["reason", *self.criteria],
            "additionalProperties": False,
        }


def _quoted(text: str) -> msgspec.Raw:
    """A JSON string in which no chat marker (`<|im_end|>`, `[INST]`) is left for a server to act on."""
    return msgspec.Raw(encode(text).replace(b"<", b"\\u003c").replace(b"[", b"\\u005b"))


def _last_object(completion: Completion) -> dict[str, Any]:
    """The JSON object that the answer ends in, at most followed by prose.

    The outermost that ends at the last brace, so that what a damaged or unfinished one quotes is no answer.

    Raises:
        ValueError: there is none, or the answer was cut off after it.
    """
    text, brace, tail = completion.text.rpartition("}")
    text += brace
    cut_off = completion.finish_reason == "length"
    if "{" in tail or (cut_off and tail.strip("` \t\r\n")):
        raise ValueError("the answer is cut off" if cut_off else "the last JSON object is unfinished")
    start = text.find("{")
    while start >= 0:
        try:
            answer = msgspec.json.decode(text[start:])
        except (msgspec.DecodeError, RecursionError):
            start = text.find("{", start + 1)
        else:
            return cast("dict[str, Any]", answer)
    raise ValueError("the answer is cut off" if cut_off else "the answer has no JSON object")


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
