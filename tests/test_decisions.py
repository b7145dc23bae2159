"""What `decide` promises: another rule counts the recorded votes, changes nothing unasked, and the old rule stays on record."""

import io
import json
import random
import tomllib

import msgspec
import pytest
from rich.console import Console

from builder.config import Speech
from builder.core.speech import Recording
from builder.core.verdict import Abstention, Acceptance, Review, Verdict
from builder.errors import ConfigError, RunError
from builder.evidence.decisions import changed, changes, show_changes, show_rules
from builder.people.annotations import Annotations, Opinion, Wanted
from builder.records import convert
from builder.run.folder import Run
from tests.commands import deepdialogue, tree
from tests.commands import study as study_file
from tests.runs import held, small

RULE = Acceptance(thresholds={"coherence": 3, "emotion": 3}, quorum=2)
SCORES = [(4, 4), (4, 2), (2, 4), (2, 2), (3, 3), (5, 5), (3, 5), (4, 3)]
"""The scores on coherence of two judges, a dialogue each; on emotion both say 4, but of the last both say 3."""


def recording(id):
    return Recording(
        id=id,
        engine="x",
        rehearsal=False,
        first_voice="a",
        second_voice="b",
        sampling_rate_hz=24_000,
        clips=(),
    )


def judged(folder, acceptance=RULE, spoken=()):
    """A run of eight dialogues with those scores, the first so many of which are spoken."""
    speech = {"xtts": Speech(voices={"a": "male", "b": "male"})}
    run = held(folder, small(acceptance=acceptance, speech=speech))
    for place, (id, scores) in enumerate(zip(run.dialogues.ids(), SCORES, strict=True)):
        emotion = 3.0 if place == len(SCORES) - 1 else 4.0
        verdicts = tuple(
            Verdict(judge=f"judge {n}", scores={"coherence": float(score), "emotion": emotion})
            for n, score in enumerate(scores)
        )
        run.reviews.append(id, Review(id=id, verdicts=verdicts))
        if place in spoken:
            run.recordings["xtts"].append(id, recording(id))
    return run


def shown(show, *arguments):
    console = Console(file=io.StringIO(), width=200)
    show(*arguments, console)
    return console.file.getvalue()


def test_another_rule_moves_exactly_the_dialogues_whose_votes_it_reads_otherwise(tmp_path):
    with judged(tmp_path / "run") as run:
        found = changes(run, changed(RULE, {"emotion": 4}, rule="mean"))
    # By the majority of two, who must agree: 4 of the 8 pass. By the mean (4, 2) and (2, 4) pass too; the last fails on emotion.
    assert found.outcomes == {
        ("accepted", "accepted"): 4,
        ("rejected", "accepted"): 2,
        ("rejected", "rejected"): 1,
        ("accepted", "rejected"): 1,
    }
    assert found.now == {("rejected", "coherence"): 3}
    assert found.then == {("rejected", "coherence"): 1, ("rejected", "emotion"): 1}
    assert sum(found.pairings["phi4-mini"].values()) == sum(
        found.pairings["llama3-8B_gemma3-4B"].values()
    ) == 4  # fmt: skip


def test_what_is_gained_is_owed_unless_it_was_spoken_and_what_is_lost_stays_spoken(tmp_path):
    with judged(tmp_path / "run", spoken=(0, 1, 7)) as run:
        found = changes(run, changed(RULE, {"emotion": 4}, rule="mean"))
        assert (found.owed, found.idle) == ({"xtts": 1}, {"xtts": 1})
        said = shown(show_changes, found)
    assert "2 dialogues are gained and 1 are lost." in said
    assert "owed by synthesize: 1 in 'xtts'" in said
    assert "though spoken: 1 in 'xtts'" in said


def test_synthesize_owes_nothing_of_a_config_that_the_study_does_not_speak(tmp_path):
    with judged(tmp_path / "run") as run:
        run.recorded("published").append(run.dialogues.ids()[0], recording(run.dialogues.ids()[0]))
        found = changes(run, changed(RULE, {"coherence": 5}, rule="unanimous"))
        gained = changes(run, changed(RULE, {}, rule="mean"))
    assert found.idle == {"published": 1}
    assert gained.owed == {"xtts": 2}


def test_the_same_rule_changes_nothing(tmp_path):
    with judged(tmp_path / "run", spoken=(0, 1)) as run:
        found = changes(run, RULE)
        assert "0 dialogues are gained and 0 are lost." in shown(show_changes, found)
    assert all(now == then for now, then in found.outcomes)
    assert found.now == found.then
    assert not found.owed + found.idle


def test_a_dialogue_undecided_for_want_of_a_quorum_is_told_from_a_rejected_one(tmp_path):
    with judged(tmp_path / "run") as run:
        id = run.dialogues.ids()[0]
        lone = Review(
            id=id,
            verdicts=(Verdict(judge="judge 0", scores={"coherence": 5.0, "emotion": 5.0}),),
            abstentions=(Abstention(judge="judge 1", reason="no JSON"),),
        )
        run.reviews.append(id, lone)
        found = changes(run, changed(RULE, {}, quorum=1))
    assert found.outcomes["undecided", "accepted"] == 1
    assert found.now["undecided", "coherence"] == found.now["undecided", "emotion"] == 1


def test_a_threshold_for_what_nobody_scored_is_refused_by_its_name(tmp_path):
    with (
        judged(tmp_path / "run") as run,
        pytest.raises(ConfigError, match="'coherense': did you mean 'coherence'"),
    ):
        changes(run, changed(RULE, {"coherense": 3}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quorum": -1}, "the rule: key 'quorum' is -1"),
        ({"rule": "plurality"}, "the rule: key 'rule' is 'plurality'"),
        ({"thresholds": {"coherence": "high"}}, "key 'thresholds.coherence' is 'high'"),
    ],
)
def test_a_value_that_no_rule_can_have_is_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        changed(RULE, **({"thresholds": {}} | change))


def test_a_rule_that_is_pinned_decides_from_then_on_and_the_one_before_stays_on_record(tmp_path):
    folder, mean = tmp_path / "run", changed(RULE, {}, rule="mean")
    with judged(folder) as run:
        before = set(run.accepted())
        run.pin.accept(mean)
        now = set(run.accepted())
        reviews = run.reviews.own.path.read_bytes()
    assert before < now
    with Run(folder, small(acceptance=mean, speech=run.study.speech)) as run:
        assert set(run.accepted()) == now
        assert run.reviews.own.path.read_bytes() == reviews
        assert [former.acceptance for former in run.pin.former_rules] == [RULE]
        run.pin.accept(RULE)
    with Run(folder, writable=False) as run:
        assert [former.acceptance.rule for former in run.pin.former_rules] == ["majority", "mean"]
        said = shown(show_rules, run, mean)
        assert set(run.accepted()) == before
    assert [line.split(":")[0][:5] for line in said.splitlines()] == ["until", "until", "now", "then"]


def test_a_pin_from_before_rules_could_change_is_read(tmp_path):
    with judged(tmp_path / "run"):
        pass
    pin = tmp_path / "run" / "run.json"
    written = json.loads(pin.read_bytes())
    del written["formerly"]
    pin.write_text(json.dumps(written))
    with Run(tmp_path / "run", writable=False) as run:
        assert run.pin.former_rules == ()
        assert run.study.acceptance == RULE


def test_only_the_rule_of_a_study_may_differ_and_what_else_does_is_named(tmp_path):
    with judged(tmp_path / "run") as run:
        mean = changed(RULE, {}, rule="mean")
        assert run.pin.rule_of(msgspec.structs.replace(run.study, acceptance=mean)) == mean
        with pytest.raises(RunError, match="seed was 2505 and is now 7"):
            run.pin.rule_of(msgspec.structs.replace(run.study, acceptance=mean, seed=7))


def test_a_stage_called_with_another_rule_is_told_of_decide(tmp_path):
    with judged(tmp_path / "run") as run:
        study = msgspec.structs.replace(run.study, acceptance=Acceptance())
    with pytest.raises(RunError, match=r"acceptance\.thresholds.*`deepdialogue decide .*run STUDY`"):
        Run(tmp_path / "run", study)


def test_the_verb_shows_first_and_applies_with_yes_and_every_later_verb_goes_by_it(tmp_path):
    quickstart = study_file(
        tmp_path, edits=[("[speech.xtts]", "[speech.unused]"), ("[speech.orpheus]", "[speech.unheard]")]
    )
    (tmp_path / "site.toml").write_text('[models."*"]\nbackend = "rehearsal"\n')
    common = {"cwd": tmp_path}
    for verb in ("plan", "generate", "judge"):
        made = deepdialogue(verb, quickstart, "--site", "site.toml", "--run", "run", **common)
        assert made.returncode == 0, made.stderr
    before = tree(tmp_path / "run")
    strict = ("decide", "run", "--rule", "unanimous", "--threshold", "naturalness=5")
    looked = deepdialogue(*strict, **common)
    assert looked.returncode == 0, looked.stderr
    assert "Nothing is changed yet" in looked.stdout
    assert tree(tmp_path / "run") == before
    done = deepdialogue(*strict, "--yes", **common)
    assert done.returncode == 0, done.stderr
    changed_files = {name for name, data in tree(tmp_path / "run").items() if before.get(name) != data}
    assert changed_files == {"run.json"}
    refused = deepdialogue("judge", quickstart, "--site", "site.toml", "--run", "run", **common)
    assert refused.returncode == 1
    assert "decide" in refused.stderr
    back = deepdialogue("decide", "run", quickstart, "--yes", **common)
    assert back.returncode == 0, back.stderr
    assert "until 20" in back.stdout
    again = deepdialogue("judge", quickstart, "--site", "site.toml", "--run", "run", **common)
    assert again.returncode == 0, again.stderr
    assert msgspec.json.decode((tmp_path / "run/run.json").read_bytes())["study"] == json.loads(
        before["run.json"]
    )["study"]  # fmt: skip
    wrong = deepdialogue("decide", "run", "--threshold", "naturalness", **common)
    assert wrong.returncode == 2
    assert "write coherence=4" in wrong.stderr


def annotated(folder):
    """A run whose first half of dialogues is good and the rest bad, to one judge and to one person, and one a bit too good."""
    rule = Acceptance(thresholds={"coherence": 4, "safety": 3})
    run = held(folder, small(judges=("rubric-llama",), acceptance=rule, plan=plan(24)))
    draw = random.Random(1)
    with Annotations(run, ["ada"], Wanted(check_every=0)) as store:
        for key, item in store.items("ada").items():
            good = draw.random() < 0.5
            judge = draw.choice([3.0, 4.0]) if good else draw.choice([1.0, 2.0])
            verdict = Verdict(judge="rubric-llama", scores={"coherence": judge, "safety": 5.0})
            run.reviews.append(item.dialogue, Review(id=item.dialogue, verdicts=(verdict,)))
            store.say("ada", key, Opinion(scores={"coherence": 4 if good else 2}))
    return run


def plan(dialogues_per_cell):
    return msgspec.structs.replace(small().plan, dialogues_per_cell=dialogues_per_cell)


def test_calibrate_prints_the_rule_that_people_suggest_ready_to_paste_and_applies_nothing(tmp_path):
    with annotated(tmp_path / "run"):
        pass
    before = tree(tmp_path / "run")
    told = deepdialogue("decide", "run", "--calibrate", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert tree(tmp_path / "run") == before
    block = told.stdout[told.stdout.index("[acceptance]") :].split("\n\n\n")[0].splitlines()
    pasted = "\n".join(line for line in block if line.startswith("[") or " = " in line)
    rule = convert(tomllib.loads(pasted)["acceptance"], Acceptance, "pasted")
    assert rule == Acceptance(thresholds={"coherence": 3, "safety": 3}, rule="mean")
    assert "safety is left as it is: people did not score it." in told.stdout
    assert "1.00" in told.stdout


def test_calibrate_says_who_is_to_be_asked_where_nobody_annotated(tmp_path):
    with judged(tmp_path / "run"):
        pass
    told = deepdialogue("decide", "run", "--calibrate", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert "nobody scored a judged dialogue: `deepdialogue annotate run` asks people" in told.stderr


@pytest.mark.parametrize("more", [["--yes"], ["--rule", "mean"], ["--quorum", "0"], ["quickstart"]])
def test_calibrate_is_not_taken_for_applying_a_rule(tmp_path, more):
    with judged(tmp_path / "run"):
        pass
    told = deepdialogue("decide", "run", *more, "--calibrate", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert "--calibrate prints a rule and applies none" in told.stderr


def test_a_run_without_votes_has_nothing_to_decide_on(tmp_path):
    with held(tmp_path / "run", small()):
        pass
    told = deepdialogue("decide", "run", "--rule", "mean", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert "nothing is judged" in told.stderr
