"""Signals: what is done on SIGINT and SIGTERM is the caller's, and is put back.

Law of the file: it decides nothing of what is done.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts back what is done on either, whoever replaced it within. In the main thread only."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler or signal.SIG_DFL)
