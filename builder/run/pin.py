"""What a run folder is pinned to: its study, the rules of acceptance before it, and whether stand-ins take part.

Law of the file: a folder holds what was made of one study; another rule on what is judged is all that may change.
"""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from builder.config import Study
from builder.core.verdict import Acceptance
from builder.errors import RunError
from builder.files import hold, put, read_text
from builder.records import Record, encode

PIN = "run.json"


class FormerRule(Record):
    """A rule that decided before another took its place."""

    acceptance: Acceptance
    until: str
    """When that was: ISO 8601, in UTC."""


class _Pin(Record):
    study: Study
    rehearsal: dict[str, bool] = {}
    """By part (`text`, `judges`, a dataset config): whether stand-ins make it."""
    formerly: tuple[FormerRule, ...] = ()
    """The rules of acceptance before the study's, oldest first."""


def begun(study: Study) -> bytes:
    """The `run.json` of a run that begins with this study."""
    return encode(_Pin(study=study))


class Pin:
    """What one folder is pinned to.

    Args:
        folder: of the run.
        study: what is made; None takes the study that the folder is pinned to.
        rehearse: pins for all who work on the run elsewhere whether stand-ins make a part of it, and gives what is pinned.

    Raises:
        RunError: the folder is pinned to another study, or what it is pinned to cannot be read.
    """

    def __init__(
        self, folder: Path, study: Study | None, rehearse: Callable[[str, bool], bool] | None = None
    ) -> None:
        self._folder, self._rehearse = folder, rehearse
        self._path = folder / PIN
        if study is not None and not self._path.exists():
            self._pin = _Pin(study=study)
            return
        self._pin = self._read()
        if study is not None:
            self._refuse_another(msgspec.to_builtins(study))

    @property
    def study(self) -> Study:
        """What is made."""
        return self._pin.study

    @property
    def former_rules(self) -> tuple[FormerRule, ...]:
        """The rules that decided before the study's, oldest first."""
        return self._pin.formerly

    @property
    def rehearsal(self) -> bool:
        """Whether stand-ins take part, as far as it is made."""
        return any(self._pin.rehearsal.values())

    def write(self) -> None:
        """Pins a folder that was not."""
        if not self._path.exists():
            put(self._path, [encode(self._pin)])

    def rule_of(self, study: Study) -> Acceptance:
        """The rule of a study that is the pinned one in all else.

        Raises:
            RunError: it differs in something else, which is named.
        """
        other = msgspec.structs.replace(study, acceptance=self.study.acceptance)
        self._refuse_another(msgspec.to_builtins(other))
        return study.acceptance

    def accept(self, acceptance: Acceptance) -> None:
        """Lets another rule decide from now on; the one before is kept with the date.

        What it decides on stays as it is: votes are recorded, decisions are not. The run must be open to be written as a
        whole, so that no other process works on it by the old rule.
        """
        until = datetime.now(UTC).isoformat(timespec="seconds")
        formerly = (*self._pin.formerly, FormerRule(acceptance=self.study.acceptance, until=until))
        study = msgspec.structs.replace(self.study, acceptance=acceptance)
        self._pin = msgspec.structs.replace(self._pin, study=study, formerly=formerly)
        put(self._path, [encode(self._pin)])

    def rehearse(self, part: str, rehearsal: bool) -> None:  # noqa: FBT001
        """Pins whether stand-ins make one part (`text`, `judges`, a dataset config), so that real and rehearsed never mix.

        Raises:
            RunError: the part was begun the other way.
        """
        with ExitStack() as locked:
            hold(self._folder / ".lock.pin", locked, wait=True)
            self._pin = self._read()  # a sibling may have pinned it meanwhile
            pinned = self._pin.rehearsal.setdefault(part, rehearsal)
            if self._rehearse:
                pinned = self._rehearse(part, pinned)
            put(self._path, [encode(self._pin)])
        if pinned != rehearsal:
            held, asked = ("rehearsed", "really made") if pinned else ("really made", "rehearsed")
            raise RunError(
                f"{self._folder}: its {part} was {held} so far, and with this site would be {asked}: use another --run"
            )

    def _read(self) -> _Pin:
        try:
            return msgspec.json.decode(read_text(self._path), type=_Pin)
        except ValueError as error:
            raise RunError(
                f"{self._path}: cannot be read by this version: {error}: bring it back as it was, or use another --run"
            ) from None

    def _refuse_another(self, study: dict[str, Any]) -> None:
        pinned = msgspec.to_builtins(self.study)
        if pinned != study:
            change = _difference(pinned, study, "")
            repair = "use another --run for the changed one"
            if change.startswith("acceptance"):
                repair += (
                    f", or `deepdialogue decide {self._folder} STUDY` for another rule on what is judged"
                )
            raise RunError(f"{self._folder} is pinned to another study: {change}: {repair}")


def _difference(old: object, new: object, key: str) -> str:
    """The first key in which two studies differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *new]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    return f"{key} was {_short(old)} and is now {_short(new)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]} … ({len(text)} characters)"
