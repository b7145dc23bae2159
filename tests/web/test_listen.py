"""The listening study in a real browser, with real clips: heard to the end, answered, killed, gone on with, and told nothing."""

import re
import shutil

import pytest

from builder.core.listening import Answer
from builder.run.folder import Run
from builder.run.ledger import Ledger
from tests.commands import deepdialogue
from tests.web.conftest import log_in
from tests.web.conftest import served as serve

# Whoever is in a hurry hears the end of a clip; the page only counts ends.
HURRY = """document.addEventListener("playing", ({ target }) => {
  if (target.currentTime < target.duration - 0.2) target.currentTime = target.duration - 0.1;
}, true);"""
LISTENERS = ("ash", "birch", "cedar", "dill", "elm", "fern")
PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def run(rehearsed, tmp_path_factory):
    """A rehearsed run of four dialogues, spoken twice."""
    return shutil.copytree(rehearsed / "run", tmp_path_factory.mktemp("listen") / "run")


@pytest.fixture(scope="module")
def served(run):
    """A server that several tests ask, each as a listener of its own."""
    accounts = " ".join(f"{name}:{PASSWORD}" for name in LISTENERS)
    with serve("listen", run, "--trials", "4", cwd=run.parent, accounts=accounts) as server:
        yield server


@pytest.fixture
def hurried(people):
    """Opens a browser of somebody's own who hears fast."""

    def person():
        page = people()
        page.add_init_script(HURRY)
        return page

    return person


def enter(page, address, name, password=PASSWORD):
    log_in(page, address, name, password)
    page.wait_for_selector("#trial")


def number(page):
    return int(page.get_attribute("#trial", "data-number"))


def hear(page):
    """Plays both by the keyboard."""
    for count in (1, 2):
        page.keyboard.press("Space")
        page.wait_for_function(
            f"() => document.querySelectorAll('#trial audio[data-heard]').length === {count}"
        )


def answer(page, keys="34122"):
    """Answers a trial whole by the keyboard, and waits for what comes next."""
    now = number(page)
    hear(page)
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#trial:not([data-number='{now}']), h2:has-text('Thank you')")


def kept(run, name):
    with Ledger(run / "listening" / f"{name}.jsonl", Answer, writable=False) as ledger:
        return list(ledger)


def test_a_study_is_answered_by_keyboard_survives_a_kill_and_prints_its_results(
    run, serving, hurried, tmp_path
):
    run = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("listening"))
    with serving("listen", run, "--trials", "4", "--labels", "emotions") as served:
        page = hurried()
        enter(page, served.address, "anna", None)
        keys = {
            one.get_attribute("data-key"): one.get_attribute("value")
            for one in page.query_selector_all("#trial input[name='heard-a']")
        }
        answer(page, keys="c4d22")
        answer(page)
        assert number(page) == 3
        hear(page)
        served.kill()
    assert len(kept(run, "anna")) == 2
    with serving("listen", run, port=served.port) as served:
        # The open page goes on with what was heard, and a new one where the answers end.
        for key in ("0", "5", "0", "5", "0", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector("#trial[data-number='4']")
        page.goto(served.address)
        page.wait_for_selector("#trial")
        assert number(page) == 4
        answer(page)
        answer(page)
        assert "All 5 trials are answered" in page.inner_text("body")
        page.reload()
        page.wait_for_selector("h2:has-text('Thank you')")
        done = deepdialogue("listen", run, "--results", cwd=run)
    answers = kept(run, "anna")
    assert [one.id for one in answers] == ["1", "2", "3", "4", "5"]
    with Run(run, writable=False) as opened:
        assert sorted(keys.values()) == ["", *sorted(opened.study.vocabulary.emotions)]
    assert not {"a", "b"} & set(keys)
    assert answers[0].heard == (keys["c"], keys["d"])
    assert (answers[0].naturalness, answers[0].prefers) == ((4, 2), "b")
    assert (answers[2].heard, answers[2].naturalness, answers[2].prefers) == ((None, None), (5, 5), "none")
    assert all(0 < one.seconds < 60 for one in answers)
    assert done.returncode == 0, done.stderr
    assert re.search(r"anna +5 +5 ", done.stdout)
    assert "a rehearsal: stand-ins took part" in done.stdout
    assert "too few" in done.stdout


def test_nothing_counts_before_both_clips_were_heard_to_their_end(run, served, hurried):
    page = hurried()
    enter(page, served.address, "ash")
    for key in "34122":
        page.keyboard.press(key)
    assert page.is_disabled("#trial .next")
    page.keyboard.press("Enter")
    # A page that somebody meddled with is not believed either.
    page.evaluate("document.querySelector('#send').click()")
    page.wait_for_selector("text=play A and B to their end first")
    assert (number(page), kept(run, "ash")) == (1, [])
    hear(page)
    assert page.is_enabled("#trial .next")
    page.click("#trial .next")
    page.wait_for_selector("#trial[data-number='2']")
    assert len(kept(run, "ash")) == 1


def test_a_new_trial_starts_with_nothing_chosen_and_nothing_heard(served, hurried):
    page = hurried()
    enter(page, served.address, "birch")
    answer(page)
    assert number(page) == 2
    assert not page.query_selector("#trial input:checked, #trial audio[data-heard], #trial section.heard")
    assert page.is_disabled("#trial .next")


def test_nothing_that_the_browser_is_sent_tells_what_a_trial_is_of(run, served, hurried):
    page = hurried()
    enter(page, served.address, "cedar")
    shown, clips = [], []
    for _ in range(3):
        now = number(page)
        shown.append(page.inner_html("#trial"))
        for side in "ab":
            address = page.get_attribute(f"#trial audio[data-side={side}]", "src")
            assert address == f"/clip/{side}/cedar/{now}.flac"
            clips.append(page.request.get(served.address + address).body())
        answer(page)
    source = page.request.get(served.address).text() + page.content()
    # But for its numbers one trial looks like another.
    assert len({re.sub(r"\d+", "", one) for one in shown}) == 1
    assert all(address.startswith((served.address, "data:", "blob:")) for address in page.requests)
    with Run(run, writable=False) as opened:
        vocabulary, recordings = opened.study.vocabulary, list(opened.recordings["xtts"])
        secrets = {*opened.recordings, *vocabulary.models, *vocabulary.pairings, *opened.dialogues.ids()}
        secrets |= {recording.engine.partition(" ")[0] for recording in recordings}
        secrets |= {turn.text for dialogue in opened.dialogues for turn in dialogue.turns}
        secrets |= vocabulary.emotions.keys() - set(vocabulary.ravdess().values())
    assert secrets > {"xtts", "orpheus", "espeak-ng", "curious"}
    for secret in secrets:
        assert not re.search(rf"\b{re.escape(secret)}\b", "".join(shown)), secret
        assert not any(secret in address for address in page.requests), secret
        assert not any(secret.encode() in clip for clip in clips), secret
    assert not re.search("xtts|orpheus|espeak", source)


def test_two_listen_at_once_each_to_trials_of_their_own(run, served, hurried):
    pages = {name: hurried() for name in ("dill", "elm")}
    for name, page in pages.items():
        enter(page, served.address, name)
    for name, page in (*pages.items(), *pages.items()):
        answer(page, keys="11131" if name == "dill" else "22252")
    ask = pages["elm"].request.get
    theirs, later, odd = (f"{served.address}/clip/{clip}.flac" for clip in ("a/dill/3", "a/elm/4", "c/elm/3"))
    assert [ask(address).status for address in (theirs, later, odd)] == [404, 404, 404]
    assert {one.prefers for one in kept(run, "dill")} == {"a"}
    assert {one.prefers for one in kept(run, "elm")} == {"b"}
    assert [len(kept(run, name)) for name in pages] == [2, 2]


def test_a_clip_is_for_those_who_are_logged_in(served, page):
    assert page.request.get(f"{served.address}/clip/a/ash/1.flac").status == 401


def test_an_answer_may_be_changed_before_it_is_given_by_mouse_or_by_going_back(run, served, hurried):
    page = hurried()
    enter(page, served.address, "fern")
    page.keyboard.press("1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("4")
    page.check("#trial input[name='natural-a'][value='2']")
    page.keyboard.press("5")  # of the question that the mouse went to
    page.click("#trial .play[data-side=b]")
    page.wait_for_selector("#trial section.heard audio[data-side=b]", state="attached")
    page.keyboard.press("a")
    page.wait_for_selector("#trial section.heard audio[data-side=a]", state="attached")
    for key in "132":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#trial[data-number='2']")
    (one,) = kept(run, "fern")
    assert (one.heard, one.naturalness, one.prefers) == (("sad", "neutral"), (5, 3), "b")
