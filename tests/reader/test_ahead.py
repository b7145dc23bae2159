import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.dataset.reader.ahead import ahead
from tests.patience import PATIENCE_S


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_results_come_in_the_order_of_their_pieces(pool):
    first_may_end = threading.Event()

    def work(piece):
        if piece == 0:
            assert first_may_end.wait(PATIENCE_S)
        if piece == 2:
            first_may_end.set()
        return piece * 10

    assert list(ahead(pool, work, range(6), lambda _: 1, 4)) == [0, 10, 20, 30, 40, 50]


def test_never_more_is_ahead_than_the_budget_allows(pool):
    taken, given = [], 0
    for _ in ahead(pool, lambda piece: piece, (taken.append(n) or n for n in range(50)), lambda _: 3, 10):
        given += 1
        # Three of 3 fit into 10; one more is in hand and waits.
        assert len(taken) - given <= 3
    assert given == 50


def test_a_piece_dearer_than_the_budget_is_worked_on_alone(pool):
    assert list(ahead(pool, str, [5, 500, 5], lambda piece: piece, 10)) == ["5", "500", "5"]


def test_the_first_result_does_not_wait_for_pieces_that_are_slow_to_come():
    second_begun, first_given = threading.Event(), threading.Event()

    def pieces():
        yield from (0, 1)
        assert second_begun.wait(PATIENCE_S)
        yield 2
        assert first_given.wait(PATIENCE_S), "the third piece was waited for"
        yield 3

    def work(piece):
        if piece == 1:
            second_begun.set()  # in a pool of one thread the first is done then
        return piece

    with ThreadPoolExecutor(1) as alone:
        results = ahead(alone, work, pieces(), lambda _: 1, 1000)
        assert next(results) == 0
        first_given.set()
        assert list(results) == [1, 2, 3]


def test_an_error_comes_in_its_place(pool):
    results = ahead(pool, lambda piece: 1 // (piece - 2), range(5), lambda _: 1, 10)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
