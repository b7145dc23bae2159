"""What generating promises where servers fail now and then, think, or say little: dialogues, whatever the server calls things."""

import asyncio
import itertools

import msgspec
import pytest

from builder.config import Site, load_study
from builder.core.scenario import TurnRange
from builder.run.folder import Run
from builder.stages.generate import generate
from builder.stages.plan import plan
from tests.servers.loopback import answer
from tests.servers.openai import OpenAIServer

PLACES = ("harbour", "island", "museum", "market", "castle", "forest", "lake", "tower")
DIALOGUES = 40


def speak(body):
    place, number = PLACES[body["seed"] % len(PLACES)], body["seed"] % 9973
    return f"My sister and I found the {place} after {number} wrong turns, and it was worth every one."


class Faulty(OpenAIServer):
    """One whose `fault` may answer in its place, from how many requests came before."""

    fault = staticmethod(lambda _: None)

    def routes(self):
        self._asked = itertools.count()
        return super().routes()

    async def _chat(self, request):
        fault = self.fault(next(self._asked))
        return await (fault(request) if fault else super()._chat(request))


def held(folder, server, **settings):
    """Has the dialogues held; gives the run's tally, its dialogues and why others failed."""
    study = load_study("quickstart")
    what = msgspec.structs.replace(
        study.plan,
        domains=("travel",),
        pairings=("phi4-mini", "llama3-8B_gemma3-4B"),
        dialogues_per_cell=DIALOGUES // 2,
        turns=TurnRange(min=4, max=4),
    )
    study = msgspec.structs.replace(study, plan=what, judges={}, speech={})
    table = {"backend": "openai", "url": server.url, "served_as": "m", "pause_s": 0.01, **settings}
    with Run(folder, study, Site(name="here", models={"*": table})) as run:
        asyncio.run(plan(run))
        tally = asyncio.run(generate(run))
        return (
            tally,
            list(run.dialogues),
            [failure.message for failure in run.failures.unresolved("generate")],
        )


@pytest.mark.parametrize(
    "fault",
    [
        lambda asked: answer(520, "<html>") if asked % 20 == 7 else None,
        lambda asked: answer(408, "") if asked % 20 == 7 else None,
        lambda asked: answer(200, {"error": {"message": "Busy", "code": 429}}) if asked % 2 else None,
        lambda asked: answer(200, {"error": "Upstream failed"}) if asked % 2 else None,
        lambda asked: answer(200, {"choices": []}) if asked % 2 else None,
    ],
    ids=["520 now and then", "408 now and then", "429 inside 200", "an error inside 200", "no choices"],
)
def test_a_server_that_fails_now_and_then_costs_no_dialogue(tmp_path, fault):
    with Faulty("m", speak) as server:
        server.fault = fault
        tally, dialogues, failures = held(tmp_path / "run", server)
    assert failures == []
    assert tally.done == len(dialogues) == DIALOGUES


def test_one_answer_without_end_is_one_recorded_failure_and_the_others_go_on(tmp_path):
    deep = '{"choices":' + "[" * 200_000 + "]" * 200_000 + "}"
    with Faulty("m", speak) as server:
        server.fault = {3: answer(200, deep), 5: answer(200, " " * 10_000)}.get
        tally, dialogues, failures = held(tmp_path / "run", server, max_answer_bytes=8192)
    assert len(failures) == tally.failed == 2
    assert len(dialogues) == DIALOGUES - 2


def test_what_a_model_thinks_and_half_a_character_are_in_no_dialogue(tmp_path):
    def think(body):
        return f"<think>A museum, then.</think>\n{speak(body)}" + ("\ud83d" if body["seed"] % 3 == 0 else "")

    with Faulty("m", think) as server:
        tally, dialogues, _ = held(tmp_path / "run", server, extra={"reasoning_effort": "low"})
        assert {body["reasoning_effort"] for body in server.bodies("/v1/chat/completions")} == {"low"}
    said = [turn.text for dialogue in dialogues for turn in dialogue.turns]
    assert tally.done > 0
    assert not any("think" in text or "museum, then" in text for text in said)
    msgspec.json.encode(said)
