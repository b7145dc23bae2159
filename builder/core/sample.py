"""Who is asked about which dialogue: a sample that stands for the whole, and its deal among the annotators.

The sample is systematic (Cochran 1977, "Sampling Techniques", chapter 8): the dialogues lie in a row, stratum by stratum, and
every N/n-th is taken from a drawn start. So each has the same chance, n/N, and a stratum gets its share to within one.
Law of the file: it depends on the seed and on which dialogues there are, never on the order in which they were held.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from builder.core.draw import Draw, seed_of
from builder.core.scenario import parse_id

Deal = Mapping[str, tuple[str, ...]]
"""By annotator the ids of the dialogues to annotate, in order."""


def sample(ids: Iterable[str], size: int, seed: int, *key: str) -> tuple[str, ...]:
    """Draws dialogues, stratified by pairing, domain and number of turns.

    Args:
        ids: of all there are.
        size: how many to draw; all are taken where there are no more.
        seed: the study's.
        key: what they are drawn for, as words.

    Returns:
        Stratum by stratum, so that a part taken evenly along them is stratified, too.
    """
    row = sorted(set(ids), key=lambda id: (*_stratum(id), seed_of(seed, "stratum", *key, id, bits=64)))
    if size >= len(row):
        return tuple(row)
    start = Draw(seed, "sample", *key).uniform()
    return tuple(row[int((start + place) * len(row) / size)] for place in range(size))


def deal(ids: Sequence[str], shared: Collection[str], annotators: Iterable[str], seed: int) -> Deal:
    """Deals a sample: everybody gets what is shared, and each of the rest goes to one annotator.

    Args:
        ids: stratum by stratum.
        shared: those of them, and others, that everybody annotates.
        annotators: at least one, each in an order of its own, so that nobody's fatigue falls on the same dialogues.
        seed: the study's.
    """
    names = sorted(set(annotators), key=lambda name: seed_of(seed, "deal", name, bits=64))
    rest = [id for id in ids if id not in shared]
    return {
        name: _ordered({*shared, *rest[place :: len(names)]}, name, seed) for place, name in enumerate(names)
    }


def joined(dealt: Deal, name: str, shared: Collection[str], begun: Collection[str], seed: int) -> Deal:
    """Deals a newcomer in, who takes over what nobody has begun from those who have most of it left.

    Args:
        dealt: so far.
        name: the newcomer's.
        shared: what everybody annotates.
        begun: dialogues that anybody has begun; they stay where they are.
        seed: the study's.

    Returns:
        The newcomer has as many of his own as the others have left, to within one.
    """
    left = {other: [id for id in ids if id not in shared and id not in begun] for other, ids in dealt.items()}
    own: list[str] = []
    while len(most := max(left.values(), key=len)) > len(own):
        own.append(most.pop())
    taken = frozenset(own)
    kept = {other: tuple(id for id in ids if id in shared or id not in taken) for other, ids in dealt.items()}
    return {**kept, name: _ordered({*shared, *own}, name, seed)}


def _stratum(id: str) -> tuple[str, str, int]:
    name = parse_id(id)
    return name.pairing, name.domain, name.num_turns


def _ordered(ids: Iterable[str], name: str, seed: int) -> tuple[str, ...]:
    return tuple(sorted(ids, key=lambda id: seed_of(seed, "order", name, id, bits=64)))
