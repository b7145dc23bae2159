"""Decisions: what another rule of acceptance makes of the votes that are recorded. No judge is asked again.

Law of the file: it reads and never writes; a dialogue that nobody judged yet has no decision.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from builder.core.agreement import Calibration
from builder.core.verdict import Acceptance, decide
from builder.errors import ConfigError, nearest
from builder.evidence.panel import Calibrated, told, toml
from builder.records import convert
from builder.run.folder import Run
from builder.terminal import bar, plain

OUTCOMES = ("accepted", "rejected", "undecided")

Change = Counter[tuple[str, str]]
"""Dialogues by outcome now and by the other rule."""


class Changes(NamedTuple):
    """What another rule changes."""

    outcomes: Change
    pairings: dict[str, Change]
    now: Counter[tuple[str, str]]
    """Dialogues by outcome and by the criterion that failed, or lacks a quorum."""
    then: Counter[tuple[str, str]]
    """The same by the other rule."""
    owed: Counter[str]
    """By config of speech: newly accepted dialogues that nobody spoke yet."""
    idle: Counter[str]
    """By config of speech: recordings of dialogues that are accepted no more."""


def changed(
    acceptance: Acceptance,
    thresholds: Mapping[str, float],
    rule: str | None = None,
    quorum: int | None = None,
    own: str | None = None,
) -> Acceptance:
    """A rule with some of its keys changed: these thresholds, and what is not None.

    Raises:
        ConfigError: a value is none of that key's.
    """
    table = msgspec.to_builtins(acceptance)
    table["thresholds"] |= thresholds
    asked = {"rule": rule, "quorum": quorum, "own": own}
    table |= {key: value for key, value in asked.items() if value is not None}
    return convert(table, Acceptance, "the rule")


def changes(run: Run, acceptance: Acceptance) -> Changes:
    """Decides every judged dialogue by the run's rule and by another.

    Raises:
        ConfigError: the other has a threshold for a criterion that no judge ever scored.
    """
    found = Changes(Counter(), {}, Counter(), Counter(), Counter(), Counter())
    scored: set[str] = set()
    with bar("decide", len(run.reviews)) as progress:
        for review in run.reviews:
            old, new = decide(review, run.study.acceptance), decide(review, acceptance)
            found.outcomes[old.outcome, new.outcome] += 1
            found.pairings.setdefault(review.id.partition("/")[0], Counter())[old.outcome, new.outcome] += 1
            found.now.update((old.outcome, reason) for reason in old.reasons)
            found.then.update((new.outcome, reason) for reason in new.reasons)
            was, is_ = old.outcome == "accepted", new.outcome == "accepted"
            if was != is_:
                for config, recordings in run.recordings.items():
                    if was and review.id in recordings:
                        found.idle[config] += 1
                    elif not was and review.id not in recordings and config in run.study.speech:
                        found.owed[config] += 1
            scored.update(criterion for verdict in review.verdicts for criterion in verdict.scores)
            progress.advance()
    for criterion in acceptance.thresholds:
        if scored and criterion not in {*scored, *run.study.acceptance.thresholds}:
            raise ConfigError(f"no judge scored the criterion {criterion!r}: {nearest(criterion, scored)}")
    return found


def show_changes(found: Changes, console: Console) -> None:
    """What changes, by outcome, by criterion and by pairing, and what it means for what is spoken."""
    console.print(_outcomes(found.outcomes))
    if found.now or found.then:
        console.print(_reasons(found))
    console.print(_pairings(found))
    *_, gained, lost = _accepted(found.outcomes)
    console.print(f"{gained:,} dialogues are gained and {lost:,} are lost.", highlight=False)
    if found.owed:
        console.print(f"Gained, and owed by synthesize: {_counted(found.owed)}.", highlight=False)
    if found.idle:
        console.print(
            f"Lost, though spoken: {_counted(found.idle)}. Their recordings stay, and are not packaged.",
            highlight=False,
        )


def _outcomes(outcomes: Change) -> Table:
    table = Table(title=f"{outcomes.total():,} judged dialogues", title_justify="left")
    table.add_column("")
    for outcome in OUTCOMES:
        table.add_column(f"then {outcome}", justify="right")
    for old in OUTCOMES:
        table.add_row(f"{old} now", *(f"{outcomes[old, new]:,}" for new in OUTCOMES))
    return table


def _reasons(found: Changes) -> Table:
    table = Table(title="why not", title_justify="left")
    table.add_column("criterion")
    for outcome in OUTCOMES[1:]:
        table.add_column(f"{outcome} now", justify="right")
        table.add_column("then", justify="right")
    for criterion in sorted({criterion for _, criterion in (*found.now, *found.then)}):
        counts = (
            reasons[outcome, criterion] for outcome in OUTCOMES[1:] for reasons in (found.now, found.then)
        )
        table.add_row(escape(plain(criterion)), *(f"{count:,}" for count in counts))
    return table


def _pairings(found: Changes) -> Table:
    table = Table(title="accepted", title_justify="left")
    table.add_column("pairing")
    for name in ("judged", "now", "then", "gained", "lost"):
        table.add_column(name, justify="right")
    for pairing, change in [*sorted(found.pairings.items()), ("all", found.outcomes)]:
        table.add_row(pairing, f"{change.total():,}", *(f"{count:,}" for count in _accepted(change)))
    return table


def _accepted(change: Change) -> tuple[int, int, int, int]:
    """Accepted now, then, gained, lost."""
    now = sum(count for (old, _), count in change.items() if old == "accepted")
    then = sum(count for (_, new), count in change.items() if new == "accepted")
    kept = change["accepted", "accepted"]
    return now, then, then - kept, now - kept


def _counted(recordings: Counter[str]) -> str:
    return ", ".join(f"{count:,} in {config!r}" for config, count in sorted(recordings.items()))


def show_rules(run: Run, rule: Acceptance, console: Console) -> None:
    """The rules that decided before, each with when it ceased to, the one that does now, and another."""
    for former in run.pin.former_rules:
        console.print(Text(plain(f"until {former.until}: {_told(former.acceptance)}"), style="dim"))
    console.print(Text(plain(f"now:  {_told(run.study.acceptance)}")))
    if rule != run.study.acceptance:
        console.print(Text(plain(f"then: {_told(rule)}"), style="bold"))


def _told(rule: Acceptance) -> str:
    """A rule on one line."""
    return " ".join(toml(rule).replace("\n", "  ").split())


def show_calibration(found: Calibrated, console: Console) -> None:
    """How far judges agree with people, and the rule that follows, ready to paste into a study."""
    title = f"{found.dialogues:,} judged dialogues that {found.annotators} annotated"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for name in ("", "n", "kappa", "vote at", "n", "kappa of votes"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for criterion, judges in found.judges.items():
        table.add_row(Text(plain(criterion), style="bold"))
        for judge, one in judges.items():
            table.add_row(f" {judge}", str(one.kappa.items), told(one.kappa), *_held_out(one))
        if criterion in found.panel:
            table.add_row(" all, weighted", "", "", *_held_out(found.panel[criterion]))
    console.print(table)
    console.print(
        "Kappa is of the scores, with quadratic weights; then of votes, in the half of the dialogues on which no weight and no "
        f"threshold is chosen. In that half decisions agree with people's by a kappa of {told(found.in_force)} as the rule in "
        f"force has them (n = {found.in_force.items}), of {told(found.by_suggested)} as this one would "
        f"(n = {found.by_suggested.items}):",
        highlight=False,
    )
    console.print(Text(f"\n{toml(found.suggested)}\n"), soft_wrap=True)
    for criterion, reason in found.left.items():
        console.print(Text(plain(f"{criterion} is left as it is: {reason}.")))
    if found.accepted_only:
        console.print(
            "The rule in force accepts every one of these dialogues: they say nothing of what it wrongly rejects.",
            style="bold",
        )


def _held_out(one: Calibration) -> tuple[str, str, str]:
    threshold = "–" if one.threshold is None else f"{one.threshold:.3g}"
    return threshold, str(one.held_out.items), told(one.held_out)
