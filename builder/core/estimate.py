"""What a plan will ask of every model, before anything is asked: calls, tokens, hours and money.

The prompts are those that conversations and judges would really make; only what models say in them is a mean number of
words. A prompt cache is taken to hold the prompts that it saw and nothing else: of a speaker's prompt all that its
previous one held (which is its beginning, for history only grows), of a repeated prompt the whole, of a judge's prompt
what stands before the first word said, in as many heads as its prompts have: a judge may draw the order of its criteria. The
answers themselves, and what the dialogues of one domain have in common when they are held, would come on top.
Law of the file: no text of a prompt is written here; scenarios pass one at a time, and memory holds their shapes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import pairwise, takewhile
from math import ceil
from typing import Annotated, NamedTuple, cast

import msgspec

from builder.core.chat import Actor, Script, conversation
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.prompt import Prompt
from builder.core.scenario import Scenario
from builder.core.usage import Price, Usage, currency_of, price_of
from builder.core.values import Count
from builder.core.vocabulary import Vocabulary
from builder.core.word import count_words
from builder.records import Record

Ask = Callable[[Dialogue], Prompt]
"""The first prompt of a judge for a dialogue."""

_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Rate = Annotated[float, msgspec.Meta(gt=0, le=1_000_000_000)]

# Two words and not one: where texts stand inside JSON, a single word would melt into what surrounds it.
_SAID, _SAID_ELSEWHERE = "Oh yes", "Ah no"
_DRAWS = 100
"""So many dialogues at least are shown to a judge, or all there are: enough to meet every head of one that draws of ten."""


class Assumptions(Record):
    """What is not known before."""

    words_a_turn: _Amount = 20.6
    """On average. The mean of the published data."""
    tokens_a_word: _Amount = 4 / 3
    """A rule of thumb for English."""
    tokens_a_message: _Amount = 5.0
    """What a chat template puts around each message: in most, two markers, a role and two line breaks."""
    tokens_a_judged_turn: _Amount = 18.0
    """What the JSON around a turn costs in a judge's prompt beside its words; ours, counted on one turn by hand."""
    tokens_a_verdict: _Amount = 100.0
    """What a judge answers: a reason of two lines, and a score for each of six criteria, and of every turn; ours."""
    retries: _Amount = 0.0
    """How many calls are repeated for each that is not: replies that break the rules, marks that cannot be read."""
    rejected: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """The share of dialogues that the rules reject, so that no model judges them."""


class Speed(Record):
    """How fast a model is served, by all its replicas together."""

    prompt_tokens_per_s: _Rate
    """Read, in all: parallel requests share it."""
    completion_tokens_per_s: _Rate
    """Written, for each of the parallel requests."""
    parallel: Count = 1
    """Requests that are answered at once, each at that speed."""


class Load(Record):
    """What is asked of one model."""

    turn_calls: int = 0
    judge_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of them that a prompt cache holds."""
    completion_tokens: int = 0

    def hours(self, speed: Speed, *, cache: bool = True) -> float:
        """How long an endpoint works on it that is never without work.

        (prompt tokens read / `prompt_tokens_per_s` + completion tokens / (`completion_tokens_per_s` x `parallel`)) / 3600

        Args:
            speed: of the endpoint.
            cache: whether what a prompt cache holds need not be read.
        """
        read = self.prompt_tokens - (self.cached_tokens if cache else 0)
        written_per_s = speed.completion_tokens_per_s * speed.parallel
        return (read / speed.prompt_tokens_per_s + self.completion_tokens / written_per_s) / 3600

    def usage(self, hours: float = 0.0) -> Usage:
        """The same as usage, with the endpoint held open for so many hours; prices do not know a cache."""
        return Usage(
            calls=self.turn_calls + self.judge_calls,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            open_s=hours * 3600,
        )


class Estimate(Record):
    """What a plan asks for."""

    dialogues: int
    turns: int
    loads: dict[str, Load]
    """By model, sorted."""

    def hours(self, speeds: Mapping[str, Speed], *, cache: bool = True) -> dict[str, float]:
        """How long the endpoint of every model works; a model whose speed is not given is left out.

        All work at once, so that the longest is the least that the run takes.

        Args:
            speeds: by model; `*` stands for every model without one of its own.
            cache: whether prompt caches are on.
        """
        given = {model: speeds.get(model, speeds.get("*")) for model in self.loads}
        return {
            model: self.loads[model].hours(speed, cache=cache)
            for model, speed in given.items()
            if speed is not None
        }

    def money(self, prices: Mapping[str, Price], hours: float = 0.0) -> dict[str, float]:
        """What every model costs; one without a price is left out.

        Args:
            prices: by model; `*` stands for every model without one of its own.
            hours: how long the run takes. Dialogues go to and fro between endpoints, so all of them are held open for so long.

        Raises:
            ValueError: the prices are in several currencies.
        """
        currency_of(prices)
        given = {model: price_of(model, prices) for model in self.loads}
        return {
            model: price.of(self.loads[model].usage(hours))
            for model, price in given.items()
            if price is not None
        }

    def rows(
        self, speeds: Mapping[str, Speed] | None = None, prices: Mapping[str, Price] | None = None
    ) -> list["Row"]:
        """A row for every model and one for all, as they are shown; what cannot be said is empty.

        Raises:
            ValueError: the prices are in several currencies.
        """
        speeds, prices = speeds or {}, prices or {}
        cached, uncached = self.hours(speeds), self.hours(speeds, cache=False)
        money = self.money(prices, max(cached.values(), default=0.0))
        whole = len(cached) == len(self.loads)
        total = Load(
            *(sum(column) for column in zip(*map(msgspec.structs.astuple, self.loads.values()), strict=True))
        )
        return [
            *(
                _row(model, load, cached.get(model), uncached.get(model), money.get(model))
                for model, load in self.loads.items()
            ),
            _row(
                "all",
                total,
                max(cached.values(), default=None) if whole else None,
                max(uncached.values(), default=None) if whole else None,
                sum(money.values()) if len(money) == len(self.loads) else None,
            ),
        ]


class Row(NamedTuple):
    """One model's line of an estimate, in words. The line of all has the hours of the longest."""

    model: str
    turn_calls: str
    judge_calls: str
    prompt_tokens: str
    cached_tokens: str
    completion_tokens: str
    hours: str
    """With a prompt cache."""
    hours_without_cache: str
    money: str
    """With the hours of the longest, for what is paid by the hour."""


def _row(model: str, load: Load, hours: float | None, uncached: float | None, money: float | None) -> Row:
    amounts = (f"{amount:,}" for amount in msgspec.structs.astuple(load))
    return Row(
        model,
        *amounts,
        *(
            "" if value is None else f"{value:,.{digits}f}"
            for value, digits in ((hours, 1), (uncached, 1), (money, 2))
        ),
    )


class _Shape(NamedTuple):
    """What prompts depend on: dialogues of one shape ask for the same."""

    domain: str
    emotions: tuple[str, ...]
    """One a turn, each standing for all that have as many words."""


class _Size(NamedTuple):
    """A prompt, less what is said in it."""

    words: int
    messages: int
    turns: int
    """How many turns stand in it."""

    def tokens(self, assume: Assumptions) -> float:
        """With a mean number of words said in every turn."""
        words = self.words + self.turns * assume.words_a_turn
        return words * assume.tokens_a_word + self.messages * assume.tokens_a_message


@dataclass
class _Sum:
    """A load that is being added up."""

    turn_calls: float = 0.0
    judge_calls: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    completion_tokens: float = 0.0

    def add(self, calls: float, retries: float, prompt: float, completion: float) -> None:
        """Adds the tokens of calls with their repeats, of which a prompt cache holds everything."""
        self.prompt_tokens += calls * (1 + retries) * prompt
        self.cached_tokens += calls * retries * prompt
        self.completion_tokens += calls * (1 + retries) * completion


def estimate(
    scenarios: Iterable[Scenario],
    vocabulary: Vocabulary,
    script: Script,
    judges: Sequence[Ask] = (),
    assume: Assumptions = Assumptions(),  # noqa: B008 - it cannot change
) -> Estimate:
    """Adds up what a plan asks of every model.

    Args:
        scenarios: of the plan; they are looked at one at a time.
        vocabulary: their domains, emotions, pairings and models.
        script: what the speakers are told.
        judges: those that ask a model.
        assume: what is not known before.
    """
    alike: dict[int, str] = {}
    for emotion in vocabulary.emotions:
        alike.setdefault(len(emotion.split()), emotion)
    planned: Counter[tuple[str, _Shape]] = Counter()
    for scenario in scenarios:
        emotions = tuple(alike[len(emotion.split())] for emotion in scenario.emotions)
        planned[scenario.pairing, _Shape(scenario.domain, emotions)] += 1

    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    _add_turns(sums, planned, vocabulary, script, assume)
    shapes: Counter[_Shape] = Counter()
    for (_, shape), count in planned.items():
        shapes[shape] += count
    for judge in judges if shapes else ():
        _add_marks(sums, shapes, vocabulary, judge, assume)
    return Estimate(
        dialogues=planned.total(),
        turns=sum(len(shape.emotions) * count for shape, count in shapes.items()),
        loads={model: Load(*map(round, astuple(sums[model]))) for model in sorted(sums)},
    )


def _add_turns(
    sums: defaultdict[str, _Sum],
    planned: Mapping[tuple[str, _Shape], int],
    vocabulary: Vocabulary,
    script: Script,
    assume: Assumptions,
) -> None:
    @cache
    def tokens_of(shape: _Shape, *system_roles: bool) -> list[float]:
        return [size.tokens(assume) for size in _sizes(shape, vocabulary, script, system_roles)]

    for (name, shape), count in planned.items():
        models = (vocabulary.pairings[name].first, vocabulary.pairings[name].second)
        tokens = tokens_of(shape, *(vocabulary.models[model].system_role for model in models))
        for turn, prompt in enumerate(tokens):
            load = sums[models[turn % 2]]
            load.turn_calls += count * (1 + assume.retries)
            load.add(count, assume.retries, prompt, assume.words_a_turn * assume.tokens_a_word)
            load.cached_tokens += count * tokens[turn - 2] if turn > 1 else 0.0


def _sizes(
    shape: _Shape, vocabulary: Vocabulary, script: Script, system_roles: tuple[bool, ...]
) -> list[_Size]:
    """Of the prompts of a dialogue, one a turn."""
    dialogue = _dialogue(shape, vocabulary, _SAID)
    scenario = Scenario(
        id=dialogue.id, domain=shape.domain, pairing=dialogue.pairing, emotions=shape.emotions
    )
    first, second = (
        Actor(model="", checkpoint="", rehearsal=True, system_role=system_role)
        for system_role in system_roles
    )
    domain = vocabulary.domains[shape.domain]
    talks = (
        conversation(scenario, domain, script, (first, second), 0, dialogue.turns[:turn])
        for turn in range(len(shape.emotions))
    )
    return [_size(cast("Prompt", next(talk)), turn) for turn, talk in enumerate(talks)]


def _add_marks(
    sums: defaultdict[str, _Sum],
    shapes: Counter[_Shape],
    vocabulary: Vocabulary,
    judge: Ask,
    assume: Assumptions,
) -> None:
    heads: set[tuple[str, ...]] = set()
    cached = 0.0
    for shape, count in shapes.items():
        turns, drawn = len(shape.emotions), min(count, ceil(_DRAWS / len(shapes)))
        calls = count / drawn * (1 - assume.rejected)
        for index in range(1, drawn + 1):
            prompt, other = (
                judge(_dialogue(shape, vocabulary, text, index)) for text in (_SAID, _SAID_ELSEWHERE)
            )
            head = _shared(_words(prompt), _words(other))
            heads.add(head)
            cached += calls * len(head)
            tokens = _size(prompt, turns).tokens(assume) + turns * assume.tokens_a_judged_turn
            load = sums[prompt.model]
            load.judge_calls += calls * (1 + assume.retries)
            load.add(calls, assume.retries, tokens, assume.tokens_a_verdict)
    # Each head is read once, and what several begin with once for all of them.
    read = sum(len(head) - len(_shared(before, head)) for before, head in pairwise([(), *sorted(heads)]))
    load.cached_tokens += max(0.0, cached - read) * assume.tokens_a_word


def _dialogue(shape: _Shape, vocabulary: Vocabulary, text: str, index: int = 1) -> Dialogue:
    """A dialogue of the shape in which every turn says the same."""
    pairing = next(iter(vocabulary.pairings))
    return Dialogue(
        id=f"{pairing}/{shape.domain}_{index}_{len(shape.emotions)}",
        domain=shape.domain,
        pairing=pairing,
        first_checkpoint="",
        second_checkpoint="",
        rehearsal=True,
        turns=tuple(
            Turn(speaker=SPEAKERS[position % 2], text=text, emotion=emotion)
            for position, emotion in enumerate(shape.emotions)
        ),
    )


def _size(prompt: Prompt, turns: int) -> _Size:
    said = turns * len(_SAID.split())
    words = count_words(" ".join(message.content for message in prompt.messages))
    return _Size(words=words - said, messages=len(prompt.messages), turns=turns)


def _shared(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """What both begin with."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(word for word, _ in same)


def _words(prompt: Prompt) -> list[str]:
    return " ".join(message.content for message in prompt.messages).split()
