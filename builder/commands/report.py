"""report: the evidence of a run, on one page.

Law of the file: it parses, calls and prints.
"""

import argparse
from pathlib import Path

from builder.commands._folders import inside, to_read
from builder.evidence import Options, names

HELP = "write the evidence on one page: retention, quality, agreement, speech, a sample to hear"
EXAMPLES = (
    "deepdialogue report runs/quickstart",
    "deepdialogue report runs/paper --concreteness norms.csv --sample 30 --audio-mb 25",
    "deepdialogue report runs/paper --only retention --only quality --out figures-for-the-paper",
)
_USUAL = Options()


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument(
        "run",
        type=to_read,
        metavar="RUN",
        help="a run folder, or the URL of a shared run; it may be worked on meanwhile",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the folder (RUN/report; with --only NAME, RUN/report-NAME); to be named for the URL of a shared run",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only this finding; may be repeated: {', '.join(names())}",
    )
    parser.add_argument(
        "--concreteness",
        type=Path,
        metavar="FILE",
        help="norms of Brysbaert, Warriner and Kuperman (2014), as CSV or text with the columns Word and Conc.M",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=_USUAL.sample,
        metavar="N",
        help="so many dialogues to read and hear (%(default)s)",
    )
    parser.add_argument(
        "--audio-mb",
        type=float,
        default=_USUAL.audio_mb,
        metavar="MB",
        help="the most sound on the page, in megabytes (%(default)g)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out what this annotator or listener answered; may be repeated",
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from builder.evidence.findings import Absent
    from builder.evidence.report import PAGE, report
    from builder.records import convert
    from builder.run.folder import Run

    asked = {"sample": options.sample, "audio_mb": options.audio_mb, "without": options.without}
    if options.concreteness:
        asked["concreteness"] = options.concreteness
    chosen = convert(asked, Options, "report")
    out = options.out or inside(options.run, "-".join(["report", *options.only]))
    with Run(options.run, writable=False) as run:
        found = report(run, out, chosen, options.only)
    for name, finding in found.items():
        print(f"{name}: {f'absent: {finding.reason}' if isinstance(finding, Absent) else finding.says}")
    print(f"\n{out / PAGE}: {(out / PAGE).stat().st_size / 1e6:.1f} MB")
    return 0
