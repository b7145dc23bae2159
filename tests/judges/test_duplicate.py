import random
from itertools import combinations, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.core.dialogue import fingerprint, shingles, words
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.judges import Judge, Twin
from builder.plugins.judges.duplicate import _MISSED, _ROWS, Duplicate, _bands

TEXTS = ("We won, didn\u2019t we?", "Three to two!")


def talk(seed=0, turns=8):
    """Turns of twenty words each, of ten thousand words, so that two talks share no five in a row."""
    draw = random.Random(seed)
    return [" ".join(f"word{draw.randrange(10_000)}" for _ in range(20)) for _ in range(turns)]


def changed(texts, *places):
    """The turns with the words at these places of the whole said otherwise."""
    said = [text.split() for text in texts]
    for place in places:
        said[place // 20][place % 20] = f"other{place}"
    return [" ".join(each) for each in said]


def twins(*dialogues, **settings):
    known = {dialogue.id: dialogue for dialogue in dialogues}
    return Duplicate(**settings).twins(known, known.__getitem__)


def by_definition(*dialogues, min_similarity=0.8, shingle_words=5):
    """Every pair compared."""
    found = {}
    said = {one.id: shingles(one, shingle_words) for one in dialogues}
    for first, second in combinations(sorted(said), 2):
        similarity = len(said[first] & said[second]) / len(said[first] | said[second])
        if similarity >= min_similarity:
            found.setdefault(second, Twin(first, similarity))
    return found


def test_a_dialogue_that_says_the_same_words_as_an_earlier_one_names_it(fault, held):
    first, second, third = (held(*TEXTS, index=index) for index in (1, 2, 3))
    known = twins(third, first, second)
    assert known == {second.id: Twin(first.id, 1.0), third.id: Twin(first.id, 1.0)}
    assert fault("duplicate", first, twins=known) is None
    assert fault("duplicate", second, twins=known) == f"says the same words as {first.id}"
    assert fault("duplicate", third, twins=known) == f"says the same words as {first.id}"


def test_a_dialogue_that_says_nearly_the_same_names_the_earlier_one_and_how_similar_they_are(fault, held):
    first, second = held(*talk(), index=1), held(*changed(talk(), 70), index=2)
    known = twins(first, second)
    # 160 words have 156 shingles; one word is in five of them.
    assert known == {second.id: Twin(first.id, 151 / 161)}
    assert fault("duplicate", first, twins=known) is None
    reason = f"says nearly the same words as {first.id}: similarity 0.938"
    assert fault("duplicate", second, twins=known) == reason


def test_a_dialogue_without_a_twin_passes(fault, held):
    known = {"llama3-8B/travel_9_2": Twin("llama3-8B/travel_8_2", 1.0)}
    assert fault("duplicate", held(*TEXTS), twins=known) is None


@given(seed=st.integers(0, 2**32), place=st.integers(0, 159), turn=st.sampled_from([0, 7]))
@example(seed=0, place=0, turn=0)
def test_a_changed_word_a_dropped_turn_and_another_greeting_are_found(held, seed, place, turn):
    said = talk(seed)
    hi, hello = "Hi there, my dear friend!", "Hello, how have you been?"
    copies = [
        held(*said, index=1),
        held(*changed(said, place), index=2),
        held(*said[:turn], *said[turn + 1 :], index=3),
        held(f"{hi} {said[0]}", *said[1:], index=4),
        held(f"{hello} {said[0]}", *said[1:], index=5),
        held(*talk(seed + 1), index=6),
    ]
    found = twins(*copies)
    assert {id: twin.id for id, twin in found.items()} == {one.id: copies[0].id for one in copies[1:5]}


@given(
    seed=st.integers(0, 2**32),
    edits=st.lists(st.lists(st.integers(0, 159), max_size=8), min_size=2, max_size=6),
    settings=st.fixed_dictionaries(
        {"min_similarity": st.sampled_from([0.5, 0.6, 0.8, 0.9]), "shingle_words": st.sampled_from([1, 3, 5])}
    ),
)
def test_what_is_found_is_what_comparing_every_pair_finds_whatever_the_order(held, seed, edits, settings):
    copies = [held(*changed(talk(seed), *places), index=index) for index, places in enumerate(edits, 1)]
    wanted = by_definition(*copies, **settings)
    assert twins(*copies, **settings) == wanted
    assert twins(*reversed(copies), **settings) == wanted
    assert twins(*copies[1:], **settings).keys() <= wanted.keys(), "one more takes no twin away"


def test_a_likeness_of_a_likeness_names_the_one_it_is_like_though_that_is_not_kept(held):
    drifting = [held(*changed(talk(), *range(10, 10 + 40 * step, 20)), index=step + 1) for step in range(4)]
    found = twins(*drifting)
    assert found == by_definition(*drifting)
    assert {id: twin.id for id, twin in found.items()} == {
        second.id: first.id for first, second in pairwise(drifting)
    }


def test_dialogues_of_fewer_words_than_a_shingle_are_twins_only_when_all_is_the_same(held):
    first, same, other = (
        held("Shall we?", "Yes!"),
        held("shall we", "yes", index=2),
        held("Shall we?", "No!", index=3),
    )
    assert twins(first, same, other) == {same.id: Twin(first.id, 1.0)}


def test_a_similarity_of_one_asks_for_the_same_words_turn_by_turn(held):
    first, same = held(*talk(), index=1), held(*(text.upper() for text in talk()), index=2)
    one_word, one_break = held(*changed(talk(), 70), index=3), held(*TEXTS, index=4)
    moved = held("We won, didn't we? Three", "to two!", index=5)
    everyone = (first, same, one_word, one_break, moved)
    assert twins(*everyone, min_similarity=1.0) == {same.id: Twin(first.id, 1.0)}
    assert twins(*everyone).keys() == {same.id, one_word.id, moved.id}


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.75, 0.8, 0.9, 0.99, 1.0])
def test_a_pair_just_similar_enough_is_missed_once_in_a_million_at_most(similarity):
    assert (1 - similarity**_ROWS) ** _bands(similarity) <= _MISSED


@pytest.mark.parametrize("table", [{"min_similarity": 0.49}, {"min_similarity": 1.1}, {"shingle_words": 0}])
def test_a_setting_out_of_its_range_is_refused_by_its_name(table):
    with pytest.raises(ConfigError, match=f"a study: .*{next(iter(table))}"):
        make(Judge, table, "a study", default="duplicate")


def test_no_published_dialogue_is_taken_for_another(published):
    assert len(published) == 10
    assert twins(*published) == {}


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
