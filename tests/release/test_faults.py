"""Whatever goes wrong and wherever: after at most one more push the version is whole, and before that nobody sees it."""

import base64
import hashlib
import os
import shutil
import time
import traceback
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.processes import Verb
from tests.releases import main_of_hub, pointed
from tests.servers.hub import READER, TOKEN, Hub, answer, cut, drop, lose, refuse

ROOT = Path(__file__).parents[2]
NAME = "lab/speech"

# How huggingface_hub hands a file to its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def whole(hub, version):
    """Whether a version is there as a version must be: one commit of that title, one tag on it, and everything in it."""
    repo = hub.repos[NAME]
    titles = [commit.title for commit in repo.commits.values()]
    return titles.count(f"Version {version}") == 1 and repo.tags.get(f"v{version}") == hub.head(NAME)


def reset(hub, files):
    """The Hub with one version, as the first push leaves it."""
    for state in (hub.repos, hub._failing_calls):
        state.clear()
    hub._failing.clear()
    hub.commit(NAME, files, title="Version 1.0.0")
    hub.tag(NAME, "v1.0.0")


def wait_for_calls(hub, pattern):
    """Until the Hub has done with the request that the client was killed at."""
    end = time.monotonic() + PATIENCE_S
    while not hub.asked(pattern):
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(scope="module")
def first(slim, tmp_path_factory):
    """Every file of the first version as it is published."""
    from builder.__main__ import main

    home = tmp_path_factory.mktemp("first")
    with Hub() as hub, pointed(hub, home):
        assert main(["push", str(slim), NAME]) == 0
        return hub.tree(NAME)


@pytest.mark.parametrize(
    "fault",
    [refuse(503), refuse(429, retry_after=0), drop, lose],
    ids=["503", "429", "cut before", "cut after"],
)
def test_whichever_call_fails_the_version_is_whole_after_the_push_or_one_more(
    hub, push, first, slim_grown, fault
):
    reset(hub, first)
    hub.calls.clear()
    assert push(slim_grown)[0] == 0
    count = len(hub.calls)
    assert count > 15
    again, known = 0, {hashlib.sha256(content).hexdigest() for content in first.values()}
    for index in range(count):
        reset(hub, first)
        for content in [content for content in hub.blobs if content not in known]:
            del hub.blobs[content]
        head = hub.head(NAME)
        hub.fail_call(index, fault)
        status, said = push(slim_grown)
        if status:
            again += 1
            assert hub.head(NAME) == head or not whole(hub, "1.1.0"), said
            status, said = push(slim_grown)
        assert status == 0, (index, said)
        assert whole(hub, "1.1.0"), (index, str(hub.calls[index]))
    assert not again  # one fault is outlasted by the push itself


@pytest.mark.parametrize("pattern", ["PUT /lfs/", "GET /cdn/", "GET .*manifest.json"])
def test_a_connection_cut_mid_file_is_taken_up_again(hub, push, first, slim_grown, tmp_path, pattern):
    reset(hub, first)
    hub.fail(pattern, cut, times=2)
    assert push(slim_grown)[0] == 0
    assert hub.asked(pattern)[0].status == 0
    assert whole(hub, "1.1.0")


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, push, first, slim_grown):
    reset(hub, first)
    hub.fail("POST .*/commit/", lose)
    assert push(slim_grown)[0] == 0
    assert whole(hub, "1.1.0")
    assert len(hub.asked("POST .*/commit/main")) == 1


def test_a_proposal_whose_answer_was_lost_is_not_made_twice(hub, push, first, slim_grown):
    reset(hub, first)
    hub.fail("POST .*/commit/", lose)
    status, said = push(slim_grown, "--pull-request")
    assert (status, said.splitlines()[-1]) == (0, f"{hub.url}/datasets/{NAME}/discussions/1")
    assert list(hub.repos[NAME].pulls) == ["refs/pr/1"]


def test_a_hub_that_stays_busy_is_given_up_in_one_line_and_nothing_is_published(hub, push, first, slim_grown):
    reset(hub, first)
    head = hub.head(NAME)
    hub.fail("POST .*/commit/", refuse(503), times=10**6)
    status, said = push(slim_grown)
    assert status == 1
    (line,) = [line for line in said.splitlines() if "error:" in line]
    assert "the Hub does not answer (commit: " in line
    assert "run the same command again later" in line
    assert 200 < sum(hub.waits) <= 400
    assert (hub.head(NAME), list(hub.repos[NAME].tags)) == (head, ["v1.0.0"])


def test_the_hub_is_waited_for_as_long_as_it_says_but_not_for_hours(hub, push, first, slim_grown):
    reset(hub, first)
    hub.fail("POST .*/commit/", refuse(429, retry_after=77))
    assert push(slim_grown)[0] == 0
    assert 77.0 in hub.waits
    reset(hub, first)
    hub.fail("POST .*/commit/", refuse(429, retry_after=7200))
    assert push(slim_grown)[0] == 1
    assert 7200.0 not in hub.waits


def test_what_was_uploaded_is_not_sent_again_by_the_next_push(hub, push, first, slim_grown):
    reset(hub, first)
    hub.fail("POST .*/commit/", refuse(400), times=1)
    status, said = push(slim_grown)
    assert status == 1
    assert "the Hub refused (commit): refused with 400" in said
    sent = len(hub.asked("^PUT /lfs/"))
    assert push(slim_grown)[0] == 0
    assert len(hub.asked("^PUT /lfs/")) == sent


@pytest.mark.parametrize(
    ("pattern", "done", "seen"),
    [
        ("PUT /lfs/", False, False),
        ("POST .*/commit/main", False, False),
        ("POST .*/commit/main", True, True),
        ("POST .*/tag/", False, True),
        ("POST .*/tag/", True, True),
    ],
    ids=["uploading", "before the commit", "after the commit", "before the tag", "after the tag"],
)
def test_a_client_killed_anywhere_leaves_nothing_half_seen_and_the_next_push_ends_it(
    hub, push, first, slim_grown, tmp_path, pattern, done, seen
):
    reset(hub, first)
    head = hub.head(NAME)

    async def kill(request, handler):
        body = await request.read()
        assert body
        process.kill()
        response = await handler(request) if done else None
        return response or await drop(request, handler)

    hub.fail(pattern, kill)
    with (tmp_path / "said").open("w") as said:
        process = Verb(
            ["push", slim_grown, NAME],
            tmp_path,
            os.environ | hub.environment(tmp_path / "killed"),
            said,
            do=main_of_hub,
        )
    assert process.wait() == -9
    wait_for_calls(hub, pattern)
    assert (hub.head(NAME) != head) == seen
    if not seen:
        assert list(hub.repos[NAME].tags) == ["v1.0.0"]
        assert hub.tree(NAME) == first
    status, said = push(slim_grown)
    assert status == 0, said
    assert whole(hub, "1.1.0")
    assert hub.tree(NAME, "v1.0.0") == first


# What stands between a user and the Hub, and what it says.

CALLS = ["GET .*/refs", "GET .*/tree/", "HEAD .*/resolve/", "GET .*/resolve/", "GET .*whoami", "POST .*/preupload/",
         "POST .*/objects/batch", "POST .*/validate-yaml", "POST .*/commit/", "POST .*/tag/"]  # fmt: skip
LOGIN = "<!doctype html><title>Log in</title><p>{token}"
SPEAKS = '{"error": "no such credentials: {token}"}'


def one_line(said):
    (line,) = [line for line in said.splitlines() if "error:" in line]
    assert TOKEN not in said
    assert base64.b64encode(TOKEN.encode()).decode()[:20] not in said
    assert "a fault of this program" not in said
    return line


def settled(hub, push, first, folder):
    """What is there is whole or nothing, and the next push ends it."""
    hub._failing.clear()
    assert hub.tree(NAME, "v1.0.0") == first
    status, said = push(folder)
    assert status == 0, said
    assert whole(hub, "1.1.0")


@pytest.mark.parametrize("call", CALLS)
def test_whichever_call_a_login_page_answers_it_is_told_in_one_line_and_the_next_push_ends_it(
    hub, push, first, slim_grown, call
):
    for fault in (
        answer(LOGIN),
        answer("[1]", kind="application/json"),
    ):
        reset(hub, first)
        shutil.rmtree(os.environ["HF_HOME"] + "/hub", ignore_errors=True)
        hub.fail(call, fault, times=100)
        status, said = push(slim_grown)
        if status:  # a JSON of another kind may be none of a call's business
            line = one_line(said)
            assert (
                f"HF_ENDPOINT, {hub.url}, is no Hub by what it answers" in line
                or "not a packaged dataset" in line
            )
        settled(hub, push, first, slim_grown)


@pytest.mark.parametrize("status", [401, 404, 409, 413])
def test_whatever_status_a_call_is_refused_with_it_is_one_line_without_the_token(
    hub, push, first, slim_grown, status
):
    for call in CALLS:
        reset(hub, first)
        shutil.rmtree(os.environ["HF_HOME"] + "/hub", ignore_errors=True)
        hub.fail(call, answer(SPEAKS, status, "application/json"), times=10**6)
        ended, said = push(slim_grown)
        if ended:
            one_line(said)
        settled(hub, push, first, slim_grown)


def test_a_redirect_to_a_login_page_is_told_in_one_line(hub, push, slim):
    hub.fail("GET .*/refs", answer("", 302, Location="/login"), times=9)
    hub.fail("GET /login", answer(LOGIN), times=9)
    assert "is no Hub by what it answers" in one_line(push(slim)[1])


def test_a_token_that_is_said_again_is_struck_from_diff_ingest_and_a_private_dataset(
    hub, push, first, slim, tmp_path, monkeypatch, capsys
):
    import deepdialogue
    from builder.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.url)
    for fault in (
        answer(SPEAKS, 401, "application/json"),
        answer(SPEAKS, 404, "application/json"),
        answer(LOGIN),
    ):
        reset(hub, first)
        hub.fail("(GET|POST|HEAD) ", fault, times=10**6)
        for verb in (["diff", NAME, str(slim)], ["ingest", f"{NAME}-xtts", "--run", str(tmp_path / "run")]):
            assert main(verb) in {1, 3}
            one_line(capsys.readouterr().err)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the library has for it
            deepdialogue.load("text-only", split="train", data_dir=NAME, streaming=True, token=TOKEN)
        with pytest.raises(Exception) as subset:  # noqa: PT011 - the same
            deepdialogue.load(
                "text-only", split="train", data_dir=NAME, streaming=True, token=TOKEN, domain="art"
            )
        for error in (raised.value, subset.value):
            assert TOKEN not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("HF_HUB_OFFLINE", True, "HF_HUB_OFFLINE is set: unset it to reach the Hub"),
        ("ENDPOINT", "http://hub.invalid", "the Hub does not answer (refs: "),
        ("ENDPOINT", "http://127.0.0.1:1", "the Hub does not answer (refs: "),
        ("ENDPOINT", "https://{}", "the Hub does not answer (refs: "),
    ],
    ids=["offline", "no such host", "refused", "no TLS"],
)
def test_a_hub_that_is_out_of_reach_is_one_line_and_soon(hub, push, slim, monkeypatch, setting, value, told):
    if setting == "ENDPOINT":
        value = value.format(hub.url.partition("//")[2])
    monkeypatch.setattr(f"huggingface_hub.constants.{setting}", value)
    status, said = push(slim)
    assert (status, told in one_line(said)) == (1, True)
    assert sum(hub.waits) < 60


@pytest.mark.parametrize("token", ["hf_é" * 9, "hf_a b c d e f", "hf_a\x07bcdefgh"])
def test_what_is_no_token_is_told_before_anything_is_asked_and_not_shown(hub, push, slim, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    said = push(slim)[1]
    assert "does not hold a token" in one_line(said)
    assert token not in said
    assert not hub.calls


def test_whoever_may_only_read_may_propose_a_version(hub, push, first, slim_grown, monkeypatch):
    reset(hub, first)
    monkeypatch.setenv("HF_TOKEN", READER)
    status, said = push(slim_grown)
    assert (status, "the token may not write to 'lab'" in one_line(said)) == (1, True)
    status, said = push(slim_grown, "--pull-request")
    assert (status, said.splitlines()[-1]) == (0, f"{hub.url}/datasets/{NAME}/discussions/1")
    assert all("create_pr=1" in call.path for call in hub.asked("POST .*/preupload/")[1:])
    assert hub.repos[NAME].tags.keys() == {"v1.0.0"}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.merge(NAME, 1)
    assert push(slim_grown)[0] == 0
    assert hub.repos[NAME].tags["v1.1.0"] == hub.head(NAME)


def test_a_tag_that_is_owed_is_no_reason_not_to_propose(hub, push, first, slim_grown, monkeypatch):
    reset(hub, first)
    hub.repos[NAME].tags.clear()
    monkeypatch.setenv("HF_TOKEN", READER)
    assert push(slim_grown, "--pull-request")[0] == 0
    assert not hub.repos[NAME].tags
