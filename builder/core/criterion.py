"""What is scored, by people and by judges alike.

Law of the file: a criterion asks one question, and says what its scores mean.
"""

from builder.core.values import Prose
from builder.records import Record


class Criterion(Record):
    """What is scored, and what the scores mean; 2 and 4 lie between."""

    question: Prose
    one: Prose
    three: Prose
    five: Prose
    each_turn: bool = False
    """Whether every turn has a score of its own. The dialogue's is then their mean: the least of them would be the lower
    the more turns there are."""
