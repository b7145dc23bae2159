"""Voices for training and voices for testing, so that whoever is tested was never heard in training.

Law of the file: a dialogue belongs to one side only if both its voices do.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np


class Apart(NamedTuple):
    """Two sets of voices without a voice in common."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    lost: int
    """Dialogues in which a voice of each speaks, and which neither side may use."""


def voices_apart(pairs: Iterable[tuple[str, str]], share: float = 0.1, seed: int = 0) -> Apart:
    """Divides voices so that the dialogues among those for testing are at least a share of all.

    Voices that speak with each other are kept together as far as they can be, so that few dialogues are lost.

    Args:
        pairs: the first and the second voice of every dialogue.
        share: of all dialogues, above 0 and below 1.
        seed: which voices are for testing.

    Raises:
        ValueError: no division leaves both sides a dialogue: nearly everyone speaks with everyone, or there are too few voices.
    """
    dialogues = list(pairs)
    partners: dict[str, set[str]] = defaultdict(set)
    for first, second in dialogues:
        partners[first].add(second)
        partners[second].add(first)
    test: set[str] = set()
    for voice in _walk(partners, np.random.default_rng(seed)):
        test.add(voice)
        among = sum(first in test and second in test for first, second in dialogues)
        apart = sum(first not in test and second not in test for first, second in dialogues)
        if apart and among >= share * len(dialogues):
            train = tuple(sorted(partners.keys() - test))
            return Apart(train, tuple(sorted(test)), len(dialogues) - among - apart)
    raise ValueError(
        f"{len(partners)} voices in {len(dialogues)} dialogues cannot be divided so that {share:.0%} are among test voices: "
        f"ask for a smaller share, or test on voices from elsewhere"
    )


def _walk(partners: dict[str, set[str]], draw: np.random.Generator) -> Iterator[str]:
    """Every voice, and after each those it speaks with."""
    seen: set[str] = set()
    for start in draw.permutation(sorted(partners)).tolist():
        waiting = [start]
        while waiting:
            voice = waiting.pop()
            if voice not in seen:
                seen.add(voice)
                yield voice
                waiting += draw.permutation(sorted(partners[voice] - seen)).tolist()
