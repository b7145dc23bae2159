"""Seeded draws: everything random comes from an item's own key, so any subset, order or machine draws the same.

Law of the file: only `random.Random(seed).random()` is used, the one sequence that Python promises never to change.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of draws that depends on the seed and the key alone.

    Args:
        seed: the study's seed.
        key: what is drawn for, as words, such as `("scenario", "travel", "17")`.
    """

    def __init__(self, seed: int, *key: str) -> None:
        self._random = random.Random(seed_of(seed, *key, bits=128))

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def index(self, count: int) -> int:
        """A whole number in 0..count-1; `count` is at least 1."""
        return int(self._random.random() * count)

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`, which is not empty, each as likely as the next."""
        return items[self.index(len(items))]


def seed_of(seed: int, *key: str, bits: int = 31) -> int:
    """A seed for one thing alone, in 0..2**bits - 1.

    31 bits is what every inference server accepts.
    """
    words = "\x1f".join((str(seed), *key)).encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=16).digest()) >> (128 - bits)
