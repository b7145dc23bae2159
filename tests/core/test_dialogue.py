import pytest

from builder.core.dialogue import Dialogue, Turn, fingerprint, shingles, words
from builder.errors import ConfigError
from builder.records import convert

TURNS = (
    Turn(speaker="LLM1", text="We won!", emotion="happy"),
    Turn(speaker="LLM2", text="No way!", emotion="surprised"),
    Turn(speaker="LLM1", text="Three to two.", emotion="proud"),
)
FIELDS = {
    "id": "llama3-8B/sports_4_3",
    "domain": "sports",
    "pairing": "llama3-8B",
    "first_checkpoint": "org/one",
    "second_checkpoint": "org/two@0123abc",
    "rehearsal": False,
    "turns": TURNS,
}


def test_a_dialogue_that_alternates_and_matches_its_id_exists():
    assert Dialogue(**FIELDS).timestamp is None


@pytest.mark.parametrize(
    "change",
    [{"domain": "art"}, {"pairing": "phi4-mini"}, {"turns": TURNS[:2]}, {"id": "llama3-8B/sports_4_4"}],
)
def test_a_dialogue_that_contradicts_its_id_is_refused(change):
    with pytest.raises(ValueError, match="contradicts its own pairing, domain or number of turns"):
        Dialogue(**{**FIELDS, **change})


@pytest.mark.parametrize(("order", "place"), [((1, 0, 2), 1), ((0, 2, 1), 2), ((0, 1, 1), 3)])
def test_a_dialogue_out_of_order_is_refused_at_the_turn(order, place):
    with pytest.raises(ValueError, match=f"turn {place} of 'llama3-8B/sports_4_3' is spoken by LLM"):
        Dialogue(**{**FIELDS, "turns": tuple(TURNS[position] for position in order)})


def test_a_third_speaker_is_refused():
    with pytest.raises(ConfigError, match="key 'speaker' is 'LLM3'"):
        convert({"speaker": "LLM3", "text": "Hi!", "emotion": "happy"}, Turn, "a ledger")


def saying(*texts, **change):
    turns = tuple(
        Turn(speaker=turn.speaker, text=text, emotion=turn.emotion)
        for turn, text in zip(TURNS, texts, strict=True)
    )
    return Dialogue(**{**FIELDS, **change, "turns": turns})


def test_words_are_folded_to_what_is_heard():
    assert words("\u201cDON\u2019T you,\u00a0\ufb01nally,\tstop_it?!\u201d") == [
        "don't",
        "you",
        "finally",
        "stop",
        "it",
    ]
    assert words("...") == []


def test_dialogues_that_say_the_same_words_share_a_fingerprint():
    one = saying("We won!", "No way\u2026", "It's true.")
    other = saying("we  WON", '"No way!"', "It\u2019s true", id="llama3-8B/news_9_3", domain="news")
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 32


@pytest.mark.parametrize(
    "texts",
    [
        ("We won", "way", "no it's true"),
        ("We won", "No way", "Is it true"),
        ("We won No", "way", "It's true"),
    ],
)
def test_other_words_or_other_turns_have_another_fingerprint(texts):
    assert fingerprint(saying(*texts)) != fingerprint(saying("We won!", "No way!", "It's true."))


def test_shingles_are_runs_of_folded_words_over_the_ends_of_turns():
    assert shingles(saying("We WON!", "No way\u2026", "We won."), 3) == {
        "we won no",
        "won no way",
        "no way we",
        "way we won",
    }
    assert shingles(saying("We won!", "No way\u2026", "We won."), 1) == {"we", "won", "no", "way"}


def test_a_dialogue_of_no_more_words_than_a_shingle_is_one_shingle():
    assert shingles(saying("We won!", "No.", "\u2026"), 3) == {"we won no"}
    assert shingles(saying("We won!", "No.", "\u2026"), 5) == {"we won no"}
    assert shingles(saying("!", "?", "\u2026"), 5) == {""}
