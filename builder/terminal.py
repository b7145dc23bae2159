"""The terminal: a bar with an ETA, or plain lines now and then in a log; and what its signals do.

Everything goes to stderr, so that what a verb prints can be piped; nothing here knows what is counted.
"""

import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 5.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""With what turns the direction of the text around it, and half a character, which no terminal can write."""


class Relay:
    """What a process would show that has nobody to show it to, kept until another fetches it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bars: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        """By what is worked on: items that were done, how many of them failed, and items that were begun with."""

    def fetched(self) -> tuple[list[str], dict[str, list[int]]]:
        """What is new since it was last fetched: lines and bars."""
        lines, bars = self.lines, dict(self.bars)
        self.lines, self.bars = [], defaultdict(self.bars.default_factory)
        return lines, bars


_relay: Relay | None = None


def relay() -> Relay:
    """From now on nothing of this process is shown here."""
    global _relay  # noqa: PLW0603 - as is the terminal that it takes the place of
    _relay = _relay or Relay()
    return _relay


class Bar:
    """Counts items of one piece of work."""

    def __init__(
        self,
        what: str,
        total: int,
        progress: "Progress | None",
        task: "TaskID | None",
        note: Callable[[], str] | None,
    ) -> None:
        self._what, self._total, self._progress, self._task, self._note = what, total, progress, task, note
        self._done = self._failed = 0
        self._start = self._said = time.monotonic()

    def expect(self, total: int) -> None:
        """Takes note that there are more items, or fewer."""
        self._total = total
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)

    def advance(self, by: int = 1, *, failed: int = 0) -> None:
        """Counts one item, or several at once, and how many of them failed."""
        self._done += by
        self._failed += failed
        if _relay is not None:
            counts = _relay.bars[self._what]
            counts[0] += by
            counts[1] += failed
        elif self._progress is not None and self._task is not None:
            self._progress.update(
                self._task,
                advance=by,
                failed=f"{self._failed} failed" if self._failed else "",
                note=self._note() if self._note else "",
            )
        elif time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            say(self._line())

    def _line(self) -> str:
        passed = time.monotonic() - self._start
        left = timedelta(seconds=round(passed / self._done * (self._total - self._done)))
        failed = f", {self._failed} failed" if self._failed else ""
        note = f"; {self._note()}" if self._note else ""
        return f"{self._what}: {self._done} of {self._total}{failed}, {self._done / passed:.1f}/s, {left} left{note}"


@contextmanager
def bar(what: str, total: int, note: Callable[[], str] | None = None) -> Iterator[Bar]:
    """Shows how far one piece of work is.

    Args:
        what: the verb.
        total: how many items there are.
        note: says more of how far it is, whenever that is shown.
    """
    if _relay is not None:
        _relay.bars[what][2] += total
    if _relay is not None or not sys.stderr.isatty():
        yield Bar(what, total, None, None, note)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(what, total, progress, progress.add_task(what, total=total, failed="", note=""), note)


def say(line: str) -> None:
    """One plain line, whatever escape codes or line breaks the words of others bring into it."""
    line = plain(line).replace("\n", " ")
    if _relay is not None:
        _relay.lines.append(line)
    else:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def plain(text: str) -> str:
    """The same text with a mark in place of every control code; line breaks and tabs stay."""
    return _CONTROL.sub("\ufffd", text)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores the handlers of SIGINT and SIGTERM afterwards. It works in the main thread only."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler or signal.SIG_DFL)
