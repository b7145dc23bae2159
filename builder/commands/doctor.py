"""doctor: is every endpoint and engine of a site fit for a study?

Law of the file: it parses, calls and prints.
"""

import argparse

HELP = "ask every endpoint and engine of a site whether it is fit for a study"
EXAMPLES = ("deepdialogue doctor my-site.toml configs/deepdialogue.toml",)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("site", metavar="SITE", help="a TOML file, or a shipped site")
    parser.add_argument(
        "study", nargs="?", default="deepdialogue", metavar="STUDY", help="what is to be made (%(default)s)"
    )


def do(options: argparse.Namespace) -> int:
    """Does it."""
    import asyncio

    from rich.console import Console

    from builder.config import load_site, load_study
    from builder.run.doctor import doctor, show_findings

    findings = asyncio.run(doctor(load_study(options.study), load_site(options.site)))
    show_findings(findings, Console())
    return 1 if any(finding.faults for finding in findings) else 0
