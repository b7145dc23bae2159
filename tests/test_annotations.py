"""What is asked of whom is pinned, what was said is kept, and nothing that somebody has begun goes to another."""

import json
import os

import msgspec
import pytest

from builder.__main__ import main
from builder.core.agreement import agreement, consensus
from builder.core.annotation import latest
from builder.core.criterion import Criterion
from builder.core.speech import Clip, Recording
from builder.core.verdict import Acceptance, Review, Verdict
from builder.errors import ConfigError, RunError
from builder.people.annotations import (
    Annotations,
    Opinion,
    Wanted,
    annotations,
    heeded,
    planned,
    read_gold,
    standings,
    voices,
)
from tests.commands import tree
from tests.runs import held, small

BOTH = ("anna", "ben")
FIVE = {"coherence": 5, "emotion": 5, "naturalness": 5, "variety": 5, "domain": 5, "safety": 5}


def study(cells=6, **changes):
    plain = small(**{"judges": ()} | changes)
    return msgspec.structs.replace(plain, plan=msgspec.structs.replace(plain.plan, dialogues_per_cell=cells))


@pytest.fixture
def run(tmp_path):
    with held(tmp_path / "run", study()) as run:
        yield run


def record(run, config, ids):
    for id in ids:
        clip = Clip("neutral", "00000.flacs", 0, 1, 1, 0, "")
        clips = (clip,) * len(run.dialogues[id].turns)
        run.recorded(config).append(id, Recording(id, "x", False, "a", "b", 24_000, clips))


def key_of(store, name, dialogue):
    return next(
        key for key, item in store.items(name).items() if item.dialogue == dialogue and not item.check
    )


def test_what_was_said_is_what_agreement_takes_the_latest_of_each(run):
    with Annotations(run, BOTH, Wanted(overlap=12, check_every=0)) as store:
        for name in BOTH:
            for place, (key, item) in enumerate(store.items(name).items()):
                store.say(name, key, Opinion(scores={"coherence": 1}))
                number = sorted(store.plan.sampled).index(item.dialogue)
                scores = {"coherence": 1 + number % 5, "safety": 1 + place % 5}
                store.say(name, key, Opinion(scores=scores, reason="so it is", seconds=2.5))
    said = annotations(run.folder)
    assert latest(said) == said
    assert len(said) == 24 + 12
    found = agreement(said, run.study.seed)
    assert (found["coherence"].alpha.value, found["coherence"].alpha.items) == (1.0, 12)
    assert len(consensus(said)["safety"]) == 24
    assert {(one.annotator, one.seconds, one.reason) for one in said} == {
        (name, 2.5, "so it is") for name in BOTH
    }


def test_everybody_is_asked_what_overlaps_and_the_rest_goes_to_one_each(run):
    with Annotations(run, BOTH, Wanted(sample=20, overlap=4)) as store:
        asked = {
            name: {item.dialogue for item in store.items(name).values() if not item.check} for name in BOTH
        }
    assert (len(asked["anna"]), len(asked["ben"]), len(asked["anna"] & asked["ben"])) == (12, 12, 4)


def test_a_score_is_in_the_file_when_say_returns_and_another_process_may_read_it(run):
    with Annotations(run, BOTH, Wanted()) as store:
        key = next(iter(store.items("anna")))
        store.say("anna", key, Opinion(scores={"coherence": 3}))
        assert [one.scores for one in annotations(run.folder)] == [{"coherence": 3}]
        with pytest.raises(RunError, match="another process serves the annotation of"):
            Annotations(run, BOTH, Wanted())
    with Annotations(run, BOTH, Wanted()) as again:
        assert again.opinion("anna", key) == Opinion(scores={"coherence": 3})
        assert again.opinion("ben", next(iter(again.items("ben")))) == Opinion()


def test_every_opinion_is_on_the_disk_when_say_returns_however_fast_they_come(run, monkeypatch):
    on_disk, fdatasync = {}, os.fdatasync

    def synced(file):
        size = os.fstat(file).st_size
        fdatasync(file)
        on_disk[os.fstat(file).st_ino] = size

    monkeypatch.setattr(os, "fdatasync", synced)
    with Annotations(run, BOTH, Wanted(check_every=3)) as store:
        before = 0
        for key in store.items("anna"):
            store.say("anna", key, Opinion(scores={"coherence": 3}))
            said = [path.stat() for path in (run.folder / "annotations").glob("anna*.jsonl")]
            assert {one.st_ino: one.st_size for one in said}.items() <= on_disk.items()
            assert sum(one.st_size for one in said) > before
            before = sum(one.st_size for one in said)


def test_an_opinion_without_a_score_or_of_what_was_not_asked_is_refused(run):
    with Annotations(run, BOTH, Wanted(overlap=0)) as store:
        key = next(iter(store.items("anna")))
        with pytest.raises(ValueError, match="is empty"):
            store.say("anna", key, Opinion(reason="hm"))
        with pytest.raises(KeyError):
            store.say("ben", key, Opinion(scores=FIVE))
    assert annotations(run.folder) == ()


def test_the_plan_stays_as_it_is_though_the_run_grows(tmp_path):
    with held(tmp_path / "run", study(cells=2)) as run, Annotations(run, BOTH, Wanted(sample=6)) as store:
        before = store.plan
        dialogue = run.dialogues[run.dialogues.ids()[0]]
        new = msgspec.structs.replace(
            dialogue, id=f"phi4-mini/travel_99_{len(dialogue.turns)}", pairing="phi4-mini", domain="travel"
        )
        run.dialogues.append(new.id, new)
    with held(tmp_path / "run", study(cells=2)) as run, Annotations(run, BOTH, Wanted()) as store:
        assert store.plan == before
        assert new.id not in store.plan.sampled


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sample": 7}, "--sample 20, not 7"),
        ({"overlap": 3}, "--overlap 4, not 3"),
        ({"check_every": 5}, "--check-every 20, not 5"),
        ({"spoken": True}, "--spoken False, not True"),
        ({"gold": {}}, "another --gold"),
    ],
)
def test_a_start_with_other_options_is_refused_with_what_differs(run, change, told):
    gold = {run.dialogues.ids()[0]: {"coherence": 5}}
    with Annotations(run, BOTH, Wanted(sample=20, gold=gold)):
        pass
    before = tree(run.folder / "annotations")
    with pytest.raises(RunError, match=rf"plan\.json is pinned to {told}: leave the option out"):
        Annotations(run, BOTH, Wanted(**change))
    assert tree(run.folder / "annotations") == before
    with Annotations(run, BOTH, Wanted(sample=20, overlap=4)) as store:
        assert store.plan.gold == gold


def test_a_newcomer_takes_over_what_nobody_has_begun_and_keys_stay_what_they_were(run):
    with Annotations(run, BOTH, Wanted(overlap=4)) as store:
        keys = {name: store.items(name) for name in BOTH}
        begun = [key for key, item in keys["anna"].items() if not item.check][:7]
        for key in begun:
            store.say("anna", key, Opinion(scores={"coherence": 2}))
        shared = set(store.plan.shared)
    with Annotations(run, ("zoe",), Wanted()) as store:
        assert set(store.plan.dealt) == {"anna", "ben", "zoe"}
        for name in BOTH:
            assert store.items(name).items() <= keys[name].items()
        assert set(begun) <= set(store.items("anna"))
        asked = [
            item.dialogue
            for name in store.plan.dealt
            for item in store.items(name).values()
            if not item.check
        ]
        assert all(asked.count(id) == (3 if id in shared else 1) for id in store.plan.sampled)
        assert len(store.plan.dealt["zoe"]) > 4
    assert len(annotations(run.folder)) == 7


def test_keys_say_nothing_of_the_dialogue_and_are_of_one_annotator_alone(run):
    with Annotations(run, BOTH, Wanted(overlap=24)) as store:
        keys = [*store.items("anna"), *store.items("ben")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)


def test_one_in_so_many_dialogues_hides_a_check_that_a_straight_liner_fails(run):
    with Annotations(run, BOTH, Wanted(overlap=24, check_every=6)) as store:
        items = [*store.items("anna").values()]
        checks = [item for item in items if item.check]
        assert [item.number for item in checks] == [1, 2, 3, 4]
        assert [items.index(item) // 7 for item in checks] == [0, 1, 2, 3]
        for item in checks:
            assert 1 <= item.check.turn <= len(run.dialogues[item.dialogue].turns)
            assert len(set(item.check.expected.values())) == len(item.check.expected) == 2
            for name, score in item.check.expected.items():
                assert f"{score} for {name}" in item.check.instruction
        for number, item in enumerate(checks):
            right = FIVE | item.check.expected
            store.say("anna", item.key, Opinion(scores=right if number else FIVE, seconds=1.0))
        assert store.is_done("anna", checks[0].key)
    assert annotations(run.folder) == ()
    anna, ben = standings(run.folder)
    assert (anna.passed, anna.checks, anna.done) == (3, 4, 0)
    assert (ben.passed, ben.checks, ben.last) == (0, 0, None)


def careless(run, **wanted):
    """Two annotators of all dialogues, of whom the second clicks always the same."""
    with Annotations(run, BOTH, Wanted(overlap=24, check_every=6, **wanted)) as store:
        for name in BOTH:
            for key, item in store.items(name).items():
                right = FIVE | item.check.expected if item.check and name == "anna" else FIVE
                store.say(name, key, Opinion(scores=right, seconds=1.0))


def test_who_fails_every_check_counts_until_somebody_leaves_them_out_and_is_named(run):
    careless(run)
    assert {one.annotator for one in annotations(run.folder)} == {"anna", "ben"}
    assert heeded(run.folder).notes == ("ben failed 4 of 4 attention checks, and 24 answers count.",)
    assert {one.annotator for one in annotations(run.folder, ["ben"])} == {"anna"}
    with pytest.raises(ConfigError, match=r"'bob' is no annotator of .*: known: 'anna', 'ben'"):
        annotations(run.folder, ["bob"])


def test_the_plan_leaves_out_who_passes_too_few_checks_and_keeps_what_they_said(run):
    careless(run, min_checks=0.5)
    assert {one.annotator for one in annotations(run.folder)} == {"anna"}
    assert heeded(run.folder).notes == (
        "ben failed 4 of 4 attention checks: left out by min_checks = 0.5, which costs 24 answers.",
    )
    with pytest.raises(RunError, match=r"pinned to --min-checks 0.5, not 0.9"):
        careless(run, min_checks=0.9)
    # Whoever comes later is dealt nothing that somebody has begun, counted or not.
    with Annotations(run, ["cid"], Wanted()) as store:
        assert store.plan.dealt["ben"]
    assert len((run.folder / "annotations" / "ben.jsonl").read_bytes().splitlines()) > 24


def test_a_plan_older_than_min_checks_counts_everybody(run):
    careless(run)
    path = run.folder / "annotations" / "plan.json"
    plan = json.loads(path.read_bytes())
    del plan["min_checks"]
    path.write_text(json.dumps(plan))
    assert {one.annotator for one in annotations(run.folder)} == {"anna", "ben"}


def test_every_verb_that_shows_what_people_said_names_who_failed_and_leaves_out_whom_it_is_told(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "300")
    plain = study(judges=("rubric-llama",), acceptance=Acceptance(thresholds={"coherence": 3}))
    with held(tmp_path / "run", plain) as run:
        for place, id in enumerate(run.dialogues.ids()):
            verdict = Verdict(judge="rubric-llama", scores={"coherence": 1.0 + place % 5})
            run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
        careless(run)
    folder, said = str(run.folder), "ben failed 4 of 4 attention checks"
    for verb in (
        ["annotate", folder, "--progress"],
        ["decide", folder, "--calibrate"],
        ["report", folder, "--only", "agreement", "--out", str(tmp_path / "report")],
    ):
        assert main(verb) == 0
        assert f"{said}, and 24 answers count." in capsys.readouterr().out, verb
        assert main([*verb, "--without", "ben"]) == 0
        out = capsys.readouterr().out
        assert f"{said}: left out as asked, which costs 24 answers." in out, verb
        assert main([*verb, "--without", "bob"]) != 0
        assert "'bob' is no annotator" in capsys.readouterr().err


def test_checks_hide_in_dialogues_that_are_not_asked_about_as_long_as_there_are_some(run):
    with Annotations(run, BOTH, Wanted(sample=10, check_every=2)) as store:
        hidden = {id for ids in store.plan.checks.values() for id in ids}
        assert hidden
        assert not hidden & set(store.plan.sampled)


def test_gold_is_asked_of_everybody_and_counts_for_the_sample_only_where_it_is_of_it(run):
    with Annotations(run, BOTH, Wanted(sample=10, overlap=0, check_every=0)) as store:
        sampled = store.plan.sampled
    inside, outside = sampled[0], next(id for id in run.dialogues.ids() if id not in sampled)
    (run.folder / "annotations" / "plan.json").unlink()
    gold = {inside: {"coherence": 4, "safety": 1}, outside: {"coherence": 2}}
    with Annotations(run, BOTH, Wanted(sample=10, overlap=0, check_every=0, gold=gold)) as store:
        for name in BOTH:
            for id in gold:
                store.say(name, key_of(store, name, id), Opinion(scores=FIVE, seconds=8.0))
    assert {one.id for one in annotations(run.folder)} == {inside}
    anna, _ = standings(run.folder)
    assert (anna.near, anna.golden, anna.done, anna.median_s) == (1, 3, 2, 8.0)
    assert anna.last is not None


@pytest.mark.parametrize(
    ("gold", "told"),
    [
        ({"phi4-mini/travel_1_99": {"coherence": 3}}, "'phi4-mini/travel_1_99'.* holds none of that id"),
        ({None: {"coherense": 3}}, "'coherense': did you mean 'coherence'"),
    ],
)
def test_gold_that_refers_to_what_is_not_there_is_refused_and_pins_nothing(run, gold, told):
    known = {id or run.dialogues.ids()[0]: scores for id, scores in gold.items()}
    with pytest.raises(ConfigError, match=told):
        Annotations(run, BOTH, Wanted(gold=known))
    assert planned(run.folder) is None


def test_gold_is_lines_of_json_and_what_is_not_is_named_by_its_line(tmp_path):
    path = tmp_path / "gold.jsonl"
    good = json.dumps({"id": "a/b_1_3", "scores": {"coherence": 4}})
    path.write_text(f"{good}\n\n")
    assert read_gold(path) == {"a/b_1_3": {"coherence": 4}}
    for bad in ('{"id": "x"}', '{"id": "x", "scores": {"coherence": 6}}', "x"):
        path.write_text(f"{good}\n{bad}\n")
        with pytest.raises(ConfigError, match=r"gold\.jsonl, line 2: "):
            read_gold(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_gold(tmp_path / "none.jsonl")


def test_people_score_what_the_studys_rubric_judges_score(tmp_path):
    mine = {
        "wit": Criterion(question="is it funny?", one="no", three="so so", five="yes"),
        "pace": "how fast is it?",
    }
    judge = small(judges=("rubric-llama",)).judges["rubric-llama"] | {"criteria": msgspec.to_builtins(mine)}
    changed = msgspec.structs.replace(study(), judges={"wits": judge | {"judge": "rubric"}})
    with held(tmp_path / "run", changed) as run, Annotations(run, BOTH, Wanted()) as store:
        assert store.plan.criteria == mine
    assert planned(run.folder).criteria == mine


def test_without_a_rubric_judge_people_score_the_shipped_criteria(run):
    with Annotations(run, BOTH, Wanted()) as store:
        assert [*store.plan.criteria] == [*FIVE]
        assert store.plan.criteria["emotion"].each_turn


def test_what_was_judged_is_sampled_whether_it_was_accepted_or_rejected(tmp_path):
    with held(tmp_path / "run", study(judges=("length",))) as run:
        judged = run.dialogues.ids()[:10]
        for place, id in enumerate(judged):
            verdict = Verdict(judge="length", scores={"accept": float(place % 2)})
            run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
        with Annotations(run, BOTH, Wanted()) as store:
            assert set(store.plan.sampled) == set(judged)


def test_a_voice_is_offered_only_where_all_that_is_asked_can_be_heard(tmp_path):
    with held(tmp_path / "run", study()) as run:
        ids = run.dialogues.ids()
        record(run, "xtts", ids)
        record(run, "orpheus", ids[:9])
        with Annotations(run, BOTH, Wanted()) as store:
            assert voices(run, store.plan) == ("xtts",)
        (run.folder / "annotations" / "plan.json").unlink()
        with Annotations(run, BOTH, Wanted(spoken=True)) as store:
            assert set(store.plan.sampled) == set(ids[:9])
            assert set(voices(run, store.plan)) == {"xtts", "orpheus"}


def test_nothing_to_annotate_and_nobody_asked_are_said(run, tmp_path):
    with pytest.raises(RunError, match="nobody annotates it yet: `deepdialogue annotate "):
        standings(run.folder)
    assert annotations(run.folder) == ()
    with pytest.raises(RunError, match="holds no dialogue with a recording in every config"):
        Annotations(run, BOTH, Wanted(spoken=True))


def test_a_plan_of_another_version_is_an_error_and_not_a_new_plan(run):
    with Annotations(run, BOTH, Wanted()):
        pass
    path = run.folder / "annotations" / "plan.json"
    path.write_text(path.read_text().replace('"seed"', '"sede"'))
    with pytest.raises(RunError, match=r"plan\.json: cannot be read by this version"):
        Annotations(run, BOTH, Wanted())
