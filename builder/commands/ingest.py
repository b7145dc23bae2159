"""ingest: the published data becomes a run.

Law of the file: it parses, calls and prints.
"""

import argparse
import asyncio
from pathlib import Path

from builder.config import load_study
from builder.progress import say
from builder.run import Run

HELP = "take the published data, text and recordings, into a run"
EXAMPLES = (
    "deepdialogue ingest DOWNLOADED --run runs/published",
    "deepdialogue package --run runs/published --out dist/published",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder with a folder per engine: xtts/data/…, orpheus/data/…",
    )
    parser.add_argument(
        "--study",
        default="published",
        help="the study that names domains, emotions and pairings (%(default)s)",
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs/published"), help="the run folder (%(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.stages.ingest import ingest

    with Run(options.run, load_study(options.study)) as run:
        tally = asyncio.run(ingest(run, options.source))
        say(f"ingest: {tally.done} done, {tally.skipped} done before, {tally.failed} refused")
        for failure in run.unresolved("ingest"):
            say(f"  {failure.id}: {failure.message}")
        return tally.status
