"""What the contract of findings promises, and what is read of a run once for all of them."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from builder.core.interval import Interval
from builder.core.scenario import parse_id
from builder.evidence import Options, names
from builder.evidence.findings import (
    OUTCOMES,
    Absent,
    Bars,
    Finding,
    Forest,
    Heat,
    Lines,
    Series,
    finds,
    gather,
    told,
)
from builder.run.failures import Failure
from builder.run.folder import Run
from tests.evidence.judging import CRITERIA, broken, judged, review, study
from tests.runs import held, small


def mixed(dialogue):
    """Every fourth dialogue broken, poor, not judged and good."""
    place = parse_id(dialogue.id).index % 4
    return (broken(dialogue), review(dialogue, 2.0), None, review(dialogue, 4.0))[place]


@pytest.fixture(params=["judged", "nobody judged yet", "no judges", "nothing held"])
def run(request, tmp_path):
    made = {
        "judged": lambda: judged(tmp_path / "run", study(8), mixed),
        "nobody judged yet": lambda: judged(tmp_path / "run", judge=lambda _: None),
        "no judges": lambda: held(tmp_path / "run", small(judges=())),
        "nothing held": lambda: Run(tmp_path / "run", study()),
    }
    with made[request.param]() as opened:
        yield opened


@pytest.mark.parametrize("name", names())
def test_a_finding_of_any_run_is_whole_or_absent_with_its_reason(name, run):
    found = finds()[name].find(gather(run, Options()))
    assert found.title
    if isinstance(found, Absent):
        assert len(found.reason.split()) >= 3
        return
    assert isinstance(found, Finding)
    assert found.says.endswith(".")
    assert "nan" not in found.says.split()
    named = [one.name for one in found.tables], [one.name for one in found.charts]
    assert all(len(set(each)) == len(each) for each in named)
    for table in found.tables:
        assert len({(column.name, column.unit) for column in table.columns}) == len(table.columns)
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert all(cell == cell for row in table.rows for cell in row), "not-a-number is None"  # noqa: PLR0124
        kinds = {type(cell) for row in table.rows for cell in row}
        assert kinds <= {str, int, float, type(None)}
    for chart in found.charts:
        assert chart.axis
        for series in (*getattr(chart, "series", ()), *getattr(chart, "points", ())):
            along = chart.x if isinstance(chart, Lines) else chart.labels
            assert {len(values) for values in (series.values, series.low, series.high) if values} <= {
                len(along)
            }
        if isinstance(chart, Heat):
            assert len(chart.values) == len(chart.rows)
            assert {len(row) for row in chart.values} <= {len(chart.columns)}
        assert isinstance(chart, Bars | Lines | Heat | Forest)


def test_findings_have_one_order_and_none_shares_its_place():
    orders = [find.ORDER for find in finds().values()]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)
    assert set(finds()) == set(names())


def test_the_columns_hold_what_the_ledgers_say(tmp_path):
    with judged(tmp_path / "run", study(8), mixed) as run:
        evidence = gather(run)
        held, vocabulary = evidence.held, evidence.vocabulary
        assert list(held.ids) == sorted(run.dialogues.ids())
        turn = 0
        for place, id in enumerate(held.ids):
            dialogue, said = run.dialogues[id], run.reviews.get(id)
            assert list(vocabulary.domains)[held.domain[place]] == dialogue.domain
            assert list(vocabulary.pairings)[held.pairing[place]] == dialogue.pairing
            assert held.num_turns[place] == len(dialogue.turns)
            assert held.start[place] == turn
            decision = run.decision(said)
            assert OUTCOMES[held.outcome[place]] == (decision.outcome if decision else "not judged")
            seen_by_panel = said is not None and len(said.verdicts) > 1
            for criterion in CRITERIA:
                score = said.verdicts[-1].scores[criterion] if seen_by_panel else np.nan
                assert held.scores[criterion][place] == pytest.approx(score, nan_ok=True)
            for position, spoken in enumerate(dialogue.turns):
                assert list(vocabulary.emotions)[held.emotion[turn]] == spoken.emotion
                assert held.position[turn] == position
                assert held.words[turn] == len(spoken.text.split())
                given = said.verdicts[-1].turns["emotion"][position] if seen_by_panel else np.nan
                assert held.turn_scores["emotion"][turn] == pytest.approx(given, nan_ok=True)
                turn += 1
        assert held.start[-1] == turn == len(held.emotion)
        assert [held.ids[place] for place in held.faults["length"]] == [
            id for id in held.ids if parse_id(id).index % 4 == 0
        ]
        assert set(held.faults["length"].values()) == {"too long"}
        assert sum(map(held.count, OUTCOMES)) == len(held.ids)


def test_a_score_is_the_mean_over_the_judges_that_gave_one(tmp_path):
    def two_minds(dialogue):
        said = review(dialogue, 5.0)
        other = msgspec.structs.replace(
            said.verdicts[-1],
            scores={"coherence": 2.0},
            turns={"emotion": (1,) * len(dialogue.turns)},
        )
        return msgspec.structs.replace(said, verdicts=(*said.verdicts[:-1], other))

    with judged(tmp_path / "run", judge=two_minds) as run:
        scored = gather(run).held
    assert set(scored.scores["coherence"]) == {3.5}
    assert set(scored.scores["naturalness"]) == {5.0}
    assert set(scored.turn_scores["emotion"]) == {3.0}


def test_the_order_of_the_ledgers_changes_no_finding(tmp_path):
    said = []
    for order in (1, -1):
        with judged(tmp_path / str(order), study(8), mixed, order=order) as run:
            evidence = gather(run)
            said.append([find.find(evidence) for name, find in finds().items()])
    for one, other in zip(*said, strict=True):
        # What names the folder names another one.
        words = [
            msgspec.json.encode(each).replace(str(tmp_path / order).encode(), b"RUN")
            for each, order in ((one, "1"), (other, "-1"))
        ]
        assert words[0] == words[1]


def test_what_was_planned_is_counted_whether_it_was_held_or_failed(tmp_path):
    with judged(tmp_path / "run") as run:
        scenario = run.scenarios[run.scenarios.ids()[0]]
        for number, boundary in enumerate(("reply", "endpoint", "reply"), start=7):
            id = f"phi4-mini/travel_{number}_{len(scenario.emotions)}"
            run.scenarios.append(
                id, msgspec.structs.replace(scenario, id=id, pairing="phi4-mini", domain="travel")
            )
            run.failures.of("generate").append(id, Failure(id=id, boundary=boundary, message="no"))
        planned = gather(run).planned
        assert planned.dialogues == 11
        assert planned.failed == {"endpoint": 1, "reply": 2}
        assert planned.by_pairing["phi4-mini"] == 7
        assert sum(planned.by_emotion.values()) == sum(
            length * count for length, count in planned.by_turns.items()
        )


def test_the_command_of_a_finding_has_every_option_that_is_not_as_usual(tmp_path):
    with judged(tmp_path / "a run") as run:
        assert gather(run).command("sample") == f"deepdialogue report '{tmp_path}/a run' --only sample"
        asked = Options(concreteness=Path("norms.csv"), sample=3, audio_mb=2.5)
        command = gather(run, asked).command("sample")
    assert command.endswith("--only sample --concreteness norms.csv --sample 3 --audio-mb 2.5")


def test_an_interval_is_told_with_what_it_rests_on():
    assert told(Interval(0.6123, 0.605, 0.62, 65600), "%", 100) == "61.2 % (60.5 to 62.0, of 65,600)"
    assert told(Interval(2.0, None, None, 3), decimals=2) == "2.00 (no interval, of 3)"
    assert told(Interval(None, None, None, 0)) == "not known"


def test_a_series_keeps_what_is_missing():
    series = Series.of(
        "x", [Interval(0.5, 0.4, 0.6, 10), Interval(1.0, None, None, 2), Interval(None, None, None, 0)], 100
    )
    assert series.values == (50, 100, None)
    assert series.low == (40, None, None)
    assert Series.of("x", []).values == ()
