from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from builder.dataset.reader.plan import Order, Rows, pick


def planned(sizes, files):
    """Dialogues of one clip each, of so many bytes, dealt to files in turn."""
    count = len(sizes)
    return Rows(
        files=tuple(f"{number}.parquet" for number in range(files)),
        ids=pa.array([f"d{number}" for number in range(count)]),
        file=np.sort(np.arange(count) % files),
        number=np.arange(count),
        turn=np.zeros(count, np.int64),
        turns=np.ones(count, np.int64),
        first=np.arange(count + 1),
        offset=np.arange(count),
        length=np.array(sizes, np.int64),
    )


ROWS = st.builds(planned, st.lists(st.integers(1, 4_000_000), max_size=60), st.integers(1, 4))
KEYS = st.none() | st.tuples(st.integers(0, 2**62), st.integers(0, 2**62))
WINDOWS = st.integers(1, 20_000_000)


def given_out(order, begin, end, done=0):
    return [row for window in order.windows(begin, end, done) for row in window.rows.tolist()]


@given(ROWS, KEYS, WINDOWS, st.integers(1, 7), st.integers(1, 4))
def test_any_number_of_nodes_and_workers_gets_every_row_exactly_once(rows, key, window, nodes, workers):
    order, size = Order(rows, key, window), len(rows)
    seen = []
    for node in range(nodes):
        begin, end = size * node // nodes, size * (node + 1) // nodes
        cuts = [begin + (end - begin) * worker // workers for worker in range(workers + 1)]
        for first, last in pairwise(cuts):
            seen += given_out(order, first, last)
    assert sorted(seen) == list(range(size))


@given(ROWS, KEYS, WINDOWS, st.data())
def test_a_part_goes_on_from_any_place_as_if_it_had_never_stopped(rows, key, window, data):
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))
    done = data.draw(st.integers(0, end - begin))
    order = Order(rows, key, window)
    assert given_out(order, begin, end, done) == given_out(order, begin, end)[done:]


@given(ROWS, KEYS, WINDOWS)
def test_what_a_window_gives_out_is_what_it_reads_from_one_file_a_run(rows, key, window):
    for held in Order(rows, key, window).windows(0, len(rows), 0):
        assert sorted(held.rows.tolist()) == sorted(np.concatenate(held.runs).tolist())
        assert all(len(set(rows.file[run].tolist())) == 1 for run in held.runs)


@given(ROWS, KEYS.filter(bool), WINDOWS)
def test_a_shuffled_window_holds_no_more_than_it_may_unless_one_row_does(rows, key, window):
    cost = rows.cost()
    for held in Order(rows, key, window).windows(0, len(rows), 0):
        assert len(held.rows) == 1 or cost[held.rows].sum() <= window


def test_the_order_is_the_files_own_without_a_key_and_another_with_each():
    rows = planned([1_000_000] * 50, 3)
    orders = [given_out(Order(rows, key, 8_000_000), 0, 50) for key in (None, (1, 0), (1, 1), (2, 0))]
    assert orders[0] == list(range(50))
    assert len({tuple(order) for order in orders}) == 4


def test_a_shuffled_window_mixes_places_from_all_over():
    rows = planned([200_000] * 500, 5)
    first = next(Order(rows, (3, 0), 20_000_000).windows(0, 500, 0)).rows
    assert len(set(rows.file[first].tolist())) >= 4
    assert np.abs(np.diff(first)).mean() > 50


def index():
    return pa.table(
        {
            "id": ["a", "a", "b", "b", "b", "c", "c"],
            "turn": pa.array([1, 2, 1, 2, 3, 1, 2], pa.int32()),
            "split": ["train"] * 7,
            "domain": ["y", "y", "x", "x", "x", "y", "y"],
            "emotion": ["sad", "happy", "happy", "sad", "happy", "sad", "sad"],
            "speaker": ["LLM1", "LLM2", "LLM1", "LLM2", "LLM1", "LLM1", "LLM2"],
            "file": [
                "y.parquet",
                "y.parquet",
                "x.parquet",
                "x.parquet",
                "x.parquet",
                "y.parquet",
                "y.parquet",
            ],
            "offset": pa.array(range(10, 80, 10), pa.int64()),
            "length": pa.array(range(1, 8), pa.int32()),
        }
    )


def test_dialogues_are_picked_by_a_turn_that_has_everything_asked_for():
    rows = pick(
        index(),
        dialogues={},
        spoken={"emotion": ["happy"], "speaker": ["LLM2"]},
        num_turns=None,
        by_turn=False,
    )
    assert (rows.ids.to_pylist(), rows.offset.tolist(), rows.first.tolist()) == (["a"], [10, 20], [0, 2])


def test_turns_are_picked_with_their_dialogues_place_in_the_file():
    rows = pick(
        index(), dialogues={"domain": ["x", "y"]}, spoken={"emotion": ["sad"]}, num_turns=[2, 3], by_turn=True
    )
    assert rows.files == ("x.parquet", "y.parquet")
    assert rows.ids.to_pylist() == ["b", "a", "c", "c"]
    assert rows.number.tolist() == [0, 0, 1, 1]
    assert rows.turn.tolist() == [2, 1, 1, 2]
    assert rows.length.tolist() == [4, 1, 6, 7]


def test_keeping_some_rows_keeps_their_clips():
    rows = pick(index(), dialogues={}, spoken={}, num_turns=None, by_turn=False)
    kept = rows.keep(np.array([False, True, True]))
    assert kept.ids.to_pylist() == ["a", "c"]
    assert (kept.offset.tolist(), kept.first.tolist()) == ([10, 20, 60, 70], [0, 2, 4])
