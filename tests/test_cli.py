"""The main job, end to end, through the public command line; and what it says to bad input."""

import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from builder.__main__ import _parser, main
from builder.core.dialogue import Dialogue
from builder.run.folder import Run
from tests.commands import (
    REHEARSAL,
    deepdialogue,
    environment,
    kill,
    lines,
    site,
    started,
    study,
    tree,
    wait_for,
)
from tests.environments import place

ROOT = Path(__file__).parent.parent
LIGHT = place("light") / "bin/python"


def python():
    """The light environment's, where there is one."""
    return str(LIGHT) if LIGHT.exists() else sys.executable


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The shipped quickstart, built in the light environment where there is one."""
    folder = tmp_path_factory.mktemp("quickstart")
    done = deepdialogue("build", "quickstart", "--site", "rehearsal", cwd=folder, python=python())
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_quickstart_leaves_a_dataset_and_says_what_where_and_how_to_load_it(built):
    folder, done = built
    assert (folder / "dist/deepdialogue/README.md").is_file()
    assert 'load_dataset("deepdialogue", "xtts")' in done.stdout
    assert "a rehearsal: stand-ins took part; same schema, not training data" in done.stdout
    for config in ("xtts", "orpheus", "text-only", "xtts-turns", "orpheus-turns"):
        assert re.search(rf"{config} +\d+ train, \d+ validation, \d+ test", done.stdout)


def test_the_lines_it_prints_to_load_the_dataset_work_as_they_stand(built, tmp_path):
    folder, done = built
    shown = [
        line.strip() for line in done.stdout.splitlines() if line.strip().startswith(("cd ", "python -c"))
    ]
    assert len(shown) == 3
    chosen = Path(python())
    environment = {
        "PATH": f"{chosen.parent}:{os.environ['PATH']}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    run = subprocess.run(
        ["bash", "-euc", "\n".join(shown)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "num_rows" in run.stdout
    assert "'array': array(" in run.stdout


def test_a_second_run_does_nothing_and_says_so(built):
    folder, _ = built
    before = tree(folder / "dist")
    done = deepdialogue("build", "quickstart", "--site", "rehearsal", cwd=folder, python=python())
    assert done.returncode == 0
    assert "nothing to do: dist/deepdialogue is up to date" in done.stderr
    assert tree(folder / "dist") == before


def test_the_quickstart_has_several_domains_every_kind_of_pairing_and_something_for_the_judges_to_do(built):
    folder, _ = built
    reviews = [
        json.loads(line) for line in (folder / "runs/quickstart/reviews.jsonl").read_bytes().splitlines()[1:]
    ]
    assert len(reviews) == 60
    pairings = {review["id"].partition("/")[0] for review in reviews}
    assert any("_" in name for name in pairings)
    assert any("_" not in name for name in pairings)
    card = (folder / "dist/deepdialogue/README.md").read_text()
    accepted = int(re.search(r"Of the 60 dialogues, (\d+) were accepted", card)[1])
    assert 30 <= accepted < 60
    assert "This is a rehearsal, not training data" in card


def test_the_dataset_validates_and_a_changed_byte_a_missing_file_or_a_stray_one_does_not(built, tmp_path):
    folder, _ = built
    assert deepdialogue("validate", folder / "dist/deepdialogue", cwd=folder).returncode == 0
    harmed = tmp_path / "harmed"
    shutil.copytree(folder / "dist/deepdialogue", harmed)
    shards = sorted(harmed.glob("xtts/train/*.parquet"))
    data = bytearray(shards[0].read_bytes())
    data[len(data) // 2] ^= 0xFF
    shards[0].write_bytes(data)
    shards[1].unlink()
    (harmed / "text-only/train/stray.parquet").write_bytes(b"")
    done = deepdialogue("validate", harmed, cwd=folder)
    assert done.returncode == 1
    assert f"{shards[0]}: its checksum is not the manifest's" in done.stderr
    assert f"{shards[1]}: missing" in done.stderr
    assert "stray.parquet: not in the manifest" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_and_show_read_a_run_without_changing_it(built):
    folder, _ = built
    before = tree(folder / "runs")
    status = deepdialogue("status", cwd=folder)
    assert "generate" in status.stdout
    assert "accepted" in status.stdout
    first = json.loads((folder / "runs/quickstart/dialogues.jsonl").read_bytes().splitlines()[1])
    shown = deepdialogue("show", "runs/quickstart", first["id"], cwd=folder)
    assert shown.returncode == 0
    said = " ".join(shown.stdout.split())
    for turn in first["turns"]:
        assert turn["text"] in said
        assert turn["emotion"] in said
    assert tree(folder / "runs") == before


def test_show_answers_a_wrong_id_with_the_nearest_and_hides_escape_codes(built, tmp_path):
    folder, _ = built
    run = tmp_path / "run"
    shutil.copytree(folder / "runs/quickstart", run, ignore=shutil.ignore_patterns("audio"))
    with Run(run, writable=False) as opened:
        dialogue = msgspec.to_builtins(next(iter(opened.dialogues)))
    dialogue["turns"][0]["text"] = "\x1b[2J\x1b]0;owned\x07gone"
    (run / "dialogues.jsonl").unlink()
    with Run(run) as opened:
        opened.dialogues.append(dialogue["id"], msgspec.convert(dialogue, Dialogue))
    shown = deepdialogue("show", run, cwd=tmp_path)
    assert "gone" in shown.stdout
    assert "\x1b" not in shown.stdout
    wrong = deepdialogue("show", run, dialogue["id"] + "1", cwd=tmp_path)
    assert wrong.returncode == 1
    assert f"did you mean '{dialogue['id']}'?" in wrong.stderr


def test_help_teaches_by_example():
    top = deepdialogue("--help", cwd=ROOT)
    assert "deepdialogue build quickstart --site rehearsal" in top.stdout
    (verbs,) = (action.choices for action in _parser()._actions if action.choices)
    for verb, parser in verbs.items():
        assert f"deepdialogue {verb}" in parser.format_help().partition("examples:")[2]
    said = deepdialogue("generate", "--help", cwd=ROOT)
    assert "deepdialogue generate quickstart" in said.stdout.partition("examples:")[2]


def test_a_run_killed_again_and_again_ends_in_the_same_bytes_and_asks_for_no_finished_turn_twice(tmp_path):
    what = study(tmp_path, dialogues_per_cell="3")
    where = site(tmp_path, REHEARSAL.replace('"rehearsal"\n', '"rehearsal"\nlatency_s = 0.08\nlimit = 2\n'))
    straight = deepdialogue("build", what, "--site", where, "--run", "a", "--out", "a-out", cwd=tmp_path)
    assert straight.returncode == 0, straight.stderr

    run, kills = tmp_path / "b", 0
    build = ("build", what, "--site", where, "--run", "b", "--out", "b-out")
    for ledger, count in (
        ("turns", 5),
        ("turns", 21),
        ("reviews", 4),
        ("recordings/xtts", 3),
        ("recordings/orpheus", 2),
    ):
        process = started(*build, cwd=tmp_path)
        if wait_for(lambda: lines(run / f"{ledger}.jsonl") > count, process):  # noqa: B023
            kills += 1
        kill(process)
    assert kills >= 3
    done = deepdialogue(*build, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "b-out") == tree(tmp_path / "a-out")
    entries = [json.loads(line) for line in (run / "turns.jsonl").read_bytes().splitlines()[1:]]
    turns = [(entry["id"], entry["index"]) for entry in entries]
    assert len(turns) == len(set(turns)) == lines(tmp_path / "a/turns.jsonl") - 1


@pytest.mark.parametrize("background", [False, True])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, background):
    what = study(tmp_path, dialogues_per_cell="50")
    where = site(tmp_path, REHEARSAL.replace('"rehearsal"\n', '"rehearsal"\nlatency_s = 0.2\nlimit = 1\n'))
    deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
    # A shell without job control starts what it puts into the background deaf to SIGINT.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if background else signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "builder", "generate", what, "--site", where, "--run", "run"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert wait_for(lambda: lines(tmp_path / "run/turns.jsonl") > 1, process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 130
    assert "interrupted: what is finished is kept; run the same command to go on" in said
    assert "Traceback" not in said


def test_whoever_calls_it_keeps_their_own_answer_to_a_signal(tmp_path):
    """A process forked later, of a pool, would otherwise outlive the SIGTERM that is to end it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    assert main(["status", str(tmp_path)]) == 1
    assert [signal.getsignal(number) for number in numbers] == before


def refused(done, *said, status=1):
    """One clear line, a non-zero exit, no traceback."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("deepdialogue: error:")]
    assert done.returncode == status, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for words in said:
        assert words in errors[0]


def test_two_processes_on_one_run_are_refused(tmp_path):
    what = study(tmp_path)
    assert deepdialogue("plan", what, "--run", "run", cwd=tmp_path).returncode == 0
    with (tmp_path / "run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(deepdialogue("plan", what, "--run", "run", cwd=tmp_path), "another process works on run")
        assert deepdialogue("status", "run", cwd=tmp_path).returncode == 0, "looking is allowed"


def test_a_run_pinned_to_another_study_is_refused_naming_the_key(tmp_path):
    what = study(tmp_path)
    assert deepdialogue("plan", what, "--run", "run", cwd=tmp_path).returncode == 0
    what.write_text(what.read_text().replace("dialogues_per_cell = 1", "dialogues_per_cell = 2"))
    before = tree(tmp_path / "run")
    done = deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
    refused(
        done, "pinned to another study", "plan.dialogues_per_cell was 1 and is now 2", "use another --run"
    )
    assert tree(tmp_path / "run") == before


def test_a_rehearsed_run_does_not_go_on_for_real(tmp_path):
    what = study(tmp_path)
    deepdialogue("plan", what, "--run", "run", cwd=tmp_path)
    path = tmp_path / "run/run.json"
    pin = json.loads(path.read_bytes())
    path.write_text(json.dumps(pin | {"rehearsal": {"text": False}}))
    done = deepdialogue("generate", "--run", "run", "--site", site(tmp_path, REHEARSAL), cwd=tmp_path)
    refused(done, "its text was really made so far, and with this site would be rehearsed")


def test_a_torn_line_is_mended_and_said_and_another_schema_is_refused(tmp_path):
    what, where = study(tmp_path), site(tmp_path, REHEARSAL)
    build = ("build", what, "--site", where, "--run", "run", "--out", "out")
    assert deepdialogue(*build, cwd=tmp_path).returncode == 0
    before = tree(tmp_path / "out")
    ledger = tmp_path / "run/dialogues.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-10])
    done = deepdialogue(*build, cwd=tmp_path)
    assert done.returncode == 0
    assert "dialogues.jsonl: a torn last line was cut off; what it said is owed again" in done.stderr
    assert sorted(ledger.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert tree(tmp_path / "out") == before
    ledger.write_bytes(b'{"ledger":"dialogues","schema":7}\n')
    refused(
        deepdialogue(*build, cwd=tmp_path),
        "dialogues.jsonl: written in schema 7, this version reads schema 2 and 1",
    )


def test_a_full_disk_stops_with_one_line_and_the_same_command_goes_on(tmp_path):
    what, where = study(tmp_path), site(tmp_path, REHEARSAL)
    build = ("build", what, "--site", where, "--run", "run", "--out", "out")

    def little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))

    refused(
        deepdialogue(*build, cwd=tmp_path, preexec=little_room),
        "the disk is full",
        "run the same command again",
    )
    assert not (tmp_path / "out").exists(), "a dataset is there as a whole or not at all"
    assert deepdialogue(*build, cwd=tmp_path).returncode == 0
    assert deepdialogue("validate", "out", cwd=tmp_path).returncode == 0


def test_a_folder_that_holds_something_else_is_not_overwritten(tmp_path):
    what, where = study(tmp_path), site(tmp_path, REHEARSAL)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    build = ("build", what, "--site", where, "--run", "run", "--out", "out")
    refused(deepdialogue(*build, cwd=tmp_path), "out exists and is no packaged dataset", "--out")
    assert tree(out) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("seed =", "sed ="), "unknown key 'sed': did you mean 'seed'?"),
        (("[speech.xtts]", "[speech.xtts]\nattempts = 'many'"), "key 'speech.xtts.attempts' is 'many'"),
        (
            ("checks = { audible = {},", "checks = { audibel = {},"),
            "no check 'audibel': did you mean 'audible'?",
        ),
        (
            ("checks = { audible = {},", "checks = { audible = { min = 1 },"),
            "unknown key 'speech.xtts.checks.audible.min'",
        ),
    ],
)
def test_a_typo_in_the_study_is_one_line_before_anything_is_made(tmp_path, edit, said):
    what = study(tmp_path, edits=[edit])
    refused(deepdialogue("build", what, "--site", "rehearsal", "--run", "run", cwd=tmp_path), said)
    assert not (tmp_path / "run/scenarios.jsonl").exists() or lines(tmp_path / "run/scenarios.jsonl") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[models."*"]\nbackend = "tgj"\n', "no backend 'tgj': did you mean 'tgi'?"),
        (
            '[models."*"]\nbackend = "tgi"\nurl = "http://x"\nlimt = 3\n',
            "unknown key 'models.*.limt': did you mean 'limit'?",
        ),
        (
            '[models."*"]\nbackend = "tgi"\nurl = "http://x"\ntoken = "hf_aaaaaaaaaaaaaaaaaaaaaaaa"\n',
            "holds a secret",
        ),
        ('[models.phi4-mini]\nbackend = "rehearsal"\n', "has no table"),
    ],
)
def test_a_site_that_cannot_work_is_one_line_and_repeats_no_secret(tmp_path, text, said):
    done = deepdialogue(
        "build", study(tmp_path), "--site", site(tmp_path, text), "--run", "run", cwd=tmp_path
    )
    refused(done, said)
    assert "hf_aaaa" not in done.stderr


def test_without_a_study_or_a_site_it_says_what_to_name(tmp_path):
    refused(deepdialogue("status", cwd=tmp_path), "there is no run under runs/")
    refused(
        deepdialogue("build", cwd=tmp_path),
        "no study is named",
        "deepdialogue build quickstart --site rehearsal",
    )
    refused(deepdialogue("build", "quickstart", cwd=tmp_path), "no site is named", "--site rehearsal")
    refused(deepdialogue("status", tmp_path, cwd=tmp_path), "is no run folder")
    refused(deepdialogue("validate", tmp_path, cwd=tmp_path), "not a packaged dataset")
    refused(
        deepdialogue("package", "published", "--run", "run", cwd=tmp_path),
        "none of its 0 dialogues is accepted",
    )
    refused(
        deepdialogue("plan", "published", "--run", "run", cwd=tmp_path),
        "has no [plan]",
        "deepdialogue ingest",
    )


def test_a_server_that_cannot_be_reached_ends_in_one_line_though_others_were_to_be_asked_after_it(tmp_path):
    down = '[models."*"]\nbackend = "tgi"\nurl = "http://127.0.0.1:9"\nattempts = 1\n'
    done = deepdialogue(
        "build", study(tmp_path), "--site", site(tmp_path, down), "--run", "run", cwd=tmp_path
    )
    refused(done, "http://127.0.0.1:9/info")
    assert [
        line for line in done.stderr.splitlines() if not line.startswith(("plan: ", "deepdialogue: "))
    ] == []


def test_only_a_full_disk_asks_for_room(tmp_path):
    (tmp_path / "file").write_text("")
    done = deepdialogue("plan", study(tmp_path), "--run", "file", cwd=tmp_path)
    refused(done, "--run 'file': it is a file", "name another folder")
    assert "room" not in done.stderr


@pytest.mark.parametrize("ledger", ["scenarios", "reviews"])
def test_a_folder_where_a_ledger_should_be_is_named(tmp_path, ledger):
    deepdialogue("plan", study(tmp_path), "--run", "run", cwd=tmp_path)
    (tmp_path / f"run/{ledger}.jsonl").unlink(missing_ok=True)
    (tmp_path / f"run/{ledger}.jsonl").mkdir()
    for verb in (("status", "run"), ("plan", "--run", "run")):
        refused(deepdialogue(*verb, cwd=tmp_path), f"run/{ledger}.jsonl: Is a directory")


def test_what_is_shown_reaches_a_terminal_that_lacks_the_letters_and_a_reader_that_has_gone(built):
    folder, _ = built
    plain = {**environment(), "PYTHONIOENCODING": "ascii"}
    show = [sys.executable, "-m", "builder", "show", "runs/quickstart"]
    shown = subprocess.run(show, cwd=folder, env=plain, capture_output=True, text=True, check=True)
    assert r"\u2013" in shown.stdout, "the dash between two times"
    reader, writer = os.pipe()
    os.close(reader)
    gone = subprocess.run(
        show, cwd=folder, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (gone.returncode, gone.stderr) == (0, "")


def test_what_a_server_says_reaches_the_terminal_without_its_escape_codes(tmp_path):
    said = '[models."*"]\nbackend = "tg\\u001b]0;owned\\u0007"\n'
    done = deepdialogue(
        "build", study(tmp_path), "--site", site(tmp_path, said), "--run", "run", cwd=tmp_path
    )
    refused(done, "no backend")
    assert not set(done.stderr) & set("\x1b\x07")


def test_a_fault_nobody_foresaw_is_one_line_too_and_its_traceback_is_there_for_the_asking(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "runs/some").mkdir(parents=True)
    (tmp_path / "runs/some/run.json").touch()
    monkeypatch.chdir(tmp_path)

    def broken(*_, **__):
        raise LookupError("a plug-in's \x1b[2J fault\nand more of it")

    monkeypatch.setattr("builder.run.folder.Run", broken)
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert "LookupError: a plug-in's \ufffd[2J fault: what is finished is kept" in said
    assert said.count("\n") == 1
    monkeypatch.setenv("DEEPDIALOGUE_TRACEBACK", "1")
    with pytest.raises(LookupError):
        main(["status"])
