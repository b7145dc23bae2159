"""What the page says of leanings: every interval, and how many of them chance would move."""

import asyncio

import pytest

from builder.core.bias import bias
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.bias import find
from builder.run.folder import Run
from builder.stages.judge import judge
from tests.marked import marked
from tests.runs import held, small


def test_a_judge_that_leans_is_named_with_its_interval_and_one_that_does_not_is_not(tmp_path):
    with marked(tmp_path / "run", leaning=2.0) as run:
        finding = find(gather(run))
        leaning, upright = bias(run.reviews)
    ((llama, qwen),) = (table.rows for table in finding.tables)
    assert llama[:3] == ("rubric-llama", "coherence", "LLM1 is shown as B")
    assert llama[5:] == (leaning.difference, leaning.low, leaning.high, "yes")
    assert qwen[5:] == (upright.difference, upright.low, upright.high, "no")
    assert "Of 2 intervals 1 leave out 0, and 0.1 would by chance." in finding.says
    assert (
        f"rubric-llama on coherence where LLM1 is shown as B, {leaning.difference:.2f} points" in finding.says
    )
    assert [chart.title for chart in finding.charts] == [
        "What moves the scores of rubric-llama",
        "What moves the scores of rubric-qwen",
    ]
    assert finding.charts[0].series[0].values == (leaning.difference,)
    assert len(finding.charts[0].series) == 1, "of one criterion none is late"


def test_where_no_interval_leaves_out_0_none_is_called_the_largest(tmp_path):
    with marked(tmp_path / "run") as run:
        finding = find(gather(run))
    assert "Of 2 intervals 0 leave out 0" in finding.says
    assert "The largest" not in finding.says


@pytest.mark.parametrize(
    ("judges", "reason"),
    [
        ((), "the study has none"),
        (("length",), "no judge scored yet"),
        (("rubric-llama",), "no judge scored yet"),
    ],
)
def test_what_was_not_judged_cannot_lean_and_that_is_said(tmp_path, judges, reason):
    with held(tmp_path / "run", small(judges=judges)) as run:
        finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert reason in finding.reason


def test_of_rules_alone_and_of_too_few_verdicts_it_is_said_that_there_is_nothing_to_compare(tmp_path):
    with held(tmp_path / "rules", small(judges=("length",))) as run:
        asyncio.run(judge(run))
        assert "rules do not lean" in find(gather(run)).reason
    with marked(tmp_path / "few") as run:
        reviews = [run.reviews[id] for id in sorted(run.dialogues.ids())[:30]]
        run.reviews.own.path.unlink()
    with Run(tmp_path / "few") as run:
        for review in reviews:
            run.reviews.append(review.id, review)
        assert "no judge has 20 verdicts" in find(gather(run)).reason
