"""What judging promises when it is interrupted, or goes on after more dialogues were held."""

import asyncio

import msgspec

from builder.config import load_site, load_study
from builder.core.scenario import TurnRange, scenarios
from builder.core.verdict import Acceptance
from builder.run.folder import Run
from builder.stages.generate import generate
from builder.stages.judge import judge
from builder.stages.plan import plan as draw
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
        before = run.reviews.own.path.read_bytes()
        again = asyncio.run(judge(run))
        assert (again.done, again.skipped) == (0, 8)
        assert run.reviews.own.path.read_bytes() == before


def test_a_dialogue_held_later_that_says_nearly_the_same_leaves_only_the_first_by_id_accepted(tmp_path):
    plan = msgspec.structs.replace(small().plan, turns=TurnRange(min=6, max=6))
    study = small(plan=plan)
    first, second = sorted(scenarios(study.plan, study.vocabulary, study.seed), key=lambda one: one.id)[:2]
    late = spoken(first, SAME)
    opening = msgspec.structs.replace(late.turns[0], text=late.turns[0].text.replace("lovely", "quiet"))
    with Run(tmp_path / "run", study) as run:
        run.dialogues.append(second.id, spoken(second, SAME))
        asyncio.run(judge(run))
        assert list(run.accepted()) == [second.id]
        run.dialogues.append(first.id, msgspec.structs.replace(late, turns=(opening, *late.turns[1:])))
        assert asyncio.run(judge(run)).done == 2, "the new one, and the one that has a twin now"
        assert list(run.accepted()) == [first.id]
        (verdict,) = (one for one in run.reviews[second.id].verdicts if one.judge == "duplicate")
        assert verdict.reason.startswith(f"says nearly the same words as {first.id}: similarity 0.")
        assert asyncio.run(judge(run)).done == 0


def test_the_stand_ins_of_the_quickstart_never_say_nearly_the_same_twice(tmp_path):
    study = load_study("quickstart")
    rules = {"duplicate": study.judges["duplicate"]}
    study = msgspec.structs.replace(study, speech={}, judges=rules, acceptance=Acceptance())
    with Run(tmp_path / "run", study, load_site("rehearsal")) as run:
        for verb in (draw, generate, judge):
            asyncio.run(verb(run))
        assert len(run.reviews) == 60
        assert sorted(run.accepted()) == sorted(run.dialogues.ids())
