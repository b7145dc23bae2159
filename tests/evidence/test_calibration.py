"""What the page says of judges against people: what `calibrated` found, with the confusion counted out."""

from builder.evidence.findings import Absent, gather
from builder.evidence.findings.calibration import find
from builder.evidence.panel import calibration
from builder.people.annotations import annotations
from tests.marked import marked


def rows(finding, name):
    return next(table.rows for table in finding.tables if table.name == name)


def test_every_judge_and_the_panel_stand_with_kappa_threshold_and_the_half_held_out(tmp_path):
    with marked(tmp_path / "run", annotators=["ada"]) as run:
        finding = find(gather(run))
        found = calibration(run, annotations(run.folder))
    by_judge = {row[1]: row for row in rows(finding, "kappas")}
    assert list(by_judge) == ["rubric-llama", "rubric-qwen", "panel, weighted"]
    llama = found.judges["coherence"]["rubric-llama"]
    assert by_judge["rubric-llama"][2:6] == (llama.kappa.items, llama.kappa.value, *llama.kappa.interval)
    assert by_judge["rubric-llama"][6:9] == (llama.threshold, llama.held_out.items, llama.held_out.value)
    assert by_judge["panel, weighted"][3:6] == (None, None, None), (
        "on all of its scores it would be flattered"
    )
    held_out = next(chart for chart in finding.charts if chart.name == "held_out")
    assert [series.values for series in held_out.series] == [(row[8],) for row in by_judge.values()]


def test_the_heat_map_counts_every_dialogue_once_for_each_judge(tmp_path):
    with marked(tmp_path / "run", annotators=["ada"]) as run:
        finding = find(gather(run))
        scored = [run.reviews[one.id] for one in annotations(run.folder)]
    heat = next(chart for chart in finding.charts if chart.name == "scores_1")
    assert heat.title == "Scores for coherence"
    llama, qwen = heat.values[:5], heat.values[5:]
    assert sum(map(sum, qwen)) == 30
    assert sum(map(sum, llama)) == sum(len(review.verdicts) == 2 for review in scored)
    off = [value for row, values in enumerate(qwen) for column, value in enumerate(values) if row != column]
    assert set(off) == {0.0}, "the person said what this judge did"
    assert heat.rows[5:7] == ("rubric-qwen 1", "rubric-qwen 2")
    assert heat.marked[5:7] == ((5, 0), (6, 1))
    counted = sum(row[-1] for row in rows(finding, "confusion") if row[1] == "rubric-qwen")
    assert counted == 30


def test_where_nobody_annotated_the_finding_is_absent_and_names_the_verb(tmp_path):
    with marked(tmp_path / "run") as run:
        finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert "`deepdialogue annotate" in finding.reason
