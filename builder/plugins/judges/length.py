"""Length: a dialogue whose turns say too little to be spoken, or too much.

Law of the file: words are counted by script, as they are where replies are limited.
"""

from typing import Annotated

import msgspec

from builder.core.dialogue import Dialogue
from builder.core.word import count_words
from builder.plugins.judges import Context, Rule


class Length(Rule):
    """Finds turns with too few or too many words, and dialogues that are terse throughout."""

    min_words: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 2
    """The fewest words of a turn."""
    max_words: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 60
    """The most words of a turn."""
    min_mean_words: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 5.0
    """The fewest words a turn of the dialogue may have on average."""

    def __post_init__(self) -> None:
        for name in ("min_words", "min_mean_words"):
            if getattr(self, name) > self.max_words:
                raise ValueError(f"{name} is {getattr(self, name)}, more than max_words, {self.max_words}")

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:  # noqa: ARG002 - the contract's
        """Names the turn and its words, or the mean."""
        counts = [count_words(turn.text) for turn in dialogue.turns]
        for number, count in enumerate(counts, 1):
            if not self.min_words <= count <= self.max_words:
                return f"turn {number}: {count} words, not {self.min_words} to {self.max_words}"
        mean = sum(counts) / max(len(counts), 1)
        if mean < self.min_mean_words:
            return f"{mean:.1f} words a turn on average, fewer than {self.min_mean_words:g}"
        return None
