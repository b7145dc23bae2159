import pytest

from builder.errors import ConfigError

FRESH = (
    "I finally booked the ferry to Naxos, and the harbour looks lovely in every photo!",
    "No way! My sister spent a whole summer there and still raves about the bakeries.",
    "Then I need the name of her favourite one before we leave on Friday.",
)


def test_a_dialogue_that_moves_on_passes(fault, held):
    assert fault("repetition", held(*FRESH)) is None


def test_a_turn_said_again_is_named_with_its_share_whatever_its_case_and_punctuation(fault, held):
    again = FRESH[0].upper().replace(",", " --").replace("!", "...")
    assert fault("repetition", held(*FRESH, again)) == "turn 4: 100% of its phrases were said before"


def test_a_turn_half_of_which_is_new_passes_and_one_more_old_phrase_breaks_the_rule(fault, held):
    first = "one two three four five six seven eight nine"
    half = "one two three four five six seven alpha beta gamma delta"  # 8 phrases, 4 of them old
    more = "one two three four five six seven eight alpha beta gamma"
    assert fault("repetition", held(first, half)) is None
    assert fault("repetition", held(first, more)) == "turn 2: 62% of its phrases were said before"
    assert (
        fault("repetition", held(first, half), max_share=0.49)
        == "turn 2: 50% of its phrases were said before"
    )


def test_a_model_caught_in_a_loop_within_one_turn_is_found(fault, held):
    looped = "It was so good so good so good so good so good so good"
    assert fault("repetition", held(FRESH[0], looped)).startswith("turn 2: ")


def test_a_phrase_said_in_turn_after_turn_is_quoted_with_its_turns(fault, held):
    said = [f"I couldn\u2019t agree more, {turn}" for turn in FRESH]
    assert fault("repetition", held(*said)) is None
    assert (
        fault("repetition", held(*said, "Well, I couldn't agree more."))
        == '"i couldn\'t agree more" is said 4 times (turns 1, 2, 3, 4)'
    )
    assert "is said 3 times (turns 1, 2, 3)" in fault("repetition", held(*said), max_times=2)


@pytest.mark.parametrize(
    "texts",
    [
        ("I know, right?", "I know, right?", "I know, right?", "I know, right?"),
        ("Thank you so much!", "No, thank you so much!"),
        ("No, no, no, no!", "Ha ha ha ha ha!"),
        ("Row, row, row your boat!", "Very, very, very nice."),
        ("...", "\u2764"),
    ],
)
def test_friends_may_echo_each_other_in_a_few_words(fault, held, texts):
    assert fault("repetition", held(*texts)) is None


def test_a_share_above_one_is_refused_by_name(fault, held):
    with pytest.raises(ConfigError, match="key 'max_share' is 1"):
        fault("repetition", held("Hello there!"), max_share=1.5)
