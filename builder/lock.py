"""Locks: who may work on a folder. The kernel keeps them for as long as the process lives, so that a kill leaves none behind.

Law of the file: nothing waits: a lock is had at once, or another process has it.
"""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path


def hold(lock: Path, opened: ExitStack, *, shared: bool = False) -> None:
    """Holds a lock until `opened` closes.

    Args:
        lock: the file; it is made, and stays.
        opened: what lets go of it.
        shared: whether others may hold it, shared as well.

    Raises:
        BlockingIOError: another process holds it in a way that does not go together with this.
    """
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    opened.callback(os.close, fd)
    fcntl.flock(fd, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))


def is_held(lock: Path) -> bool:
    """Whether a process has this lock alone. Several may ask at once, and none takes another's question for a process at work."""
    try:
        with ExitStack() as opened:
            hold(lock, opened, shared=True)
            return False
    except BlockingIOError:
        return True
