"""explore: a page on which a run or a packaged dataset is looked through.

Law of the file: it parses, calls and prints.
"""

import argparse

from builder.commands._folders import to_read

HELP = "look through a run or a packaged dataset on a page: filter, read, hear, see why one was rejected"
EXAMPLES = (
    "deepdialogue explore runs/quickstart",
    "deepdialogue explore dist/deepdialogue --port 8000",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "source",
        type=to_read,
        metavar="SOURCE",
        help="a run folder, the URL of a shared run, or a packaged dataset",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on (%(default)s); one that others reach needs accounts in DEEPDIALOGUE_ANNOTATORS",
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (%(default)s)")


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.people.pages.explore import explore

    explore(
        options.source,
        host=options.host,
        port=options.port,
        ready=lambda address: print(f"explore: {address}, stop with Ctrl-C", flush=True),
    )
    return 0
