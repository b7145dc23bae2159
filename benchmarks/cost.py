"""What a command costs: wall time, CPU, peak memory, as the operating system counts them.

Law of the file: it measures whole processes from their start to their end, and never from inside.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall_s: float
    cpu_s: float
    """User and system time."""
    rss_mb: float
    """Peak resident memory."""
    status: int
    """Its exit status."""


def timed(*command: str | Path, accept: tuple[int, ...] = (0,)) -> Cost:
    """Runs a command to its end.

    Args:
        command: a program and its arguments.
        accept: the exit statuses that are no error.

    Raises:
        RuntimeError: another exit status, with the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        begin = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=said, stderr=said)
        _, ended, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begin
        process.returncode = status = os.waitstatus_to_exitcode(ended)
        if status not in accept:
            said.seek(0)
            raise RuntimeError(
                f"{' '.join(map(str, command))} ended with {status}: {said.read()[-2000:].decode()}"
            )
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, status)


def deepdialogue(*arguments: str | Path, accept: tuple[int, ...] = (0,)) -> Cost:
    """Runs one verb of the command line to its end; raises as `timed` does."""
    return timed(sys.executable, "-m", "builder", *arguments, accept=accept)
