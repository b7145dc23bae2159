"""The explorer in a real browser: found, read, heard and followed by its address, on a run and on the dataset made of it."""

import re
import shutil
from urllib.parse import quote

import pytest

from builder.__main__ import main
from builder.core.scenario import Scenario
from builder.core.verdict import Abstention, Acceptance, Review, Verdict
from builder.errors import ConfigError
from builder.people.annotations import Annotations, Opinion, Wanted
from builder.run.failures import Failure
from builder.run.folder import Run
from tests.commands import deepdialogue, tree
from tests.runs import held, small
from tests.web.conftest import ACCOUNTS, log_in, served

HOSTILE = (
    '<script>window.owned = 1</script><img src=x onerror="window.owned = 1"> {{value}} ${1 + 1} </p></div>'
)
LOST = "phi4-mini/work_9_3"


@pytest.fixture(scope="module")
def packaged(rehearsed):
    """The rehearsed run, and beside it the dataset packaged of it."""
    done = deepdialogue("package", "--run", "run", "--site", "site.toml", "--out", "out", cwd=rehearsed)
    assert done.returncode == 0, done.stderr
    return rehearsed


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A run of hostile words: of its eight dialogues four are accepted, one is rejected, and a ninth was lost."""
    folder = tmp_path_factory.mktemp("judged")
    rule = small(judges=("length",), acceptance=Acceptance(thresholds={"coherence": 3.0}))
    with held(folder / "run", rule, words=HOSTILE) as run:
        ids = sorted(run.dialogues.ids())
        for id, score in zip(ids, (4.0, 4.0, 4.0, 4.0, 2.0), strict=False):
            verdict = Verdict(
                judge="panel", scores={"coherence": score}, reason=HOSTILE, turns={"coherence": (2, 1)}
            )
            silent = Abstention(judge="mute", reason=f"no JSON in {HOSTILE}")
            run.reviews.append(id, Review(id=id, verdicts=(verdict,), abstentions=(silent,)))
        lost = Scenario(id=LOST, domain="work", pairing="phi4-mini", emotions=("curious", "happy", "proud"))
        run.scenarios.append(LOST, lost)
        said = Failure(id=LOST, boundary="reply", message=f"an empty reply: {HOSTILE}", number=1)
        run.failures.of("generate").append(LOST, said)
        with Annotations(run, ["anna", "ben"], Wanted(sample=5, overlap=5, check_every=0)) as annotations:
            for name, score in (("anna", 2), ("ben", 3)):
                keys = {item.dialogue: key for key, item in annotations.items(name).items()}
                annotations.say(name, keys[ids[4]], Opinion(scores={"coherence": score}))
    return folder


@pytest.fixture(scope="module")
def exploring(judged):
    """A server of the judged run."""
    with served("explore", "run", cwd=judged, accounts="") as server:
        yield server


@pytest.fixture(scope="module")
def ids(judged):
    with Run(judged / "run", writable=False) as run:
        return sorted(run.dialogues.ids())


def enter(page, address, id=""):
    page.goto(f"{address}/?id={quote(id, safe='')}" if id else address)
    page.wait_for_selector("#dialogue .about, #dialogue [role=alert]")


def now(page):
    return page.input_value("#id textarea, #id input")


def wait_for_id(page, id):
    page.wait_for_selector(f"#dialogue dd:text-is('{id}')")
    # While several keys are followed, one field may be ahead of another.
    page.wait_for_function("(id) => document.querySelector('#id textarea, #id input').value === id", arg=id)
    page.wait_for_url(f"**/?id={quote(id, safe='')}")


def listed(page):
    """The ids to be seen in the list; of a long one those that are scrolled to."""
    return page.locator("#hits [role=gridcell][data-col='0']").all_inner_texts()


def narrowed(page, ids):
    """Waits until the list has these."""
    page.wait_for_function(
        """(ids) => JSON.stringify(ids) === JSON.stringify(
            [...document.querySelectorAll("#hits [role=gridcell][data-col='0']")].map((cell) => cell.innerText.trim()))""",
        arg=ids,
    )


def choose(page, field, name):
    page.click(f"#{field} input")
    page.locator("[role=option]", has_text=re.compile(rf"^\W*{re.escape(name)} \(")).click()
    page.keyboard.press("Escape")


def counted(page, said):
    page.wait_for_selector(f"#count :text('{said}')")


@pytest.mark.parametrize("source", ["run", "out"], ids=["a run", "a dataset"])
def test_a_rehearsal_is_filtered_read_and_heard_and_asks_no_other_host(packaged, page, source):
    with served("explore", source, cwd=packaged, accounts="") as server:
        enter(page, server.address)
        assert "a rehearsal" in page.inner_text("#title")
        page.wait_for_selector("#hits [role=gridcell]")
        everything = listed(page)
        counted(page, f"{len(everything)} of {len(everything)}, page 1 of 1")
        choose(page, "domains", "travel")
        fitting = [id for id in everything if "/travel_" in id]
        narrowed(page, fitting)
        page.locator("#hits [role=gridcell]", has_text=fitting[-1]).click()
        wait_for_id(page, fitting[-1])
        turns = int(fitting[-1].rpartition("_")[2])
        assert page.locator("#dialogue .turn .said").count() == turns
        assert all(page.locator("#dialogue .turn .said").all_inner_texts())
        heard = {}
        for voices in ("orpheus", "xtts"):
            page.locator("#voices label", has_text=voices).click()
            page.wait_for_selector(f"#dialogue audio[src^='/clip/{voices}/']")
            heard[voices] = page.evaluate(
                """async () => Promise.all([...document.querySelectorAll("#dialogue audio")].map(
                    (audio) => new Promise((done, fail) => {
                        audio.onloadedmetadata = () => done(audio.duration);
                        audio.onerror = () => fail(audio.src);
                        audio.load();
                        audio.preload = "metadata";
                    })))"""
            )
        for whole, *clips in heard.values():
            assert len(clips) == turns
            assert min(clips) > 0.2
            # After each turn but the last it pauses for at least a fifth of a second.
            assert whole > sum(clips) + 0.2 * (turns - 1)
        assert {address.split("/")[2] for address in page.requests} == {server.address.split("/")[2]}


def test_it_is_seen_why_one_was_rejected_and_words_of_models_are_text(exploring, page, ids):
    enter(page, exploring.address)
    choose(page, "outcomes", "rejected")
    counted(page, "1 of 9, page 1 of 1")
    page.click("#next")
    wait_for_id(page, ids[4])
    assert "rejected: coherence" in page.inner_text("#dialogue")
    assert page.locator("#why tr", has_text="coherence").locator("td").all_inner_texts() == ["2", "3"]
    why = page.inner_text("#why")
    assert "2 people, the median: coherence 2.5 (of 2, 3)" in why
    assert f"panel {HOSTILE}; coherence by turn: 2 1" in why
    assert f"mute abstained: no JSON in {HOSTILE}" in why
    assert HOSTILE in page.locator("#dialogue .said").first.inner_text()
    assert page.locator("#dialogue script, #dialogue img").count() == 0
    assert page.evaluate("window.owned") is None


def test_what_was_lost_says_what_it_was_to_be_and_what_went_wrong(exploring, page):
    enter(page, exploring.address)
    choose(page, "outcomes", "failed")
    counted(page, "1 of 9")
    page.click("#random")
    wait_for_id(page, LOST)
    shown = page.inner_text("#dialogue")
    assert "curious → happy → proud" in shown
    assert f"generate failed (reply): an empty reply: {HOSTILE}" in shown
    assert page.evaluate("window.owned") is None


def test_an_address_opens_the_same_dialogue_again_and_a_wrong_one_says_so(exploring, page, people, ids):
    enter(page, exploring.address, ids[2])
    wait_for_id(page, ids[2])
    other = people()
    other.goto(page.url)
    wait_for_id(other, ids[2])
    hostile = "<img src=x onerror='window.owned=1'>"
    enter(page, exploring.address, hostile)
    assert f'holds no dialogue "{hostile}"' in page.inner_text("#dialogue [role=alert]")
    assert page.evaluate("window.owned") is None


def test_keys_and_a_typed_id_move_through_what_fits_but_not_while_one_types(exploring, page, ids):
    enter(page, exploring.address, ids[0])
    for keys, at in (("k", 0), ("jjjk", 2), ("k", 1)):
        page.keyboard.type(keys)
        wait_for_id(page, ids[at])
    page.fill("#words textarea, #words input", "")
    page.type("#words textarea, #words input", "number j k r")
    assert now(page) == ids[1]
    page.fill("#id textarea, #id input", ids[3])
    page.press("#id textarea, #id input", "Enter")
    wait_for_id(page, ids[3])


def test_words_turns_and_order_narrow_the_list(exploring, page, ids):
    enter(page, exploring.address)
    page.fill("#words textarea, #words input", "OWNED times")
    page.press("#words textarea, #words input", "Enter")
    counted(page, "8 of 9, page 1 of 1")
    longest = max(int(id.rpartition("_")[2]) for id in ids)
    page.fill("#least input", str(longest))
    page.press("#least input", "Tab")
    wanted = [id for id in ids if int(id.rpartition("_")[2]) == longest]
    counted(page, f"{len(wanted)} of 9")
    narrowed(page, wanted)


def test_whoever_logs_in_sees_after_a_reload_what_was_done_meanwhile(judged, page, tmp_path, ids):
    folder = shutil.copytree(judged / "run", tmp_path / "run")
    before = tree(folder)
    with served("explore", "run", cwd=tmp_path, accounts=ACCOUNTS) as server:
        page.goto(f"{server.address}/?id={ids[7]}")
        assert page.locator("#dialogue").count() == 0
        log_in(page, server.address, "anna")
        enter(page, server.address, ids[7])
        assert "not judged" in page.inner_text("#dialogue")
        assert tree(folder) == before
        with Run(folder) as run:
            verdict = Verdict(judge="panel", scores={"coherence": 1.0}, reason="came later")
            run.reviews.append(ids[7], Review(id=ids[7], verdicts=(verdict,)))
            page.click("#reload")
            page.wait_for_selector("#why :text('came later')")
            assert now(page) == ids[7]
        choose(page, "outcomes", "rejected")
        counted(page, "2 of 9")
        assert server.stopped() == 0


def test_others_need_an_account(judged, monkeypatch):
    from builder.people.pages.explore import explore

    monkeypatch.delenv("DEEPDIALOGUE_ANNOTATORS", raising=False)
    with pytest.raises(ConfigError, match=r"--host 0\.0\.0\.0 .*DEEPDIALOGUE_ANNOTATORS"):
        explore(judged / "run", host="0.0.0.0", port=0, ready=print)


def test_a_source_that_is_none_is_one_line(tmp_path, capfd):
    assert main(["explore", str(tmp_path), "--port", "0"]) == 1
    assert re.fullmatch(r"deepdialogue: error: .*neither a run folder.*\n", capfd.readouterr().err)
