import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.word import characters, count_words, normal, runs, share, words

LATIN = st.text(alphabet=st.sampled_from("abzAZ019éßøñçž'’.,!?—- \n\t_"))


@given(LATIN)
def test_latin_text_has_the_words_that_white_space_divides(text):
    assert count_words(text) == len(text.split())


@given(LATIN)
def test_latin_words_are_folded_and_keep_their_apostrophes(text):
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    assert words(text) == re.findall(r"[^\W_]+(?:'[^\W_]+)*", folded)


@given(LATIN, st.integers(min_value=1, max_value=6))
def test_runs_of_words_with_spaces_are_as_many_words_as_asked(text, size):
    said = words(text)
    assert list(runs(said, size)) == [tuple(said[at : at + size]) for at in range(len(said) - size + 1)]


@given(st.text(alphabet="a 好の。ก"), st.integers(min_value=1, max_value=4))
def test_a_run_is_no_longer_than_it_must_be(text, size):
    thirds = {"好": 2, "の": 1, "ก": 1}
    for run in runs(words(text), size):
        weights = [thirds.get(word, 3) for word in run]
        assert sum(weights) >= 3 * size > sum(weights[:-1])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("我简直不敢相信我们终于到了罗马！", 10),
        ("好", 1),
        ("信じられない、やっと着いたね！", 5),
        ("ฉันไม่เชื่อว่าเราทำได้จริงๆ", 7),
        ("ຂ້ອຍບໍ່ຢາກເຊື່ອເລີຍ", 4),
        ("ខ្ញុំមិនជឿទេ", 3),
        ("ငါမယုံဘူး", 2),
        ("나는 믿을 수가 없어 정말", 5),
        ("मुझे विश्वास नहीं हो रहा", 5),
        ("لا أصدق أننا وصلنا", 4),
        ("我用iPhone打电话给Bob", 6),
        ("I saw 狮子王 twice — wow", 6),
        ("。", 1),
        ("", 0),
    ],
)
def test_words_are_counted_by_script(text, count):
    assert abs(count_words(text) - count) <= 1


@given(st.text(alphabet="好の กaé."), st.text(alphabet="好の กaé."))
def test_a_longer_text_never_has_fewer_words(text, more):
    assert count_words(text) <= count_words(text + " " + more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("我很好。", ["我", "很", "好"]),
        ("ไม่ดี", ["ไ", "ม่", "ดี"]),
        ("मुझे विश्वास नहीं।", ["मुझे", "विश्वास", "नहीं"]),
        ("Café, don’t!", ["café", "don't"]),
        ("ＡＢＣ１２", ["abc12"]),
    ],
)
def test_a_word_keeps_its_marks(text, said):
    assert words(text) == said


def test_characters_are_as_long_as_they_are_to_be_said():
    assert characters("Hello there") == 11
    assert characters("Café.") == 5
    assert characters("我很好。") == 10
    assert characters("のに") == 3
    assert characters("나는") == 4


@given(st.text())
def test_text_without_piles_of_marks_is_in_its_normal_form(text):
    assert normal("NFC", text) == unicodedata.normalize("NFC", text)


def test_a_pile_of_marks_loses_none():
    pile = "a" + "\u0301\u0323" * 5000
    assert sorted(unicodedata.normalize("NFD", normal("NFC", pile[:61]))) == sorted(pile[:61])
    assert len(normal("NFKC", pile)) >= 9_900


def test_a_letter_of_a_script_without_spaces_is_a_part_of_a_word():
    assert [share(word) for word in words("I 好 の")] == [1, 2 / 3, 1 / 3]
