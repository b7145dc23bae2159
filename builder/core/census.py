"""Counts of what a plan or a dataset holds.

Law of the file: everything is counted from the dialogues themselves, one at a time, in memory that does not grow with them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from builder.core.emotion import Ravdess
from builder.core.word import count_words


class Census:
    """Counts dialogues as they pass.

    Args:
        ravdess: the acted class of every emotion.
    """

    def __init__(self, ravdess: Mapping[str, Ravdess]) -> None:
        self._ravdess = ravdess
        self.dialogues = 0
        self.turns = 0
        self.words = 0
        self.by_domain: Counter[str] = Counter()
        self.by_pairing: Counter[str] = Counter()
        self.by_turns: Counter[int] = Counter()
        self.by_emotion: Counter[str] = Counter()
        """Turns by emotion."""
        self.by_ravdess: Counter[str] = Counter()
        """Turns by acted class."""
        self.transitions: Counter[tuple[str, str]] = Counter()

    def add(self, domain: str, pairing: str, emotions: tuple[str, ...], texts: Iterable[str] = ()) -> None:
        """Counts one dialogue, with the emotion of every turn and, where there are any, the texts."""
        self.dialogues += 1
        self.turns += len(emotions)
        self.words += sum(map(count_words, texts))
        self.by_domain[domain] += 1
        self.by_pairing[pairing] += 1
        self.by_turns[len(emotions)] += 1
        self.by_emotion.update(emotions)
        self.by_ravdess.update(self._ravdess[emotion] for emotion in emotions)
        self.transitions.update(pairwise(emotions))
