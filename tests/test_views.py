"""What the terminal promises: everything is shown as the text it is, whatever it holds."""

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from builder.commands._dialogue import show_dialogue
from builder.commands._views import show_plan, show_status
from builder.config import Speech
from builder.core.speech import Measured, Recording
from builder.core.verdict import Abstention, Review, Verdict
from builder.run.failures import Failure
from tests.runs import held, small

HOSTILE = "[/INST] [red]x[/red] \x1b]0;owned\x07 \x9b2J"
SHOWN = "[/INST] [red]x[/red] \ufffd]0;owned\ufffd \ufffd2J"


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=400)


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


def said(console):
    return console.file.getvalue()


def test_a_dialogue_is_shown_as_text_whatever_its_models_judges_and_servers_wrote(tmp_path, console):
    with held(tmp_path / "run", small(), words=HOSTILE, checkpoint=f"ORG/NAME@{HOSTILE}") as run:
        id = run.dialogues.ids()[0]
        verdict = Verdict(judge="length", scores={HOSTILE: 0.0}, reason=HOSTILE)
        run.reviews.append(
            id, Review(id=id, verdicts=(verdict,), abstentions=(Abstention(judge="rubric", reason=HOSTILE),))
        )
        show_dialogue(run, None, console)
        turns = len(run.dialogues[id].turns)
    assert said(console).count(SHOWN) == 2 + turns + 1 + 2 + 1
    assert not set(said(console)) & set("\x1b\x07\x9b")


def test_the_scores_of_turns_are_shown_with_their_criterion(tmp_path, console):
    with held(tmp_path / "run", small()) as run:
        id = run.dialogues.ids()[0]
        verdict = Verdict(
            judge="length", scores={"emotion": 3.5, "safety": 5.0}, turns={"emotion": (3, 4, 4)}
        )
        run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
        show_dialogue(run, None, console)
    assert "length: emotion 3.5, safety 5" in said(console)
    assert "emotion by turn: 3 4 4\n" in said(console)
    assert "safety by turn" not in said(console)


def test_status_shows_a_failure_and_a_folder_as_text_whatever_their_words(tmp_path, monkeypatch, console):
    monkeypatch.chdir(tmp_path)
    with held(Path("[/x]/run"), small()) as run:
        run.failures.of("generate").append("a", Failure(id="a", boundary="protocol", message=HOSTILE))
        show_status(run, console)
    assert f"1 x protocol; last: {SHOWN}" in said(console)
    assert "[/x]/run: study 'quickstart'" in said(console)


def test_a_plan_is_shown_though_an_emotion_is_called_like_markup(tmp_path, console):
    study = small()
    words = {name: "[/x]" if name == "happy" else name for name in study.vocabulary.emotions}
    emotions = {
        words[name]: msgspec.structs.replace(one, successors=tuple(words[other] for other in one.successors))
        for name, one in study.vocabulary.emotions.items()
    }
    domains = {
        name: msgspec.structs.replace(one, emotions=("[/x]",))
        for name, one in study.vocabulary.domains.items()
    }
    vocabulary = msgspec.structs.replace(study.vocabulary, emotions=emotions, domains=domains)
    with held(tmp_path / "run", small(vocabulary=vocabulary)) as run:
        show_plan(run, console)
    assert "[/x] " in said(console)


def test_status_shows_what_is_measured_and_what_could_not_be_and_makes_no_ledger(tmp_path, console):
    speech = {"xtts": Speech(voices={"a": "male", "b": "male"})}
    with held(tmp_path / "run", small(judges=(), speech=speech, measures={"prosody": {}})) as run:
        first, second, *_ = run.dialogues.ids()
        for id in (first, second):
            run.recordings["xtts"].append(id, recording(id))
        show_status(run, console)
        assert not (run.folder / "measures").exists()
        run.measured("xtts").append(first, Measured(id=first, clips=(), done=("prosody",)))
        failures = run.failures.of("measure-xtts")
        failures.append(second, Failure(id=second, boundary="source", message="torn clip"))
        show_status(run, console)
    rows = [line.split() for line in said(console).splitlines() if "measure xtts" in line]
    assert [(row[4], row[6]) for row in rows] == [("0", "2"), ("1", "1")]
    assert "1 x source; last: torn clip" in said(console)


@pytest.mark.parametrize("verb", ["show", "status"])
def test_whoever_looks_at_a_run_waits_for_no_client_no_engine_and_no_writer(tmp_path, verb):
    held(tmp_path / "run", small()).__exit__(None, None, None)
    program = (
        "import sys; from builder.__main__ import main; status = main(sys.argv[1:]); "
        "kept = ('aiohttp', 'pyarrow', 'datasets', 'builder.remote.client', 'builder.plugins.tts'); "
        "print(*[name for name in kept if name in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, verb, tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
