"""What the card promises: figures that add up, and Markdown that no name, prompt or server can break."""

import asyncio
import re

import msgspec
import numpy as np
import pytest
from huggingface_hub import DatasetCard

from builder.core.part import Part
from builder.core.scenario import scenarios
from builder.core.speech import Measured, Take
from builder.recorder import Recorder
from builder.run import Failure, Run
from builder.stages.judge import judge
from builder.stages.package import package
from tests.runs import held, small, spoken


def card(run):
    asyncio.run(package(run))
    return (run.out / "README.md").read_text(encoding="utf-8")


def test_what_failed_is_counted_where_it_failed_and_what_is_owed_is_not_called_a_failure(tmp_path):
    study = small(judges=())
    with held(tmp_path / "run", study) as run:
        for number, boundary in enumerate(("reply", "reply", "endpoint")):
            scenario = run.scenarios[run.scenarios.ids()[number]]
            id = scenario.id.replace(f"_{len(scenario.emotions)}", f"7_{len(scenario.emotions)}")
            run.scenarios.append(id, msgspec.structs.replace(scenario, id=id))
            run.failures("generate").append(id, Failure(id=id, boundary=boundary, message="no"))
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
        run.reviews.close()
        run.reviews.path.unlink()
    with held(tmp_path / "run", small()) as run:
        for review in reviews:
            run.reviews.append(review.id, review)
        text = " ".join(card(run).split())
    assert "Of the 8 dialogues, 6 were accepted (75.0 %), 0 rejected, 0 left undecided" in text
    assert "2 not judged yet" in text


@pytest.mark.parametrize(
    "hostile", ["`</details><b>x", "a|b", "[x](y)", "x\n# y", "{{ 7 * 7 }}{% raw %}", "---"]
)
def test_no_checkpoint_title_or_prompt_can_break_the_card(tmp_path, hostile):
    study = small(judges=())
    prompt = f"{study.script.system}\n```\n{hostile}\n````\n"
    script = msgspec.structs.replace(study.script, system=prompt)
    study = small(judges=(), title=f"A {hostile}", script=script)
    with held(tmp_path / "run", study, checkpoint=f"ORG/NAME@{hostile}") as run:
        text = card(run)
    assert DatasetCard(text).data.pretty_name == f"A {hostile}"
    title = re.search(r"^# .*$", text, re.MULTILINE)[0]
    assert re.sub(r"\\([\\`<>\[\]|])", r"\1", title) == "# A " + " ".join(hostile.split())
    assert not re.search(r"(?<!\\)[<`|\[]", title)
    assert "`ORG/NAME@" + " ".join(hostile.split()).replace("`", "'") + "` 8" in text
    assert f"`````text\n{prompt.strip()}\n`````\n" in text, "the fence is longer than any in the prompt"


# Does the emotion reach the sound?

SECTION = "## Does the emotion reach the sound?"
RATE = 16_000


def heard(folder, emotions=("angry", "sad"), spoken_again=()):
    """A run whose turns have these emotions in a random order, all but its last dialogue spoken.

    Args:
        folder: of the run.
        emotions: to draw from.
        spoken_again: the checks that the first clip of the first recording failed before.
    """
    study = small(judges=())
    run = Run(folder, study, out=folder.parent / "out")
    draw = np.random.default_rng(5)
    for scenario in scenarios(study.plan, study.vocabulary, study.seed):
        drawn = tuple(draw.choice(emotions, len(scenario.emotions)).tolist())
        run.scenarios.append(scenario.id, scenario)
        run.dialogues.append(scenario.id, spoken(msgspec.structs.replace(scenario, emotions=drawn)))
    ids = run.dialogues.ids()
    with Recorder(run.audio("xtts"), run.recorded("xtts")) as recorder:
        for id in ids[:-1]:
            faults = spoken_again if id == ids[0] else ()
            speak(recorder, run, id, faults)
    return run


def speak(recorder, run, id, faults):
    takes = [
        Take(
            samples=np.arange(1, 400, dtype=np.int16),
            pause_samples=100,
            ravdess=run.study.vocabulary.emotions[turn.emotion].ravdess,
            attempts=1 + (0 if position else len(faults)),
            faults=() if position else tuple(faults),
        )
        for position, turn in enumerate(run.dialogues[id].turns)
    ]
    recorder.keep(
        id, engine="buzz", rehearsal=True, voices=("Anna", "Karl"), sampling_rate_hz=RATE, takes=takes
    )


def measured(run, effect=0.0, not_run=None):
    """Measures every recording: angry clips are louder by so many decibels, and every speaker has a level of their own."""
    draw = np.random.default_rng(7)
    for id in run.recordings["xtts"].ids():
        levels = draw.normal(-30, 8, 2)
        clips = tuple(
            {
                "level_db": float(
                    levels[position % 2] + effect * (turn.emotion in {"angry", "excited"}) + draw.normal()
                )
            }
            for position, turn in enumerate(run.dialogues[id].turns)
        )
        record = Measured(id=id, clips=clips, done=("prosody",), not_run=not_run or {})
        run.measured("xtts").append(id, record)
    return run


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


@pytest.mark.parametrize("hostile", ["no weights", "a|b", "x\n# y", "<b>[x](y)", "{{ 7 * 7 }}"])
def test_a_measure_that_did_not_run_is_said_with_its_reason_whatever_the_reason_holds(tmp_path, hostile):
    with measured(heard(tmp_path / "run"), not_run={"transcript": hostile}) as run:
        text = card(run)
    (said,) = re.findall(r"^`transcript` was not run on 7 recordings: (.*)\.$", text, re.MULTILINE)
    assert re.sub(r"\\([\\`<>\[\]|])", r"\1", said) == " ".join(hostile.split())
    assert not re.search(r"(?<!\\)[<|\[]", said)


def test_clips_that_were_spoken_again_and_dialogues_that_could_not_be_are_counted_by_reason(tmp_path):
    with heard(tmp_path / "run", spoken_again=("pace", "tail", "pace")) as run:
        *_, last = run.dialogues.ids()
        for id, boundary in ((last, "check"), (run.recordings["xtts"].ids()[0], "endpoint")):
            run.failures("synthesize-xtts").append(id, Failure(id=id, boundary=boundary, message="no"))
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
