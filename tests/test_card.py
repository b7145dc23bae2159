"""What the card promises: figures that add up, and Markdown that no name, prompt or server can break."""

import asyncio
import json
import re
from collections import defaultdict
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from builder.core.bias import bias
from builder.core.licence import non_commercial
from builder.core.markdown import markdown
from builder.core.part import Part
from builder.core.speech import Measured
from builder.core.verdict import Abstention, Acceptance, Review, Verdict
from builder.core.version import Release, with_versions, without_versions
from builder.core.vocabulary import Pairing
from builder.dataset.manifest import describe, read_manifest
from builder.dataset.validation import validate
from builder.evidence.card import front_matter
from builder.evidence.panel import asked, panel, told
from builder.people.annotations import Annotations, Opinion, Wanted
from builder.run.failures import Failure
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.stages.judge import judge
from builder.stages.package import package
from tests.commands import tree
from tests.heard import heard, measured, speak
from tests.marked import marked
from tests.runs import held, small


def card(run):
    asyncio.run(package(run))
    return (run.out / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def drawing(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("builder.evidence.gallery.LIBRARY", "matplotlib")


def test_what_failed_is_counted_where_it_failed_and_what_is_owed_is_not_called_a_failure(tmp_path):
    study = small(judges=())
    with held(tmp_path / "run", study) as run:
        for number, boundary in enumerate(("reply", "reply", "endpoint")):
            scenario = run.scenarios[run.scenarios.ids()[number]]
            id = scenario.id.replace(f"_{len(scenario.emotions)}", f"7_{len(scenario.emotions)}")
            run.scenarios.append(id, msgspec.structs.replace(scenario, id=id))
            run.failures.of("generate").append(id, Failure(id=id, boundary=boundary, message="no"))
        owed = id.replace("7_", "77_")
        run.scenarios.append(owed, msgspec.structs.replace(run.scenarios[id], id=owed))
        text = " ".join(card(run).split())
    assert (
        "12 dialogues were planned and 8 held; 1 failed at the boundary `endpoint`; 2 failed because" in text
    )
    assert "in every attempt; 1 are still to be held. Of the 8 dialogues, 8 were accepted" in text


def test_dialogues_that_nobody_judged_yet_are_counted_as_such(tmp_path):
    with held(tmp_path / "run", small()) as run:
        ids = run.dialogues.ids()
        asyncio.run(judge(run))
        reviews = [run.reviews[id] for id in ids[:6]]
        run.reviews.own.path.unlink()
    with held(tmp_path / "run", small()) as run:
        for review in reviews:
            run.reviews.append(review.id, review)
        text = " ".join(card(run).split())
    assert "Of the 8 dialogues, 6 were accepted (75.0 %), 0 rejected, 0 left undecided" in text
    assert "2 not judged yet" in text


def shown(text):
    """The card as a reader of Markdown shows it: its elements, and by kind the words in them."""
    head, _, body = text.partition("\n---\n")
    words = defaultdict(list)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    for token in tokens:
        words[token.type].append(token.content)
        for inner in token.children or ():
            words[inner.type].append(inner.attrGet("src") or inner.content)
    cells = [token.type for token in tokens if token.type in {"tr_open", "th_open", "td_open", "table_open"}]
    tables = [
        [len(row.split()) for row in table.split("tr_open")[1:]]
        for table in " ".join(cells).split("table_open")[1:]
    ]
    said = ["".join(inner.content for inner in token.children) for token in tokens if token.type == "inline"]
    return yaml.safe_load(head), words, tables, "\n".join(said)


@pytest.mark.parametrize(
    "hostile",
    [
        "a|b `c` <script>alert(1)</script> [x](javascript:alert(1)) ![](http://evil.example/x.png) &lt; *d* _e_ ~f~ #1 @lab",
        "yes: *a &b !!python/object:x \n---\n# x\n| a |\n|---|\n<!-- \u2028- y\t``\n## Cite\n{{ 7 * 7 }}{% raw %} \x1b[2J\n```",
    ],
)
def test_whatever_a_study_a_server_and_a_person_call_things_the_card_shows_their_words_and_nothing_more(
    tmp_path, hostile, drawing
):
    study = small(judges=())
    vocabulary = study.vocabulary

    def named(name):
        return f"{name} {hostile}"

    study = msgspec.structs.replace(
        study,
        title=named("title"),
        licence=named("licence"),
        script=msgspec.structs.replace(study.script, system=f"{study.script.system}\n{hostile}\n"),
        judges={named("judge"): {"judge": "length"}},
        acceptance=Acceptance(thresholds={named("criterion"): 3.0}, weights={named("judge"): 0.5}),
        vocabulary=msgspec.structs.replace(
            vocabulary,
            emotions={
                named(name): msgspec.structs.replace(one, successors=tuple(map(named, one.successors)))
                for name, one in vocabulary.emotions.items()
            },
            domains={
                name: msgspec.structs.replace(one, emotions=tuple(map(named, one.emotions)))
                for name, one in vocabulary.domains.items()
            },
            models={
                named(name): msgspec.structs.replace(one, hub_id=named("hub"), revision=named("revision"))
                for name, one in vocabulary.models.items()
            },
            pairings={
                name: Pairing(first=named(one.first), second=named(one.second))
                for name, one in vocabulary.pairings.items()
            },
        ),
    )
    with held(tmp_path / "run", study, checkpoint=named("checkpoint")) as run:
        with Recorder(run.audio("xtts"), run.recorded("xtts")) as recorder:
            for id in run.dialogues.ids():
                speak(recorder, run, id, [named("check")], named("engine"), (named("voice"), named("voice")))
        for id in run.dialogues.ids():
            verdict = Verdict(judge=named("judge"), scores={named("criterion"): 4.0})
            run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
        run.reviews.append(
            id,
            Review(id=id, verdicts=(), abstentions=(Abstention(judge=named("judge"), reason=named("no")),)),
        )
        scenario = run.scenarios[id]
        lost = re.sub(r"_(\d+)_", r"_9\1_", id)
        run.scenarios.append(lost, msgspec.structs.replace(scenario, id=lost))
        run.failures.of("generate").append(lost, Failure(id=lost, boundary=named("boundary"), message="no"))
        for id in run.recordings["xtts"].ids():
            measures = {named("measure"): named("reason")}
            run.measured("xtts").append(id, Measured(id=id, clips=(), done=(), not_run=measures))
        text = card(run)
    head, words, tables, said = shown(text)
    assert (head["pretty_name"], head["license"]) == (named("title"), named("licence"))
    (emotion,) = {
        feature["dtype"]["class_label"]["names"]["0"]
        for info in head["dataset_info"]
        for turns in info["features"] if turns["name"] == "turns"
        for feature in turns["list"] if feature["name"] == "emotion"
    }  # fmt: skip
    assert emotion == named("amused")
    assert not words["html_inline"]
    assert all(
        re.fullmatch(r"(<details><summary>[\w ,]+</summary>|</details>)\n", one)
        for one in words["html_block"]
    )
    assert not words["link_open"]
    assert all(re.fullmatch(r"figures/\w+\.png", source) for source in words["image"])
    assert all(len({*rows}) == 1 for rows in tables)
    assert len(tables) > 8
    flat = re.sub("[\x00-\x1f]", "\ufffd", " ".join(hostile.split()))
    for name in (
        "title", "licence", "judge", "criterion", "happy", "phi4-mini", "hub", "revision", "checkpoint", "engine", "boundary",
        "measure", "reason", "check", "undecided: criterion",
    ):  # fmt: skip
        assert f"{name} {flat}" in said, name
    (system, *_) = [fence for fence in words["fence"] if fence.startswith(study.script.system[:20])]
    assert re.sub(r"\s|\ufffd|\x1b", "", hostile) in re.sub(r"\s|\ufffd", "", system)
    releases = [Release(version="1.0.0", step="major", changes=(named("label"),), source="x")]
    told = with_versions(text, releases, "load()")
    assert f"label {flat}" in shown(told)[3]
    assert shown(told)[1]["fence"][-1] == shown(text)[1]["fence"][-1]
    assert without_versions(told) == text
    json.loads((run.out / "croissant.json").read_bytes())


@pytest.mark.parametrize(
    "value",
    [
        "yes", "No", "null", "~", "", " a ", "1e3", "0o17", "0x1f", "1_000", ".5", "2026-11-30", "12:30:00", "a: b",
        "a #b", "# a",
        "---", "- a", "!!python/object:os.system x", "*a", "&a", "%a", "@a", "`a`", "{a}", "[a]", "|", ">",
        "a\n---\nb", "a\u2028b",
        "a\x85b", "\ta", "\x07", "\ufeffa", "é 高 😀", "'", '"', "\\", "a" * 500, "=", "<<", "cc-by-nc-4.0", "1K<n<10K",
        "social_media",
    ],
)  # fmt: skip
def test_a_string_in_the_cards_yaml_is_that_string_on_one_line(value):
    written = front_matter({"title": value, value: [value, {"0": value}]})
    assert yaml.safe_load(written) == {"title": value, value: [value, {"0": value}]}
    assert len(written.splitlines()) == 4


# Does the emotion reach the sound?

SECTION = "## Does the emotion reach the sound?"


def table(text):
    """The rows of the first table of the section, by the name of the number."""
    (table,) = re.findall(r"^\| number .*\n\|[-:|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return {
        cells[0].strip("`"): cells[1:]
        for cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines())
    }


def test_an_emotion_that_reaches_the_sound_is_on_the_card_with_its_interval_and_clips(tmp_path):
    with measured(heard(tmp_path / "run"), effect=3.0) as run:
        text = card(run)
        turns = [
            (turn.emotion, clip["level_db"])
            for record in run.measured("xtts")
            for turn, clip in zip(run.dialogues[record.id].turns, record.clips, strict=True)
        ]
    assert "7 of 7 recordings were measured." in text
    clips, mean, sd, emotion, absent, acted, arousal = table(text)["level_db"]
    levels = [level for _, level in turns]
    assert (clips, mean, sd) == (str(len(turns)), f"{np.mean(levels):.2f}", f"{np.std(levels, ddof=1):.2f}")
    assert emotion == acted == arousal, "here they are the same clips"
    assert absent == "–", "nobody is excited"
    g, low, high, angry, sad = map(float, re.findall(r"[-+]?[\d.]+", emotion))
    assert 0 < low < g < high
    assert (angry, sad) == tuple(sum(emotion == one for emotion, _ in turns) for one in ("angry", "sad"))


def test_an_emotion_that_does_not_reach_the_sound_is_said_not_to(tmp_path):
    with measured(heard(tmp_path / "run", emotions=("excited", "relaxed"))) as run:
        cells = table(card(run))["level_db"]
    _, low, high, *_ = map(float, re.findall(r"[-+]?[\d.]+", cells[4]))
    assert low < 0 < high
    assert cells[3] == cells[5] == "–"


def test_what_was_not_measured_is_not_on_the_card(tmp_path):
    with heard(tmp_path / "run") as run:
        text = card(run)
        assert not (run.folder / "measures").exists(), "to ask makes no ledger"
    assert SECTION not in text
    assert "Does the emotion" not in text


def test_clips_that_were_spoken_again_and_dialogues_that_could_not_be_are_counted_by_reason(tmp_path):
    with heard(tmp_path / "run", spoken_again=("pace", "tail", "pace")) as run:
        *_, last = run.dialogues.ids()
        for id, boundary in ((last, "check"), (run.recordings["xtts"].ids()[0], "endpoint")):
            run.failures.of("synthesize-xtts").append(id, Failure(id=id, boundary=boundary, message="no"))
        num_clips = sum(len(recording.clips) for recording in run.recordings["xtts"])
        text = " ".join(card(run).split())
    assert (
        f"1 of {num_clips} clips were spoken more than once, for failing `pace` (2), `tail` (1). "
        "1 dialogues could not be spoken: 1 at the boundary `check`."
    ) in text
    assert "| number |" not in text


def test_of_what_several_processes_measured_the_card_has_the_fullest(tmp_path):
    folder = tmp_path / "run"
    with measured(heard(folder), not_run={"transcript": "no weights"}) as run:
        ids = run.recordings["xtts"].ids()
    part = Part(index=1, count=1)
    with Run(folder, small(judges=()), part=part) as run:
        for id in ids:
            record = run.measured("xtts")[id]
            done = ("prosody", "transcript")
            run.measured("xtts").append(id, msgspec.structs.replace(record, done=done, not_run={}))
    with Run(folder, small(judges=()), out=folder.parent / "out") as run:
        text = card(run)
    assert "7 of 7 recordings were measured." in text
    assert "was not run" not in text


# The judges.


JUDGES = ("llama3-70B", "qwen2.5-72B")


def judged_part(run):
    """The card's words on judges, on one line, and its table of agreement by the name of the column."""
    text = card(run)
    (head, row) = re.findall(r"^(\| criterion .*)\n\|[-:|]+\n(\|.*)", text, re.MULTILINE)[0]
    names, values = ([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row))
    return " ".join(text.split()), dict(zip(names, values, strict=True))


def test_the_judges_are_on_the_card_with_model_rubric_abstentions_and_agreement_and_nothing_of_people(
    tmp_path,
):
    with marked(tmp_path / "run") as run:
        text, row = judged_part(run)
        alpha = panel(run.reviews, asked(run), run.study.seed).alphas["coherence"]
    assert "| rubric-llama | not recorded | `2 0a` | 54 | 10.0 % | 0 |" in text
    assert "| 60 | 0.0 % | 0 |" in text
    assert row == {"criterion": "coherence", "among judges": told(alpha), "of": "54"}
    assert alpha.value < 1
    assert "annotator" not in text
    assert "leave out 0" not in text


def test_the_judges_on_the_card_are_what_judged_and_those_of_one_checkpoint_count_once(tmp_path):
    with marked(tmp_path / "run", checkpoint="rehearsal", rehearsal=True) as run:
        text = " ".join(card(run).split())
        llama = run.study.vocabulary.models[run.plugins.judges()["rubric-llama"].model].hub_id
    assert "| rubric-llama | `rehearsal` | `2 0a` | 54 | 10.0 % | 0 |" in text
    assert llama not in text
    assert "**A stand-in judged as rubric-llama, rubric-qwen: what it says is no judgement" in text
    assert "**The judges rubric-llama, rubric-qwen are one judge in different words, and count once" in text
    assert "| criterion |" not in text


def test_what_judged_and_is_not_the_studys_or_judged_its_own_is_said_on_the_card_and_in_the_manifest(
    tmp_path,
):
    with marked(tmp_path / "run", checkpoint="my-llama", own=True) as run:
        text = " ".join(card(run).split())
        asked = {name: one.checkpoint for name, one in run.study.vocabulary.models.items()}
        manifest, told = read_manifest(run.out), describe(run.out)
    said = [
        f"The study asks for {asked[name]} as {name}, and my-llama answered (60 votes)." for name in JUDGES
    ]
    assert all(f"**{markdown(one)}**" in text for one in said)
    assert "rubric-llama 60 of 60, rubric-qwen 60 of 60" in text
    assert 'Where what judges also spoke, its vote counts (`acceptance.own = "count"`).' in text
    assert {(one.model, one.asked, one.served, one.count, one.differs) for one in manifest.judges} == {
        (name, asked[name], "my-llama", 60, True) for name in JUDGES
    }
    assert manifest.speakers
    assert all(one.differs and one.served == "ORG/NAME" for one in manifest.speakers)
    assert all(one in told for one in said)


def test_people_are_on_the_card_where_some_annotated(tmp_path):
    with marked(tmp_path / "run", annotators=["ada", "ben"]) as run:
        text, row = judged_part(run)
    assert row["among annotators"] == "1.00 [1.00, 1.00]"
    assert row["rubric-qwen and people"] == "1.00 [1.00, 1.00]"
    assert row["rubric-llama and people"].startswith("0.9")
    assert "2 annotators scored 30 judged dialogues." in text
    assert "All of these dialogues were accepted" not in text


def test_a_judge_that_leans_is_on_the_card_with_what_chance_would_do(tmp_path):
    with marked(tmp_path / "run", leaning=2.0) as run:
        text, _ = judged_part(run)
        one, other = bias(run.reviews)
    assert (one.judge, one.is_seen, other.is_seen) == ("rubric-llama", True, False)
    assert (
        f"`rubric-llama` scores `coherence` {one.difference:.2f} points [{one.low:.2f}, {one.high:.2f}] higher "
        "where LLM1 is shown as B. Both are drawn at random and should mean nothing. Of 2 such intervals, 0.1 leave out 0"
    ) in text


def test_a_rule_that_does_not_count_judges_alike_is_on_the_card_whole(tmp_path):
    with marked(tmp_path / "run") as run:
        assert "count alike" not in card(run)
        run.pin.accept(
            msgspec.structs.replace(
                run.study.acceptance, rule="mean", weights={"rubric-llama": {"coherence": 0.25}}
            )
        )
        text = card(run)
    assert 'Not every judge counts alike:\n\n ```text\n [acceptance]\n rule = "mean"\n' in text
    assert " rubric-llama = { coherence = 0.25 }\n ```" in text


def test_an_annotation_more_is_a_new_card(tmp_path):
    with marked(tmp_path / "run", annotators=["ada"]) as run:
        assert asyncio.run(package(run)).done
        assert asyncio.run(package(run)).skipped
        with Annotations(run, ["ada"], Wanted()) as store:
            key = next(iter(store.items("ada")))
            store.say("ada", key, Opinion(scores={"coherence": 1}))
        assert asyncio.run(package(run)).done


# Figures, and what a user has to know.


def test_every_figure_lies_in_the_folder_under_a_checksum_with_its_words_and_the_same_bytes(
    tmp_path, drawing
):
    with heard(tmp_path / "run") as run:
        text = card(run)
        before = tree(run.out)
        (run.folder / "package.json").unlink()
        card(run)
    assert tree(run.out) == before
    shown = dict(re.findall(r"^!\[(.+)\]\((.+)\)$", text, re.MULTILINE))
    assert sorted(shown.values()) == [
        f"figures/{name}.png" for name in ("emotions", "hours", "transitions", "turns")
    ]
    assert {path for path in before if path.startswith("figures/")} == set(shown.values())
    assert validate(run.out) == []
    (run.out / "figures/turns.png").write_bytes(b"no")
    (fault,) = validate(run.out)
    assert "figures/turns.png: its checksum" in fault


def test_without_matplotlib_the_card_has_its_tables_and_points_to_no_figure(tmp_path, monkeypatch):
    with heard(tmp_path / "run") as run:
        text = card(run)
        assert not (run.out / "figures").exists()
        assert "![" not in text
        assert "| emotion | followed by |" in text
        assert "| turns | dialogues |" in text
        pytest.importorskip("matplotlib")
        monkeypatch.setattr("builder.evidence.gallery.LIBRARY", "matplotlib")
        assert asyncio.run(package(run)).done, "what can be drawn now is drawn"


def test_the_lines_that_load_it_do(tmp_path, monkeypatch):
    with heard(tmp_path / "run") as run:
        text = card(run).replace("PATH/TO/deepdialogue", "out")
    assert 'revision="v1.0.0"' in text
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    plain, own = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    loaded = {}
    # What lies on the Hub lies elsewhere.
    exec(re.sub("^pinned = .*$", "", plain, flags=re.MULTILINE).replace('"deepdialogue"', '"out"'), loaded)
    assert next(iter(loaded["turns"].decode(False)))["id"].endswith("/01")
    exec(own, loaded)
    assert len(loaded["dialogues"][0]["audio"]) == loaded["dialogues"][0]["num_turns"]
    (domain,) = re.findall(r'domain="(\w+)"', own)
    some = list(loaded["some"])
    assert some
    assert all(f"/{domain}_" in row["id"] and 3 <= row["num_turns"] < 7 for row in some)


def test_transitions_are_held_against_the_emotion_graph(tmp_path):
    with heard(tmp_path / "run", emotions=("sad", "hopeful", "angry")) as run:
        text = card(run)
        followed = [
            (one.emotion, other.emotion)
            for dialogue in run.dialogues
            for one, other in pairwise(dialogue.turns)
        ]
        successors = {name: emotion.successors for name, emotion in run.study.vocabulary.emotions.items()}
    astray = sum(other not in successors[one] for one, other in followed)
    assert 0 < astray < len(followed)
    assert f"Of {len(followed)} transitions {astray} follow no edge of the emotion graph." in text
    (sad,) = re.findall(r"^\| sad \| (.* \d+) \| (.*) \|$", text, re.MULTILINE)
    never = [name for name in successors["sad"] if ("sad", name) not in followed]
    assert sorted(sad[1].split(", ")) == sorted(never)


def test_what_was_accepted_and_how_loud_clips_are_is_drawn_where_it_is_known(tmp_path, drawing):
    with marked(tmp_path / "run") as run:
        assert "(figures/retention.png)" in card(run)
    with heard(tmp_path / "loud", loudness_lufs=-20.4) as run:
        text = card(run)
    assert "(figures/loudness.png)" in text
    assert "| -20 LUFS | -20 LUFS | -20 LUFS |" in text
    assert "loudness of" not in text


def test_known_defects_are_counted(tmp_path):
    with held(tmp_path / "run", small(judges=())) as run:
        one, third = (run.dialogues[id] for id in run.dialogues.ids()[:2])
        twin = re.sub(r"_(\d+)_(\d+)$", r"_9\1_\2", one.id)
        run.dialogues.append(twin, msgspec.structs.replace(one, id=twin))
        turns = (msgspec.structs.replace(third.turns[0], text="Oh yes."), *third.turns[1:])
        other = re.sub(r"_(\d+)_(\d+)$", r"_9\1_\2", third.id)
        run.dialogues.append(other, msgspec.structs.replace(third, id=other, turns=turns))
        text = " ".join(card(run).split())
    assert "- 1 dialogues say word for word what another says." in text
    assert re.search(r"- 1 of \d+ turns have fewer than three words\.", text)
    assert re.search(r"- \d+ of 20 emotions never occur: .*embarrassed", text)


def test_a_licence_that_follows_from_voices_says_from_which():
    assert non_commercial(["XTTS-v2"], ["actor-03", "Anna"]) == [
        "XTTS-v2 (CPML)",
        "1 voices of RAVDESS (CC BY-NC-SA 4.0)",
    ]
