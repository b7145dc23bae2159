"""listen: the listening study of a run, answered in the browser, and what it found.

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from builder.commands._folders import to_write
from builder.errors import ConfigError

if TYPE_CHECKING:
    from builder.run.folder import Run

HELP = "let people hear two configs blind: the emotion, naturalness and preference; and print what they found"
EXAMPLES = (
    'DEEPDIALOGUE_ANNOTATORS="ash:PASSWORD birch:PASSWORD" deepdialogue listen runs/paper',
    "deepdialogue listen runs/paper --configs xtts orpheus --trials 100 --overlap 0.3",
    "deepdialogue listen runs/paper --results --out listening.csv",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("run", type=to_write, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--configs",
        nargs=2,
        metavar=("CONFIG", "CONFIG"),
        help="what is compared (the first two with recordings)",
    )
    parser.add_argument(
        "--labels",
        choices=("ravdess", "emotions"),
        help="what may be heard: the acted classes, or every emotion of the vocabulary (ravdess)",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="for each listener, without the checks (200)")
    parser.add_argument(
        "--overlap", type=float, metavar="SHARE", help="of them, those that all listeners hear (0.2)"
    )
    parser.add_argument(
        "--min-checks",
        type=float,
        metavar="SHARE",
        help="who passes a smaller share of the checks does not count (0)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--results", action="store_true", help="print what was found so far, and serve nothing"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this listener's answers out of the results; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the results: .csv has the figures, .json all of it",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.commands._results import show
    from builder.dataset.destination import writable
    from builder.run.folder import Run

    if options.out is not None and options.out.suffix not in {".csv", ".json"}:
        raise ConfigError(f"--out {options.out}: name a file that ends in .csv or .json")
    if options.out is not None:
        if options.out.is_dir():
            raise ConfigError(f"--out {options.out}: it is a folder: name a file")
        writable(options.out.parent, "--out")
    with Run(options.run, writable=False) as run:
        if options.results:
            show(run, options.without, options.out)
        else:
            _serve(run, options)
    return 0


def _serve(run: "Run", options: argparse.Namespace) -> None:
    from builder.people.listening import Listening, Wanted
    from builder.people.pages._accounts import passwords
    from builder.people.pages.listen import listen
    from builder.records import convert
    from builder.terminal import say

    asked = {name: getattr(options, name) for name in Wanted.__struct_fields__}
    wanted = convert(asked, Wanted, "deepdialogue listen")
    with Listening(run, passwords(), wanted) as study:
        for name in study.plan.listeners:
            say(f"listen: {name}: {study.answered(name)} of {study.total(name)} trials answered")
        compared = f"{' against '.join(study.plan.configs)}, {len(study.plan.listeners)} listeners"
        listen(
            study,
            options.host,
            options.port,
            lambda address: print(f"listen: {address} ({compared})", flush=True),
        )
