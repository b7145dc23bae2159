"""The listening study: what a listener hears, in which order, what an answer is, and how much answers are worth.

A trial is one turn that two dataset configs speak. The listener hears the clips as A and B and is told nothing else.

    sample      as many turns of every emotion, as far as there are any; of a dialogue a second one only where its emotion is
                left with none of another dialogue
    sides       A is either config as often as the other, within every listener, acted class and emotion, to one
    checks      trials besides, in which A and B are the same clip: whoever listens has no preference

Law of the file: a listener's trials depend on the turns there are, the study's seed and the listener's name alone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from builder.core.draw import Draw
from builder.core.emotion import Ravdess
from builder.records import Record

T = TypeVar("T")

NATURALNESS = ("bad", "poor", "fair", "good", "excellent")
"""The words for 1 to 5 of absolute category rating. Source: ITU-T P.800 (08/96), annex B, the listening-quality scale."""
CHECK_EVERY = 25
"""For so many trials there is one more in which A and B are the same clip."""

Naturalness = Annotated[int, msgspec.Meta(ge=1, le=5)]
Preference = Literal["a", "b", "none"]
Configs = tuple[str, str]
"""The two dataset configs that are compared."""


class Spoken(Record):
    """A turn that both configs speak."""

    id: str
    """Of the dialogue."""
    turn: Annotated[int, msgspec.Meta(ge=1)]
    emotion: str
    """What it was to express."""
    ravdess: Ravdess
    """The acted class of that emotion."""


class Trial(Record):
    """One turn to be heard twice."""

    spoken: Spoken
    a: str
    """The config that A is from."""
    b: str

    @property
    def is_check(self) -> bool:
        """Whether A and B are the same clip."""
        return self.a == self.b


class Reply(Record):
    """What a listener says of a trial, as the page has it."""

    number: int
    """The trial's, among the listener's own, from 1."""
    heard: tuple[str | None, str | None]
    """The label chosen for A and for B; None is `none of these / cannot tell`."""
    naturalness: tuple[Naturalness, Naturalness]
    prefers: Preference
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    """From the first sight of the trial to the answer."""
    played: tuple[bool, bool]
    """Whether A and B were played to their end."""


class Answer(Record):
    """A reply that counts, with what was heard."""

    id: str
    """The trial's number among the listener's own."""
    trial: Trial
    heard: tuple[str | None, str | None]
    naturalness: tuple[Naturalness, Naturalness]
    prefers: Preference
    seconds: float


def draw_shared(turns: Sequence[Spoken], count: int, seed: int) -> tuple[Spoken, ...]:
    """The turns that every listener hears, so that their agreement can be measured.

    Args:
        turns: all there are, in any order.
        count: how many to draw; fewer where there are fewer.
        seed: the study's.
    """
    return tuple(_choose(turns, count, (), Draw(seed, "listening")))


def draw_trials(
    turns: Sequence[Spoken], shared: Sequence[Spoken], count: int, configs: Configs, seed: int, listener: str
) -> tuple[Trial, ...]:
    """What one listener hears, in order: `count` trials, fewer where there are fewer turns, and the checks among them.

    Args:
        turns: all there are, at least one, in any order.
        shared: those of `draw_shared`, which every listener hears.
        count: at least 1, and at least as many as are shared.
        configs: what is compared.
        seed: the study's.
        listener: a pseudonym.
    """
    draw = Draw(seed, "listening", listener)
    heard = [*shared, *_choose(turns, count - len(shared), shared, draw)]
    checks = max(1, round(len(heard) / CHECK_EVERY))
    # Where every turn is heard already, a check has to repeat one.
    unheard = _choose(turns, checks, heard, draw) or _shuffled(heard, draw)
    trials = _sided(heard, configs, draw)
    for number in range(checks):
        config = configs[number % 2]
        trials.append(Trial(spoken=unheard[number % len(unheard)], a=config, b=config))
    return tuple(_shuffled(trials, draw))


def _choose(turns: Sequence[Spoken], count: int, taken: Sequence[Spoken], draw: Draw) -> list[Spoken]:
    """Draws turns beside those taken, so that all of them together are balanced."""
    waiting: dict[str, list[Spoken]] = defaultdict(list)
    known = {(spoken.id, spoken.turn) for spoken in taken}
    for spoken in _shuffled(sorted(turns, key=lambda one: (one.id, one.turn)), draw):
        if (spoken.id, spoken.turn) not in known:
            waiting[spoken.emotion].append(spoken)
    held, quotas = Counter(spoken.emotion for spoken in taken), Counter[str]()
    while quotas.total() < count and (more := [e for e in waiting if quotas[e] < len(waiting[e])]):
        quotas[min(more, key=lambda emotion: held[emotion] + quotas[emotion])] += 1
    dialogues = Counter(spoken.id for spoken in taken)
    chosen: list[Spoken] = []
    # The rarest first, before the dialogues that it occurs in are used for another.
    for emotion, left in sorted(waiting.items(), key=lambda item: len(item[1])):
        for _ in range(quotas[emotion]):
            fresh = (spoken for spoken in left if not dialogues[spoken.id])
            one = next(fresh, None) or min(left, key=lambda spoken: dialogues[spoken.id])
            left.remove(one)
            dialogues[one.id] += 1
            chosen.append(one)
    return chosen


def _sided(turns: Sequence[Spoken], configs: Configs, draw: Draw) -> list[Trial]:
    """Sides by turns along the emotions, class by class: so neither config leads by more than one in any of them."""
    first = draw.index(2)
    row = sorted(_shuffled(turns, draw), key=lambda spoken: (spoken.ravdess, spoken.emotion))
    return [
        Trial(spoken=spoken, a=configs[(first + place) % 2], b=configs[(first + place + 1) % 2])
        for place, spoken in enumerate(row)
    ]


def _shuffled(items: Iterable[T], draw: Draw) -> list[T]:
    return sorted(items, key=lambda _: draw.uniform())


def effective(answers: Iterable[int]) -> float:
    """How many independent answers so many about each dialogue are worth, if those about one dialogue are copies of each other.

    It is n^2 / sum m^2 of n answers, m of them about a dialogue: what n becomes by the design effect at an intraclass
    correlation of 1, the most cautious. Source: Kish 1965, "Survey Sampling".

    Args:
        answers: of each dialogue, at least one dialogue and one answer of each.
    """
    sizes = tuple(answers)
    n = sum(sizes)
    return n * n / sum(size * size for size in sizes)


def sign_test(wins: int, losses: int) -> float:
    """How probable a lead at least as clear is, either way, if both are as likely: the exact two-sided binomial test.

    Ties are left out before. Source: Dixon and Mood 1946, "The statistical sign test".

    Returns:
        In (0, 1]; 1 where there is neither.
    """
    n = wins + losses
    tail = ways = 1
    for k in range(min(wins, losses)):
        # Each from the one before it: of thousands, the ways themselves have thousands of digits.
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << n))
