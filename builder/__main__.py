"""The command line: one verb a stage, `build` for all of them, and those in `commands` to look, check, take in and give out.

Law of the file: it parses, calls and prints. What goes wrong is one line and an exit status: 1 could not go on, 2 wrong usage,
3 finished, but some items failed and are owed again, 130 interrupted.
"""

import argparse
import errno
import gc
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.commands import _folders, commands
from builder.core.part import Part
from builder.errors import ConfigError, DeepDialogueError, in_one_line
from builder.pipeline import STAGES
from builder.secret import struck
from builder.terminal import handlers_kept, say

if TYPE_CHECKING:
    from builder.pipeline.places import Place
    from builder.run.folder import Run
    from builder.run.work import Tally

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

_BY_PARTS = {"generate", "judge", "synthesize", "measure"}
"""The stages that several processes may share."""

_STAGE_EXAMPLES = {
    "plan": (
        "deepdialogue plan quickstart",
        "deepdialogue plan configs/deepdialogue.toml --run /data/runs/paper",
    ),
    "generate": (
        "deepdialogue generate quickstart --site rehearsal",
        "deepdialogue generate --run runs/paper --site cluster.toml",
    ),
    "judge": (
        "deepdialogue judge --run runs/quickstart --site rehearsal",
        "deepdialogue judge --run runs/paper --site cluster.toml --part 3/16",
    ),
    "synthesize": (
        "deepdialogue synthesize --run runs/quickstart --site rehearsal",
        "CUDA_VISIBLE_DEVICES=2 deepdialogue synthesize --run runs/paper --site gpu-node.toml --part 3/8",
        "deepdialogue synthesize --run s3://BUCKET/runs/paper --site gpu-node.toml --part $SLURM_ARRAY_TASK_ID/16",
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
    # Of a run in many parts every ledger is open at once.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # where a system has no limit, but does not take that for one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        # Put back afterwards, or the processes that a caller forks later would outlive their SIGTERM.
        with handlers_kept():
            # A shell starts its background jobs deaf to SIGINT; ours stop cleanly by it and by SIGTERM.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
            _folders.opened(options)
            status: int = options.do(options)
            sys.stdout.flush()
    except DeepDialogueError as error:
        say(struck(f"deepdialogue: error: {error}"))
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
            struck(
                f"deepdialogue: error: {where}{what}: what is finished is kept; {repair} and run the same command again"
            )
        )
        return 1
    except KeyboardInterrupt:
        say("deepdialogue: interrupted: what is finished is kept; run the same command to go on")
        return 130
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        say(
            f"deepdialogue: error: {struck(in_one_line(error))}: what is finished is kept; "
            f"{_TRACEBACK}=1 shows where it happened, which a report of it should say"
        )
        return 1
    return status


class _Version(argparse.Action):
    """Looks the version up where it is asked for: that takes as long as all the rest of `--help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib import metadata

        print(f"deepdialogue {metadata.version('deepdialogue')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="deepdialogue",
        description="Makes, judges, speaks and packages emotionally rich dialogues.",
        epilog=_EXAMPLES,
        formatter_class=form,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and nothing else")
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
        if name in _BY_PARTS:
            added.add_argument(
                "--part",
                type=_part,
                metavar="K/N",
                help="only the K-th of N parts of the dialogues: N processes, each with its own, share the run",
            )
        if name == "package":
            _verify_option(added)
        if name == "plan":
            added.add_argument(
                "--estimate",
                action="store_true",
                help="also show calls, tokens, hours and money by model; the site's speeds and prices say how fast and how dear",
            )
    build = verb(
        "build",
        "run all stages in order: " + ", ".join(STAGES),
        _build,
        ("deepdialogue build quickstart --site rehearsal",),
    )
    _run_options(build)
    _verify_option(build)

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
    parser.add_argument(
        "--run",
        help="the run folder (runs/STUDY), or where it is shared: a URL such as s3://BUCKET/RUN, file:///RUN",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("dist/deepdialogue"), help="the dataset folder (%(default)s)"
    )


def _verify_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compute the checksum of every file of a dataset that is there already, and do not go by sizes and times",
    )


def _part(written: str) -> Part:
    try:
        return Part.parse(written)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator["Place"]:
    """Where the run is worked on that the options name."""
    from builder.config import load_site, load_study
    from builder.pipeline.places import opened
    from builder.run.share import is_url

    if options.study is None and options.run is None:
        raise ConfigError(
            "no study is named: try `deepdialogue build quickstart --site rehearsal`, or go on with --run"
        )
    study = load_study(options.study) if options.study else None
    site = load_site(options.site) if options.site else None
    folder = options.run or str(Path("runs") / (study.name if study else ""))
    if not is_url(folder):
        _folders.run_folder(Path(folder))
    if options.verb in {"build", "package"}:
        from builder.stages.package import destination

        destination(options.out, None if is_url(folder) else Path(folder))
    with opened(options.verb, study, site, folder, options.out, getattr(options, "part", None)) as place:
        yield place


def _stage(options: argparse.Namespace) -> int:
    from rich.console import Console

    from builder.commands._views import show_estimate, show_plan
    from builder.pipeline.places import Here, refuse_nothing

    with _opened(options) as place:
        place.run.verify = getattr(options, "verify", False)
        if isinstance(place, Here):
            refuse_nothing(place.run, options.verb)
        tally = _timed(place, options.verb)
        if options.verb == "generate":
            place.run.failures.end(place.run.takes)
        if options.verb == "plan":
            show_plan(place.run, Console())
            if options.estimate:
                show_estimate(place.run, Console())
        elif options.verb == "package":
            _say_made(place.run)
        return tally.status


def _build(options: argparse.Namespace) -> int:
    from builder.run.work import Tally
    from builder.stages.package import refuse_foreign

    with _opened(options) as place:
        refuse_foreign(place.run)
        site, tallies = place.run.site, []
        together = ("generate", "judge") if site is not None and site.overlap else ()
        for name in STAGES:
            place.run.verify = options.verify
            if name not in together:
                tallies.append(_timed(place, name))
            elif name == "generate":
                tallies += _timed_together(place)
        run = place.run
        run.failures.end(run.takes)
        if not any(tally.done or tally.failed for tally in tallies):
            say(f"nothing to do: {run.out} is up to date")
        _say_made(run)
        whole = Tally.sum(tallies)
        if whole.failed:
            say(
                f"{whole.failed} items failed and are owed again: `deepdialogue status {run.folder}` says why"
            )
        return whole.status


def _timed(place: "Place", name: str) -> "Tally":
    begin = time.monotonic()
    tally = place.do(name)
    say(tally.told(name, time.monotonic() - begin))
    return tally


def _timed_together(place: "Place") -> "list[Tally]":
    begin = time.monotonic()
    tallies = list(place.together())
    for name, tally in zip(("generate", "judge"), tallies, strict=True):
        say(tally.told(name, time.monotonic() - begin))
    return tallies


def _say_made(run: "Run") -> None:
    from builder.dataset.manifest import describe

    print(describe(run.out))


if __name__ == "__main__":
    sys.exit(main())
