"""Parts: a run's work cut by the ids of its dialogues, so that several processes share it.

Law of the file: which part an id falls into depends on the id and on the number of parts alone.
"""

import hashlib
import re

from builder.records import Record

_WRITTEN = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


class Part(Record):
    """One of several equal parts."""

    index: int
    """In 1..count."""
    count: int

    @classmethod
    def parse(cls, written: str) -> "Part":
        """Reads `3/16`.

        Raises:
            ValueError: it is not a part.
        """
        match = _WRITTEN.fullmatch(written)
        if match is None or int(match[1]) > int(match[2]):
            raise ValueError(f"{written!r} is not a part such as 3/16, the third of sixteen")
        return cls(index=int(match[1]), count=int(match[2]))

    @property
    def name(self) -> str:
        """As files are named after it."""
        return f"{self.index}-of-{self.count}"

    def of(self, limit: int) -> int:
        """This part of so many places: all parts have `limit` together, or one each where there are fewer places than parts."""
        return max(1, self.index * limit // self.count - (self.index - 1) * limit // self.count)

    def __contains__(self, id: str) -> bool:
        """Whether the dialogue of this id falls into the part."""
        digest = hashlib.sha256(id.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index - 1
