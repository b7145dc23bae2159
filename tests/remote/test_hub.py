"""What reading a repository promises: the files of one commit, whatever goes wrong on the way, and the token to the Hub alone."""

import asyncio
import hashlib

import pytest
from aiohttp import web

from builder.errors import ConfigError, EndpointError, ProtocolError, SourceError
from builder.remote import hub as client
from builder.remote.hub import Entry, open_repository
from tests.releases import pointed
from tests.servers.hub import READER, TOKEN, Hub, cut, drop, refuse

NAME = "lab/talk-xtts"
FILES = {f"data/{number}.wav": bytes([number]) * 9000 for number in range(5)} | {"data/a b#c.json": b"{}"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_S", 0.0)
    with Hub(page=2) as hub, pointed(hub, tmp_path / "hf"):
        hub.commit(NAME, FILES)
        yield hub


def reading(do, name=NAME, connections=4):
    """What `do` gives, of an opened repository."""

    async def opened():
        async with open_repository(name, connections) as repository:
            return await do(repository)

    return asyncio.run(opened())


async def everything(repository, revision="main"):
    """Every file of a revision's data with its bytes."""
    commit = await repository.commit(revision)
    listed = [one async for one in repository.folder("data", commit, recursive=True)]
    entries = [one for one in listed if isinstance(one, Entry)]
    contents = await asyncio.gather(*(repository.fetch(entry, commit) for entry in entries))
    return dict(zip((entry.path for entry in entries), contents, strict=True))


def test_every_file_of_a_commit_is_listed_page_by_page_and_fetched_whole(hub):
    assert reading(everything) == FILES
    assert len(hub.asked("/tree/")) == 3
    assert len(hub.asked("GET /datasets/")) == len(FILES)


def test_a_revision_is_read_as_it_was_when_the_branch_has_moved_on(hub):
    hub.tag(NAME, "v1")
    hub.commit(NAME, {"data/0.wav": b"another", "data/1.wav": None})
    assert reading(lambda repository: everything(repository, "v1")) == FILES


def test_folders_are_told_from_files(hub):
    async def look(repository):
        commit = await repository.commit("main")
        return [one async for one in repository.folder("", commit, recursive=False)]

    folder, file = reading(look)
    assert (folder, file.path) == ("data", ".gitattributes")


@pytest.mark.parametrize(
    "fault",
    [refuse(503), refuse(429, retry_after=0), refuse(500), drop, cut],
    ids=["503", "429", "500", "cut before", "cut amid"],
)
def test_whichever_call_fails_everything_comes_whole(hub, fault):
    reading(everything)
    count = len(hub.calls)
    assert count == 15
    for index in range(count):
        hub.fail_call(index, fault)
        assert reading(everything) == FILES, index


def test_a_hub_that_asks_to_be_left_alone_is_left_alone_for_as_long(hub, monkeypatch):
    waits = []

    async def sleep(seconds, *_):
        if seconds:
            waits.append(round(seconds))
            opened._resumes_at = 0.0  # as if so much time had passed

    async def limited(request, _):
        return web.json_response({}, status=429, headers={"RateLimit": '"resolvers";r=0;t=217'})

    async def fetch(repository):
        nonlocal opened
        opened = repository
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            return await everything(repository)

    opened = None
    hub.fail("GET /datasets/", limited)
    hub.fail("GET /datasets/", refuse(503, retry_after=9000))
    assert reading(fetch, connections=1) == FILES
    assert waits == [217, 600]


def test_bytes_that_are_not_the_commits_are_never_given(hub, monkeypatch):
    monkeypatch.setattr(client, "_ATTEMPTS", 2)

    body = b"<!DOCTYPE html>" * 600

    async def another(request, _):
        return web.Response(body=body)

    hub.fail("GET /cdn/", another)
    assert reading(everything) == FILES
    hub.fail("GET /cdn/", another, times=10**6)
    with pytest.raises(EndpointError, match="9000 bytes that are not the file's 9000"):
        reading(everything)
    body = b"x" * 2**20
    with pytest.raises(EndpointError, match="an answer of more than 9,000 bytes"):
        reading(everything)
    for digest in (hashlib.sha256(b"x").hexdigest(), hashlib.sha1(b"blob 1\0x").hexdigest()):
        assert Entry(path="x", num_bytes=1, digest=digest).holds(b"x")
        assert not Entry(path="x", num_bytes=1, digest=digest).holds(b"y")


def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_on(hub):
    hub.repos[NAME].private = True
    assert reading(everything) == FILES
    for call in hub.calls:
        assert ("authorization" in call.headers) == (not call.path.startswith("/cdn/"))
        assert call.headers["user-agent"].startswith("deepdialogue/")
    assert hub.asked("/cdn/")


@pytest.mark.parametrize("token", [None, READER, "hf_unknown5ecretunknown5ecret"])
def test_without_a_token_that_may_read_it_a_private_repository_is_refused_in_one_line(
    hub, monkeypatch, token
):
    hub.create("other/talk-xtts", private=True)
    monkeypatch.setenv("HF_TOKEN", token or "")
    with pytest.raises(
        ConfigError, match="the Hub has no dataset 'other/talk-xtts', or this token may not"
    ) as error:
        reading(everything, "other/talk-xtts")
    assert "5ecret" not in str(error.value)
    assert len(hub.calls) == 1


def test_a_revision_that_is_not_there_is_refused_by_name(hub):
    with pytest.raises(
        ConfigError, match="lab/talk-xtts on the Hub: Invalid rev id: v9: name one of its branches"
    ):
        reading(lambda repository: everything(repository, "v9"))


def test_a_file_that_is_listed_and_not_there_is_refused_by_name(hub):
    async def fetch(repository):
        commit = await repository.commit("main")
        return await repository.fetch(Entry(path="data/9.wav", num_bytes=1, digest=""), commit)

    with pytest.raises(SourceError, match=r"data/9\.wav: Entry not found"):
        reading(fetch)


def test_a_hub_that_stays_busy_is_given_up_in_one_line_without_the_token(hub, monkeypatch):
    monkeypatch.setattr(client, "_ATTEMPTS", 3)

    async def echo(request, _):
        return web.json_response({"error": request.headers["Authorization"]}, status=503)

    hub.fail("/revision/", echo, times=10**6)
    with pytest.raises(
        EndpointError, match=r"503 Service Unavailable: Bearer \[token\] \(3 attempts\)"
    ) as error:
        reading(everything)
    assert TOKEN not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_page_that_is_said_to_be_elsewhere_is_not_asked_for(hub):
    async def elsewhere(request, handler):
        answer = await handler(request)
        answer.headers["Link"] = '<http://localhost:1/next>; rel="next"'
        return answer

    hub.fail("/tree/", elsewhere)
    with pytest.raises(
        ProtocolError, match="the next page is said to be elsewhere: 'http://localhost:1/next'"
    ):
        reading(everything)


def test_what_is_no_hub_is_said_to_be_none(hub):
    async def page(request, _):
        return web.Response(text="<!DOCTYPE html>")

    hub.fail("/revision/", page)
    with pytest.raises(ProtocolError, match="is no Hub"):
        reading(everything)


def test_a_library_that_is_told_to_stay_offline_stays_offline(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        reading(everything)
    assert not hub.calls


def test_no_more_files_are_fetched_at_once_than_there_are_connections(hub):
    at_once = peak = 0

    async def counted(request, handler):
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        await asyncio.sleep(0.01)
        answer = await handler(request)
        at_once -= 1
        return answer

    hub.fail("GET /cdn/", counted, times=10**6)
    hub.commit(NAME, {f"data/more/{number}.wav": bytes([number]) * 50 for number in range(40)})
    reading(everything, connections=3)
    assert 2 <= peak <= 3
