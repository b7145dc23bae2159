"""The environments that the Makefile makes beside the one that runs the tests: of the same Python and choice of releases.

Law of the file: what is not there is skipped with its reason.
"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = Path(sys.prefix).name
_SUFFIX = OWN.removeprefix("test-light").removeprefix("test")
"""Of every environment's name: `-newest`, or a Python's number."""


def place(name):
    """Where an environment is to be: `light`, `datasets-3.6`, `datasets-4.8`, or `test`, which runs this."""
    if name == "test":
        return Path(sys.prefix)
    return ROOT / (".venv" if name == "light" and not _SUFFIX else f".venvs/{name}{_SUFFIX}")


def interpreter(name):
    """Its Python."""
    python = place(name) / "bin/python"
    if not python.exists():
        pytest.skip(f"{place(name)} is missing: `make test` makes it")
    return python
