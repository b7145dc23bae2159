"""Duplicate: a dialogue that another has said already, nearly word for word.

A dialogue is one where another with a smaller id is similar enough, whether that one is kept or not. So two that are kept
are never similar; each that is not names one it is truly similar to, which groups closed over chains of likeness do not
give; and more dialogues only ever make more duplicates, so that no vote against one is ever to be taken back.
Law of the file: what is a twin of what depends on ids and words alone: sketches only propose, shingles decide.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec
from rensa import RMinHash, RMinHashLSH

from builder.core.dialogue import Dialogue, fingerprint, shingles
from builder.plugins.judges import Context, Rule, Twin

_ROWS = 4
"""Hashes of a band. With fewer, dialogues are proposed that only share a turn of phrase, and time is no longer linear."""
_MISSED = 1e-6
"""The probability that a pair just similar enough is not proposed, at most; one more similar is missed less."""
_SEED = 2505
_TOLD = re.compile(r"says (?:nearly )?the same words as ([^:]+)(?:: similarity ([\d.]+))?")


class Duplicate(Rule):
    """Finds dialogues that say much the same as an earlier one."""

    min_similarity: Annotated[float, msgspec.Meta(ge=0.5, le=1)] = 0.8
    """The share of both dialogues' shingles that both have, from which on they are twins; at 1 the words must be the
    same, turn by turn."""
    shingle_words: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 5
    """The words of a shingle."""

    def twins(self, ids: Iterable[str], dialogue: Callable[[str], Dialogue]) -> Mapping[str, Twin]:
        """For each dialogue that is similar enough to one before it, by id: the first such.

        MinHash with banding proposes (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3), in time
        linear in the dialogues as long as few are alike. For each it keeps about 3 kB at 0.8, twice that at 0.7, and no text.
        """
        bands = _bands(self.min_similarity)
        known = RMinHashLSH(self.min_similarity, _ROWS * bands, bands)
        twins: dict[str, Twin] = {}
        order = sorted(ids)
        for position, id in enumerate(order):
            mine = self._shingles(dialogue(id))
            sketch = RMinHash(_ROWS * bands, _SEED)
            sketch.update(mine)
            for other in sorted(known.query(sketch)):
                theirs = self._shingles(dialogue(order[other]))
                similarity = len(mine & theirs) / len(mine | theirs)
                if similarity >= self.min_similarity:
                    twins[id] = Twin(order[other], similarity)
                    break
            # What is like a dialogue that says all the same as an earlier one is like that one.
            if id not in twins or twins[id].similarity < 1:
                known.insert(position, sketch)
        return twins

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:
        """Names the first dialogue it is a twin of."""
        twin = context.twins.get(dialogue.id)
        if twin is None:
            return None
        if twin.similarity == 1:
            return f"says the same words as {twin.id}"
        return f"says nearly the same words as {twin.id}: similarity {twin.similarity:.3f}"

    def _shingles(self, dialogue: Dialogue) -> frozenset[str]:
        if self.min_similarity == 1:
            return frozenset((fingerprint(dialogue),))
        return shingles(dialogue, self.shingle_words)


def twin_of(reason: str) -> Twin | None:
    """The twin that the reason of a verdict names; None of what this judge did not write."""
    match = _TOLD.fullmatch(reason)
    return Twin(match[1], float(match[2] or 1)) if match else None


def _bands(similarity: float) -> int:
    """With how many bands a pair so similar agrees in every row of at least one."""
    agrees = similarity**_ROWS
    return 1 if agrees == 1 else math.ceil(math.log(_MISSED) / math.log1p(-agrees))
