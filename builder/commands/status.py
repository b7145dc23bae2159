"""status: how far a run is, and what failed.

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path

from builder.commands._folders import to_read
from builder.errors import ConfigError
from builder.files import listed

HELP = "show how far a run is and what failed"
EXAMPLES = ("deepdialogue status", "deepdialogue status runs/paper")


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "run",
        type=to_read,
        nargs="?",
        metavar="RUN",
        help="a run folder, or the URL of a shared run; all under runs/ where none is named",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from rich.console import Console

    from builder.commands._views import show_status
    from builder.run.folder import Run

    folders = [options.run] if options.run else listed(Path("runs").glob("*"))
    if options.run is None:
        folders = [folder for folder in folders if (folder / "run.json").is_file()]
    if not folders:
        raise ConfigError(
            "there is no run under runs/: name a run folder, or start one with `deepdialogue build`"
        )
    for folder in folders:
        with Run(folder, writable=False) as run:
            show_status(run, Console())
    return 0
