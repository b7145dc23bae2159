"""push: a packaged dataset becomes a version on the Hub.

Law of the file: it parses, calls and prints.
"""

import argparse
import re
from pathlib import Path

from builder.core.version import Version
from builder.terminal import say

HELP = "publish a packaged dataset on the Hub: one commit and one tag, or nothing that anybody sees"
EXAMPLES = (
    "deepdialogue push dist/deepdialogue ORG/NAME --dry-run",
    "deepdialogue push dist/deepdialogue ORG/NAME",
    "deepdialogue push dist/deepdialogue ORG/NAME --pull-request --message 'Two percent of the clips spoken anew'",
)
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a packaged dataset")
    parser.add_argument(
        "repository", metavar="ORG/NAME", help="the dataset on the Hub; made, private, if there is none"
    )
    parser.add_argument(
        "--version",
        type=_version,
        metavar="X.Y.Z",
        help="the version's number, where it is to be greater than the difference asks for",
    )
    parser.add_argument(
        "--branch", default="main", help="where it goes; made from main if there is none (%(default)s)"
    )
    parser.add_argument(
        "--pull-request", action="store_true", help="propose it; once it is merged, the same push tags it"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would change, how many bytes and how long"
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        default=10**7,
        metavar="BYTES/S",
        help="what is uploaded in a second, such as 20MB, for the time that --dry-run tells (10MB)",
    )
    parser.add_argument("--public", action="store_true", help="a repository that is made now is public")
    parser.add_argument("--rehearsal", action="store_true", help="publish a rehearsal as what it is")
    parser.add_argument(
        "--trust-audio",
        action="store_true",
        help="look at files, checksums and card only, and decode no clip before",
    )
    parser.add_argument(
        "--message", metavar="TEXT", help="what the commit says; what changed, where it is left out"
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.hub.push import Options, plan, publish, told
    from builder.hub.repository import Repository

    chosen = Options(**{name: getattr(options, name) for name in Options._fields})
    decided = plan(options.folder, Repository(options.repository), chosen)
    print(told(decided, options.rate), flush=True)
    if options.dry_run:
        say("push: a dry run: nothing was changed, and no clip was decoded")
        return 0
    print(publish(decided))
    return 0


def _version(written: str) -> Version:
    try:
        return Version.parse(written)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(written: str) -> int:
    match = re.fullmatch(r"([0-9]+)([kMG]?)B?(/s)?", written)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{written!r} is no rate: write it as 20MB/s")
    return int(match[1]) * _UNITS[match[2]]
