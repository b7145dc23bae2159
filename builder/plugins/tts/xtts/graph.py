"""A step recorded once and replayed: a GPU is told in one call what would take a thousand.

At a few dozen rows a step of the network lasts about as long as it takes Python to ask for its kernels one by one.
Law of the file: a replay does what the call would, or the call is made.
"""

from collections.abc import Callable
from typing import Any

import torch

from builder.terminal import say


class Replay:
    """A function of a small whole number that works on tensors that stay where they are.

    Args:
        step: the function.
        device: where the tensors are; anywhere but on a CUDA device every call is made.
    """

    def __init__(self, step: Callable[[int], None], device: torch.device) -> None:
        self._step = step
        self._records = device.type == "cuda"
        self._graphs: dict[int, Any] = {}

    def __call__(self, number: int) -> None:
        """Calls the function, and records it for the next time; or replays it."""
        if graph := self._graphs.get(number):
            graph.replay()
            return
        self._step(number)
        if self._records:
            self._record(number)

    def _record(self, number: int) -> None:
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values())).pool() if self._graphs else None
        try:
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._step(number)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._records = False
            say(f"xtts: goes on without CUDA graphs, more slowly: {str(error).splitlines()[0]}")
        else:
            self._graphs[number] = graph
