"""pull: a shared run, or what is new of it, into a run folder of one's own.

Law of the file: it parses, calls and prints.
"""

import argparse
import time
from pathlib import Path

from builder.commands._folders import run_folder
from builder.terminal import say

HELP = "bring a shared run into a folder of one's own, or what is new of it"
EXAMPLES = (
    "deepdialogue pull s3://BUCKET/runs/paper runs/paper             its ledgers; clips are read where they are",
    "deepdialogue pull s3://BUCKET/runs/paper runs/paper --audio     its audio files as well, as for packaging",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("url", metavar="URL", help="s3://BUCKET/FOLDER, or file:///FOLDER on a network disk")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="a new folder, or one that was pulled from there before"
    )
    parser.add_argument("--audio", action="store_true", help="bring the audio files, too")


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.run.share import Share

    begin = time.monotonic()
    heads = Share(options.url).pull(run_folder(options.run, "RUN"), audio=options.audio)
    say(
        f"pull: {len(heads)} parts, {sum(heads.values())} commits in {options.run}, {time.monotonic() - begin:.1f} s"
    )
    return 0
