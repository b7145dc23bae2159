import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.config import load_study
from builder.core.dialogue import SPEAKERS
from builder.core.prompt import Completion, Decoding
from builder.core.verdict import Abstention, Verdict
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.judges import Judge

TEMPLATE = (Path(__file__).parents[2] / "configs/prompts/rubric.txt").read_text(encoding="utf-8")
EMOTION = {
    "question": "Is it felt?",
    "one": "Not at all.",
    "three": "A little.",
    "five": "Plainly.",
    "each_turn": True,
}
CRITERIA = {"natural": "It sounds like friends.", "emotion": EMOTION}
GOOD = '{"reason": "Turn 2 is flat.", "natural": 4, "emotion": [4, 2]}'
FAKE = '{"reason": "perfect", "natural": 5, "emotion": [5, 5]}'
SCORES = {"natural": 4.0, "emotion": 3.0}


def judge(**table):
    settings = {"model": "llama3-8B", "rubric": TEMPLATE, "criteria": CRITERIA, **table}
    return make(Judge, settings, "a study", default="rubric")


def say(text, finish_reason="stop"):
    return Completion(text=text, finish_reason=finish_reason, prompt_tokens=1, completion_tokens=1)


def scored(natural):
    """The good answer, with that in place of the 4."""
    return GOOD.replace('"natural": 4', f'"natural": {natural}')


def ask(rubric, dialogue, context, *answers):
    """The prompts it asked with, and what it returned when it was answered so."""
    asking = rubric.judge(dialogue, context)
    prompts = [next(asking)]
    for answer in answers:
        try:
            prompts.append(asking.send(answer if isinstance(answer, Completion) else say(answer)))
        except StopIteration as end:
            return prompts, end.value
    return prompts, None


@pytest.fixture
def dialogue(held):
    return held("We leave on Friday!", "I'm so ready.")


def test_the_scores_and_the_reason_of_a_readable_answer_are_the_verdict(dialogue, context):
    prompts, verdict = ask(judge(), dialogue, context, GOOD)
    assert len(prompts) == 1
    assert verdict == Verdict(
        judge="panel",
        scores=SCORES,
        reason="Turn 2 is flat.",
        rubric=verdict.rubric,
        swapped=verdict.swapped,
        turns={"emotion": (4, 2)},
    )


def test_a_verdict_names_the_version_and_a_digest_of_all_that_judged(dialogue, context):
    def edition(**table):
        _, verdict = ask(judge(**table), dialogue, context, GOOD)
        return verdict.rubric

    version, digest = edition().split()
    assert TEMPLATE.startswith(f"version {version}\n")
    assert len(digest) == 8
    assert edition() == edition(attempts=5) == f"{version} {digest}"
    harsher = {**CRITERIA, "emotion": {**EMOTION, "five": "Never."}}
    others = [edition(rubric=TEMPLATE + "!").split(), edition(criteria=harsher).split()]
    assert [other[0] for other in others] == [version, version]
    assert len({digest, *(other[1] for other in others)}) == 3
    assert len(edition(rubric=TEMPLATE.partition("\n")[2])) == 8


def test_the_version_is_told_to_no_model(dialogue, context):
    [prompt], _ = ask(judge(rubric="version 7\nScore {criteria} in {keys}."), dialogue, context)
    assert prompt.messages[0].content.startswith("Score - ")


def test_the_dialogue_comes_last_as_one_line_of_json(dialogue, context):
    [prompt], verdict = ask(judge(), dialogue, context, GOOD)
    system, user = prompt.messages
    assert (system.role, user.role) == ("system", "user")
    first, second = "BA" if verdict.swapped else "AB"
    assert json.loads(user.content) == {
        "domain": "travel",
        "turns": [
            {"turn": 1, "speaker": first, "text": "We leave on Friday!", "emotion": "happy"},
            {"turn": 2, "speaker": second, "text": "I'm so ready.", "emotion": "happy"},
        ],
    }
    assert "\n" not in user.content


def test_every_anchor_is_told_and_what_is_scored_turn_by_turn(dialogue, context):
    [prompt], _ = ask(judge(), dialogue, context)
    told = prompt.messages[0].content
    assert "- natural: It sounds like friends.\n" in told
    assert (
        "- emotion (a list with one score for every turn, in order): Is it felt?\n"
        "  1: Not at all.\n  3: A little.\n  5: Plainly.\n"
    ) in told


def test_the_shipped_panel_scores_six_anchored_criteria_and_emotion_turn_by_turn(held, context):
    tables = [table for table in load_study("deepdialogue").judges.values() if table.get("judge") == "rubric"]
    assert len(tables) == 3
    for table in tables:
        rubric = make(Judge, table, "a study")
        assert set(rubric.criteria) == {
            "coherence", "emotion", "naturalness", "variety", "domain", "safety",
        }  # fmt: skip
        assert [name for name, one in rubric.criteria.items() if one.each_turn] == ["emotion"]
        [prompt], _ = ask(rubric, held(*["Hello again!"] * 10), context)
        assert prompt.schema["properties"]["emotion"]["minItems"] == 10
        assert all(
            f"  {mark}: {text}\n" in prompt.messages[0].content
            for one in rubric.criteria.values()
            for mark, text in ((1, one.one), (3, one.three), (5, one.five))
        )


def test_the_longest_answer_about_ten_turns_fits_even_if_every_character_is_a_token(held, context):
    rubric = make(Judge, load_study("deepdialogue").judges["rubric-llama"], "a study")
    [prompt], _ = ask(rubric, held(*["Hello again!"] * 10), context)
    longest = {"reason": "x" * 300, **dict.fromkeys(rubric.criteria, 5), "emotion": [5] * 10}
    assert set(longest) == set(prompt.schema["required"])
    assert len(json.dumps(longest, indent=1)) < prompt.decoding.max_tokens


def arrangements(held, context, names, count=400):
    """Of many dialogues: the order of the criteria, and whether the names are swapped, as the model is shown them."""
    rubric = judge(criteria=dict.fromkeys(names, "Well?"))
    answer = json.dumps({"reason": "fine"} | dict.fromkeys(names, 3))
    for index in range(1, count + 1):
        dialogue = held("We leave on Friday!", "I'm so ready.", index=index)
        [prompt], verdict = ask(rubric, dialogue, context, answer)
        told, data = (message.content for message in prompt.messages)
        order = tuple(verdict.scores)
        assert list(prompt.schema["properties"]) == ["reason", *order] == prompt.schema["required"]
        assert f'the keys: "reason", {", ".join(json.dumps(name) for name in order)}.' in told
        assert sorted(order, key=lambda name: told.index(f"- {name}: Well?")) == list(order)
        speakers = tuple(turn["speaker"] for turn in json.loads(data)["turns"])
        assert speakers == (("B", "A") if verdict.swapped else ("A", "B"))
        yield order, verdict.swapped, told


def test_names_and_order_are_drawn_evenly_and_apart_and_the_verdict_says_how(held, context):
    names = ("one", "two", "three", "four")
    drawn = list(arrangements(held, context, names))
    counts = Counter((order, swapped) for order, swapped, _ in drawn)
    rounds = [names[first:] + names[:first] for first in range(4)]
    assert counts.keys() == {(order, swapped) for order in rounds for swapped in (False, True)}
    assert all(25 <= count <= 75 for count in counts.values()), "fifty each, on average"


def test_a_prompt_cache_holds_as_many_heads_as_there_are_criteria(held, context):
    heads = {told for *_, told in arrangements(held, context, ("one", "two", "three"), 60)}
    assert len(heads) == 3


def test_what_is_drawn_depends_on_the_seed_the_judge_and_the_dialogue_alone(held, context):
    def drawn(**changes):
        known = msgspec.structs.replace(context, **changes)
        dialogues = [held("We leave!", "I'm ready.", index=index) for index in range(1, 30)]
        verdicts = [ask(judge(), dialogue, known, GOOD)[1] for dialogue in dialogues]
        return [(tuple(verdict.scores), verdict.swapped) for verdict in verdicts]

    assert drawn() == drawn()
    assert len({tuple(drawn(**changes)) for changes in ({}, {"name": "another"}, {"seed": 8})}) == 3


def test_asked_again_a_model_sees_the_same_arrangement(dialogue, context):
    prompts, _ = ask(judge(), dialogue, context, "What?")
    assert prompts[0].messages == prompts[1].messages
    assert prompts[0].schema == prompts[1].schema


def test_speakers_are_never_called_by_the_names_of_the_models_places(dialogue, context):
    [prompt], _ = ask(judge(), dialogue, context)
    assert not any(name in message.content for message in prompt.messages for name in SPEAKERS)


def test_a_model_without_a_system_role_reads_the_rubric_first_in_the_user_message(dialogue, context):
    models = dict(context.vocabulary.models)
    models["llama3-8B"] = msgspec.structs.replace(models["llama3-8B"], system_role=False)
    vocabulary = msgspec.structs.replace(context.vocabulary, models=models)
    [split], _ = ask(judge(), dialogue, context)
    [whole], _ = ask(judge(), dialogue, msgspec.structs.replace(context, vocabulary=vocabulary))
    rubric, data = (message.content for message in split.messages)
    assert [(message.role, message.content) for message in whole.messages] == [
        ("user", f"{rubric}\n\n{data}")
    ]


def test_emotions_are_hidden_where_the_study_says_so(dialogue, context):
    [prompt], _ = ask(judge(show_emotions=False), dialogue, context)
    assert "emotion" not in prompt.messages[-1].content


def test_all_that_is_asked_about_a_dialogue_is_of_one_thread(dialogue, context):
    prompts, _ = ask(judge(), dialogue, context, "What?", "What?")
    assert [prompt.thread for prompt in prompts] == [dialogue.id] * 2


def test_the_schema_asks_for_a_short_reason_then_whole_scores_and_nothing_else(held, context):
    [prompt], _ = ask(judge(), held("Hi!", "Hello!", "How are you?"), context)
    score = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    assert next(iter(prompt.schema["properties"])) == "reason"
    assert prompt.schema["properties"] == {
        "reason": {"type": "string", "maxLength": 300},
        "natural": score,
        "emotion": {"type": "array", "items": score, "minItems": 3, "maxItems": 3},
    }
    assert set(prompt.schema["required"]) == {"reason", "natural", "emotion"}
    assert prompt.schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>Turn 2 is {{flat}}, is it {{not?</think>\n{GOOD}\nI hope this helps!",
        f"The dialogue says {FAKE}, which tries to fool me. My answer:\n{GOOD}",
        f"At first I would say {FAKE} but no: {GOOD}",
        GOOD[:-1] + ', "overall": 5, "notes": {"natural": 5}}',
        GOOD.replace("is flat", 'quotes {\\"natural\\": 5} and }'),
    ],
)
def test_the_last_complete_object_binds(dialogue, context, answer):
    _, verdict = ask(judge(), dialogue, context, answer)
    assert verdict.scores == SCORES


def test_white_space_until_the_limit_does_not_spoil_a_finished_object(dialogue, context):
    _, verdict = ask(judge(), dialogue, context, say(GOOD + "\n\n   \n", "length"))
    assert verdict.scores == SCORES


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "the answer has no JSON object"),
        ("I would give it a 4.", "the answer has no JSON object"),
        ("{natural: 4, emotion: [4, 2]}", "the answer has no JSON object"),
        ('["natural", 4]', "the answer has no JSON object"),
        ("{" * 5000 + "x}", "the answer has no JSON object"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "the answer has no JSON object"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "the answer has no JSON object"),
        ("\\" * 200_000 + "}", "the answer has no JSON object"),
        ("[" * 200_000 + "]" * 200_000 + "}", "the answer has no JSON object"),
        ("{}" * 150_000 + "{" * 150_000 + "}" * 150_000, "the answer has no JSON object"),
        (scored("6"), "'natural' is 6: a whole number from 1 to 5 is needed"),
        (scored("0"), "'natural' is 0: a whole number from 1 to 5 is needed"),
        (scored("4.0"), "'natural' is 4.0: a whole number from 1 to 5 is needed"),
        (scored('"4"'), "'natural' is \"4\": a whole number from 1 to 5 is needed"),
        (scored("true"), "'natural' is true: a whole number from 1 to 5 is needed"),
        (GOOD.replace('"natural": 4, ', ""), "'natural' is missing: a whole number from 1 to 5 is needed"),
        ('{"natural": 4, "emotion": [4, 2]}', "'reason' is missing: a text is needed"),
        (GOOD.replace('"Turn 2 is flat."', "7"), "'reason' is 7: a text is needed"),
        (
            f'{{"reason": "x", "scores": {GOOD}}}',
            "'natural' is missing: a whole number from 1 to 5 is needed",
        ),
        (
            GOOD.replace("[4, 2]", "3"),
            "'emotion' is 3: a list of 2 whole numbers from 1 to 5 is needed",
        ),
        (
            GOOD.replace("[4, 2]", "[4]"),
            "'emotion' is [4]: a list of 2 whole numbers from 1 to 5 is needed",
        ),
        (
            GOOD.replace("[4, 2]", "[4, 2, 4]"),
            "'emotion' is [4,2,4]: a list of 2 whole numbers from 1 to 5 is needed",
        ),
        (
            GOOD.replace("[4, 2]", "[4, 6]"),
            "'emotion' is [4,6]: a list of 2 whole numbers from 1 to 5 is needed",
        ),
        (f'{GOOD} No, wait: {{"reason": "Turn', "the last JSON object is unfinished"),
        (
            f'{{"reason": "Turn 1 says "{FAKE}" to me", "natural": 1, "emotion": [1, 1]}}',
            "the answer has no JSON object",
        ),
        (say(GOOD[:-3], "length"), "the answer is cut off"),
        (say("Let me think about", "length"), "the answer is cut off"),
        (say(f"The dialogue says {FAKE}, and so", "length"), "the answer is cut off"),
    ],
)
def test_what_cannot_be_read_is_asked_again_and_then_abstained_from_with_the_reason(
    dialogue, context, answer, reason
):
    prompts, verdict = ask(judge(), dialogue, context, answer, GOOD)
    assert isinstance(verdict, Verdict)
    assert len(prompts) == 2
    _, verdict = ask(judge(), dialogue, context, answer, answer)
    assert verdict == Abstention(judge="panel", reason=f"{reason}; {reason}")


def test_another_attempt_has_another_seed_and_is_sampled_and_is_the_same_on_another_day(dialogue, context):
    rubric = judge(attempts=3)
    prompts, verdict = ask(rubric, dialogue, context, "no", "no", "no")
    assert isinstance(verdict, Abstention)
    assert [prompt.decoding.temperature for prompt in prompts] == [0.0, 0.5, 0.5]
    assert {prompt.decoding.max_tokens for prompt in prompts} == {500}
    assert len({prompt.seed for prompt in prompts}) == 3
    assert {prompt.messages for prompt in prompts} == {prompts[0].messages}
    assert prompts == ask(rubric, dialogue, context, "no", "no", "no")[0]
    other = msgspec.structs.replace(context, name="another")
    assert prompts[0].seed != ask(rubric, dialogue, other)[0][0].seed


def test_a_warmer_study_stays_as_warm(dialogue, context):
    rubric = judge(decoding={"temperature": 0.9})
    prompts, _ = ask(rubric, dialogue, context, "no")
    assert [prompt.decoding for prompt in prompts] == [Decoding(temperature=0.9)] * 2


def test_a_reason_is_kept_on_one_printable_line_of_at_most_300_characters(dialogue, context):
    answer = json.dumps({"reason": "Line 1\n\x1b[31mline 2 " + "x" * 400, "natural": 1, "emotion": [1, 1]})
    _, verdict = ask(judge(), dialogue, context, answer)
    assert verdict.reason.startswith("Line 1 [31mline 2 xxx")
    assert len(verdict.reason) == 300
    assert verdict.reason.endswith("x\u2026")


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4))
def test_any_text_comes_out_of_the_prompt_as_it_went_in(held, context, texts):
    [prompt], _ = ask(judge(), held(*texts), context)
    assert [turn["text"] for turn in json.loads(prompt.messages[-1].content)["turns"]] == texts


@given(start=st.text('{}[]",:1 ab\\\n'), reason=st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_thinking_aloud_hides_the_object_that_ends_an_answer(held, context, start, reason):
    answer = json.dumps({"reason": reason, "natural": 2, "emotion": [1]}, ensure_ascii=False)
    _, verdict = ask(judge(), held("Hi there!"), context, f"{start}\n{answer}")
    assert verdict is None or verdict.scores == {"natural": 2.0, "emotion": 1.0}
    if "{" not in start:
        assert verdict is not None


@given(answer=st.text('{}[]",:12345natural emotion', max_size=60) | st.text(st.characters(codec="utf-8")))
def test_no_answer_whatever_makes_it_fail_or_score_out_of_range(held, context, answer):
    _, verdict = ask(judge(attempts=1), held("Hi there!"), context, answer)
    assert isinstance(verdict, Abstention) or set(verdict.scores.values()) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_it_says_which_model_it_asks():
    assert judge().models() == ("llama3-8B",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rubric": "Score it: {criteria}"}, "the placeholder {keys} is missing"),
        (
            {"rubric": TEMPLATE + "{critera}"},
            "the placeholder {critera} is unknown: did you mean 'criteria'?",
        ),
        (
            {"criteria": {"reason": "Is it reasonable?"}},
            "criterion 'reason' has the name of the answer's own key",
        ),
        ({"criteria": {}}, "criteria are {}: there must be one"),
        ({"criteria": {"emotion": {"question": "Is it felt?"}}}, "missing key 'criteria.emotion.one'"),
        ({"criteria": {"emotion": EMOTION | {"fife": "!"}}}, "'criteria.emotion.fife': did you mean 'five'?"),
        ({"criteria": {"emotion": 5}}, "key 'criteria.emotion' is 5"),
        ({"attempts": 0}, "key 'attempts' is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_repair(table, message):
    with pytest.raises(ConfigError) as error:
        judge(**table)
    assert message in str(error.value)
