import datasets
import pytest

import deepdialogue


def expected(rows, *, first, tags=True):
    chats = []
    for row in rows:
        turns, messages = row["turns"][first:], []
        for place in range(0, len(turns) - 1, 2):
            heard, said = turns[place : place + 2]
            tag = f"\n\nThe emotion you feel: {deepdialogue.EMOTIONS[said['emotion']]}" if tags else ""
            messages += [
                {"role": "user", "content": heard["text"] + tag},
                {"role": "assistant", "content": said["text"]},
            ]
        if messages:
            chats.append({"messages": messages})
    return chats


@pytest.fixture
def dialogues(folder):
    return list(deepdialogue.load("text-only", "train", data_dir=folder))


def test_a_chat_is_one_side_of_a_dialogue_with_what_it_feels(folder, dialogues):
    chats = deepdialogue.messages("train", data_dir=folder)
    assert isinstance(chats, datasets.Dataset)
    assert chats.to_list() == expected(dialogues, first=0)


def test_without_tags_nothing_is_said_of_emotions(folder, dialogues):
    chats = deepdialogue.messages("train", data_dir=folder, emotion_tags=False)
    assert chats.to_list() == expected(dialogues, first=0, tags=False)


def test_the_other_speakers_chats_begin_after_its_opening_and_dialogues_too_short_for_it_are_left_out(
    folder, dialogues
):
    chats = deepdialogue.messages("train", data_dir=folder, assistant="LLM1")
    assert chats.to_list() == expected(dialogues, first=1)
    assert len(chats) == sum(row["num_turns"] > 2 for row in dialogues) < len(dialogues)


def test_chats_stream_and_are_a_subset_like_any_other(folder, dialogues):
    stream = deepdialogue.messages(
        "train", data_dir=folder, streaming=True, domain="travel", turns=range(3, 6)
    )
    travel = deepdialogue.DOMAINS.index("travel")
    chosen = [row for row in dialogues if row["domain"] == travel and 3 <= row["num_turns"] < 6]
    assert list(stream) == expected(chosen, first=0)
    assert len(stream) == len(chosen) > 0
    assert stream.column_names == ["messages"]
    assert sorted(map(str, stream.shuffle(1))) == sorted(map(str, stream))


def test_every_split_comes_without_one(folder):
    chats = deepdialogue.messages(data_dir=folder)
    assert list(chats) == list(deepdialogue.SPLITS)


def test_an_unknown_assistant_is_refused_with_the_nearest(folder):
    with pytest.raises(ValueError, match=r"assistant='LLM3': did you mean 'LLM"):
        deepdialogue.messages("train", data_dir=folder, assistant="LLM3")
