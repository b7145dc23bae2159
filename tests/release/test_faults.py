"""Whatever goes wrong and wherever: after at most one more push the version is whole, and before that nobody sees it."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.releases import pointed
from tests.servers.hub import Hub, cut, drop, lose, refuse

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
    process = subprocess.Popen(
        [sys.executable, "-m", "builder", "push", str(slim_grown), NAME],
        cwd=ROOT,
        env=os.environ | hub.environment(tmp_path / "killed"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.wait(240) == -9
    wait_for_calls(hub, pattern)
    assert (hub.head(NAME) != head) == seen
    if not seen:
        assert list(hub.repos[NAME].tags) == ["v1.0.0"]
        assert hub.tree(NAME) == first
    status, said = push(slim_grown)
    assert status == 0, said
    assert whole(hub, "1.1.0")
    assert hub.tree(NAME, "v1.0.0") == first
