"""endpoints: Inference Endpoints for the models of a study, started and stopped.

Law of the file: it parses, calls and prints.
"""

import argparse

HELP = "start, list, pause or delete Inference Endpoints for the models of a study"
EXAMPLES = (
    "deepdialogue endpoints up my-site.toml --yes",
    "deepdialogue endpoints list my-site.toml",
    "deepdialogue endpoints down my-site.toml --delete",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("action", choices=("up", "down", "list"), help="what is to be done")
    parser.add_argument("site", metavar="SITE", help="a TOML file with a table [endpoints]")
    parser.add_argument(
        "study", nargs="?", default="deepdialogue", metavar="STUDY", help="whose models (%(default)s)"
    )
    parser.add_argument("--yes", action="store_true", help="the price that `up` tells is agreed to")
    parser.add_argument("--delete", action="store_true", help="`down` deletes them, rather than pausing")


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from rich.console import Console

    from builder.config import load_site, load_study
    from builder.hub.hosting import endpoints, read_hosting

    site = load_site(options.site)
    hosting = read_hosting(site.endpoints, site.name)
    return endpoints(
        options.action, load_study(options.study), hosting, Console(), yes=options.yes, delete=options.delete
    )
