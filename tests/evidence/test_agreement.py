"""What the page says of agreement: the numbers of `builder.core.agreement` and no others, and what nobody did is said."""

import pytest

from builder.core.agreement import agreement as measure
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.agreement import find
from builder.evidence.panel import asked, panel
from builder.people.annotations import annotations
from tests.marked import marked
from tests.runs import held, small


def rows(finding, name):
    return next(table.rows for table in finding.tables if table.name == name)


def test_judges_and_people_stand_side_by_side_with_items_raters_and_intervals(tmp_path):
    with marked(tmp_path / "run", annotators=["ada", "ben", "cleo"]) as run:
        finding = find(gather(run))
        judges = panel(run.reviews, asked(run), run.study.seed).alphas["coherence"]
        people = measure(annotations(run.folder), run.study.seed)["coherence"]
    among = {(row[0], row[2]): row[3:] for row in rows(finding, "coefficients")}
    assert among["judges", "Krippendorff's alpha"] == (2, 54, judges.value, *judges.interval, "")
    assert among["people", "Krippendorff's alpha"][:3] == (3, 30, people.alpha.value)
    assert len(among) == 2 + 1 + 3, "alpha of both; Fleiss' kappa and three pairs of people"
    (alpha, abstained) = finding.charts
    assert [series.name for series in alpha.series] == ["judges", "people"]
    assert alpha.series[0].values == (judges.value,)
    assert abstained.series[0].values == (10.0, 0.0)
    assert f"{judges.value:.2f}" in finding.says


def test_abstentions_are_counted_by_judge(tmp_path):
    with marked(tmp_path / "run") as run:
        finding = find(gather(run))
    (llama, qwen) = rows(finding, "judges")
    assert llama[:5] == ("rubric-llama", "2 0a", 54, 6, 10.0)
    assert qwen[:5] == ("rubric-qwen", "", 60, 0, 0.0)
    assert llama[5] < 10 < llama[6]
    assert "rubric-llama abstained most often, on 10.0 %" in finding.says


def test_that_nobody_annotated_is_said_beside_what_judges_did(tmp_path):
    with marked(tmp_path / "run") as run:
        finding = find(gather(run))
    assert "Nobody annotated: `deepdialogue annotate" in finding.says
    assert {row[0] for row in rows(finding, "coefficients")} == {"judges"}


@pytest.mark.parametrize("judges", [(), ("length",), ("rubric-llama",)])
def test_where_neither_a_model_judged_nor_anybody_annotated_the_finding_is_absent(tmp_path, judges):
    with held(tmp_path / "run", small(judges=judges)) as run:
        finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert "no model judged and nobody annotated" in finding.reason
