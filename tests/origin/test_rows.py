"""What the published rows of text promise: they say what the JSON says, and what was spoken."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.errors import SourceError
from builder.hub.published_rows import Rows
from tests.published import FINANCE, PAIRING, TRAVEL, TURNS, rows_of


@pytest.fixture
def written(tmp_path):
    """Writes rows, in any order, and reads them."""

    def written(rows, name="train-00000-of-00001.parquet"):
        rows = [*rows]
        random.Random(1).shuffle(rows)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        return Rows([tmp_path / name])

    return written


def test_rows_in_any_order_give_each_dialogue_its_turns_in_theirs(written):
    rows = written([*rows_of(TRAVEL), *rows_of(FINANCE)])
    assert [turn["text"] for turn in rows.text(FINANCE)["conversation"]] == [turn[1] for turn in TURNS]
    assert rows.text(TRAVEL) == {
        "timestamp": None,
        "domain": "travel",
        "conversation": [{"speaker": turn[0], "text": turn[1], "emotion": turn[2]} for turn in TURNS[:3]],
    }
    assert TRAVEL in rows
    assert f"{PAIRING}/travel_2_3" not in rows


def test_a_pairing_may_be_named_by_its_folder_or_by_itself(written):
    assert TRAVEL in written(row | {"model_dir": PAIRING} for row in rows_of(TRAVEL))


def test_columns_beyond_those_needed_are_read_where_they_are(written):
    rows = written(row | {"model1": "lab/a", "timestamp": "2025", "actor": 7} for row in rows_of(TRAVEL))
    text = rows.text(TRAVEL)
    assert (text["model1"], text["timestamp"], "model2" in text, "actor" in text) == (
        "lab/a",
        "2025",
        False,
        False,
    )


def test_what_was_spoken_is_what_names_were_replaced_in_or_else_what_was_to_be_spoken(written):
    spoken = ("audio_original_text", "audio_substituted_text")
    told = [("a", "b"), ("c", None), (None, None)]
    rows = written(
        row | dict(zip(spoken, texts, strict=True)) for row, texts in zip(rows_of(TRAVEL), told, strict=True)
    )
    assert rows.spoken(TRAVEL) == ["b", "c", None]
    assert rows.spoken(FINANCE) == []


def test_rows_of_several_files_are_read_together_and_those_of_the_first_count(tmp_path):
    for number, id in enumerate((TRAVEL, FINANCE)):
        pq.write_table(pa.Table.from_pylist(rows_of(id)), tmp_path / f"{number}.parquet")
    pq.write_table(pa.Table.from_pylist(rows_of(TRAVEL, text="Again.")), tmp_path / "2.parquet")
    rows = Rows(sorted(tmp_path.iterdir()))
    assert FINANCE in rows
    assert [turn["text"] for turn in rows.text(TRAVEL)["conversation"]] == [turn[1] for turn in TURNS[:3]]


def test_a_file_of_another_kind_is_left_unread_with_the_columns_that_it_lacks(written):
    rows = written([{"conversation_id": "travel_1_3", "text": "Hi."}], "other.parquet")
    assert rows.foreign == {"other.parquet": ["model_dir", "turn_index", "speaker", "domain", "emotion"]}
    assert TRAVEL not in rows


@pytest.mark.parametrize("damage", ["cut off", "a page", "numbers"])
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "train.parquet"
    rows = [row | ({"conversation_id": 7} if damage == "numbers" else {}) for row in rows_of(TRAVEL)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "a page":
        path.write_text("<!DOCTYPE html>")
    with pytest.raises(SourceError, match=r"train\.parquet: not whole rows of text .*: fetch it again"):
        Rows([path])
