"""A conversation as a generator: it yields what it needs (a prompt) and what it has (a finished turn).

    Prompt      -> send the Completion back
    Turn        -> it is finished; send nothing
    return      -> the Dialogue

Law of the file: no clock, no socket, no model. Whoever drives it decides where the completions come from; a list of
strings will do. Each speaker's prompts only ever grow: the last one is a prefix of the next, the instruction to express
an emotion comes at the very end, and so a server's prefix cache holds everything said before.
"""

from collections.abc import Generator

from builder.core.checkpoint import joined
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.draw import seed_of
from builder.core.prompt import Completion, Decoding, Message, Prompt, check_template, fill
from builder.core.reply import breach, clean
from builder.core.scenario import Scenario
from builder.core.values import Attempts, Prose, Words
from builder.core.vocabulary import Domain
from builder.errors import ReplyError
from builder.records import Record

_THINKS = (
    ": its tokens ran out before it had thought to the end: stop its thinking by the line that doctor names, or raise"
    " script.decoding.max_tokens"
)


class Script(Record):
    """How the two speakers are asked to speak."""

    system: Prose
    """The head of every prompt. Placeholders: `{domain}`, `{topics}`, `{word_limit}`."""
    opening: Prose
    """The instruction for the first turn. Placeholder: `{emotion}`."""
    reply: Prose
    """The instruction for every other turn, put after the partner's words. Placeholder: `{emotion}`."""
    decoding: Decoding = Decoding()
    word_limit: Words = 25
    """What the speakers are told. The paper's limit is 25 and was not enforced."""
    max_words: Words = 50
    """A reply with more words is asked again."""
    attempts: Attempts = 4
    """How often a turn is asked for, each time with a new seed, before the dialogue is a failure."""

    def __post_init__(self) -> None:
        if self.word_limit > self.max_words:
            raise ValueError(f"word_limit is {self.word_limit}, more than max_words, {self.max_words}")
        for name, placeholders in {
            "system": ("domain", "topics", "word_limit"),
            "opening": ("emotion",),
            "reply": ("emotion",),
        }.items():
            try:
                check_template(getattr(self, name), placeholders)
            except ValueError as error:
                raise ValueError(f"prompt {name!r}: {error}") from None


class Actor(Record):
    """A model in one of the two roles."""

    model: str
    checkpoint: str
    """What its endpoint tells that it serves. An answer that bears another name (`Completion.model`) came from that."""
    rehearsal: bool
    system_role: bool = True


def conversation(
    scenario: Scenario,
    domain: Domain,
    script: Script,
    cast: tuple[Actor, Actor],
    seed: int,
    turns: tuple[Turn, ...] = (),
    rounds: int = 0,
) -> Generator[Prompt | Turn, Completion | None, Dialogue]:
    """Holds one dialogue.

    Args:
        scenario: what to hold.
        domain: its domain.
        script: what the speakers are told.
        cast: who speaks as LLM1 and as LLM2.
        seed: the study's.
        turns: the turns already finished, where a dialogue goes on behind them.
        rounds: how often the dialogue was given up before; each time every turn has as many attempts more.

    Yields:
        A `Prompt`, to be answered with a `Completion`; or a finished `Turn`.

    Raises:
        ReplyError: a turn broke the rules in every attempt.
    """
    system = fill(
        script.system,
        {
            "domain": scenario.domain.replace("_", " "),
            "topics": domain.topics,
            "word_limit": str(script.word_limit),
        },
    ).strip()
    spoke = [cast[position % 2].checkpoint for position in range(len(turns))]
    for position in range(len(turns), len(scenario.emotions)):
        actor = cast[position % 2]
        messages = _messages(scenario, system, script, turns, actor.system_role)
        breaches: list[str] = []
        while True:
            attempt_seed = seed_of(seed, "reply", scenario.id, str(position), str(len(breaches)))
            completion = yield Prompt(
                model=actor.model,
                messages=messages,
                decoding=script.decoding,
                seed=attempt_seed,
                thread=scenario.id,
            )
            assert completion is not None, "a prompt is answered with a completion"  # noqa: S101
            thought = bool(completion.thinking)
            fault = breach(completion.text, completion.finish_reason, script.max_words, thought=thought)
            if fault is None:
                break
            breaches.append(fault)
            if len(breaches) == script.attempts * (1 + rounds):
                latest = breaches[-script.attempts :]
                raise ReplyError(
                    f"turn {position + 1} of {len(scenario.emotions)}, {actor.model}: {', '.join(latest)}"
                    + (_THINKS if "thought too long" in latest else "")
                )
        turn = Turn(
            speaker=SPEAKERS[position % 2], text=clean(completion.text), emotion=scenario.emotions[position]
        )
        turns += (turn,)
        spoke.append(completion.model or actor.checkpoint)
        yield turn
    return Dialogue(
        id=scenario.id,
        domain=scenario.domain,
        pairing=scenario.pairing,
        first_checkpoint=joined(spoke[::2]) or cast[0].checkpoint,
        second_checkpoint=joined(spoke[1::2]) or cast[1].checkpoint,
        rehearsal=cast[0].rehearsal or cast[1].rehearsal,
        turns=turns,
    )


def _messages(
    scenario: Scenario,
    system: str,
    script: Script,
    turns: tuple[Turn, ...],
    system_role: bool,  # noqa: FBT001
) -> tuple[Message, ...]:
    """The chat as the next speaker sees it: own turns are the assistant's, the partner's the user's."""
    messages = [Message(role="system", content=system)] if system_role else []
    own = len(turns) % 2
    for position in range(own, len(turns) + 1, 2):
        template = script.reply if position else script.opening
        ask = fill(template, {"emotion": scenario.emotions[position]}).strip()
        parts = [turns[position - 1].text, ask] if position else [ask]
        if not messages:
            parts.insert(0, system)
        messages.append(Message(role="user", content="\n\n".join(parts)))
        if position < len(turns):
            messages.append(Message(role="assistant", content=turns[position].text))
    return tuple(messages)
