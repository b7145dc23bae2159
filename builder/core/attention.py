"""Attention: how those who annotate or listen did in the checks that were hidden from them, and whose answers count.

Law of the file: whoever failed a check is named, whether the answers count or not, and so is what leaving them out costs.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, NamedTuple

import msgspec

from builder.records import Record

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""In [0, 1]."""


class Attention(Record):
    """How attentive somebody was."""

    name: str
    answers: int
    """What this person answered beside the checks."""
    passed: int
    checks: int
    """Attention checks answered; `passed` of them rightly."""
    near: int = 0
    golden: int = 0
    """Scores given where the right one is known; `near` of them within 1 of it."""

    @property
    def failed(self) -> str:
        """What was failed, in words; empty where nothing was."""
        said = []
        if wrong := self.checks - self.passed:
            said.append(f"failed {wrong} of {self.checks} attention checks")
        if far := self.golden - self.near:
            said.append(f"is more than 1 off in {far} of {self.golden} gold scores")
        return " and ".join(said)

    def has(self, least: float) -> bool:
        """Whether the share of checks passed is at least this, and likewise that of gold scores; of none it is."""
        return self.passed >= least * self.checks and self.near >= least * self.golden


class Counted(NamedTuple):
    """Whose answers count."""

    names: tuple[str, ...]
    notes: tuple[str, ...]
    """On whoever failed a check or is left out, a sentence each."""


def counted(people: Iterable[Attention], least: float, without: Collection[str] = ()) -> Counted:
    """Leaves out whom the plan or the caller does not want counted.

    Args:
        people: who answered.
        least: the share of checks that must be passed, in [0, 1].
        without: who is left out whatever they passed.
    """
    names, notes = [], []
    for one in people:
        failed = f"{one.name} {one.failed}" if one.failed else ""
        if one.name in without:
            notes.append(f"{failed or one.name}: left out as asked, which costs {one.answers:,} answers.")
        elif not one.has(least):
            notes.append(
                f"{failed}: left out by min_checks = {least:g}, which costs {one.answers:,} answers."
            )
        else:
            names.append(one.name)
            if failed:
                notes.append(f"{failed}, and {one.answers:,} answers count.")
    return Counted(tuple(names), tuple(notes))
