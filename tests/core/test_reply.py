import unicodedata
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.reply import breach, clean
from tests.clock import cpu_s
from tests.said import ACTS, BROKEN, JOINED, LABELS, MARKERS, PLACEHOLDERS, REMARKS, SPEECH, WRAPPED, lines

marked = st.lists(
    st.sampled_from(
        ["*", "**", "_", "__", '"', "'", "“", "”", "«", "»", " ", "\n", "\u00a0", "(", ")", "[", "]"]
    )
    | st.text(alphabet="abzAZ019éß.,!?", min_size=1, max_size=4)
    | st.text(max_size=3)
).map("".join)


def letters(text):
    """The words as they are heard: the letters and digits of everything between white space."""
    words = ("".join(filter(str.isalnum, word)) for word in text.split())
    return [word for word in words if word]


@given(marked)
def test_cleaning_never_loses_a_word_or_joins_two(text):
    assert letters(clean(text)) == letters(unicodedata.normalize("NFC", text))


@given(marked)
def test_cleaned_text_is_one_line_with_single_spaces(text):
    assert clean(text) == " ".join(clean(text).split())


@given(st.text(alphabet="abc XYZ,.!?'\n"))
def test_plain_words_are_left_as_they_are(text):
    if not text.strip().startswith("'"):
        assert clean(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("  Hi\n\nthere \t you ", "Hi there you"),
        ('"Hi there!"', "Hi there!"),
        ("“Hi there!”", "Hi there!"),
        ("«'Hi there!'»", "Hi there!"),
        ('She said "go" and left.', 'She said "go" and left.'),
        ('"Go," she said, "now!"', '"Go," she said, "now!"'),
        ('"', '"'),
        ('""', ""),
        ("It was **so very** good", "It was so very good"),
        ("**Two\nlines**", "Two lines"),
        ("I *really* mean it, *truly!*", "I really mean it, truly!"),
        ("***Wow***", "Wow"),
        ("I read *The Great Gatsby* and _Dune_!", "I read The Great Gatsby and Dune!"),
        ("Have you seen *Blade Runner 2049*?", "Have you seen Blade Runner 2049?"),
        ("Rename my_old_var to my_new_var", "Rename my_old_var to my_new_var"),
        ("2**3**4 is large", "2**3**4 is large"),
        ("2**3** is eight", "2**3** is eight"),
        ("un*believ*able", "unbelievable"),
        ("It was *5* to 3", "It was 5 to 3"),
        ("*_* Wow *-*", "*_* Wow *-*"),
        ("free* or not* at all, 5 * 3", "free* or not* at all, 5 * 3"),
        ("我**真的**很高兴", "我真的很高兴"),
        ("„Na gut.“", "Na gut."),
        ("「行こう」", "行こう"),
        ("<think>\nJoy.\n</think>\n\nWe *made* it!", "We made it!"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_what_is_not_speech_is_taken_off(said, cleaned):
    assert clean(said) == cleaned


@pytest.mark.parametrize(
    "said",
    [
        "I told him: go!",
        "There is one rule for you and me: never look down.",
        "Kick-off is at 5:30, user groups first.",
        "I *really* mean it!",
        "I was *so* happy about **all of it**.",
        "I just finished *One Hundred Years of Solitude* again.",
        "She is smiling (like the Mona Lisa) in every picture.",
        "It runs on a server (Node.js) at home.",
        "The pie (crisp, not soggy) was a hit.",
        "I saw a play (Shakespeare, of course) and a band (with Clapton!).",
        "The shop (sadly, it closed) was lovely.",
        'He said "as if" and walked off.',
        "Rename my_old_var, not _private.",
        "I <3 it, and 3 > 2.",
        "I'm an AI researcher now, can you believe it?",
        "I'm so sorry, I can't believe he left.",
        "How can I help?",
        "42!",
        "¿Qué tal?",
    ],
)
def test_what_friends_say_is_no_breach(said):
    assert breach(said, "stop", 50) is None


@pytest.mark.parametrize("said", ["", "  \n", '""', "...", "!?", "**", "😀"])
def test_a_reply_without_a_word_is_empty(said):
    assert breach(said, "stop", 50) == "empty"


def test_a_reply_that_ran_out_of_tokens_is_cut_off():
    assert breach("And then we", "length", 50) == "cut off"
    assert breach("And then we left.", "stop", 50) is None


@pytest.mark.parametrize(
    "said",
    [
        "LLM1: Hi!",
        "llm2 : Hi!",
        "**Assistant:** Hi!",
        "**Speaker 1**: Hi!",
        "Person B (excited): Hi!",
        '"User: Hi!"',
        "Hi!\nFriend: Hello!",
        "[You]: Hi!",
        "Emotion: happy. Hi!",
        "As LLM2 said, hi!",
        "Hi! <|eot_id|>",
        "Hi! <think>Hmm.</think>",
        "Hi!</s>",
        "[/INST] Hi!",
    ],
)
def test_a_label_or_a_token_of_the_chat_is_a_breach(said):
    assert breach(said, "stop", 50) == "role label"


@pytest.mark.parametrize(
    "said",
    [
        "*sighs* Fine.",
        "*Laughing* You wish!",
        "**laughs** You wish!",
        "__laughs__ You wish!",
        "_sighs deeply_ Fine.",
        "*takes a deep breath* Here we go.",
        "*Takes a deep breath* Here we go.",
        "Fine, [laughs] you win.",
        "(excited) We won!",
        "Well (nervous laugh), maybe.",
        "Yes (clears throat), maybe.",
        "No way! (rolls her eyes)",
        "No way! (Chuckles softly)",
    ],
)
def test_a_stage_direction_is_a_breach(said):
    assert breach(said, "stop", 50) == "stage direction"


@pytest.mark.parametrize(
    "said",
    [
        "As an AI, I do not travel.",
        "As a large language model, I have no car.",
        "I'm just an AI, so I can't taste it.",
        "I am a language model.",
        "I\u2019m sorry, but I can\u2019t assist with that.",
        "I cannot assist with this topic.",
        "I don't have personal feelings.",
        "Hello! How can I assist you today?",
    ],
)
def test_a_refusal_or_an_assistants_voice_is_a_breach(said):
    assert breach(said, "stop", 50) == "refusal"


@given(st.integers(min_value=1, max_value=60), st.integers(min_value=1, max_value=60))
def test_a_reply_is_too_long_from_the_first_word_beyond_the_limit(words, limit):
    said = " ".join(["word"] * words)
    assert breach(said, "stop", limit) == ("too long" if words > limit else None)


KINDS = {
    "stage direction": lines(ACTS),
    "role label": lines(LABELS) + lines(MARKERS),
    "remark": lines(REMARKS),
    "markup": lines(WRAPPED),
    "placeholder": lines(PLACEHOLDERS),
    "broken text": BROKEN,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_speech_is_asked_again(kind):
    assert [said for said in KINDS[kind] if breach(said, "stop", 50) is None] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_called_by_its_name(kind):
    """Half of them at least: some are of two kinds, as "[Word count: 4]" is."""
    assert sum(breach(said, "stop", 50) == kind for said in KINDS[kind]) >= 0.5 * len(KINDS[kind])


def test_what_only_looks_like_it_is_kept():
    assert [(said, fault) for said in lines(SPEECH) + JOINED if (fault := breach(said, "stop", 50))] == []


def test_thinking_is_taken_off_before_any_rule():
    for said in lines(ACTS) + lines(LABELS) + lines(SPEECH):
        thought = f"<think>\nShould I write [happy] or Happy: I am?\n</think>\n\n{said}"
        assert breach(thought, "stop", 50) == breach(said, "stop", 50)
        assert clean(thought) == clean(said)


def test_a_reply_that_ran_out_of_tokens_in_its_thinking_says_so():
    assert breach("<think>And then", "length", 50) == "thought too long"
    assert breach("", "length", 50, thought=True) == "thought too long"
    assert breach("<think>And then", "stop", 50) == "empty"
    assert breach("<think>Joy.</think>And then", "length", 50) == "cut off"


def test_words_are_counted_by_script():
    said = "我简直不敢相信我们终于到了罗马，" * 5  # 75 characters, 50 words
    assert breach(said, "stop", 50) is None
    assert breach(said + "真的好", "stop", 50) == "too long"


def test_a_reply_without_white_space_is_too_long_as_well():
    assert breach("a." * 5000, "stop", 50) == "too long"


HOSTILE = [
    *(
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "<",
        ">",
        "*",
        "**",
        "_",
        "~",
        "`",
        "```",
        "&",
        "&a;",
        "\\",
        "#",
        "\n",
        " ",
        "\n# ",
    ),
    *(
        "*a ",
        "*a* ",
        "**a*",
        "***a**",
        "(a ",
        "(a) ",
        "[a",
        "a]",
        "{a",
        "{a:",
        "} ",
        "<a ",
        "<a b",
        "</",
        "<|",
        "|>",
    ),
    *(
        "a:",
        "A: ",
        "\nA: ",
        "\n**A",
        "\nA (",
        "- a\n",
        "---\n",
        "- - - x\n",
        "\n> ",
        "| a |\n",
        "|",
        '"',
        "'" + '"',
        "«",
    ),
    *(
        "„“",
        "\u0301\u0323",
        "\u0323\u0301",
        "\u200d",
        "\u202e",
        "...",
        "(1",
        "(25 words) ",
        "word count ",
        "x%20",
    ),
    *(
        "here's a response ",
        "as a a I'd say ",
        "I don't have any real ",
        "any real ",
        "I'm just an ",
        "LLM",
        "A B C D ",
    ),
    *(
        "(:",
        ":(",
        "<3 ",
        "\nassistant ",
        "a*b*c",
        "好",
        "（好）。",
        "（好",
        "<think>",
        "</think>",
        "<think></think><answer>",
    ),
    *(
        "<|channel|>analysis<|message|>",
        "assistantanalysisA",
        "http://",
        "{{",
        '["',
        "text:",
        "\n(Note: ",
        "\ud800",
    ),
]


@pytest.mark.parametrize("begin", ["", "I "])
def test_a_rule_takes_linear_time_whatever_a_model_says(begin):
    seconds = partial(cpu_s, partial(breach, finish_reason="stop", max_words=10**9), begin=begin)

    def is_linear(unit):  # eight times as much; squared, it would be 64
        return seconds(unit, 8_000) < 24 * seconds(unit, 1_000) + 0.05

    assert [unit for unit in HOSTILE if not any(is_linear(unit) for _ in range(3))] == []
