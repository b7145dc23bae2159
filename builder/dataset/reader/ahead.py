"""Work done ahead in threads, in order and within a budget.

Law of the file: what is given out comes in the order it was asked for, and what is ahead never costs more than the budget,
unless a single piece does.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(
    pool: Executor, work: Callable[[A], B], pieces: Iterable[A], cost: Callable[[A], int], budget: int
) -> Iterator[B]:
    """Gives `work(piece)` for each piece.

    Args:
        pool: where the work is done.
        work: is called in several threads at once.
        pieces: taken no earlier than the budget allows.
        cost: of a piece, in the budget's unit.
        budget: for all that is being worked on or waits to be given out.
    """
    waiting: deque[tuple[int, Future[B]]] = deque()
    held = begun = 0
    for piece in pieces:
        price = cost(piece)
        # What is ready goes out before the budget is reached, and for each one that goes two are begun: the first comes soon.
        while waiting and (held + price > budget or (begun > 1 and waiting[0][1].done())):
            paid, done = waiting.popleft()
            yield done.result()
            held -= paid
            begun = 0
        held += price
        begun += 1
        waiting.append((price, pool.submit(work, piece)))
    while waiting:
        yield waiting.popleft()[1].result()
