"""Runs that are judged by hand: which dialogues a panel accepts, and what it gives each turn, as a test says."""

import msgspec

from builder.config import load_study
from builder.core.verdict import Acceptance, Review, Verdict
from tests.runs import held, small

PANEL = ("rubric-llama", "rubric-qwen")
CRITERIA = ("coherence", "naturalness")


def study(dialogues_per_cell=2, **changes):
    """The small study with a panel of two, who must both find a dialogue coherent and natural, and every turn's emotion right."""
    plan = msgspec.structs.replace(load_study("quickstart").plan, dialogues_per_cell=dialogues_per_cell)
    plan = msgspec.structs.replace(
        plan,
        **{"domains": ("travel", "work"), "pairings": ("phi4-mini", "llama3-8B_gemma3-4B")}
        | changes.pop("plan", {}),
    )
    acceptance = Acceptance(thresholds=dict.fromkeys((*CRITERIA, "emotion"), 3.0), rule="mean")
    return small(judges=("length", "duplicate", *PANEL), **{"plan": plan, "acceptance": acceptance} | changes)


def review(dialogue, score=4.0, turns=None):
    """What the rules and the panel say of a dialogue.

    Args:
        dialogue: which.
        score: of every criterion, by every judge.
        turns: of the emotion of every turn, in place of the score.
    """
    given = tuple(turns or [round(score)] * len(dialogue.turns))
    scores = dict.fromkeys(CRITERIA, score) | {"emotion": sum(given) / len(given)}
    rules = [Verdict(judge=name, scores={name: 1.0}) for name in ("length", "duplicate")]
    panel = [
        Verdict(judge=name, scores=scores, reason="so it seems", turns={"emotion": given}) for name in PANEL
    ]
    return Review(id=dialogue.id, verdicts=(*rules, *panel))


def broken(dialogue, rule="length", reason="too long"):
    """What the rules say of a dialogue that one of them finds a fault in; the panel does not see it."""
    return Review(id=dialogue.id, verdicts=(Verdict(judge=rule, scores={rule: 0.0}, reason=reason),))


def judged(folder, made=None, judge=review, order=1):
    """A run whose dialogues are all held, and judged as `judge` says; one for which it says None is not judged yet."""
    run = held(folder, made or study(), order)
    for dialogue in list(run.dialogues):
        if said := judge(dialogue):
            run.reviews.append(dialogue.id, said)
    return run


def table(finding, name):
    """The rows of a table as dicts by column."""
    (found,) = (table for table in finding.tables if table.name == name)
    return [dict(zip((column.name for column in found.columns), row, strict=True)) for row in found.rows]


def chart(finding, name):
    (found,) = (chart for chart in finding.charts if chart.name == name)
    return found
