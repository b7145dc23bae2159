"""show: one dialogue on the terminal.

Law of the file: it parses, calls and prints.
"""

import argparse

from builder.commands._folders import to_read

HELP = "show one dialogue, its emotions in colour"
EXAMPLES = ("deepdialogue show runs/quickstart travel_1_7",)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("run", type=to_read, metavar="RUN", help="a run folder, or the URL of a shared run")
    parser.add_argument(
        "id",
        nargs="?",
        metavar="ID",
        help="an id, or the part after the slash; the first dialogue where none is named",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from rich.console import Console

    from builder.commands._dialogue import show_dialogue
    from builder.run.folder import Run

    with Run(options.run, writable=False) as run:
        show_dialogue(run, options.id, Console())
    return 0
