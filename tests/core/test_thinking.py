import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.thinking import split_thinking

SAID = "I can't  believe\nwe made it! "
TAGS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("<Think>", "</Think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
]


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_a_thought_that_comes_first_is_taken_off_and_the_speech_kept_to_the_byte(opening, closing):
    assert split_thinking(f"{opening}\nJoy.\n{closing}\n\n{SAID}") == ("Joy.", SAID)


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_the_template_may_have_opened_the_thought(opening, closing):
    assert split_thinking(f"Joy,\n\nas asked.\n{closing}{SAID}") == ("Joy,\n\nas asked.", SAID)


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_a_thought_without_an_end_leaves_nothing_to_say(opening, closing):
    assert split_thinking(f" {opening} Joy, and then") == ("Joy, and then", "")


def test_a_model_that_was_told_not_to_think_leaves_an_empty_thought():
    assert split_thinking(f"<think>\n\n</think>\n\n{SAID}") == ("", SAID)


def test_thoughts_in_a_row_are_all_taken_off():
    assert split_thinking(f"<think>One.</think> <think>Two.</think>{SAID}") == ("One.\nTwo.", SAID)
    assert split_thinking(f"<think>Should I write </think>? No.</think>{SAID}")[1] == SAID


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        "",
        "Well <think>hm</think> yes.",
        "Well, <think> is a tag.",
        "[laughs] I <3 it",
        "analysis shows that I was right",
        "Analysis paralysis, that's me.",
        "<em>Oh</em>, I think so.",
        "<answer>Yes</answer>",
    ],
)
def test_a_text_that_does_not_begin_with_a_thought_is_left_as_it_is(text):
    assert split_thinking(text) == ("", text)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<answer>\n", "\n</answer>"),
        ("<response>", "</response>"),
        ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        ("<|begin_of_solution|>\n\n", "\n\n<|end_of_solution|>\n"),
        ("<answer>", ""),
    ],
)
def test_the_tags_around_what_is_said_after_a_thought_go_with_it(opening, closing):
    assert split_thinking(f"<think>Joy.</think>{opening}{SAID.strip()}{closing}") == ("Joy.", SAID.strip())


def test_a_tag_of_thinking_in_a_framed_answer_stays_to_be_found():
    said = "<answer>Hi <think>hm</think></answer>"
    assert split_thinking(f"<think>Joy.</think>{said}") == ("Joy.", said)


_HARMONY = "<|channel|>analysis<|message|>Joy.<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("text", "thinking", "speech"),
    [
        (f"{_HARMONY}<|channel|>final<|message|>{SAID}<|return|>", "Joy.", SAID),
        (f"<|start|>assistant{_HARMONY}<|channel|>final<|message|>{SAID}", "Joy.", SAID),
        (
            f"{_HARMONY}<|channel|>commentary<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{SAID}",
            "Joy.\nHm.",
            SAID,
        ),
        (f"<|channel|>final <|constrain|>json<|message|>{SAID}<|return|>\n", "", SAID),
        ("<|channel|>analysis<|message|>Joy, and then", "Joy, and then", ""),
        (f"<|channel|>analysis<|message|>Joy.<|end|>{SAID}", "Joy.", SAID),
        ("<|channel|>final<|message|>One<|end|>Two", "", "One<|end|>Two"),
        (f"analysisThe user wants joy.assistantfinal{SAID}", "The user wants joy.", SAID),
        (
            f"assistantanalysisJoy.assistantcommentaryHm.assistantfinal{SAID}",
            "Joy.assistantcommentaryHm.",
            SAID,
        ),
        ("analysisWe need to", "We need to", ""),
    ],
)
def test_the_channels_of_harmony_are_told_apart_with_their_tokens_or_without(text, thinking, speech):
    assert split_thinking(text) == (thinking, speech)


_PARTS = st.sampled_from(
    [
        *(tag for pair in TAGS for tag in pair),
        *(
            "<answer>",
            "</answer>",
            "<|channel|>analysis<|message|>",
            "<|channel|>final<|message|>",
            "<|end|>",
        ),
        *("Hi ", "\n", "<", "["),
    ]
)


@given(st.lists(_PARTS).map("".join))
def test_what_is_said_stands_in_the_text_as_it_is(text):
    assert split_thinking(text)[1] in text


@given(st.text(alphabet="ab <>[]/|{}.\n"), st.text(alphabet="abc .!?\n<[", min_size=1))
def test_speech_after_a_thought_is_never_lost(thought, said):
    assert split_thinking(f"<think>{thought}</think>{said}") == (thought.strip(), said.lstrip())
