"""Annotation in a real browser: by keyboard, through a server's death, two at once, and without a word that is not theirs."""

import errno
import json
import os
import re
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from builder.__main__ import main
from builder.core.speech import Take
from builder.core.verdict import Review, Verdict
from builder.people.annotations import Annotations, Wanted, annotations, planned
from builder.people.pages.annotate import Asked, Page
from builder.run.folder import Run
from builder.run.recorder import Recorder
from tests.commands import deepdialogue, environment
from tests.patience import PATIENCE_S
from tests.runs import held, small
from tests.web.conftest import PASSWORDS, log_in, served

HOSTILE = (
    '<script>window.owned = 1</script><img src=x onerror="window.owned = 1"> {{value}} ${1 + 1} </p></div>'
)
TOLD = "SECRET/CHECKPOINT"
READY = "() => document.querySelector('.dialogue, h2') && !document.querySelector('#sheet').inert"


def made(folder, spoken=(), **how):
    """A run of twelve dialogues, with what a panel said of them, and recordings in these configs."""
    study = small(judges=("length", "rubric-llama"))
    plan = msgspec.structs.replace(study.plan, dialogues_per_cell=3)
    with held(folder, msgspec.structs.replace(study, plan=plan), **how) as run:
        for id in run.dialogues.ids():
            verdict = Verdict(judge="rubric-llama", scores={"coherence": 2.0}, reason="VOTED AGAINST")
            run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
        for number, config in enumerate(spoken, start=1):
            sound = (np.arange(4800) % (100 * number) * 50).astype(np.int16)
            with Recorder(run.audio(config), run.recorded(config)) as recorder:
                for id in run.dialogues.ids():
                    takes = [Take(samples=sound, pause_samples=100, ravdess="neutral")] * len(
                        run.dialogues[id].turns
                    )
                    recorder.keep(
                        id,
                        engine="ENGINE",
                        rehearsal=True,
                        voices=("VOICE1", "VOICE2"),
                        sampling_rate_hz=24_000,
                        takes=takes,
                    )
    return folder


def shown(page, place):
    """Waits until the page shows the item in this place, ready for the keys."""
    page.locator(".top span", has_text=re.compile(rf"dialogue {place} of ")).wait_for()
    page.wait_for_function(READY)


def checked(page):
    """The scores to be seen, by criterion in order; None where there is none."""
    return page.evaluate(
        "[...document.querySelectorAll('.criterion')].map((row) => Number(row.querySelector('input:checked')?.value) || null)"
    )


def press(page, keys):
    for key in keys:
        page.keyboard.press(key)


def sheet(number):
    """What is pressed for the dialogue in this place: another row of scores for each."""
    return [1 + (number + criterion) % 5 for criterion in range(6)]


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory):
    """A server of hostile dialogues that can be heard, of which everybody is asked about all."""
    folder = tmp_path_factory.mktemp("open")
    made(folder / "run", ("xtts", "orpheus"), words=HOSTILE, checkpoint=TOLD)
    with served("annotate", "run", "--overlap", 12, "--check-every", 0, cwd=folder) as server:
        server.run = folder / "run"
        yield server


def said_by(run, name):
    return {one.id: one for one in annotations(run) if one.annotator == name}


def test_ten_dialogues_are_annotated_by_keyboard_though_the_server_is_killed_in_the_middle(
    serving, page, tmp_path
):
    run = made(tmp_path / "run")
    asked = ("annotate", "run", "--sample", 10, "--overlap", 10)
    with serving(*asked) as server:
        log_in(page, server.address, "anna")
        for number in range(1, 6):
            shown(page, number)
            press(page, [*map(str, sheet(number)), "Enter"])
        shown(page, 6)
        press(page, map(str, sheet(6)[:3]))
        page.get_by_text("not scored yet: variety, domain, safety").wait_for()
        server.kill()
        port = server.port
        press(page, [str(sheet(6)[3]), "n", "x", "Escape"])
        page.get_by_text("not kept yet: the server does not answer").wait_for()
        assert len(said_by(run, "anna")[planned(run).dealt["anna"][5]].scores) == 3
    with serving("annotate", "run", port=port):
        # The browser finds the server by itself, and what was pressed meanwhile is kept.
        page.get_by_text("kept; not scored yet: domain, safety").wait_for()
        assert checked(page) == [*sheet(6)[:4], None, None]
        press(page, map(str, sheet(6)[4:]))
        for number in range(7, 11):
            press(page, ["ArrowRight"])
            shown(page, number)
            press(page, map(str, sheet(number)))
        press(page, ["Enter"])
        page.get_by_text("Thank you, anna.").wait_for()
        page.wait_for_function(READY)
        assert not page.locator(".criterion").first.is_visible()
        press(page, ["ArrowLeft"])
        shown(page, 10)
        assert checked(page) == sheet(10)
    said = said_by(run, "anna")
    dealt = planned(run).dealt["anna"]
    assert [[*said[id].scores.values()] for id in dealt] == [sheet(number) for number in range(1, 11)]
    assert len(said) == 10
    assert all(one.seconds > 0 for one in said.values())
    assert [said[id].reason for id in dealt] == ["x" if number == 6 else "" for number in range(1, 11)]


def test_two_annotators_at_once_and_two_tabs_of_one_never_mix(open_to_all, people):
    anna, ben = people(), people()
    for person, name in ((anna, "anna"), (ben, "ben")):
        log_in(person, open_to_all.address, name)
        shown(person, 1)
    for number in (1, 2):
        for person, shift in ((anna, 0), (ben, 1)):
            press(person, [*map(str, sheet(number + shift)), "Enter"])
        for person in (anna, ben):
            shown(person, number + 1)
    tab = anna.context.new_page()
    tab.goto(open_to_all.address)
    shown(tab, 3)
    press(anna, "45")
    anna.get_by_text("not scored yet: naturalness").wait_for()
    press(tab, ["ArrowLeft"])
    shown(tab, 2)
    press(tab, "1")
    tab.get_by_text("✓ kept").wait_for()
    press(tab, ["Enter"])
    shown(tab, 3)
    assert checked(tab) == [4, 5, None, None, None, None]
    press(tab, ["j", "j", "k", "ArrowDown", "3", "n"])
    press(tab, "3j")
    press(tab, ["Escape", "ArrowUp", "ArrowUp", "2"])
    tab.get_by_text("not scored yet: naturalness, safety").wait_for()
    plan = planned(open_to_all.run)
    for name, first, second in (("anna", sheet(1), [1, *sheet(2)[1:]]), ("ben", sheet(2), sheet(3))):
        said, dealt = said_by(open_to_all.run, name), plan.dealt[name]
        assert [*said[dealt[0]].scores.values()] == first
        assert [*said[dealt[1]].scores.values()] == second
        assert set(said) == set(dealt[: 3 if name == "anna" else 2])
    third = said_by(open_to_all.run, "anna")[plan.dealt["anna"][2]]
    assert (third.reason, third.scores) == ("3j", {"coherence": 4, "emotion": 5, "variety": 2, "domain": 3})


def test_a_dialogue_is_not_left_before_every_criterion_is_scored(open_to_all, page):
    log_in(page, open_to_all.address, "cora")
    shown(page, 1)
    press(page, ["Enter"])
    page.get_by_text("nothing is scored yet").wait_for()
    shown(page, 1)
    press(page, ["ArrowDown", "5", "Enter"])
    page.get_by_text("not scored yet: coherence, naturalness, variety, domain, safety").wait_for()
    shown(page, 1)
    assert page.locator(".criterion.focused").inner_text().startswith("coherence")
    press(page, ["?"])
    assert page.locator("#keys").get_attribute("open") is not None


def test_keys_that_are_faster_than_the_server_are_all_kept_in_their_order(open_to_all, page):
    log_in(page, open_to_all.address, "elm")
    shown(page, 1)
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 300, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", slow)
    marks = {number: [*map(str, sheet(number))] for number in range(1, 6)}
    # The second thoughts of the first dialogue, whole dialogues on end, a look back and on again.
    press(page, ["5", "ArrowUp", *marks[1], "Enter", *marks[2], "Enter", *marks[3], "ArrowLeft", "Enter"])
    shown(page, 3)
    assert checked(page) == sheet(3)
    # What is scored after a dialogue could not be left is scored there, and it is not left after all.
    press(page, ["Enter", *marks[4][:5], "Enter", marks[4][5]])
    page.get_by_text("✓ kept", exact=True).wait_for()
    shown(page, 4)
    assert checked(page) == sheet(4)
    press(page, ["Enter", "n", "x", "Escape", *marks[5]])
    page.get_by_text("✓ kept", exact=True).wait_for()
    shown(page, 5)
    said, dealt = said_by(open_to_all.run, "elm"), planned(open_to_all.run).dealt["elm"]
    assert [[*said[id].scores.values()] for id in dealt[:5]] == [sheet(number) for number in range(1, 6)]
    assert [said[id].reason for id in dealt[:5]] == ["", "", "", "", "x"]


def test_what_a_dialogue_says_is_text_and_nothing_names_a_model_a_pairing_a_vote_or_an_engine(
    open_to_all, page
):
    answers = []
    page.on("response", lambda response: "/answer" in response.url and answers.append(response))
    log_in(page, open_to_all.address, "dan")
    shown(page, 1)
    assert page.locator(".said").first.inner_text() == f"{HOSTILE}, not even 0 times."
    press(page, [*map(str, sheet(1)), "Enter"])
    shown(page, 2)
    with page.expect_response("**/clip/1/*/1.flac") as heard:
        press(page, "p")
    assert (heard.value.status, heard.value.headers["content-type"]) == (206, "audio/flac")
    page.wait_for_function("() => document.querySelector('audio').duration === 0.2")
    page.get_by_text("voice 2").click()
    page.locator("audio[src^='/clip/2/']").first.wait_for(state="attached")
    assert page.evaluate("window.owned") is None
    assert page.locator(".dialogue script, .dialogue img").count() == 0
    told = page.content() + page.request.get(open_to_all.address).text()
    told += "".join(response.text() for response in answers)
    assert told.count("not even 0 times") > 2
    plan = planned(open_to_all.run)
    names = {TOLD, "VOTED", "rubric-llama", "xtts", "orpheus", "ENGINE", "VOICE1", "LLM1", *plan.sampled}
    names |= {id.partition("/")[0] for id in plan.sampled} | {id.partition("/")[2] for id in plan.sampled}
    assert [name for name in names if name in told + "".join(page.requests)] == []
    assert {address.split("/")[2] for address in page.requests} == {open_to_all.address.split("/")[2]}


def test_strangers_see_the_door_and_a_wrong_password_does_not_open_it(open_to_all, page):
    log_in(page, open_to_all.address, "anna", "battery-staple")
    page.get_by_text("Wrong name or password.").wait_for()
    log_in(page, open_to_all.address, "nobody", PASSWORDS["anna"])
    page.get_by_text("Wrong name or password.").wait_for()
    for path in ("clip/1/0/1.flac", "answer", "theme.css"):
        assert page.request.get(f"{open_to_all.address}/{path}").status == 401, path
    answer = f"{open_to_all.address}/answer"
    assert page.request.post(answer, data={}).status == 401
    log_in(page, open_to_all.address, "anna")
    page.locator(".top").wait_for()
    asked = {"tab": "x", "number": 1, "key": "", "go": "next"}
    assert page.request.post(answer, data=asked).status == 200
    for wrong in (
        asked | {"key": 3},
        asked | {"scores": {"beauty": 3}},
        asked | {"scores": {"safety": 6}},
        [],
        "{",
    ):
        assert page.request.post(answer, data=wrong).status == 400, wrong
    for path in (
        "clip/1/0/1.flac",
        "clip/9/0/1.flac",
        "clip/../../etc/passwd/1.flac",
        "clip/1/%2e%2e/1.flac",
    ):
        assert page.request.get(f"{open_to_all.address}/{path}").status == 404, path
    page.goto(f"{open_to_all.address}/logout")
    assert page.url.endswith("/login")
    assert page.request.post(answer, data=asked).status == 401


def test_a_clip_is_heard_by_whom_it_was_dealt_to_alone(open_to_all, people):
    anna, ben = people(), people()
    log_in(anna, open_to_all.address, "anna")
    log_in(ben, open_to_all.address, "ben")
    source = anna.locator("audio").first.get_attribute("src")
    assert anna.request.get(open_to_all.address + source).body()[:4] == b"fLaC"
    part = anna.request.get(open_to_all.address + source, headers={"Range": "bytes=1-3"})
    assert (part.status, part.body(), part.headers["content-range"].partition("/")[0]) == (
        206,
        b"LaC",
        "bytes 1-3",
    )
    assert ben.request.get(open_to_all.address + source).status == 404


def test_a_check_says_what_to_choose_and_whoever_reads_it_passes(serving, page, tmp_path):
    run = made(tmp_path / "run", ("xtts",))
    with serving(
        "annotate", "run", "--sample", 4, "--overlap", 4, "--check-every", 4, accounts="anna:correct-horse"
    ) as server:
        log_in(page, server.address, "anna")
        for number in range(1, 6):
            shown(page, number)
            wanted = {
                name: score
                for score, name in re.findall(r"(\d) for (\w+)", page.locator(".dialogue").inner_text())
            }
            if wanted:
                assert page.locator("audio").count() == page.locator(".turn").count() - 1
            press(page, [*(wanted.get(name, "3") for name in planned(run).criteria), "Enter"])
        page.get_by_text("All 5 dialogues are annotated").wait_for()
        assert server.stopped() == 0
        assert server.said.count("\n") == 1
    assert len(said_by(run, "anna")) == 4
    told = deepdialogue("annotate", "run", "--progress", cwd=tmp_path).stdout
    assert re.search(r"anna +│ +4 │ +0 │ +\d+ │ +1 of 1 │", told)


def test_what_cannot_be_served_is_one_line_with_its_repair(open_to_all, tmp_path, monkeypatch, capfd):
    asked = ["annotate", str(made(tmp_path / "run"))]
    monkeypatch.setenv("DEEPDIALOGUE_ANNOTATORS", "")
    assert main(asked) == 1
    assert re.fullmatch(".*no one may log in: set DEEPDIALOGUE_ANNOTATORS.*\n", capfd.readouterr().err)
    monkeypatch.setenv("DEEPDIALOGUE_ANNOTATORS", "anna:correct-horse")
    assert main([*asked, "--port", str(open_to_all.port)]) == 1
    assert re.fullmatch(".*choose another with --port.*\n", capfd.readouterr().err)


@pytest.mark.parametrize(("verb", "lacking"), [("annotate", "uvicorn"), ("explore", "fastapi")])
def test_a_page_without_its_libraries_is_one_line_with_their_repair(tmp_path, verb, lacking):
    made(tmp_path / "run")
    without = f"import sys; sys.modules['{lacking}'] = None; from builder.__main__ import main"
    done = subprocess.run(
        [sys.executable, "-c", f"{without}; sys.exit(main(['{verb}', 'run']))"],
        cwd=tmp_path,
        env=environment() | {"DEEPDIALOGUE_ANNOTATORS": "anna:correct-horse"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "pip install 'deepdialogue[web]'" in done.stderr


@pytest.fixture
def at_hand(tmp_path, monkeypatch):
    """The page without a browser."""
    with (
        Run(made(tmp_path / "run"), writable=False) as run,
        Annotations(run, ["anna"], Wanted(sample=3)) as store,
    ):
        yield Page(run, store), store


def say(page, key, scores=(), number=1, **more):
    """What the page says of what one tab of Anna's says."""
    return page.take("anna", Asked(tab="tab", number=number, key=key, scores=dict(scores), **more))


def test_what_could_not_be_written_is_not_said_to_be_kept(at_hand, monkeypatch):
    page, store = at_hand
    key = next(iter(store.items("anna")))
    assert "kept" in say(page, key, {"coherence": 3}).said

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        say(page, key, {"safety": 3})
    monkeypatch.undo()
    assert store.opinion("anna", key).scores == {"coherence": 3}


def test_time_is_that_of_whoever_is_at_it_and_a_long_pause_counts_no_more_than_a_short_one(
    at_hand, monkeypatch
):
    page, store = at_hand
    key = next(iter(store.items("anna")))
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    say(page, "", go="next")
    for score, seconds, total in ((1, 20, 20), (2, 3, 23), (3, 9000, 23 + 180)):
        clock[0] += seconds
        say(page, key, {"coherence": score})
        assert store.opinion("anna", key).seconds == total
    clock[0] += 7
    say(page, key, go="next")
    assert store.opinion("anna", key).seconds == 203.0


def test_a_note_is_there_again_on_a_dialogue_that_was_left_before_it_had_a_score(serving, page, tmp_path):
    run = made(tmp_path / "run")
    with serving("annotate", "run", "--sample", 3, "--overlap", 3) as server:
        log_in(page, server.address, "anna")
        shown(page, 1)
        press(page, [*"333333", "Enter"])
        shown(page, 2)
        press(page, [*"nodd", "Escape", "ArrowLeft"])
        shown(page, 1)
        assert page.input_value("#note") == ""
        press(page, ["Enter"])
        shown(page, 2)
        assert page.input_value("#note") == "odd"
        press(page, ["4"])
        page.get_by_text("not scored yet: ").wait_for()
    assert sorted(one.reason for one in annotations(run)) == ["", "odd"]


def test_a_note_waits_for_the_first_score_and_half_a_character_breaks_nothing(at_hand):
    page, store = at_hand
    key = next(iter(store.items("anna")))
    told = json.loads(
        page.answer("anna", b'{"tab": "x", "number": 1, "key": "%s", "note": "odd \\ud83d"}' % key.encode())
    )
    assert "the note is kept with the first score" in told["said"]
    assert store.opinion("anna", key).scores == {}
    say(page, key, {"coherence": 3}, note="odd \ud83d")
    assert store.opinion("anna", key).reason == "odd ?"
    say(page, key, {"emotion": 3})
    assert store.opinion("anna", key).reason == "odd ?"
    say(page, key, note="")
    assert store.opinion("anna", key).reason == ""


def test_what_is_said_again_changes_nothing_and_what_was_overtaken_is_refused(at_hand):
    page, store = at_hand
    key, second, _ = store.items("anna")
    scores = dict.fromkeys(store.plan.criteria, 3)
    first = say(page, key, scores, number=1, go="next")
    assert first.item.key == second
    kept = store.opinion("anna", key)
    assert say(page, key, scores, number=1, go="next") == first
    assert store.opinion("anna", key) == kept
    say(page, key, {"safety": 5}, number=3)
    with pytest.raises(ValueError, match="something newer was kept already"):
        say(page, key, {"safety": 1}, number=2)
    assert store.opinion("anna", key).scores["safety"] == 5
    assert say(page, second, number=4, go="previous").item.scores == scores | {"safety": 5}


def test_what_was_given_to_another_meanwhile_is_left_and_the_next_one_shown(at_hand):
    page, store = at_hand
    assert "somebody else's by now" in say(page, "0" * 16, {"coherence": 3}).said
    told = say(page, "0" * 16, dict.fromkeys(store.plan.criteria, 3), go="next")
    assert told.item.key == next(iter(store.items("anna")))
    assert not any(store.opinion("anna", key).scores for key in store.items("anna"))
