"""The command line: one verb a stage, `build` for all of them, and those in `commands` to look, check, take in and give out.

Law of the file: it parses, calls and prints. What goes wrong is one line and an exit status: 1 could not go on, 2 wrong usage,
3 finished, but some items failed and are owed again, 130 interrupted.
"""

import argparse
import asyncio
import errno
import gc
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from rich.console import Console

from builder.commands import commands
from builder.config import load_site, load_study
from builder.core.part import Part
from builder.errors import ConfigError, DeepDialogueError, first_line
from builder.pipeline import STAGES, generate_and_judge, stage
from builder.progress import plain, say
from builder.run import Run, Tally
from builder.views import show_estimate, show_plan

_TRACEBACK = "DEEPDIALOGUE_TRACEBACK"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_EXAMPLES = """\
examples:
  deepdialogue build quickstart --site rehearsal        the whole pipeline on embedded stand-ins
  deepdialogue plan configs/deepdialogue.toml           the paper's 65,600 scenarios, and their distribution
  deepdialogue generate configs/deepdialogue.toml --site my-cluster.toml
  deepdialogue status                                   how far every run under runs/ is
  deepdialogue show runs/quickstart travel_1_7          one dialogue, its emotions in colour
  deepdialogue ingest DOWNLOADED --run runs/published   the published data becomes a run
  deepdialogue validate dist/deepdialogue               schema, counts, checksums, audio
  deepdialogue push dist/deepdialogue ORG/NAME          a version on the Hub: one commit, one tag

A study says what is made, a site says where. Both are TOML files; configs/ holds some to start from. Everything made
lies in the run folder; stop at any moment, run the same command again, and it goes on.
"""

_STAGE_EXAMPLES = {
    "plan": (
        "deepdialogue plan quickstart",
        "deepdialogue plan configs/deepdialogue.toml --run /data/runs/paper",
    ),
    "generate": (
        "deepdialogue generate quickstart --site rehearsal",
        "deepdialogue generate --run runs/paper --site cluster.toml",
    ),
    "judge": ("deepdialogue judge --run runs/quickstart --site rehearsal",),
    "synthesize": (
        "deepdialogue synthesize --run runs/quickstart --site rehearsal",
        "CUDA_VISIBLE_DEVICES=2 deepdialogue synthesize --run runs/paper --site gpu-node.toml --part 3/8",
    ),
    "measure": (
        "deepdialogue measure --run runs/published",
        "deepdialogue measure --run runs/paper --site gpu-node.toml",
    ),
    "package": ("deepdialogue package --run runs/quickstart --out dist/deepdialogue",),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb and returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A folder's name or a model's words may hold what the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    # Records hold no cycles, so little is left for the collector; at its default it took a quarter of generate's time.
    gc.set_threshold(50_000)
    # A shell starts its background jobs deaf to SIGINT; ours stop cleanly by it and by SIGTERM.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # Of a run in many parts every ledger is open at once.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # where a system has no limit, but does not take that for one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        status: int = options.do(options)
        sys.stdout.flush()
    except DeepDialogueError as error:
        say(f"deepdialogue: error: {error}")
        return 1
    except (BrokenPipeError, SystemExit):
        # Whoever read what is printed, such as `head`, has seen enough; rich makes the second of the first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what, repair = error.strerror or str(error), "mend that"
        if error.errno in _FULL:
            what, repair = "the disk is full", "make room"
        where = f"{error.filename}: " if error.filename else ""
        say(
            f"deepdialogue: error: {where}{what}: what is finished is kept; {repair} and run the same command again"
        )
        return 1
    except KeyboardInterrupt:
        say("deepdialogue: interrupted: what is finished is kept; run the same command to go on")
        return 130
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        said = plain(f"{type(error).__name__}: {first_line(error)}")
        say(
            f"deepdialogue: error: a fault of this program or of a library: {said}: what is finished is kept; "
            f"{_TRACEBACK}=1 shows where it happened, which a report of it should say"
        )
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="deepdialogue",
        description="Makes, judges, speaks and packages emotionally rich dialogues.",
        epilog=_EXAMPLES,
        formatter_class=form,
    )
    parser.add_argument(
        "--version", action="version", version=f"deepdialogue {metadata.version('deepdialogue')}"
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(
        name: str, help: str, do: Callable[[argparse.Namespace], int], examples: tuple[str, ...]
    ) -> argparse.ArgumentParser:
        sentence = help[0].upper() + help[1:] + "."
        shown = "\n  ".join(("examples:", *examples))
        added = verbs.add_parser(name, help=help, description=sentence, epilog=shown, formatter_class=form)
        added.set_defaults(do=do, verb=name)
        return added

    for name, help in STAGES.items():
        added = verb(name, help, _stage, _STAGE_EXAMPLES[name])
        _run_options(added)
        if name in {"synthesize", "measure"}:
            added.add_argument(
                "--part",
                type=_part,
                metavar="K/N",
                help="only the K-th of N parts of the dialogues: N processes, each with its own, share the run",
            )
        if name == "plan":
            added.add_argument(
                "--estimate",
                action="store_true",
                help="also show calls, tokens, hours and money by model; the site's speeds and prices say how fast and how dear",
            )
    _run_options(
        verb(
            "build",
            "run all stages in order: " + ", ".join(STAGES),
            _build,
            ("deepdialogue build quickstart --site rehearsal",),
        )
    )

    for name, command in commands().items():
        command.options(verb(name, command.HELP, command.do, command.EXAMPLES))
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        nargs="?",
        metavar="STUDY",
        help="what is made: a TOML file, or a shipped study such as quickstart; none where --run is pinned to one",
    )
    parser.add_argument(
        "--site", help="where it is made: a TOML file, or a shipped site: rehearsal, small-model"
    )
    parser.add_argument("--run", type=Path, help="the run folder (runs/STUDY)")
    parser.add_argument(
        "--out", type=Path, default=Path("dist/deepdialogue"), help="the dataset folder (%(default)s)"
    )


def _part(written: str) -> Part:
    try:
        return Part.parse(written)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _opened(options: argparse.Namespace) -> Run:
    if options.study is None and options.run is None:
        raise ConfigError(
            "no study is named: try `deepdialogue build quickstart --site rehearsal`, or go on with --run"
        )
    study = load_study(options.study) if options.study else None
    site = load_site(options.site) if options.site else None
    folder = options.run or Path("runs") / (study.name if study else "")
    return Run(folder, study, site, options.out, part=getattr(options, "part", None))


def _stage(options: argparse.Namespace) -> int:
    with _opened(options) as run:
        tally = _timed(run, options.verb)
        if options.verb == "plan":
            show_plan(run, Console())
            if options.estimate:
                show_estimate(run, Console())
        elif options.verb == "package":
            _say_made(run)
        return tally.status


def _build(options: argparse.Namespace) -> int:
    with _opened(options) as run:
        tallies = []
        together = ("generate", "judge") if run.site is not None and run.site.overlap else ()
        for name in STAGES:
            if name not in together:
                tallies.append(_timed(run, name))
            elif name == "generate":
                tallies += _timed_together(run)
        if not any(tally.done for tally in tallies):
            say(f"nothing to do: {run.out} is up to date")
        _say_made(run)
        whole = Tally.sum(tallies)
        if whole.failed:
            say(
                f"{whole.failed} items failed and are owed again: `deepdialogue status {run.folder}` says why"
            )
        return whole.status


def _timed(run: Run, name: str) -> Tally:
    begin = time.monotonic()
    tally = asyncio.run(stage(name)(run))
    say(tally.told(name, time.monotonic() - begin))
    return tally


def _timed_together(run: Run) -> list[Tally]:
    begin = time.monotonic()
    tallies = list(asyncio.run(generate_and_judge(run)))
    for name, tally in zip(("generate", "judge"), tallies, strict=True):
        say(tally.told(name, time.monotonic() - begin))
    return tallies


def _say_made(run: Run) -> None:
    from builder.dataset import describe

    print(describe(run.out))


if __name__ == "__main__":
    sys.exit(main())
