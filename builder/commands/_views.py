"""What a person sees on the terminal: how a plan is distributed, how far a run is, what a dialogue says.

Law of the file: it reads and never writes; text from models is shown as text, whatever escape codes it holds.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from builder.core.census import Census
from builder.core.checkpoint import answered, several
from builder.core.estimate import Row, estimate
from builder.core.scenario import parse_id
from builder.core.verdict import decide
from builder.errors import ConfigError
from builder.evidence.panel import answered_judges, asked, bench
from builder.people.annotations import Standing
from builder.plugins.judges import Context
from builder.run.folder import Run
from builder.run.meter import read_pulse, read_usage
from builder.terminal import plain


def show_plan(run: Run, console: Console) -> None:
    """How the planned dialogues are distributed."""
    ravdess = run.study.vocabulary.ravdess()
    census = Census(ravdess)
    for scenario in run.scenarios:
        census.add(scenario.domain, scenario.pairing, scenario.emotions)
    console.print(
        f"{census.dialogues:,} scenarios: {len(census.by_pairing)} pairings, {len(census.by_domain)} domains, "
        f"{census.turns:,} turns, {len(census.by_emotion)} of {len(ravdess)} emotions"
    )
    _counts(console, "turns a dialogue", sorted(census.by_turns.items()))
    _counts(console, "emotion (turns)", census.by_emotion.most_common())
    _counts(console, "RAVDESS class (turns)", census.by_ravdess.most_common())
    _counts(console, "pairing", sorted(census.by_pairing.items()))
    _counts(console, "domain", sorted(census.by_domain.items()))


def _counts(console: Console, what: str, counts: list[tuple[str, int]] | list[tuple[int, int]]) -> None:
    """Names with their counts and shares, in as many columns as the terminal has room for."""
    total = sum(count for _, count in counts)
    console.print(f"\n[bold]{what}[/bold]")
    cells = [f"{name} {count:,} ({100 * count / total:.1f} %)" for name, count in counts]
    width = max(map(len, cells)) + 3
    columns = max(1, console.width // width)
    for start in range(0, len(cells), columns):
        row = "".join(cell.ljust(width) for cell in cells[start : start + columns])
        console.print(Text(plain(row.rstrip())))


def show_status(run: Run, console: Console) -> None:
    """How far every stage is, and what failed."""
    title = f"{run.folder}: study {run.study.name!r}{_rehearsal(run)}"
    table = Table(title=escape(plain(title)), title_justify="left")
    for name in ("stage", "done", "owed", "failed", ""):
        table.add_column(name, justify="left" if name in {"stage", ""} else "right")
    accepted = list(run.accepted())
    planned, held = len(run.scenarios), len(run.dialogues)
    if run.study.plan is not None:
        table.add_row("plan", str(planned), "", "", "")
        failed = _failed(run, "generate")
        owed = sum(id not in run.dialogues for id in run.scenarios.ids())
        table.add_row("generate", str(held), str(owed), *failed)
    else:
        table.add_row("ingest", str(held), "", *_failed(run, "ingest"))
    if run.study.judges:
        judged = sum(id in run.reviews for id in run.dialogues.ids())
        table.add_row("judge", str(judged), str(held - judged), *_failed(run, "judge"))
        table.add_row("", "", "", "", _outcomes(run))
    for config, ledger in run.recordings.items():
        damaged = run.failures.damaged(config)
        spoken = sum(id in ledger and id not in damaged for id in accepted)
        row = _failed(run, f"synthesize-{config}")
        table.add_row(f"synthesize {config}", str(spoken), str(len(accepted) - spoken), *row)
        if run.failures.unresolved(f"package-{config}"):
            table.add_row(f"package {config}", "", "", *_failed(run, f"package-{config}"))
        if run.study.measures and len(ledger):
            measured, row = _measured(run, config), _failed(run, f"measure-{config}")
            table.add_row(f"measure {config}", str(measured), str(len(ledger) - measured), *row)
    console.print(table)
    _show_answered(run, console)
    _show_usage(run, console)


def _show_answered(run: Run, console: Console) -> None:
    """Where something else speaks or judges than the study asks for, or one for several."""
    pairings = run.study.vocabulary.pairings
    counts = Counter[tuple[str, str]]()
    for dialogue in run.dialogues:
        pair = pairings[dialogue.pairing]
        counts.update({(pair.first, dialogue.first_checkpoint), (pair.second, dialogue.second_checkpoint)})
    asked_for = {name: model.checkpoint for name, model in run.study.vocabulary.models.items()}
    speakers = answered(asked_for, counts)
    judges = bench(run.reviews, asked(run))
    voters = answered_judges(run, judges)
    told = [one.told("dialogues") for one in speakers] + [one.told("votes") for one in voters]
    told += [*several((*speakers, *voters)), *judges.told]
    for said in filter(None, told):
        console.print(Text(plain(said), style="yellow"), soft_wrap=True)


def _show_usage(run: Run, console: Console) -> None:
    """What every model was asked so far and, while a process works on the run, how it goes."""
    usage, pulse = read_usage(run.folder), read_pulse(run.folder)
    if not usage:
        return
    beats = pulse.models if pulse else {}
    names = (
        "model",
        "calls",
        "failed",
        "retries",
        "prompt tokens",
        "completion tokens",
        "latency s",
        "queue s",
    )
    thinks = any(used.thinking_tokens or used.uncounted_thinking for used in usage.values())
    live = ("in flight", "limit", "calls/s", "tokens/s")
    table = Table(title="at work" if beats else "asked so far", title_justify="left")
    for name in (*names, *(("thinking tokens",) if thinks else ()), *(live if beats else ())):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, used in sorted(usage.items()):
        beat = beats.get(model)
        calls = max(1, used.calls)
        row = [
            escape(model), f"{used.calls:,}", f"{used.failed:,}", f"{used.retries:,}",
            _counted(used.prompt_tokens, used.uncounted), _counted(used.completion_tokens, used.uncounted),
            f"{used.latency_s / calls:.2f}", f"{used.queue_s / calls:.2f}",
        ]  # fmt: skip
        if thinks:
            row.append(_counted(used.thinking_tokens, used.uncounted_thinking))
        if beat is not None:
            tokens = beat.prompt_tokens_per_s + beat.completion_tokens_per_s
            row += [str(beat.in_flight), str(beat.limit), f"{beat.calls_per_s:.1f}", f"{tokens:,.0f}"]
        table.add_row(*row)
    console.print(table)
    rate = sum(beat.calls_per_s for beat in beats.values())
    owed = sum(parse_id(id).num_turns for id in run.scenarios.ids() if id not in run.dialogues)
    if rate and owed:
        console.print(
            f"{owed:,} turns are owed: {timedelta(seconds=round(owed / rate))} at {rate:.1f} calls/s"
        )


def _counted(tokens: int, uncounted: int) -> str:
    """A sum of tokens; not all are known where a server did not say those of some answers."""
    if not uncounted:
        return f"{tokens:,}"
    return f"{tokens:,} + unknown" if tokens else "unknown"


def show_estimate(run: Run, console: Console) -> None:
    """What the plan will ask of every model, and how long and how dear that is where the site says."""
    study = run.study
    if study.script is None:
        raise ConfigError(f"study {study.name!r} has no [script]: there is nothing to estimate")
    asks = []
    for name, judge in run.plugins.judges().items():
        if judge.models():
            context = Context(name=name, seed=study.seed, vocabulary=study.vocabulary, twins={})
            asks.append(lambda dialogue, judge=judge, context=context: next(judge.judge(dialogue, context)))
    expected = estimate(run.scenarios, study.vocabulary, study.script, asks)
    site = run.site
    table = Table(
        title=f"{expected.dialogues:,} dialogues, {expected.turns:,} turns", title_justify="left", box=SIMPLE
    )
    try:
        rows = expected.rows(site.speeds if site else None, site.prices if site else None)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    columns = [column for column in zip(Row._fields, *rows, strict=True) if any(column[1:])]
    for name, *_ in columns:
        table.add_column(name.replace("_", " "), justify="left" if name == "model" else "right")
    for row in zip(*(cells for _, *cells in columns), strict=True):
        table.add_row(*map(escape, row))
    console.print(table)


def _rehearsal(run: Run) -> str:
    return ", a rehearsal" if run.pin.rehearsal else ""


def _failed(run: Run, work: str) -> tuple[str, str]:
    """How many items of one piece of work are failures, and where they failed."""
    failures = run.failures.unresolved(work)
    boundaries = Counter(failure.boundary for failure in failures)
    last = f"; last: {escape(plain(failures[-1].message))}" if failures else ""
    return str(len(failures) or ""), ", ".join(
        f"{count} x {name}" for name, count in boundaries.items()
    ) + last


def _measured(run: Run, config: str) -> int:
    """How many recordings are owed no measure; one that could not run here is owed."""
    wanted, measured = run.study.measures.keys(), run.measured(config)
    return sum(
        wanted <= set(record.done)
        for id in run.recordings[config].ids()
        if (record := measured.get(id)) is not None
    )


def _outcomes(run: Run) -> str:
    outcomes = Counter(decide(review, run.study.acceptance).outcome for review in run.reviews)
    return ", ".join(f"{outcomes[name]} {name}" for name in ("accepted", "rejected", "undecided"))


def show_standings(standings: Iterable[Standing], notes: Iterable[str], console: Console) -> None:
    """How far every annotator is, and how careful; and who failed checks, in words."""
    table = Table(title="annotators", title_justify="left")
    for name in ("annotator", "done", "owed", "median s", "checks passed", "gold within 1", "last"):
        table.add_column(name, justify="left" if name == "annotator" else "right")
    for one in standings:
        last = (
            ""
            if one.last is None
            else datetime.fromtimestamp(one.last).astimezone().strftime("%Y-%m-%d %H:%M")
        )
        table.add_row(
            one.annotator,
            str(one.done),
            str(one.owed),
            "" if one.median_s is None else f"{one.median_s:.0f}",
            f"{one.passed} of {one.checks}" if one.checks else "",
            f"{one.near} of {one.golden}" if one.golden else "",
            last,
        )
    console.print(table)
    show_notes(notes, console)


def show_notes(notes: Iterable[str], console: Console) -> None:
    """What is to be known of some people's answers, a line each, and how to leave them out."""
    said = [*notes]
    for note in [*said, *(["--without NAME leaves somebody out."] if said else [])]:
        console.print(Text(plain(note), style="yellow"), soft_wrap=True)
