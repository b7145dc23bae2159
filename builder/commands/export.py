"""export: full recordings, one file a dialogue.

Law of the file: it parses, calls and prints.
"""

import argparse
import time
from pathlib import Path

from builder.commands._folders import to_read
from builder.terminal import say

HELP = "write full recordings, one file a dialogue, with RTTM and metadata, for speech tools"
EXAMPLES = (
    "deepdialogue export dist/deepdialogue --config xtts --out exported --split train",
    "deepdialogue export runs/quickstart travel_1_7 --config xtts --out exported --channels 2 --format wav",
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
        "ids",
        nargs="*",
        metavar="ID",
        help="an id, or the part after the slash; all dialogues where none is named",
    )
    parser.add_argument("--config", required=True, help="whose voices: xtts, orpheus, …")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder; it keeps to one source and one set of options"
    )
    for name in ("domain", "pairing", "split"):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            dest=f"{name}s",
            metavar=name.upper(),
            help="only this; may be repeated",
        )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        default=1,
        help="2 puts LLM1 left and LLM2 right (%(default)s)",
    )
    parser.add_argument("--format", choices=("flac", "wav"), default="flac", help="in 16 bits (%(default)s)")
    parser.add_argument(
        "--sampling-rate",
        type=int,
        metavar="HERTZ",
        dest="sampling_rate_hz",
        help="such as 16000; the recordings' own where none is named",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.dataset.export import Options, export

    begin = time.monotonic()
    chosen = Options(**{name: getattr(options, name) for name in Options.__struct_fields__})
    tally = export(options.source, options.out, chosen)
    say(tally.told("export", time.monotonic() - begin))
    return tally.status
