"""Text comes apart where a speaker would breathe, and no letter of it is ever lost."""

# ruff: noqa: RUF001 - characters that look like others are what it is about
import itertools
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.plugins.tts._sentences import pieces

FRAGMENTS = """
Dr. |e.g. |3.14|U.S. |no. 5 |And so. |...|?!|?" |“|’|**|# |$5 | - |—|<laugh>|😂|👩\u200d👩\u200d👧
1\ufe0f\u20e3|\u2028|\xa0|\ud83d
é|e\u0301|e\xad\u0301|ß|Ω|Привет, |你好。|नमस्ते|مرحبا؟
"""
TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(st.sampled_from(FRAGMENTS.split("|")) | st.text(max_size=12), max_size=60).map("".join),
)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@given(TEXTS, st.integers(min_value=2, max_value=250))
@example("e\xad\u0301", 220)
@example("a" * 500, 220)
@example("Yes " + "- " * 500 + "no", 220)
@example("!" * 500 + "a", 2)
def test_every_letter_and_digit_stays_in_its_place_and_no_piece_is_too_long(text, limit):
    parts = pieces(text, limit)
    assert "".join(map(letters, parts)) == letters(unicodedata.normalize("NFC", text))
    assert all(len(part) <= limit and letters(part) for part in parts)
    assert parts == pieces(text, limit)


@given(TEXTS)
def test_every_piece_ends_in_one_stop_right_behind_its_last_word(text):
    for part in pieces(text, 40):
        assert part[-1] in ".?!"
        assert part[-2].isalnum() or unicodedata.category(part[-2])[0] in "MS" or part[-2] in "%&@#/"


@given(TEXTS)
def test_a_piece_has_no_white_space_but_single_spaces_and_no_curly_quotes_stars_or_pictures(text):
    for part in pieces(text):
        assert part == " ".join(part.split())
        assert not set(part) & set("“”‘’*_😂👩\u200d\ufe0f\u20e3\ud83d<>\u2028\xa0")


@given(
    st.lists(st.sampled_from(["Yes.", "Is it?", "I think so!", "It may well rain again today."]), min_size=1)
)
def test_sentences_that_fit_are_never_cut_and_always_fill_a_piece(sentences):
    parts = pieces(" ".join(sentences), 60)
    assert " ".join(parts) == " ".join(sentences)
    for part, following in itertools.pairwise(parts):
        first = following[: min(following.index(stop) for stop in ".?!" if stop in following) + 1]
        assert len(f"{part} {first}") > 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("So happy 😂🎉 today 👩‍👩‍👧!", "So happy today!"),
        ("I ❤️ it 1️⃣", "I it 1."),
        ("*laughs* that is **bold**, then", "laughs that is bold, then."),
        ("# A title\n• item #1 [of] 2", "A title item #1 of 2."),
        ("hy\u00adphen\u200bated\nlines\x00", "hyphenated lines."),
        ("👍! Hi", "Hi."),
        ("about .5, no more", "about .5, no more."),
        (".5 is a half", ".5 is a half."),
        ("don’t ‘quote’ “me”, «please» now", 'don\'t \'quote\' "me", "please" now.'),
        ("Why‽ Oh, 50%", "Why‽ Oh, 50%."),
        ("$5, 100 €, 20°C, C++, 3 × 4 = 12 & so", "$5, 100 €, 20°C, C++, 3 × 4 = 12 & so."),
        ("lone \ud83d half", "lone half."),
        ("cafe\u0301", "café."),
        ("Straße, mañana, Übung, ПРИВЕТ", "Straße, mañana, Übung, ПРИВЕТ."),
    ],
)
def test_marks_that_nobody_would_say_go_and_those_with_a_name_stay(text, said):
    assert pieces(text) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "hello."),
        ("Well…", "Well."),
        ("Well...I guess", "Well...I guess."),
        ("No!!!", "No!"),
        ("What?!! No!!! Really!?", "What? No! Really?"),
        ("She said “Really?”", 'She said "Really?'),
        ("(I mean it!)", "(I mean it!"),
        ("But I —", "But I."),
        ("so far, ", "so far."),
        ("I love it :)", "I love it."),
        ("你好吗？", "你好吗?"),
        ("مرحبا؟", "مرحبا?"),
        ("नमस्ते।", "नमस्ते."),
    ],
)
def test_a_text_ends_in_one_plain_stop(text, said):
    assert pieces(text) == [said]


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("One two. Three four? Five six!", 12, ["One two.", "Three four?", "Five six!"]),
        ("We agree. Ask Dr. Strange.", 20, ["We agree.", "Ask Dr. Strange."]),
        ("We agree. See e.g. Paris now.", 20, ["We agree.", "See e.g. Paris now."]),
        ("We agree. Not 3.14 but 3.", 20, ["We agree.", "Not 3.14 but 3."]),
        ("We agree. The U.S. Senate sat.", 22, ["We agree.", "The U.S. Senate sat."]),
        ("We agree. Take No. 5 home.", 18, ["We agree.", "Take No. 5 home."]),
        ("He said no. Then he left us.", 20, ["He said no.", "Then he left us."]),
        ("We agree. Hm... maybe not.", 18, ["We agree.", "Hm... maybe not."]),
        ("“Is it so?” She left us here.", 20, ['"Is it so?', "She left us here."]),
        ('We agree. "Is it so?" he said.', 22, ["We agree.", '"Is it so?" he said.']),
        ("(So it is.) Then we all left.", 19, ["(So it is.", "Then we all left."]),
        ("你好。你好吗？我很好！", 4, ["你好.", "你好吗?", "我很好!"]),
        ("He ran, she sat; they ate", 16, ["He ran, she sat.", "they ate."]),
        ("A long way—and a short one", 16, ["A long way.", "and a short one."]),
        ("one two - three four five", 16, ["one two.", "three four five."]),
        ("one two three four", 10, ["one two.", "three.", "four."]),
        ("a veryverylongword is", 8, ["a.", "veryver.", "ylongwo.", "rd is."]),
    ],
)
def test_a_text_is_cut_where_sentences_end_else_clauses_else_words_else_anywhere(text, limit, cut):
    assert pieces(text, limit) == cut


@pytest.mark.parametrize("text", ["", " ", "...", "😂", "?!", "—", "$", "\ud83d"])
def test_a_text_with_nothing_to_say_has_no_pieces(text):
    assert pieces(text) == []


def test_a_turn_of_ordinary_length_stays_whole():
    turn = (
        "Yeah, I was expecting so much more, especially from the director, it's like they lost their touch. "
        "Should we watch Dr. Strange again, or something quite different, such as an old comedy? You choose!"
    )
    assert pieces(turn) == [turn]
