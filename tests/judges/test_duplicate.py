from hypothesis import given
from hypothesis import strategies as st

from builder.core.dialogue import fingerprint, words

TEXTS = ("We won, didn\u2019t we?", "Three to two!")


def test_the_first_of_the_twins_stays_and_the_others_name_it(fault, held):
    first, second, third = (held(*TEXTS, index=index) for index in (1, 2, 3))
    twins = {first.id: first.id, second.id: first.id, third.id: first.id}
    assert fault("duplicate", first, twins=twins) is None
    assert fault("duplicate", second, twins=twins) == f"says the same words as {first.id}"
    assert fault("duplicate", third, twins=twins) == f"says the same words as {first.id}"


def test_a_dialogue_without_a_twin_passes(fault, held):
    assert fault("duplicate", held(*TEXTS), twins={"llama3-8B/travel_9_2": "llama3-8B/travel_8_2"}) is None


def test_case_punctuation_and_white_space_do_not_change_a_fingerprint_nor_do_ids_and_emotions(held):
    print_ = fingerprint(held(*TEXTS))
    assert len(print_) == 32
    assert print_ == fingerprint(
        held("we WON -\tdidn't  we", "\u201cthree to two\u201d", index=5, emotion="sad")
    )


def test_another_word_another_order_or_another_turn_changes_a_fingerprint(held):
    others = [
        held("We won, did we?", "Three to two!"),
        held(*reversed(TEXTS)),
        held("We won, didn't we? Three", "to two!"),
        held(*TEXTS, "Really?"),
    ]
    assert len({fingerprint(dialogue) for dialogue in [held(*TEXTS), *others]}) == 5


@given(
    said=st.lists(st.text(st.sampled_from("abcXYZ é1"), min_size=1), min_size=1, max_size=4),
    marks=st.sampled_from([".", "!!", " \u2026 ", " - ", "\n"]),
)
def test_marks_around_the_words_never_matter(held, said, marks):
    dressed = [marks + "  ".join(text.upper().split(" ")) + marks for text in said]
    assert fingerprint(held(*said)) == fingerprint(held(*dressed))


def test_an_apostrophe_stays_inside_its_word_and_is_of_one_kind():
    assert words("Don\u2019t! 'Go', rock'n'roll_star") == ["don't", "go", "rock'n'roll", "star"]
