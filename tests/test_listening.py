"""What the listening study promises: a plan that stays, answers that are never lost, and figures that can be checked by hand."""

import csv
import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import msgspec
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from builder.__main__ import main
from builder.core.listening import Answer, Spoken, Trial
from builder.errors import ConfigError, RunError
from builder.people.listening import CANNOT_TELL, Plan, found, results
from builder.run.folder import Run
from builder.run.ledger import Ledger
from tests.listened import CONFIGS, opened, replied, say, speak, study
from tests.runs import held

CLASSES = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@pytest.fixture
def run(tmp_path):
    with held(tmp_path / "run", study()) as run:
        speak(run)
        yield run


def test_a_listener_goes_on_where_the_answers_end(run):
    with opened(run, trials=12) as listening:
        assert listening.total("ash") == 13
        assert [say(listening) for _ in range(5)] == [1, 2, 3, 4, 5]
        before = listening.plan
    with opened(run) as listening:
        assert (listening.plan, listening.following("ash"), listening.answered("ash")) == (before, 6, 5)
        for _ in range(8):
            say(listening)
        assert listening.following("ash") is None


def test_an_answer_is_on_the_disk_before_it_counts(run, monkeypatch):
    calls = []
    monkeypatch.setattr("builder.run.ledger.os.fdatasync", calls.append)
    with opened(run, trials=12) as listening:
        path = run.folder / "listening" / "ash.jsonl"
        for number in range(1, 4):
            calls.clear()
            say(listening)
            assert calls
            assert path.read_bytes().count(b"\n") == 1 + number


def test_the_first_answer_to_a_trial_counts(run):
    with opened(run, trials=12) as listening:
        say(listening, prefers="a")
        listening.answer("ash", replied(1, prefers="b"))
        assert listening.answered("ash") == 1
    with Ledger(run.folder / "listening" / "ash.jsonl", Answer, writable=False) as ledger:
        assert [one.prefers for one in ledger.lines()] == ["a"]


def test_of_answers_from_many_tabs_at_once_one_counts(run):
    with opened(run, trials=12) as listening, ThreadPoolExecutor(8) as tabs:
        list(tabs.map(lambda tab: listening.answer("ash", replied(1, seconds=tab)), range(64)))
    with Ledger(run.folder / "listening" / "ash.jsonl", Answer, writable=False) as ledger:
        assert len(list(ledger.lines())) == 1


def test_an_answer_out_of_turn_of_no_choice_or_not_heard_is_refused(run):
    with opened(run, trials=12) as listening:
        with pytest.raises(ValueError, match="trial 2 is not the next of 'ash'"):
            listening.answer("ash", replied(2))
        with pytest.raises(ValueError, match="'hapy' is none of the choices: did you mean 'happy'"):
            say(listening, heard=("sad", "hapy"))
        with pytest.raises(ValueError, match="play A and B to their end first"):
            say(listening, played=(True, False))
        assert listening.answered("ash") == 0


def test_a_clip_is_the_one_that_the_plan_says_and_only_of_the_next_trial(run):
    with opened(run, trials=12) as listening:
        sides = []
        for number, trial in enumerate(listening.plan.listeners["ash"], 1):
            for side, config in (("a", trial.a), ("b", trial.b)):
                clip = run.recordings[config][trial.spoken.id].clips[trial.spoken.turn - 1]
                heard = listening.clip("ash", number, side)
                assert heard == run.audio(config).read(clip.file, clip.offset, clip.num_bytes)
            sides.append(listening.clip("ash", number, "a") == listening.clip("ash", number, "b"))
            with pytest.raises(LookupError):
                listening.clip("ash", number + 1, "a")
            say(listening)
        assert sides == [trial.is_check for trial in listening.plan.listeners["ash"]]
        assert sum(sides) == 1


def test_a_plan_stays_when_the_run_grows_and_a_new_listener_shares_its_trials(tmp_path):
    with held(tmp_path / "run", study()) as run:
        speak(run, only=slice(16))
        with opened(run, trials=20, overlap=0.5) as listening:
            before = listening.plan
        speak(run, only=slice(16, None))
    with Run(tmp_path / "run", writable=False) as run, opened(run, "ash", "birch") as listening:
        plan = listening.plan
    assert plan.listeners["ash"] == before.listeners["ash"]
    assert plan.shared == before.shared
    ash, birch = ({trial.spoken for trial in plan.listeners[name]} for name in ("ash", "birch"))
    assert set(plan.shared) <= ash & birch
    grown = set(run.dialogues.ids()[16:])
    assert grown & {one.id for one in birch}


def test_the_choices_are_the_acted_classes_of_the_vocabulary_or_its_emotions(run):
    vocabulary = run.study.vocabulary
    with opened(run) as listening:
        assert set(listening.plan.choices) == set(vocabulary.ravdess().values())
        assert (listening.plan.configs, listening.plan.trials) == (CONFIGS, 200)
        assert len(listening.plan.shared) == 40


def test_every_emotion_may_be_asked_for(run):
    with opened(run, labels="emotions") as listening:
        assert listening.plan.choices == tuple(sorted(run.study.vocabulary.emotions))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"trials": 30},
            r"begun with trials 12, now 30 is asked for: leave --trials out, or move .*listening away",
        ),
        ({"configs": ("orpheus", "xtts")}, r"with configs xtts orpheus, now orpheus xtts is asked for"),
        ({"labels": "emotions"}, r"with labels ravdess, now emotions"),
        ({"overlap": 0.0}, r"with overlap 0\.2, now 0\.0"),
    ],
)
def test_another_study_in_the_place_of_the_one_begun_is_refused(run, wanted, message):
    opened(run, trials=12).__exit__(None, None, None)
    with pytest.raises(RunError, match=message):
        opened(run, **wanted)
    with opened(run, trials=12, overlap=0.2, configs=CONFIGS, labels="ravdess") as listening:
        assert listening.plan.trials == 12


def test_a_second_server_of_one_study_is_refused(run):
    with opened(run), pytest.raises(RunError, match=r"another process serves the listening study of .*run"):
        opened(run)


def test_what_cannot_be_compared_is_named(tmp_path, run):
    with pytest.raises(ConfigError, match=r"no recordings of config 'xts': did you mean 'xtts'\?"):
        opened(run, configs=("orpheus", "xts"))
    with pytest.raises(ConfigError, match="configs are 'xtts' twice"):
        opened(run, configs=("xtts", "xtts"))
    with held(tmp_path / "other", study()) as other:
        speak(other, configs=("xtts",), only=slice(2))
        with pytest.raises(RunError, match=r"recordings of 1 configs \['xtts'\], and two are compared"):
            opened(other)
        speak(other, configs=("orpheus",), only=slice(2, 4))
        with pytest.raises(RunError, match="no dialogue is spoken by both xtts and orpheus"):
            opened(other)


def test_a_plan_that_cannot_be_read_is_named(run):
    (run.folder / "listening").mkdir()
    (run.folder / "listening" / "plan.json").write_text("{}")
    with pytest.raises(RunError, match=r"listening/plan\.json: cannot be read by this version"):
        opened(run)


def asked(dialogues, listeners=("ash",), labels="ravdess"):
    """A plan of one turn for each dialogue, the acted classes one after the other, the same for every listener."""
    trials = tuple(
        Trial(
            spoken=Spoken(
                id=f"llama3-8B/travel_{number}_3",
                turn=2,
                emotion=f"very {CLASSES[number % 7]}",
                ravdess=CLASSES[number % 7],
            ),
            a=CONFIGS[number % 2],
            b=CONFIGS[1 - number % 2],
        )
        for number in range(dialogues)
    )
    choices = CLASSES if labels == "ravdess" else tuple(sorted(f"very {name}" for name in CLASSES))
    return Plan(
        configs=CONFIGS,
        labels=labels,
        choices=choices,
        trials=dialogues,
        overlap=1.0,
        shared=(),
        listeners=dict.fromkeys(listeners, trials),
    )


def given(plan, listener, say):
    """The answers of a listener; `say` gives, of a trial, label and naturalness by config, and the config preferred."""
    answers = []
    for number, trial in enumerate(plan.listeners[listener], 1):
        labels, marks, preferred = say(number, trial.spoken)
        sides = trial.a, trial.b
        answers.append(
            Answer(
                id=str(number),
                trial=trial,
                heard=tuple(labels[side] for side in sides),
                naturalness=tuple(marks[side] for side in sides),
                prefers="none" if preferred is None else "ab"[sides.index(preferred)],
                seconds=number,
            )
        )
    return answers


def one_right_one_happy(number, spoken):
    """Hears what was intended in xtts, and happiness in all of orpheus; is undecided every fourth time."""
    labels = {"xtts": spoken.ravdess, "orpheus": "happy"}
    return labels, {"xtts": 4, "orpheus": 1 + number % 3}, None if number % 4 == 0 else "xtts"


def figure(results, what, group="", config=""):
    (one,) = (
        one
        for one in results.results
        if (one.what, one.group) == (what, group) and config in {one.config, ""}
    )
    return one


def told(plan, answers, **how):
    return found(plan, answers, 2505, **{"rehearsal": False} | how)


def test_what_was_heard_is_counted_by_config_whichever_side_it_was_on():
    plan = asked(210)
    whole = told(plan, {"ash": given(plan, "ash", one_right_one_happy)})
    right, happy = (figure(whole, "recognition", config=config) for config in CONFIGS)
    assert (right.value, right.answers, right.dialogues) == (1, 210, 210)
    assert right.interval[1:3] == pytest.approx(proportion_confint(210, 210, method="wilson"))
    assert happy.value == pytest.approx(30 / 210)
    assert happy.interval[1:3] == pytest.approx(proportion_confint(30, 210, method="wilson"))
    assert figure(whole, "naturalness", config="xtts").value == 4
    assert figure(whole, "naturalness", config="orpheus").value == 2
    assert figure(whole, "difference").value == 2
    assert {one.config: one.counts[CLASSES.index("sad")] for one in whole.confusions} == {
        "xtts": (0, 0, 30, 0, 0, 0, 0, 0),
        "orpheus": (0, 30, 0, 0, 0, 0, 0, 0),
    }
    assert whole.confusions[0].heard == (*CLASSES, CANNOT_TELL)


def test_a_label_that_is_always_chosen_is_recognised_by_chance_alone():
    plan = asked(210)
    whole = told(plan, {"ash": given(plan, "ash", one_right_one_happy)})
    happy, sad = (figure(whole, "recognition", group, "orpheus") for group in ("happy", "sad"))
    assert (happy.value, happy.chance) == (1, 1)
    assert (sad.value, sad.chance) == (0, 0)
    assert figure(whole, "recognition", config="orpheus").chance == pytest.approx(1 / 7)
    right = figure(whole, "recognition", "sad", "xtts")
    assert (right.value, right.chance) == (1, pytest.approx(1 / 7))


def test_preference_leaves_ties_out_and_counts_them():
    plan = asked(210)
    whole = told(plan, {"ash": given(plan, "ash", one_right_one_happy)})
    one = figure(whole, "preference")
    assert (one.config, one.value, one.answers, one.ties) == ("xtts", 1, 158, 52)
    assert one.p == pytest.approx(2 / 2**158)


def test_of_fewer_than_ten_dialogues_there_is_a_reason_and_no_number():
    plan = asked(9, listeners=("ash", "birch"))
    answers = {name: given(plan, name, one_right_one_happy) for name in plan.listeners}
    whole = told(plan, answers)
    assert {one.value for one in whole.results} == {None}
    one = figure(whole, "recognition", config="xtts")
    assert (one.answers, one.dialogues, one.low, one.high, one.chance) == (18, 9, None, None, None)
    assert one.reason == "too few: 9 dialogues, and at least 10 are needed"
    assert figure(whole, "preference").p is None


def test_nothing_answered_yet_is_said():
    whole = told(asked(9), {"ash": []})
    assert {one.reason for one in whole.results} == {"too few: 0 dialogues, and at least 10 are needed"}
    assert whole.listeners[0].seconds is None


def test_two_listeners_who_say_the_same_of_the_same_turns_are_as_sure_as_one():
    def say(number, spoken):
        labels = {"xtts": spoken.ravdess if number % 3 else "neutral", "orpheus": None}
        return labels, {"xtts": 1 + number % 5, "orpheus": 1 + number % 4}, CONFIGS[number % 5 > 1]

    plan = asked(140, listeners=("ash", "birch"))
    once = told(plan, {"ash": given(plan, "ash", say)})
    twice = told(plan, {name: given(plan, name, say) for name in plan.listeners})
    for one, both in zip(once.results, twice.results, strict=True):
        assert both.value == pytest.approx(one.value)
        assert both.interval[:3] == pytest.approx(one.interval[:3])
        assert (both.p, both.answers) == (one.p, 2 * one.answers)
    assert twice.agreement["label heard, xtts"].value == 1
    assert twice.agreement["preference"].value == 1
    assert once.agreement["preference"].value is None


def test_the_interval_of_a_mean_is_what_the_normal_law_gives_for_independent_dialogues():
    draw = np.random.default_rng(1)
    marks = draw.integers(1, 6, 400)
    plan = asked(400)
    answers = given(
        plan,
        "ash",
        lambda n, _: ({"xtts": None, "orpheus": None}, {"xtts": int(marks[n - 1]), "orpheus": 3}, None),
    )
    one = figure(told(plan, {"ash": answers}), "naturalness", config="xtts")
    reach = 1.96 * marks.std() / 20
    assert one.value == pytest.approx(marks.mean())
    assert (one.low, one.high) == pytest.approx((marks.mean() - reach, marks.mean() + reach), abs=0.02)


def test_emotions_may_be_what_is_recognised():
    def say(_, spoken):
        return {"xtts": spoken.emotion, "orpheus": None}, {"xtts": 3, "orpheus": 3}, None

    plan = asked(70, labels="emotions")
    whole = told(plan, {"ash": given(plan, "ash", say)})
    assert figure(whole, "recognition", config="xtts").value == 1
    assert figure(whole, "recognition", "very sad", "xtts").value == 1
    assert figure(whole, "recognition", config="orpheus").value == 0
    assert whole.confusions[0].intended == plan.choices


def test_checks_are_counted_and_count_for_nothing_else():
    plan = asked(20)
    same = tuple(Trial(spoken=trial.spoken, a="xtts", b="xtts") for trial in plan.listeners["ash"][:4])
    plan = msgspec.structs.replace(plan, listeners={"ash": plan.listeners["ash"] + same})
    answers = given(asked(20), "ash", one_right_one_happy)
    for number, trial in enumerate(same, 21):
        prefers = "a" if number == 22 else "none"
        answers.append(Answer(str(number), trial, ("sad", "sad"), (1, 1), prefers, 1))
    whole = told(plan, {"ash": answers})
    (ash,) = whole.listeners
    assert (ash.answered, ash.trials, ash.checks, ash.passed) == (24, 24, 4, 3)
    assert figure(whole, "naturalness", config="xtts").answers == 20


def test_the_results_are_those_of_the_ledgers_without_whom_one_leaves_out(run):
    with opened(run, "ash", "birch", trials=12) as listening:
        for _ in range(13):
            say(listening, "ash", naturalness=(5, 5))
            say(listening, "birch", naturalness=(1, 1))
    whole = results(run)
    assert [one.name for one in whole.listeners] == ["ash", "birch"]
    assert figure(whole, "naturalness", config="xtts").value == 3
    assert figure(results(run, ["birch"]), "naturalness", config="xtts").value == 5
    with pytest.raises(ConfigError, match=r"'brch' is no listener of .*: did you mean 'birch'\?"):
        results(run, ["brch"])


def test_a_listener_who_fails_checks_is_named_and_left_out_by_the_plan(run, capsys):
    for min_checks, names, note in (
        (None, ["ash", "birch"], r"birch failed (\d) of \1 attention checks, and \d+ answers count\."),
        (
            0.5,
            ["ash"],
            r"birch failed (\d) of \1 .*: left out by min_checks = 0\.5, which costs \d+ answers\.",
        ),
    ):
        with opened(run, "ash", "birch", trials=20, min_checks=min_checks) as listening:
            while listening.following("ash"):
                say(listening, "ash", prefers="none")
                say(listening, "birch", prefers="a")
        found = results(run)
        assert [one.name for one in found.listeners] == names
        assert re.fullmatch(note, found.notes[0])
        assert main(["listen", str(run.folder), "--results"]) == 0
        assert found.notes[0] in capsys.readouterr().out.replace("\n", " ")
        shutil.rmtree(run.folder / "listening")


def test_a_run_nobody_listens_to_has_no_results(run):
    with pytest.raises(RunError, match=r"has no listening study yet: `deepdialogue listen .*run` begins one"):
        results(run)


def test_the_command_prints_the_results_and_writes_them(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with opened(run, trials=40) as listening:
        for number in range(42):
            say(listening, heard=("happy", "sad"), prefers="ab"[number % 2])
    table, whole = tmp_path / "listening.csv", tmp_path / "listening.json"
    for out in (table, whole):
        assert main(["listen", str(run.folder), "--results", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for said in (
        "xtts against orpheus",
        "checks passed",
        "chance",
        "Krippendorff",
        "too few: fewer than 10 dialogues",
        CANNOT_TELL,
    ):
        assert said in printed
    rows = list(csv.DictReader(table.read_text().splitlines()))
    read = json.loads(whole.read_text())
    assert len(rows) == len(read["results"])
    first = rows[0]
    assert (first["what"], first["kind"], first["answers"]) == ("recognition", "all", "40")
    assert [float(first["low"]), float(first["high"])] == [read["results"][0][end] for end in ("low", "high")]
    heard = Counter(one["what"] for one in rows)
    assert heard["recognition"] == heard["naturalness"] == 2 * heard["difference"]
    naturalness = [
        float(one["value"]) for one in rows if (one["what"], one["kind"]) == ("naturalness", "all")
    ]
    assert fmean(naturalness) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--results", "--out", "listening.txt"],
            "--out listening.txt: name a file that ends in .csv or .json",
        ),
        (["--trials", "0"], "key 'trials' is 0"),
        (["--overlap", "1.5"], "key 'overlap' is 1.5"),
        (["--configs", "xtts", "tts"], "no recordings of config 'tts': did you mean 'xtts'?"),
    ],
)
def test_what_the_command_cannot_use_is_one_line(run, arguments, message, capsys, monkeypatch):
    monkeypatch.setenv("DEEPDIALOGUE_ANNOTATORS", "ash:long-enough")
    assert main(["listen", str(run.folder), *arguments]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_the_command_says_who_must_be_named_to_listen(run, capsys, monkeypatch):
    monkeypatch.delenv("DEEPDIALOGUE_ANNOTATORS", raising=False)
    assert main(["listen", str(run.folder)]) == 1
    assert "DEEPDIALOGUE_ANNOTATORS" in capsys.readouterr().err
