"""validate: is a packaged dataset what it says it is?

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path

from builder.terminal import say

HELP = "check a dataset folder: schema, counts, checksums, and that all audio decodes"
EXAMPLES = ("deepdialogue validate dist/deepdialogue",)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a packaged dataset")


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.dataset.manifest import describe
    from builder.dataset.validation import validate

    faults = validate(options.folder)
    for fault in faults:
        say(f"deepdialogue: error: {fault}")
    if not faults:
        print(describe(options.folder))
    return 1 if faults else 0
