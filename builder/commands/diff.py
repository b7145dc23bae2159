"""diff: what changed between two versions of a dataset.

Law of the file: it parses, calls and prints.
"""

import argparse

HELP = "show what changed between two versions of a dataset, here or on the Hub, and which step that is"
EXAMPLES = (
    "deepdialogue diff ORG/NAME@v1.0.0 ORG/NAME@v1.1.0",
    "deepdialogue diff ORG/NAME dist/deepdialogue --json",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    for name, what in (("old", "the earlier version"), ("new", "the later one")):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help=f"{what}: a folder, ORG/NAME, ORG/NAME@REVISION or hf://datasets/…",
        )
    parser.add_argument(
        "--json", action="store_true", help="print it as one JSON object, with every file and domain"
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.hub.difference import difference, told
    from builder.hub.snapshot import opened
    from builder.records import encode

    found = difference(opened(options.old), opened(options.new))
    print(encode(found).decode() if options.json else told(found))
    return 0
