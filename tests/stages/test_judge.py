"""What judging promises when it is interrupted, or goes on after more dialogues were held."""

import asyncio

import msgspec

from builder.core.scenario import TurnRange, scenarios
from builder.run import Run
from builder.stages.judge import judge
from tests.runs import held, small, spoken

SAME = "The harbour was lovely and my sister sang all evening"


def test_a_dialogue_whose_twin_is_held_after_it_was_judged_is_judged_again_as_if_both_had_been_there(
    tmp_path,
):
    """Given-up dialogues are owed again, so that new ones come after the judges have been."""
    plan = msgspec.structs.replace(small().plan, turns=TurnRange(min=3, max=3), pairings=("phi4-mini",))
    study = small(plan=plan)
    planned = sorted(scenarios(study.plan, study.vocabulary, study.seed), key=lambda one: one.id)
    with Run(tmp_path / "late", study) as run:
        for batch in (planned[1:], planned[:1]):
            for scenario in batch:
                run.dialogues.append(scenario.id, spoken(scenario, SAME))
            tally = asyncio.run(judge(run))
        assert (tally.done, tally.skipped) == (4, 0), "the new one, and the three that name another first now"
        late = list(run.accepted())
    with held(tmp_path / "straight", study, words=SAME) as run:
        asyncio.run(judge(run))
        assert late == list(run.accepted()) == [planned[0].id]


def test_judging_again_when_nothing_is_new_does_nothing(tmp_path):
    with held(tmp_path / "run", small()) as run:
        assert asyncio.run(judge(run)).done == 8
        before = run.reviews.path.read_bytes()
        again = asyncio.run(judge(run))
        assert (again.done, again.skipped) == (0, 8)
        assert run.reviews.path.read_bytes() == before
