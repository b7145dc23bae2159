"""What a row holds, and that counting forgets nothing."""

from hypothesis import given
from hypothesis import strategies as st

from builder.core.census import Census
from builder.core.dialogue import Dialogue, Turn
from builder.core.row import spoken_row, text_row, turn_rows
from builder.core.speech import Clip, Recording
from builder.core.verdict import Review, Verdict
from builder.core.vocabulary import Pairing

RAVDESS = {"happy": "happy", "curious": "neutral", "sad": "sad"}
DIALOGUE = Dialogue(
    id="a_b/travel_1_2",
    domain="travel",
    pairing="a_b",
    first_checkpoint="org/a@1",
    second_checkpoint="org/b",
    rehearsal=False,
    turns=(
        Turn(speaker="LLM1", text="Hi?", emotion="happy"),
        Turn(speaker="LLM2", text="Oh.", emotion="curious"),
    ),
)
REVIEW = Review(id=DIALOGUE.id, verdicts=(Verdict(judge="j", scores={"x": 4.0, "y": 2.0}),))


def recording(*, rehearsal):
    clips = tuple(
        Clip(
            ravdess=ravdess,
            file="00000.flacs",
            offset=0,
            num_bytes=1,
            num_samples=samples,
            pause_samples=pause,
            sha256="",
        )
        for ravdess, samples, pause in (("happy", 24000, 4800), ("surprised", 12000, 12000))
    )
    return Recording(
        id=DIALOGUE.id,
        engine="e 1",
        rehearsal=rehearsal,
        first_voice="tara",
        second_voice="leo",
        sampling_rate_hz=24000,
        clips=clips,
    )


def test_a_text_row_has_every_score_and_the_acted_class_of_every_emotion():
    row = text_row(DIALOGUE, Pairing(first="a", second="b"), "train", REVIEW, RAVDESS)
    assert [row["first_model"], row["second_model"], row["num_turns"]] == ["a", "b", 2]
    assert row["scores"] == [
        {"judge": "j", "criterion": "x", "score": 4.0},
        {"judge": "j", "criterion": "y", "score": 2.0},
    ]
    assert [turn["ravdess"] for turn in row["turns"]] == ["happy", "neutral"]
    assert text_row(DIALOGUE, Pairing(first="a", second="b"), "test", None, RAVDESS)["scores"] == []


def test_a_spoken_row_says_when_each_turn_is_heard_and_in_which_class_it_was_acted():
    text = text_row(DIALOGUE, Pairing(first="a", second="b"), "train", REVIEW, RAVDESS)
    row = spoken_row(text, recording(rehearsal=False), [b"1", b"2"])
    assert [(turn["start"], turn["end"]) for turn in row["turns"]] == [(0, 1), (1.2, 1.7)]
    assert row["duration"] == 2.2
    assert [turn["ravdess"] for turn in row["turns"]] == ["happy", "surprised"]
    assert row["audio"] == [
        {"bytes": b"1", "path": "travel_1_2_01.flac"},
        {"bytes": b"2", "path": "travel_1_2_02.flac"},
    ]
    assert "audio" not in text


def test_a_row_is_a_rehearsal_when_its_text_or_its_voice_is_one():
    text = text_row(DIALOGUE, Pairing(first="a", second="b"), "train", None, RAVDESS)
    assert not spoken_row(text, recording(rehearsal=False), [b"", b""])["rehearsal"]
    assert spoken_row(text, recording(rehearsal=True), [b"", b""])["rehearsal"]
    assert spoken_row(text | {"rehearsal": True}, recording(rehearsal=False), [b"", b""])["rehearsal"]


@given(dialogues=st.lists(st.lists(st.sampled_from(sorted(RAVDESS)), min_size=1, max_size=10).map(tuple)))
def test_a_census_counts_every_turn_once_and_every_transition_between_turns(dialogues):
    census = Census(RAVDESS)
    for emotions in dialogues:
        census.add("travel", "a_b", emotions, ["two words"] * len(emotions))
    turns = sum(map(len, dialogues))
    assert census.dialogues == len(dialogues) == census.by_turns.total()
    assert census.turns == turns == census.by_emotion.total() == census.by_ravdess.total()
    assert census.words == 2 * turns
    assert census.transitions.total() == turns - len(dialogues)


def test_a_turn_row_has_what_is_the_speakers_own_and_the_times_of_its_clip():
    text = text_row(DIALOGUE, Pairing(first="a", second="b"), "train", REVIEW, RAVDESS)
    first, second = turn_rows(spoken_row(text, recording(rehearsal=False), [b"one", b"two"]))
    assert (first["id"], second["id"]) == ("a_b/travel_1_2/01", "a_b/travel_1_2/02")
    own = (
        "dialogue",
        "turn",
        "speaker",
        "model",
        "checkpoint",
        "voice",
        "text",
        "ravdess",
        "start",
        "duration",
    )
    assert [first[name] for name in own] == [
        *("a_b/travel_1_2", 1, "LLM1", "a", "org/a@1", "tara", "Hi?", "happy", 0.0, 1.0),
    ]
    assert [second[name] for name in own] == [
        *("a_b/travel_1_2", 2, "LLM2", "b", "org/b", "leo", "Oh.", "surprised", 1.2, 0.5),
    ]
    assert second["audio"] == {"bytes": b"two", "path": "travel_1_2_02.flac"}
