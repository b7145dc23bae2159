"""A build that is killed again and again beside real servers on loopback, and what those count.

Law of the file: what counts is what a server sent to its last byte. Half of the kills come while the servers answer nothing and
the client sleeps, so that it had all that was sent; the others at any moment, and then what was sent just before is in flight.
"""

import hashlib
import json
import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from tests.commands import deepdialogue, kill, site, started, study, tree, wait_for
from tests.servers.tgi import TGIServer

IN_FLIGHT_S = 0.1
"""What was sent so shortly before a kill at any moment may not have been read."""
MODELS = {
    "llama3-8B": "meta-llama/Meta-Llama-3-8B-Instruct",
    "gemma3-4B": "google/gemma-3-4b-it",
    "llama3-70B": "meta-llama/Meta-Llama-3-70B-Instruct",
    "qwen2.5-72B": "Qwen/Qwen2.5-72B-Instruct",
    "gemma3-27B": "google/gemma-3-27b-it",
}
"""Two that speak and three that judge."""


class Killed(NamedTuple):
    """What came of it."""

    kills: int
    at_rest: int
    """Those of them that came while the servers answered nothing and the client slept."""
    asked: int
    """Calls that reached a server."""
    answered: int
    """Those of them that were answered to the last byte."""
    rejected: int
    """Those of them that were no reply, or no verdict."""
    repeated: int
    """Calls that were answered, and were asked for again after a kill."""
    in_flight: int
    """The same of those that were sent just before a kill that came at any moment."""
    same: bool
    """Whether the dataset is, byte for byte, that of a build that was not killed."""
    given_up: int
    """Dialogues."""


class _Kill(NamedTuple):
    """Between two moments."""

    begin: float
    end: float
    rest: bool

    def may_have_lost(self, when):
        """Whether what was sent then was perhaps not read any more."""
        return self.begin - (0.0 if self.rest else IN_FLIGHT_S) < when < self.end


class _Sent(web.Response):
    """An answer that tells when it was sent to its last byte."""

    def __init__(self, answer, tell):
        super().__init__(body=answer.body, status=answer.status, headers=answer.headers)
        self._tell = tell

    async def write_eof(self, data=b""):
        await super().write_eof(data)
        self._tell()


class Counting(TGIServer):
    """Answers by the seed alone: one call in four badly. Keeps when it sent which answer."""

    def __init__(self, hub_id):
        super().__init__(hub_id, _say, model_sha="abc1234")
        self.sent = []

    def routes(self):
        kept = [route for route in super().routes() if route.path != "/v1/chat/completions"]
        return [*kept, web.post("/v1/chat/completions", self._counted)]

    async def _counted(self, request):
        asked = hashlib.sha256(await request.read()).hexdigest()
        answer = await self._guard(self._chat)(request)
        return _Sent(answer, lambda: self.sent.append((asked, time.monotonic())))


def _is_bad(seed):
    return seed % 4 == 0


def _say(messages, parameters):
    seed = parameters["seed"]
    if grammar := parameters["grammar"]:
        properties = grammar["value"]["properties"]
        scores = {
            name: [3 + seed % 3] * part["minItems"] if part["type"] == "array" else 3 + seed % 3
            for name, part in properties.items()
        }
        return "I like it." if _is_bad(seed) else json.dumps(scores | {"reason": f"reason {seed}"})
    place = ("harbour", "island", "museum", "market", "castle", "forest", "station")[seed % 7]
    number = seed % 99991
    if _is_bad(seed):
        return ("", f"LLM1: We saw the {place}.", f"*laughs* The {place}!", "word " * 60)[seed // 4 % 4]
    return (
        f"My sister and I found the {place} after {number} wrong turns, and it was worth every one.",
        f"Was that the {place} on the postcard? I counted {number} steps up to it once!",
        f"The very same {place}, and this time we took a picnic for {number} hungry people.",
        f"Next summer I am coming along, even if your {place} costs me {number} euros.",
        f"Then {number} of us will wait for you in front of the {place}, whatever the weather brings.",
    )[len(messages) % 5]


def killed(folder: Path, kills: int, dialogues: int, seed: int = 0) -> Killed:
    """Builds a dataset of text calmly, and once more with kills at moments that a seed draws.

    Args:
        folder: an empty one.
        kills: how many, unless the build ends before.
        dialogues: how many it holds at most; a multiple of 2.
        seed: of the moments.
    """
    draw = random.Random(seed)
    what = study(folder, dialogues_per_cell=str(dialogues // 2), pairings='["llama3-8B_gemma3-4B"]')
    text = what.read_text()
    what.write_text(text[: text.index("[speech.xtts]")] + text[text.index("[splits]") :])
    with ExitStack() as opened:
        servers = {name: opened.enter_context(Counting(hub_id)) for name, hub_id in MODELS.items()}
        for server in servers.values():
            server.takes_s = 0.01
        where = site(
            folder,
            "".join(
                f'[models."{name}"]\nbackend = "tgi"\nurl = "{server.url}"\nlimit = 8\n'
                for name, server in servers.items()
            ),
        )
        calm = deepdialogue("build", what, "--site", where, "--run", "calm", "--out", "calm-out", cwd=folder)
        assert calm.returncode == 0, calm.stderr
        all_of_them = list(servers.values())
        most = sum(len(server.sent) for server in all_of_them) // kills
        for server in all_of_them:
            server.sent.clear()
            server.seen.clear()
        at = _kill_again_and_again(folder, what, where, all_of_them, kills, max(1, most), draw)
        if not (folder / "out").exists():
            done = deepdialogue("build", what, "--site", where, "--run", "run", "--out", "out", cwd=folder)
            assert done.returncode == 0, done.stderr
    sent = [(asked, when) for server in all_of_them for asked, when in server.sent]
    repeated = in_flight = 0
    for asked, when in sent:
        if any(asked == other and later > when for other, later in sent):
            late = any(one.may_have_lost(when) for one in at)
            in_flight += late
            repeated += not late
    seeds = [body["seed"] for server in all_of_them for body in server.bodies("/v1/chat/completions")]
    return Killed(
        kills=len(at),
        at_rest=sum(one.rest for one in at),
        asked=len(seeds),
        answered=len(sent),
        rejected=sum(map(_is_bad, seeds)),
        repeated=repeated,
        in_flight=in_flight,
        same=tree(folder / "out") == tree(folder / "calm-out"),
        given_up=len(_lines(folder / "calm/rounds.jsonl")),
    )


def _kill_again_and_again(folder, what, where, servers, kills, most, draw):
    at: list[_Kill] = []
    while len(at) < kills:
        process = started("build", what, "--site", where, "--run", "run", "--out", "out", cwd=folder)
        rest = len(at) % 2 == 0
        wanted = sum(len(server.sent) for server in servers) + draw.randint(0, most)
        if not wait_for(lambda: sum(len(server.sent) for server in servers) >= wanted, process):  # noqa: B023
            process.communicate()
            assert process.returncode == 0
            break
        if rest:
            for server in servers:
                server.held.clear()
            wait_for(lambda: _sleeps(process.pid, servers), process)  # noqa: B023
        else:
            time.sleep(draw.uniform(0, 0.03))
        before = time.monotonic()
        kill(process)
        at.append(_Kill(before, time.monotonic(), rest))
        for server in servers:
            server.held.set()
        if (folder / "out").exists():
            break  # it was done, and the next build would have new attempts at what this one gave up
    return at


def _sleeps(pid, servers):
    """Whether a process waits, and has worked off all that it was sent: it did nothing for a while."""
    before = _worked(pid), sum(len(server.sent) for server in servers)
    time.sleep(0.03)
    return before[0] is not None and before == (_worked(pid), sum(len(server.sent) for server in servers))


def _worked(pid):
    """The nanoseconds that the main thread ran so far; None while it runs or waits for a disk."""
    task = Path(f"/proc/{pid}/task/{pid}")
    try:
        if task.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "S":
            return None
        return int(task.joinpath("schedstat").read_text().split()[0])
    except OSError:
        return None


def _lines(path):
    return path.read_bytes().splitlines()[1:] if path.exists() else []
