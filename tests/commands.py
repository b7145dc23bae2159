"""The public command line, run as a user runs it; and small studies and sites to run it on."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from builder.config import resources
from tests.patience import PATIENCE_S
from tests.processes import Verb, environment

VOICE = '[speech."*"]\nengine = "espeak"\nsampling_rate_hz = 8000\n'
"""At the lowest rate there is: what is spoken is resampled, checked and mastered in a third of the time."""
REHEARSAL = f'[models."*"]\nbackend = "rehearsal"\n\n{VOICE}'


def deepdialogue(*arguments, cwd, python=None, preexec=None):
    """Runs one verb to its end; with an interpreter of its own where one is named, or something is to be done before."""
    if python or preexec:
        return subprocess.run(
            [python or sys.executable, "-m", "builder", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PATIENCE_S,
            preexec_fn=preexec,
            check=False,
        )
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        status = Verb(arguments, cwd, environment(), out, err).wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read(), err.read())


def started(*arguments, cwd):
    """Starts one verb and does not wait."""
    return Verb(arguments, cwd, environment())


def study(folder: Path, *, edits=(), **plan) -> Path:
    """A small study of the shipped vocabulary and prompts: two domains, two pairings, a dialogue of each; spoken as `VOICE` does.

    Args:
        folder: where its files go.
        edits: pairs of text, replaced in the study's file.
        plan: replaces lines of its plan.
    """
    configs = folder / "configs"
    shutil.copytree(resources("configs"), configs)
    lines = {
        "dialogues_per_cell": "1",
        "domains": '["travel", "work"]',
        "pairings": '["phi4-mini", "llama3-8B_gemma3-4B"]',
        "turns": "{ min = 3, max = 5 }",
    } | plan
    path = configs / "quickstart.toml"
    text = "".join(
        f"{key} = {lines[key]}\n" if (key := line.split(" ")[0]) in lines and "=" in line else line
        for line in path.read_text().splitlines(keepends=True)
    ).replace("\nvoices = ", "\nsampling_rate_hz = 8000\nvoices = ")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
    return path


def site(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, process):
    """Waits until the condition holds; whether it did before the process ended."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    raise TimeoutError


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()
