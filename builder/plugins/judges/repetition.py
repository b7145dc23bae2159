"""Repetition: a dialogue that goes round in circles, or a model caught in a loop.

Law of the file: a phrase is a run of folded words within one turn.
"""

from collections import defaultdict
from typing import Annotated

import msgspec

from builder.core.dialogue import Dialogue
from builder.core.word import runs, words
from builder.plugins.judges import Context, Rule


class Repetition(Rule):
    """Finds turns made of what was said before, and phrases said over and over."""

    phrase_words: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4
    """The words of a phrase."""
    max_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """The largest share of a turn's phrases that may have been said before, in this turn or another."""
    min_phrases: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4
    """A turn with fewer phrases has no share worth measuring: friends do echo each other's short turns."""
    max_times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 3
    """How often a whole dialogue may say one phrase."""

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:  # noqa: ARG002 - the contract's
        """Names the turn and its share, or the phrase and the turns that say it."""
        said: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, turn in enumerate(dialogue.turns, 1):
            phrases = list(runs(words(turn.text), self.phrase_words))
            before = 0
            for phrase in phrases:
                before += phrase in said
                said[phrase].append(number)
            if len(phrases) >= self.min_phrases and before / len(phrases) > self.max_share:
                return f"turn {number}: {before / len(phrases):.0%} of its phrases were said before"
        phrase, turns = max(said.items(), key=lambda item: len(item[1]), default=((), []))
        if len(turns) > self.max_times:
            where = ", ".join(map(str, sorted(set(turns))))
            return f"{' '.join(phrase)!r} is said {len(turns)} times (turns {where})"
        return None
