"""What is promised of twins in a shared run: they are found over all parts, once, by whoever comes first."""

import asyncio
from itertools import product

from builder.core.part import Part
from builder.core.scenario import scenarios
from builder.files import put
from builder.pipeline import stage
from builder.pipeline.twins import find
from builder.run.folder import Run
from builder.stages.judge import TWINS
from tests.runs import small, spoken
from tests.share.parts import begun

HALVES = (Part.parse("1/2"), Part.parse("2/2"))


def test_a_twin_in_another_part_rejects_a_dialogue_as_in_a_run_of_one_process(
    tmp_path, environment, monkeypatch
):
    study = small(judges=("duplicate",))
    share = begun(str(tmp_path / "run"), study)
    plan = list(scenarios(study.plan, study.vocabulary, study.seed))
    pairs = product(*([scenario for scenario in plan if scenario.id in half] for half in HALVES))
    one, other = min(pairs, key=lambda pair: abs(len(pair[0].emotions) - len(pair[1].emotions)))
    words = "We saw the northern lights above the harbour that winter, and nobody spoke for an hour or so"
    for part, scenario in zip(HALVES, (one, other), strict=True):
        with share.working(part) as desk, Run(desk.folder, part=part, desk=desk) as run:
            run.dialogues.append(scenario.id, spoken(scenario, words=words))
    with Run(share.view(), writable=False) as whole:
        name = find(share, whole)
    found = share.read(name)
    assert one.id.encode() in found
    assert other.id.encode() in found
    for part in HALVES:
        with share.working(part) as desk:
            put(desk.folder / TWINS, [found])
            with Run(desk.folder, part=part, desk=desk) as run:
                asyncio.run(stage("judge")(run))
    with Run(share.view(), writable=False) as whole:
        monkeypatch.setattr("builder.pipeline.twins.twins_of", None)
        assert find(share, whole) == name, "they are found once"
        outcomes = [whole.decision(whole.reviews[id]).outcome for id in (one.id, other.id)]
    assert sorted(outcomes) == ["accepted", "rejected"]
