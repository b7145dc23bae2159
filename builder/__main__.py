"""The command line: one verb a stage, `build` for all of them, and a few to look and check.

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

from builder.config import load_site, load_study
from builder.core.part import Part
from builder.errors import ConfigError, DeepDialogueError
from builder.pipeline import STAGES, generate_and_judge, stage
from builder.progress import say
from builder.run import Run, Tally
from builder.views import show_dialogue, show_estimate, show_plan, show_status

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
    "synthesize": "deepdialogue synthesize --run runs/quickstart --site rehearsal\n"
    "  CUDA_VISIBLE_DEVICES=2 deepdialogue synthesize --run runs/paper --site gpu-node.toml --part 3/8",
    "measure": "deepdialogue measure --run runs/published\n  deepdialogue measure --run runs/paper --site gpu-node.toml",
    "package": "deepdialogue package --run runs/quickstart --out dist/deepdialogue",
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

    doctor = verb(
        "doctor",
        "ask every endpoint and engine of a site whether it is fit for a study",
        _doctor,
        "deepdialogue doctor my-site.toml configs/deepdialogue.toml",
    )
    doctor.add_argument("site", metavar="SITE", help="a TOML file, or a shipped site")
    doctor.add_argument(
        "study", nargs="?", default="deepdialogue", metavar="STUDY", help="what is to be made (%(default)s)"
    )
    endpoints = verb(
        "endpoints",
        "start, list, pause or delete Inference Endpoints for the models of a study",
        _endpoints,
        "deepdialogue endpoints up my-site.toml --yes\n  deepdialogue endpoints list my-site.toml\n"
        "  deepdialogue endpoints down my-site.toml --delete",
    )
    endpoints.add_argument("action", choices=("up", "down", "list"), help="what is to be done")
    endpoints.add_argument("site", metavar="SITE", help="a TOML file with a table [endpoints]")
    endpoints.add_argument(
        "study", nargs="?", default="deepdialogue", metavar="STUDY", help="whose models (%(default)s)"
    )
    endpoints.add_argument("--yes", action="store_true", help="the price that `up` tells is agreed to")
    endpoints.add_argument("--delete", action="store_true", help="`down` deletes them, rather than pausing")

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

    export = verb(
        "export",
        "write full recordings, one file a dialogue, with RTTM and metadata, for speech tools",
        _export,
        "deepdialogue export dist/deepdialogue --config xtts --out exported --split train\n"
        "  deepdialogue export runs/quickstart travel_1_7 --config xtts --out exported --channels 2 --format wav",
    )
    export.add_argument("source", type=Path, metavar="SOURCE", help="a run folder or a packaged dataset")
    export.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="an id, or the part after the slash; all dialogues where none is named",
    )
    export.add_argument("--config", required=True, help="whose voices: xtts, orpheus, …")
    export.add_argument(
        "--out", type=Path, required=True, help="the folder; it keeps to one source and one set of options"
    )
    for name in ("domain", "pairing", "split"):
        export.add_argument(
            f"--{name}",
            action="append",
            default=[],
            dest=f"{name}s",
            metavar=name.upper(),
            help="only this; may be repeated",
        )
    export.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        default=1,
        help="2 puts LLM1 left and LLM2 right (%(default)s)",
    )
    export.add_argument("--format", choices=("flac", "wav"), default="flac", help="in 16 bits (%(default)s)")
    export.add_argument(
        "--sampling-rate",
        type=int,
        metavar="HERTZ",
        dest="sampling_rate_hz",
        help="such as 16000; the recordings' own where none is named",
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
        return _status_of(tally)


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
        return _status_of(whole)


def _timed(run: Run, name: str) -> Tally:
    begin = time.monotonic()
    tally = asyncio.run(stage(name)(run))
    _say_done(name, tally, begin)
    return tally


def _timed_together(run: Run) -> list[Tally]:
    begin = time.monotonic()
    tallies = list(asyncio.run(generate_and_judge(run)))
    for name, tally in zip(("generate", "judge"), tallies, strict=True):
        _say_done(name, tally, begin)
    return tallies


def _say_done(name: str, tally: Tally, begin: float) -> None:
    given_up = f", {tally.given_up} given up" if tally.given_up else ""
    say(
        f"{name}: {tally.done} done, {tally.skipped} done before, {tally.failed} failed{given_up}, "
        f"{time.monotonic() - begin:.1f} s"
    )


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


def _doctor(options: argparse.Namespace) -> int:
    from builder.doctor import doctor, show_findings

    findings = asyncio.run(doctor(load_study(options.study), load_site(options.site)))
    show_findings(findings, Console())
    return 1 if any(finding.faults for finding in findings) else 0


def _endpoints(options: argparse.Namespace) -> int:
    from builder.hosting import endpoints, read_hosting

    site = load_site(options.site)
    hosting = read_hosting(site.endpoints, site.name)
    return endpoints(
        options.action, load_study(options.study), hosting, Console(), yes=options.yes, delete=options.delete
    )


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


def _export(options: argparse.Namespace) -> int:
    from builder.export import Options, export

    begin = time.monotonic()
    chosen = Options(**{name: getattr(options, name) for name in Options.__struct_fields__})
    tally = export(options.source, options.out, chosen)
    _say_done("export", tally, begin)
    return _status_of(tally)


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
