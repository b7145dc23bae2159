"""annotate: people score a sample of a run on a page.

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path

from builder.commands._folders import to_write

HELP = "serve a page on which people score a sample of a run, and show how far they are"
EXAMPLES = (
    'DEEPDIALOGUE_ANNOTATORS="ash:PASSWORD birch:PASSWORD" deepdialogue annotate runs/quickstart',
    "deepdialogue annotate runs/paper --sample 500 --overlap 100 --gold gold.jsonl",
    "deepdialogue annotate runs/paper --progress",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "run", type=to_write, metavar="RUN", help="the run folder; it may be worked on meanwhile"
    )
    pinned = parser.add_argument_group("what is asked, pinned at the first start")
    pinned.add_argument(
        "--sample",
        type=_positive,
        metavar="N",
        help="so many dialogues, stratified by pairing, domain and turns (500)",
    )
    pinned.add_argument(
        "--overlap",
        type=_count,
        metavar="N",
        help="so many of them for every annotator, the rest for one each (a fifth)",
    )
    pinned.add_argument(
        "--check-every",
        type=_count,
        metavar="N",
        help="hide an attention check among so many dialogues; 0 hides none (20)",
    )
    pinned.add_argument(
        "--spoken",
        action="store_true",
        default=None,
        help="sample only what has recordings, so that all can be heard",
    )
    pinned.add_argument(
        "--gold",
        type=Path,
        metavar="FILE",
        help='dialogues to mix in whose scores are known: lines of {"id": ..., "scores": {...}}',
    )
    pinned.add_argument(
        "--min-checks",
        type=_share,
        metavar="SHARE",
        help="who passes a smaller share of the checks, or of gold scores within 1, does not count (0)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=_count, default=7860, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--progress",
        action="store_true",
        help="serve nothing: show how far each annotator is, and how careful",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="for --progress: leave this annotator out; may be repeated",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.people.annotations import Wanted, heeded, read_gold, standings
    from builder.run.folder import Run

    if options.progress:
        from rich.console import Console

        from builder.commands._views import show_standings

        show_standings(
            standings(options.run, options.without), heeded(options.run, options.without).notes, Console()
        )
        return 0
    from builder.people.pages.annotate import annotate

    wanted = Wanted(
        sample=options.sample,
        overlap=options.overlap,
        check_every=options.check_every,
        spoken=options.spoken,
        gold=read_gold(options.gold) if options.gold else None,
        min_checks=options.min_checks,
    )
    with Run(options.run, writable=False) as run:
        annotate(
            run, wanted, host=options.host, port=options.port, ready=lambda line: print(line, flush=True)
        )
    return 0


def _share(written: str) -> float:
    share = float(written)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{written} is no share: 0 to 1 is")
    return share


def _count(written: str) -> int:
    number = int(written)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{written} is below 0")
    return number


def _positive(written: str) -> int:
    number = _count(written)
    if not number:
        raise argparse.ArgumentTypeError("0 dialogues are none")
    return number
