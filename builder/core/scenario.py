"""Scenarios: which dialogues to hold, with every emotion drawn, from the study's seed alone.

Law of the file: a scenario depends on the seed and its own place (pairing, domain, index), never on another scenario.
"""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from builder.core.draw import Draw, seed_of
from builder.core.emotion import Transitions, walk
from builder.core.values import Count, Names, Share
from builder.core.vocabulary import Vocabulary
from builder.errors import nearest
from builder.records import Record

_ID = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9.-]*(?:_[A-Za-z0-9][A-Za-z0-9.-]*)*)/([a-z0-9]+(?:_[a-z0-9]+)*)_([0-9]+)_([0-9]+)"
)
_GOLDEN = 0.6180339887498949


class Name(Record):
    """An id taken apart."""

    pairing: str
    domain: str
    index: int
    num_turns: int


def parse_id(id: str) -> Name:
    """Takes `<pairing>/<domain>_<index>_<turns>` apart.

    The part after the slash is the published id, which is unique within its pairing only.

    Raises:
        ValueError: the text is not such an id; so no id can name a path outside its folder.
    """
    match = _ID.fullmatch(id)
    if not match:
        raise ValueError(
            f"id {id!r} is not <pairing>/<domain>_<index>_<turns>, such as 'llama3-8B/travel_17_4'"
        )
    return Name(pairing=match[1], domain=match[2], index=int(match[3]), num_turns=int(match[4]))


class Scenario(Record):
    """A dialogue to be held."""

    id: str
    domain: str
    pairing: str
    emotions: tuple[str, ...]
    """One a turn, in order."""

    def __post_init__(self) -> None:
        name = parse_id(self.id)
        if (name.pairing, name.domain, name.num_turns) != (self.pairing, self.domain, len(self.emotions)):
            raise ValueError(f"id {self.id!r} contradicts its own pairing, domain or number of turns")


class TurnRange(Record):
    """How many turns a dialogue may have; every number from `min` to `max` is as likely as the next."""

    min: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"turns.min is {self.min}, more than turns.max, {self.max}")


class Plan(Record):
    """What is to be drawn."""

    dialogues_per_cell: Count
    """Dialogues for each domain of each pairing."""
    turns: TurnRange = TurnRange()
    transitions: Transitions = Transitions()
    domains: Names | None = None
    """A selection from the vocabulary; None takes all."""
    pairings: Names | None = None
    """A selection from the vocabulary; None takes all."""


def scenarios(plan: Plan, vocabulary: Vocabulary, seed: int) -> Iterator[Scenario]:
    """Draws every scenario of the plan, interleaved so that all models have work from the first to the last.

    The order is by index, then domain, then pairing. Leaving out domains, pairings or indices leaves the other
    scenarios as they are.

    Raises:
        ValueError: the plan selects a domain or pairing that the vocabulary lacks.
    """
    domains = _selected("domain", plan.domains, tuple(vocabulary.domains))
    pairings = _selected("pairing", plan.pairings, tuple(vocabulary.pairings))
    graph = plan.transitions.along(vocabulary.graph())
    lengths = range(plan.turns.min, plan.turns.max + 1)
    for index in range(1, plan.dialogues_per_cell + 1):
        for domain in domains:
            for pairing in pairings:
                draw = Draw(seed, "scenario", pairing, domain, str(index))
                length = draw.choice(lengths)
                favoured = vocabulary.domains[domain].emotions
                yield Scenario(
                    id=f"{pairing}/{domain}_{index}_{length}",
                    domain=domain,
                    pairing=pairing,
                    emotions=walk(graph, favoured, length, plan.transitions.in_domain, draw),
                )


def _selected(what: str, wanted: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in wanted or ():
        if name not in known:
            raise ValueError(f"plan.{what}s selects unknown {what} {name!r}: {nearest(name, known)}")
    return tuple(name for name in known if wanted is None or name in wanted)


class Splits(Record):
    """The shares of the three splits; they sum to 1."""

    train: Share = 0.9
    validation: Share = 0.05
    test: Share = 0.05

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"the splits are {shares}: three shares of at least 0 that sum to 1 are needed")


def split_of(id: str, splits: Splits, seed: int) -> str:
    """The split of a dialogue: `train`, `validation` or `test`.

    Within each domain of each pairing the dialogues lie along a golden-ratio (Kronecker) sequence, which fills
    [0, 1) evenly from the start: a cell of up to 500 gets the default shares to within three dialogues, usually
    one, and a dialogue keeps its split for ever when others are added or left out.
    """
    name = parse_id(id)
    start = seed_of(seed, "split", name.pairing, name.domain, bits=53) / 2**53
    place = (start + name.index * _GOLDEN) % 1
    if place < splits.test:
        return "test"
    return "validation" if place < splits.test + splits.validation else "train"
