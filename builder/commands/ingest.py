"""ingest: the published data becomes a run.

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path

from builder.commands._folders import run_folder, to_write
from builder.terminal import say

HELP = "take the published data, text and recordings, into a run: from the Hub, or from folders"
EXAMPLES = (
    "deepdialogue ingest SALT-Research/DeepDialogue-xtts SALT-Research/DeepDialogue-orpheus --run runs/published",
    "deepdialogue ingest SALT-Research/DeepDialogue-xtts --domain travel --pairing llama3-70B --run runs/travel",
    "deepdialogue ingest DOWNLOADED --run runs/published",
    "deepdialogue package --run runs/published --out dist/published",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a repository on the Hub, ORG/NAME-ENGINE or hf://datasets/ORG/NAME-ENGINE, with @REVISION if need be; "
        "or a folder with a folder per engine: xtts/data/…, orpheus/data/…",
    )
    parser.add_argument(
        "--study",
        default="published",
        help="the study that names domains, emotions and pairings (%(default)s)",
    )
    parser.add_argument(
        "--run", type=to_write, default=Path("runs/published"), help="the run folder (%(default)s)"
    )
    for name in ("domain", "pairing"):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            dest=f"{name}s",
            metavar=name.upper(),
            help="only this; may be repeated",
        )
    parser.add_argument(
        "--connections",
        type=_connections,
        default=16,
        metavar="N",
        help="files fetched from the Hub at once, at most (%(default)s); a Hub that is busy is asked for fewer",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="fetch the full recordings, too: twice the bytes, for pauses to the sample and segments that are verified",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    import asyncio

    from builder.config import load_study
    from builder.hub.address import where
    from builder.run.folder import Run
    from builder.stages.ingest import Chosen, flagged, ingest

    sources = [where(source) for source in options.sources]
    chosen = Chosen(tuple(options.domains), tuple(options.pairings), options.connections, options.full)
    with Run(run_folder(options.run), load_study(options.study)) as run:
        tally = asyncio.run(ingest(run, *sources, chosen=chosen))
        say(f"ingest: {tally.done} done, {tally.skipped} done before, {tally.failed} refused")
        for failure in run.failures.unresolved("ingest"):
            say(f"  {failure.id}: {failure.message}")
        for line in flagged(run):
            say(line)
        return tally.status


def _connections(written: str) -> int:
    if not written.isdecimal() or not 1 <= int(written) <= 64:
        raise argparse.ArgumentTypeError(f"{written!r} is no number from 1 to 64")
    return int(written)
