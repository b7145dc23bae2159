"""The command line: one verb a stage, `build` for all of them, and a few to look and check.

Law of the file: it parses, calls and prints. What goes wrong is one line and an exit status: 1 could not go on, 2 wrong usage,
3 finished, but some items failed and are owed again, 130 interrupted.
"""

import argparse
import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from rich.console import Console

from builder.config import load_site, load_study
from builder.errors import ConfigError, DeepDialogueError
from builder.pipeline import STAGES, stage
from builder.progress import say
from builder.run import Run, Tally
from builder.views import show_dialogue, show_plan, show_status

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

A study says what is made, a site says where. Both are TOML files; configs/ holds some to start from. Everything made
lies in the run folder; stop at any moment, run the same command again, and it goes on.
"""

_STAGE_EXAMPLES = {
    "plan": "deepdialogue plan quickstart\n  deepdialogue plan configs/deepdialogue.toml --run /data/runs/paper",
    "generate": "deepdialogue generate quickstart --site rehearsal\n  deepdialogue generate --run runs/paper --site cluster.toml",
    "judge": "deepdialogue judge --run runs/quickstart --site rehearsal",
    "synthesize": "deepdialogue synthesize --run runs/quickstart --site rehearsal",
    "package": "deepdialogue package --run runs/quickstart --out dist/deepdialogue",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb and returns the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        status: int = options.do(options)
    except DeepDialogueError as error:
        say(f"deepdialogue: error: {error}")
        return 1
    except BrokenPipeError:
        # Whoever read what is printed, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        say(
            f"deepdialogue: error: {where}{what}: what is finished is kept; make room and run the same command again"
        )
        return 1
    except KeyboardInterrupt:
        say("deepdialogue: interrupted: what is finished is kept; run the same command to go on")
        return 130
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
        name: str, help: str, do: Callable[[argparse.Namespace], int], examples: str
    ) -> argparse.ArgumentParser:
        sentence = help[0].upper() + help[1:] + "."
        added = verbs.add_parser(
            name, help=help, description=sentence, epilog=f"examples:\n  {examples}", formatter_class=form
        )
        added.set_defaults(do=do, verb=name)
        return added

    for name, help in STAGES.items():
        _run_options(verb(name, help, _stage, _STAGE_EXAMPLES[name]))
    _run_options(
        verb(
            "build",
            "run all stages in order: " + ", ".join(STAGES),
            _build,
            "deepdialogue build quickstart --site rehearsal",
        )
    )

    ingest = verb(
        "ingest",
        "take the published data, text and recordings, into a run",
        _ingest,
        "deepdialogue ingest DOWNLOADED --run runs/published\n  deepdialogue package --run runs/published --out dist/published",
    )
    ingest.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder with a folder per engine: xtts/data/…, orpheus/data/…",
    )
    ingest.add_argument(
        "--study",
        default="published",
        help="the study that names domains, emotions and pairings (%(default)s)",
    )
    ingest.add_argument(
        "--run", type=Path, default=Path("runs/published"), help="the run folder (%(default)s)"
    )

    status = verb(
        "status",
        "show how far a run is and what failed",
        _status,
        "deepdialogue status\n  deepdialogue status runs/paper",
    )
    status.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", help="a run folder; all under runs/ where none is named"
    )

    show = verb(
        "show",
        "show one dialogue, its emotions in colour",
        _show,
        "deepdialogue show runs/quickstart travel_1_7",
    )
    show.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    show.add_argument(
        "id",
        nargs="?",
        metavar="ID",
        help="an id, or the part after the slash; the first dialogue where none is named",
    )

    validate = verb(
        "validate",
        "check a dataset folder: schema, counts, checksums, and that all audio decodes",
        _validate,
        "deepdialogue validate dist/deepdialogue",
    )
    validate.add_argument("folder", type=Path, metavar="FOLDER", help="a packaged dataset")
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


def _opened(options: argparse.Namespace) -> Run:
    if options.study is None and options.run is None:
        raise ConfigError(
            "no study is named: try `deepdialogue build quickstart --site rehearsal`, or go on with --run"
        )
    study = load_study(options.study) if options.study else None
    site = load_site(options.site) if options.site else None
    folder = options.run or Path("runs") / (study.name if study else "")
    return Run(folder, study, site, options.out)


def _stage(options: argparse.Namespace) -> int:
    with _opened(options) as run:
        tally = _timed(run, options.verb)
        if options.verb == "plan":
            show_plan(run, Console())
        elif options.verb == "package":
            _say_made(run)
        return _status_of(tally)


def _build(options: argparse.Namespace) -> int:
    with _opened(options) as run:
        tallies = []
        for name in STAGES:
            tallies.append(_timed(run, name))
            if tallies[-1].failed:
                say(f"deepdialogue: {name} is not finished: `deepdialogue status {run.folder}` says why")
                return 3
        if not any(tally.done for tally in tallies):
            say(f"nothing to do: {run.out} is up to date")
        _say_made(run)
        return _status_of(Tally.sum(tallies))


def _timed(run: Run, name: str) -> Tally:
    begin = time.monotonic()
    tally = asyncio.run(stage(name)(run))
    given_up = f", {tally.given_up} given up" if tally.given_up else ""
    say(
        f"{name}: {tally.done} done, {tally.skipped} done before, {tally.failed} failed{given_up}, "
        f"{time.monotonic() - begin:.1f} s"
    )
    return tally


def _status_of(tally: Tally) -> int:
    return 3 if tally.failed else 0


def _say_made(run: Run) -> None:
    from builder.dataset import describe

    print(describe(run.out))


def _ingest(options: argparse.Namespace) -> int:
    from builder.stages.ingest import ingest

    with Run(options.run, load_study(options.study)) as run:
        tally = asyncio.run(ingest(run, options.source))
        say(f"ingest: {tally.done} done, {tally.skipped} done before, {tally.failed} refused")
        for failure in run.unresolved("ingest"):
            say(f"  {failure.id}: {failure.message}")
        return _status_of(tally)


def _status(options: argparse.Namespace) -> int:
    folders = (
        [options.run] if options.run else sorted(path.parent for path in Path("runs").glob("*/run.json"))
    )
    if not folders:
        raise ConfigError(
            "there is no run under runs/: name a run folder, or start one with `deepdialogue build`"
        )
    for folder in folders:
        with Run(folder, writable=False) as run:
            show_status(run, Console())
    return 0


def _show(options: argparse.Namespace) -> int:
    with Run(options.run, writable=False) as run:
        show_dialogue(run, options.id, Console())
    return 0


def _validate(options: argparse.Namespace) -> int:
    from builder.dataset import describe
    from builder.validation import validate

    faults = validate(options.folder)
    for fault in faults:
        say(f"deepdialogue: error: {fault}")
    if not faults:
        print(describe(options.folder))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
