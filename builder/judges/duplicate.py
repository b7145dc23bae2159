"""Duplicate: a dialogue that another has said already, word for word.

Law of the file: of dialogues with the same words the first stays; which those are the judge stage knows.
"""

from builder.core.dialogue import Dialogue
from builder.judges import Context, Rule


class Duplicate(Rule):
    """Finds dialogues whose words an earlier dialogue has too."""

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:
        """Names the first dialogue with the same words."""
        first = context.twins.get(dialogue.id, dialogue.id)
        return None if first == dialogue.id else f"says the same words as {first}"
