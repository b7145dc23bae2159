"""decide: another rule of acceptance on the votes that are recorded.

Law of the file: it parses, calls and prints.
"""

import argparse
from typing import TYPE_CHECKING

from builder.commands._folders import to_write
from builder.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from builder.run.folder import Run

HELP = "see what another rule of acceptance changes, without asking a judge again, and apply it"
EXAMPLES = (
    "deepdialogue decide runs/paper                                        the rule in force, and those before",
    "deepdialogue decide runs/paper --rule mean --threshold coherence=4    what would change",
    "deepdialogue decide runs/paper my-study.toml --yes                    its [acceptance] decides from now on",
    "deepdialogue decide runs/paper --calibrate                            the rule that people's annotations suggest",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds its arguments."""
    parser.add_argument("run", type=to_write, metavar="RUN", help="a run folder")
    parser.add_argument(
        "study",
        nargs="?",
        metavar="STUDY",
        help="the run's own study with another [acceptance]; nothing else may differ",
    )
    parser.add_argument(
        "--threshold",
        type=_threshold,
        action="append",
        default=[],
        dest="thresholds",
        metavar="CRITERION=SCORE",
        help="change the threshold of this criterion; may be repeated",
    )
    parser.add_argument("--rule", choices=("majority", "unanimous", "mean"), help="how votes decide")
    parser.add_argument(
        "--quorum", type=int, metavar="VOTES", help="with fewer on a criterion it is undecided"
    )
    parser.add_argument(
        "--own",
        choices=("count", "abstain"),
        help="whether a judge has a vote on a dialogue in which what judges also spoke",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="let the rule decide from now on; the one before stays in run.json with the date",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="hold every judge against the people who annotated, and print the rule that follows; applies nothing",
    )
    parser.add_argument(
        "--passing",
        type=float,
        default=3.0,
        metavar="SCORE",
        help="for --calibrate: people accept what they score so on every criterion (%(default)s)",
    )

    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="for --calibrate: leave this annotator out; may be repeated",
    )


def _threshold(written: str) -> tuple[str, float]:
    criterion, _, score = written.rpartition("=")
    try:
        return criterion, float(score)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{written!r} is no threshold: write coherence=4") from None


def do(options: argparse.Namespace) -> int:
    """Does it."""
    from rich.console import Console

    from builder.config import load_study
    from builder.evidence.decisions import changed, changes, show_changes, show_rules
    from builder.run.folder import Run

    console = Console()
    others = options.study or options.thresholds or options.rule or options.own or options.yes
    if options.calibrate and (others or options.quorum is not None):
        raise ConfigError(
            "--calibrate prints a rule and applies none: put it into a study, and name that one"
        )
    with Run(options.run, writable=options.yes) as run:
        if not len(run.reviews):
            raise RunError(f"{run.folder}: nothing is judged: `deepdialogue judge` gives votes to decide on")
        if options.calibrate:
            return _calibrate(run, options.passing, options.without, console)
        rule = run.pin.rule_of(load_study(options.study)) if options.study else run.study.acceptance
        rule = changed(rule, dict(options.thresholds), options.rule, options.quorum, options.own)
        found = changes(run, rule)
        show_rules(run, rule, console)
        show_changes(found, console)
        if rule == run.study.acceptance:
            console.print("This is the rule in force.")
        elif options.yes:
            run.pin.accept(rule)
            console.print("This rule decides from now on; the one before stays in run.json.")
        else:
            console.print("Nothing is changed yet: --yes lets this rule decide.")
    return 0


def _calibrate(run: "Run", passing: float, without: list[str], console: "Console") -> int:
    from builder.commands._views import show_notes
    from builder.evidence.decisions import show_calibration
    from builder.evidence.panel import calibration
    from builder.people.annotations import annotations, heeded

    found = calibration(run, annotations(run.folder, without), passing)
    show_notes(heeded(run.folder, without).notes, console)
    if found is None:
        raise RunError(
            f"{run.folder}: nobody scored a judged dialogue: `deepdialogue annotate {run.folder}` asks people"
        )
    show_calibration(found, console)
    return 0
