"""What the page says of sound: the effects of `builder.core.effect`, the attempts, and what was not measured."""

import pytest

from builder.evidence.findings import Absent, gather
from builder.evidence.findings.speech import find
from builder.evidence.sounds import Sound
from builder.run.failures import Failure
from tests.heard import heard, measured
from tests.runs import held, small


def rows(finding, name):
    return next((table.rows for table in finding.tables if table.name == name), ())


def test_an_emotion_that_reaches_the_sound_stands_with_its_effect_interval_and_clips(tmp_path):
    with measured(heard(tmp_path / "run"), effect=3.0) as run:
        finding = find(gather(run))
        sound = Sound(run, "xtts")
        for id in run.recordings["xtts"].ids():
            sound.add(id, [turn.emotion for turn in run.dialogues[id].turns])
    effect = sound.effects("level_db")[0]
    found = {row[2]: row for row in rows(finding, "contrasts")}
    assert found["angry over sad"][3:] == (effect.first, effect.second, *effect[:3])
    assert 0 < effect.low < effect.g
    assert "excited over relaxed" not in found, "nobody is"
    forest, heat = finding.charts
    assert forest.labels == heat.rows == ("level_db",)
    assert forest.series[0].values == (effect.g,)
    assert forest.series[1].values == (None,)
    ((only,),) = heat.values
    assert abs(only) == pytest.approx(effect.g), "the one class over the other"
    assert "have an interval without 0" in finding.says
    assert f"{effect.g:.2f}" in finding.says


def test_an_emotion_that_does_not_reach_the_sound_has_no_interval_without_0(tmp_path):
    with measured(heard(tmp_path / "run")) as run:
        finding = find(gather(run))
    assert "contrasts between emotions 0 have an interval without 0" in finding.says


def test_attempts_faults_failures_and_measures_that_did_not_run_are_counted(tmp_path):
    with measured(
        heard(tmp_path / "run", spoken_again=("pace", "tail", "pace")), not_run={"transcript": "no weights"}
    ) as run:
        *_, last = run.dialogues.ids()
        run.failures.of("synthesize-xtts").append(last, Failure(id=last, boundary="check", message="no"))
        clips = sum(len(recording.clips) for recording in run.recordings["xtts"])
        finding = find(gather(run))
    ((config, engine, recordings, with_numbers, counted, again, low, high),) = rows(finding, "clips")
    assert (config, engine, recordings, with_numbers, counted) == ("xtts", "buzz", 7, 7, clips)
    assert low < again < high
    assert again == pytest.approx(100 / clips)
    assert rows(finding, "faults") == (
        ("xtts", "attempt", "pace", 2),
        ("xtts", "attempt", "tail", 1),
        ("xtts", "dialogue", "check", 1),
    )
    assert rows(finding, "not_run") == (("xtts", "transcript", "no weights", 7),)


def test_what_is_spoken_and_not_measured_says_so(tmp_path):
    with heard(tmp_path / "run") as run:
        finding = find(gather(run))
    assert "None is measured: `deepdialogue measure` does." in finding.says
    assert finding.charts == ()
    assert rows(finding, "numbers") == ()


def test_where_nothing_is_spoken_the_finding_is_absent_and_names_the_verb(tmp_path):
    with held(tmp_path / "run", small(judges=())) as run:
        finding = find(gather(run))
    assert isinstance(finding, Absent)
    assert "`deepdialogue synthesize --run" in finding.reason
