"""What failed in a run, by the work it failed in, and how often dialogues were given up.

Law of the file: nothing is taken back; what was done after all is a line more, and the latest line counts.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Protocol, TypeVar

from builder.errors import ReplyError, SourceError
from builder.records import Record
from builder.run.ledger import Ledgers

R = TypeVar("R", bound=Record)

_READERS = ("package", "measure")
"""The work that reads recordings, and finds what is damaged."""


class Failure(Record):
    """An item that failed, for the time being."""

    id: str
    boundary: str
    """Where it failed; `resolved` once it did not any more."""
    message: str
    number: int = 0
    """Of all that is said of the item, by whichever part: the highest is the latest."""


class _Rounds(Record):
    """How many commands gave a dialogue up and went to their end; each time it got new attempts."""

    id: str
    rounds: int


class _Open(Protocol):
    """Opens the ledgers of a run by their name; `best` says which of several records of one item counts."""

    def __call__(self, name: str, kind: type[R], *, best: Callable[[list[R]], R]) -> Ledgers[R]: ...


class Failures:
    """The failures of one run.

    Args:
        ledgers: opens where they are kept.
    """

    def __init__(self, ledgers: _Open) -> None:
        self._open = ledgers
        self._of: dict[str, Ledgers[Failure]] = {}

    def of(self, work: str) -> Ledgers[Failure]:
        """What failed in one piece of work, by item; the latest counts."""
        if work not in self._of:
            self._of[work] = self._open(f"failures/{work}", Failure, best=_latest)
        return self._of[work]

    def unresolved(self, work: str) -> list[Failure]:
        """What failed in one piece of work and was not done since, by whichever part."""
        return [failure for failure in self.of(work) if failure.boundary != "resolved"]

    def damaged(self, config: str) -> set[str]:
        """The dialogues whose recordings were found damaged when a stage read them, and were not made again since."""
        found = (failure for work in _READERS for failure in self.unresolved(f"{work}-{config}"))
        return {failure.id for failure in found if failure.boundary == SourceError.boundary}

    def mended(self, config: str, id: str) -> None:
        """Notes that a dialogue has a recording that is whole."""
        for work in _READERS:
            self.note(f"{work}-{config}", id)

    def note(self, work: str, id: str, boundary: str = "resolved", message: str = "") -> None:
        """Records that an item failed; or, by default, that it does no longer, if it did."""
        said = self.of(work).get(id)
        if boundary == "resolved" and (said is None or said.boundary == boundary):
            return
        number = 1 + said.number if said else 0
        # A file's name may hold bytes that are no text; they stand escaped.
        message = message.encode(errors="backslashreplace").decode()
        self.of(work).append(id, Failure(id=id, boundary=boundary, message=message, number=number))

    def end(self, takes: Callable[[str], bool]) -> None:
        """Says that a command which holds dialogues went to its end: what it gave up gets new attempts from the next one.

        Without it, as after an interruption, what was given up stays so, and is not asked for again.

        Args:
            takes: whether a dialogue was the command's to hold.
        """
        for failure in self.unresolved("generate"):
            if failure.boundary == ReplyError.boundary and takes(failure.id):
                rounds = 1 + self.rounds_of(failure.id)
                self._rounds.append(failure.id, _Rounds(id=failure.id, rounds=rounds))

    def rounds_of(self, id: str) -> int:
        """How many commands that went to their end gave a dialogue up."""
        said = self._rounds.get(id)
        return said.rounds if said else 0

    @cached_property
    def _rounds(self) -> Ledgers[_Rounds]:
        return self._open("rounds", _Rounds, best=_most)


def _latest(said: list[Failure]) -> Failure:
    """Of what several parts said of one item what counts; to have done it counts where no number decides."""
    return max(said, key=lambda failure: (failure.number, failure.boundary == "resolved"))


def _most(said: list[_Rounds]) -> _Rounds:
    return max(said, key=lambda one: one.rounds)
