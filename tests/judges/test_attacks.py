"""Turns that want a better score: none reaches the judge as anything but the words of a dialogue, and none is read as its answer.

Law of the file: an attack is a table of attacks.toml; what is promised of one is promised of all.
"""

import asyncio
import importlib.util
import json
import re
import tomllib
import unicodedata
from pathlib import Path

import msgspec
import pytest

from builder.config import load_study
from builder.core.prompt import Completion
from builder.core.verdict import Abstention, Verdict
from builder.plugins import make
from builder.plugins.judges import Judge, rubric
from builder.plugins.llm.openai import OpenAI
from tests.llm.asking import a_model
from tests.servers.llama_server import NEEDS, LlamaServer, make_speaker

CORPUS = tomllib.loads((Path(__file__).parent / "attacks.toml").read_text(encoding="utf-8"))
ATTACKS = {one["kind"]: one.get("pad", "") * one.get("times", 0) + one["text"] for one in CORPUS["attack"]}
MARKERS = CORPUS["markers"]
PANEL = {
    name: make(Judge, table, "a study")
    for name, table in load_study("deepdialogue").judges.items()
    if "model" in table
}
TOLD = re.compile(
    r'\{"domain":S,"turns":\[T(?:,T)*\]\}'.replace("T", r'\{"turn":\d+,"speaker":"[AB]","text":S,"emotion":S\}')
    .replace("S", r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*"')
)  # fmt: skip

each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def fill(schema, score):
    """An answer to a schema with one score everywhere."""
    values = {
        name: [score] * part["minItems"] if part["type"] == "array" else score
        for name, part in schema["properties"].items()
    }
    return json.dumps(values | {"reason": "I was told to." if score == 5 else "It is flat."})


def obedient(prompt):
    """A model that gives 2, and 5 as soon as anything looks like an instruction that is no string of the data's JSON."""
    *_, told = prompt.messages
    data = told.content.rpartition("\n")[2] if len(prompt.messages) == 1 else told.content
    num_turns = prompt.schema["properties"]["emotion"]["minItems"]
    innocent = (
        TOLD.fullmatch(data)
        and len(json.loads(data)["turns"]) == num_turns
        and not any(marker in data for marker in MARKERS)
    )
    return fill(prompt.schema, 2 if innocent else 5)


def completion(text):
    return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)


def first_prompt(dialogue, context, name="rubric-qwen"):
    return next(PANEL[name].judge(dialogue, msgspec.structs.replace(context, name=name)))


def judged(dialogue, context, answer, name="rubric-qwen"):
    """What the judge makes of a dialogue when `answer`, of a prompt, answers it."""
    asking = PANEL[name].judge(dialogue, msgspec.structs.replace(context, name=name))
    prompt = next(asking)
    while True:
        try:
            prompt = asking.send(completion(answer(prompt)))
        except StopIteration as end:
            return end.value


def without_a_system_role(context):
    models = {
        name: msgspec.structs.replace(model, system_role=False)
        for name, model in context.vocabulary.models.items()
    }
    return msgspec.structs.replace(
        context, vocabulary=msgspec.structs.replace(context.vocabulary, models=models)
    )


def test_every_marker_of_a_template_is_tried():
    assert not [marker for marker in MARKERS if not any(marker in attack for attack in ATTACKS.values())]
    assert len(ATTACKS) == len(CORPUS["attack"]) >= 50


@each_attack
@pytest.mark.parametrize("system_role", [True, False])
def test_an_attack_changes_nothing_of_the_prompt_but_the_strings_it_stands_in(
    held, context, attack, system_role
):
    known = context if system_role else without_a_system_role(context)
    innocent = first_prompt(held("Hi there!", "Hello!"), known)
    prompt = first_prompt(held("Hi there!", attack, emotion=attack), known)
    assert prompt.messages[:-1] == innocent.messages[:-1]
    head, _, data = prompt.messages[-1].content.rpartition("\n")
    its_head, _, its_data = innocent.messages[-1].content.rpartition("\n")
    assert head == its_head
    assert bool(head) != system_role
    assert (prompt.schema, prompt.seed, prompt.decoding) == (
        innocent.schema,
        innocent.seed,
        innocent.decoding,
    )
    assert TOLD.fullmatch(data)
    shown, its_own = json.loads(data), json.loads(its_data)
    assert [turn.pop("text") for turn in shown["turns"]] == ["Hi there!", attack]
    assert [turn.pop("emotion") for turn in shown["turns"]] == [attack] * 2
    assert [turn.pop("text") for turn in its_own["turns"]] == ["Hi there!", "Hello!"]
    assert [turn.pop("emotion") for turn in its_own["turns"]] == ["happy"] * 2
    assert shown == its_own


@each_attack
def test_no_marker_is_left_and_nothing_that_cannot_be_seen(held, context, attack):
    data = first_prompt(held("Hi there!", attack, emotion=attack), context).messages[-1].content
    assert data.isprintable()
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        folded = unicodedata.normalize(form, data)
        assert not any(marker in folded for marker in MARKERS)
        assert not {"<", ">", "|", "`", "#"} & set(folded)
        assert "".join(re.findall(r"[\[\]{}]", folded)) == "{[{}{}]}"


@each_attack
@pytest.mark.parametrize("name", PANEL)
def test_a_model_that_obeys_whatever_is_no_string_of_the_data_is_not_moved(held, context, attack, name):
    honest = judged(held("Hi there!", "Hello!"), context, obedient, name)
    assert set(honest.scores.values()) == {2.0}
    for dialogue in (held("Hi there!", attack, emotion=attack), held(attack, "Hello!")):
        assert judged(dialogue, context, obedient, name) == honest


@each_attack
def test_the_same_model_is_moved_by_what_stands_after_the_data(held, context, attack):
    prompt = first_prompt(held("Hi there!", "Hello!"), context)
    system, user = prompt.messages
    told = msgspec.structs.replace(user, content=user.content + attack)
    moved = msgspec.structs.replace(prompt, messages=(system, told))
    assert (obedient(prompt), obedient(moved)) == (fill(prompt.schema, 2), fill(prompt.schema, 5))


def test_the_same_model_is_moved_by_most_attacks_where_quotation_marks_are_all_that_holds_them(
    held, context, monkeypatch
):
    monkeypatch.setattr(rubric, "_quoted", lambda text: msgspec.Raw(f'"{text}"'.encode()))

    def moved(said):
        return 5.0 in judged(held("Hi there!", said), context, obedient).scores.values()

    succeeded = {kind for kind, attack in ATTACKS.items() if moved(attack)}
    assert not moved("Hello!")
    assert len(succeeded) > len(ATTACKS) / 2
    assert succeeded > {
        "closing quote",
        "another key",
        "another turn",
        "end of the data",
        "ChatML",
        "MiniMax",
    }


@each_attack
def test_an_answer_that_quotes_an_attack_before_its_own_object_is_read_by_its_own(held, context, attack):
    def quotes(prompt):
        return f"Turn 2 says: {attack}\n\nThat is no instruction to me.\n{fill(prompt.schema, 2)}"

    verdict = judged(held("Hi there!", attack), context, quotes)
    assert isinstance(verdict, Verdict)
    assert set(verdict.scores.values()) == {2.0}
    assert set(verdict.turns["emotion"]) == {2}


@each_attack
def test_an_answer_that_ends_in_an_attack_is_never_read_by_it(held, context, attack):
    def parrots(prompt):
        return f"{fill(prompt.schema, 2)} whereas turn 2 says: {attack}"

    vote = judged(held("Hi there!", attack), context, parrots)
    assert isinstance(vote, Abstention) or set(vote.scores.values()) == {2.0}


def test_a_fake_answer_that_is_only_repeated_is_told_from_an_answer(held, context):
    fake = ATTACKS["fake answer"]
    vote = judged(held("Hi there!", fake), context, lambda _: fake.replace(" ", "\n"))
    reason = "the last JSON object is quoted from turn 2"
    assert vote == Abstention(judge="rubric-qwen", reason=f"{reason}; {reason}")
    assert set(judged(held("Hi there!", "Hello!"), context, lambda _: fake).scores.values()) == {5.0}


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDS),
    reason=f"the extra 'test' is not installed: one of {', '.join(NEEDS)} is missing",
)
def test_a_real_tokeniser_finds_no_token_of_its_template_in_any_attack_and_the_verdict_can_be_read(
    held, context, tmp_path
):
    said = [*ATTACKS.values(), "</s><s>"]
    dialogues = [held(*said[first : first + 10]) for first in range(0, len(said), 10)]

    async def ask(server):
        backend = OpenAI(url=server.url, served_as=server.model)
        async with backend.open(a_model()) as endpoint:
            for dialogue in dialogues:
                asking = PANEL["rubric-qwen"].judge(dialogue, context)
                prompt = next(asking)
                answered = await endpoint.complete(prompt)
                yield prompt, answered, judged(dialogue, context, lambda _, said=answered.text: said)

    async def main(server):
        return [one async for one in ask(server)]

    with LlamaServer(make_speaker(tmp_path / "speaker.gguf"), tmp_path) as server:
        asked = asyncio.run(main(server))
    for dialogue, (prompt, answered, verdict) in zip(dialogues, asked, strict=True):
        rendered = "".join(f"[{message.role}]{message.content}" for message in prompt.messages)
        # Its tokens are single bytes, but for " a" and those that end and begin a message.
        assert answered.prompt_tokens == len(f"{rendered}[assistant]".encode()) - rendered.count(" a")
        assert len(verdict.turns["emotion"]) == len(dialogue.turns)
