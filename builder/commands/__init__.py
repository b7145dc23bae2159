"""The verbs beside the pipeline's stages: what looks, checks, takes in and gives out.

Law of the file: the folder is the registry. A verb is one file of its own name with `HELP` (a phrase), `EXAMPLES` (command
lines), `options(parser)`, which adds its arguments, and `do(options)`, which returns the exit status. What is heavy is
imported when it is done, for every verb's file is read whenever any verb is called.
"""

import argparse
import importlib
import pkgutil
from typing import Protocol, cast


class Command(Protocol):
    """What every file here holds."""

    HELP: str
    """What it does, as a phrase without a full stop."""
    EXAMPLES: tuple[str, ...]
    """Whole command lines."""

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Adds its arguments."""
        ...

    def do(self, options: argparse.Namespace) -> int:
        """Does it; returns the exit status.

        Raises:
            DeepDialogueError: it could not be done.
        """
        ...


def commands() -> dict[str, Command]:
    """Every verb by name, sorted."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__) if not one.name.startswith("_"))
    return {name: cast("Command", importlib.import_module(f"{__name__}.{name}")) for name in names}
