"""A subset as a `datasets.IterableDataset`, so that map, filter, take, DataLoader workers and nodes are what everyone knows.

What is ours is the order: `shuffle` mixes runs of a few megabytes from all over the subset, and a state is the number of rows
given out, so that resuming is exact in the middle of a shuffled epoch, too. A state is where the next iteration begins; the
one after it begins at the beginning, as the next epoch does.
Law of the file: it is all that touches the insides of `datasets`, and works alike on 3.6, 4.8 and 5.2.
"""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
from datasets import iterable_dataset as inside

from .plan import Order, Rows
from .rows import Reader, Row

_PARTS = 40_320
"""Into so many parts the rows can be dealt evenly, said `datasets`: a multiple of every number of nodes up to ten, and of 12, 14,
16, 32, 64 and 128. For others `datasets` has each node read everything and skip what is not its own, which is exact as well."""


_THREE = hasattr(inside, "ShufflingConfig")
"""Whether this is `datasets` 3."""


class Stream(datasets.IterableDataset):  # type: ignore[misc]
    """The rows of a subset, read as they are asked for.

    Besides what `datasets.IterableDataset` does: `len` is exact, `shuffle` is resumed exactly and takes no more memory, and any
    number of nodes and workers gets every row exactly once, their shares differing by one row at most.
    """

    def __init__(self, part: "Part", split: str) -> None:
        shuffling = {}
        if _THREE:  # which else would not tell of a new epoch
            shuffling["shuffling"] = inside.ShufflingConfig(np.random.default_rng(0), _original_seed=0)
        super().__init__(
            part,
            info=datasets.DatasetInfo(features=part.features),
            split=datasets.NamedSplit(split),
            **shuffling,
        )

    def __len__(self) -> int:
        """How many rows the subset has."""
        return len(self._ex_iterable)

    def __repr__(self) -> str:
        return f"Stream({len(self)} rows, columns: {', '.join(self.column_names)})"

    def shuffle(self, seed: int | None = None, **unknown: Any) -> "Stream":
        """The same rows in another order in every epoch: `set_epoch` says which.

        Places of some 2 MB from all over the subset are mixed within a window of a quarter of the memory given to `load`.

        Args:
            seed: of the order; None draws one.
            unknown: none; `datasets`' own `buffer_size` is for `take` and others that come after.

        Raises:
            TypeError: any other argument.
        """
        if unknown:
            raise TypeError(
                f"shuffle takes no {', '.join(unknown)} here: the window is as large as load's memory_mb lets it be"
            )
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        return Stream(self._ex_iterable.shuffled(seed), str(self.split))


class Part(inside._BaseExamplesIterable):  # type: ignore[misc]  # noqa: SLF001 - the class below all of `datasets`' streams
    """What `datasets` iterates over: a part of the rows, in the order of an epoch.

    Args:
        reader: of the rows.
        rows: all of them.
        features: of what is given out.
        memory_bytes: of which a quarter is the window in which rows are shuffled.
    """

    _sleep_on_threads_shutdown = False

    def __init__(self, reader: Reader, rows: Rows, features: Any, memory_bytes: int) -> None:
        super().__init__()
        self._reader, self._planned, self._features = reader, rows, features
        self._window_bytes = memory_bytes // 4
        self._seed: int | None = None
        self._epoch = 0
        self._begin, self._end = 0, len(rows)

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def is_typed(self) -> bool:
        """Values are what they are to be: nothing is left to cast. In `datasets` 3 what is typed cannot be filtered."""
        return not _THREE

    @property
    def features(self) -> Any:
        """Of what is given out."""
        return self._features

    @property
    def num_shards(self) -> int:
        """Into how many parts it can be dealt."""
        return _PARTS

    n_shards = num_shards

    def shuffled(self, seed: int) -> "Part":
        """The same rows in an order of the seed."""
        return self._with(_seed=seed, _epoch=0)

    def shuffle_data_sources(self, generator: np.random.Generator) -> "Part":
        """Another epoch: `generator` is made of its number."""
        return self._with(_epoch=int(copy.deepcopy(generator).integers(2**62)))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> "Part":  # noqa: ARG002, FBT001, FBT002
        """One of `num_shards` parts; a part can be dealt further."""
        cut = [self._begin + len(self) * place // num_shards for place in (index, index + 1)]
        return self._with(_begin=cut[0], _end=cut[1])

    def _with(self, **changes: Any) -> "Part":
        changed = copy.copy(self)
        changed.__dict__.update(changes, _state_dict=None)
        return changed

    def reshard_data_sources(self) -> "Part":
        """Itself: it can be dealt finely enough."""
        return self

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict: dict[str, Any] | None = self._beginning()
        return self._state_dict

    def _beginning(self) -> dict[str, Any]:
        """The state before the first row: what was given out, of which rows, in which order."""
        window = None if self._seed is None else self._window_bytes
        return {
            "done": 0,
            "rows": len(self),
            "begin": self._begin,
            "of": len(self._planned),
            "seed": self._seed,
            "window": window,
            "type": "Rows",
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Goes on after the rows that a state counts. Iterating finds out whether it is of these rows in this order.

        In a worker, `datasets` loads the state of the worker's share into the whole first, and into the share then.
        """
        own = self._state_dict or self._init_state_dict()
        own.update(state_dict)
        return own

    def _done(self, state: dict[str, Any]) -> int:
        """How many rows a state counts, if it is of these rows in this order."""
        own = self._beginning()
        # Before its first row the state of a share is that of the whole, for nobody had dealt it yet.
        shared = ("type", "of", "seed", "window") if state["done"] == 0 else own.keys() - {"done"}
        if any(state.get(name) != own[name] for name in shared):
            raise ValueError(
                f"this state is of {state.get('rows')} rows with seed {state.get('seed')}, and here are {own['rows']} with "
                f"seed {own['seed']}: load the same subset with the same memory_mb, for as many nodes and workers"
            )
        return int(state["done"])

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        state = self._state_dict
        key = None if self._seed is None else (self._seed, self._epoch)
        done = 0
        if state:
            done = self._done(state)
            state.update(self._beginning(), done=done)
        windows = Order(self._planned, key, self._window_bytes).windows(self._begin, self._end, done)
        for place, row in enumerate(self._reader.read(windows), start=self._begin + done):
            if state:
                state["done"] += 1
            yield place, row


def _reads_part(examples: Any) -> bool:
    """Whether rows of a subset go into what `datasets` iterates over, by map, filter, take or the like."""
    inner = (
        [examples.ex_iterable] if hasattr(examples, "ex_iterable") else getattr(examples, "ex_iterables", [])
    )
    return isinstance(examples, Part) or any(map(_reads_part, inner))


def _resume_exactly() -> None:
    """Has `datasets` tell the resumed place before the first row, and use a state once, for whatever is made of a subset.

    What `map` or `split_dataset_by_node` makes of a stream is of `datasets`' own class. A loader with workers takes a state
    before a worker has given a row; and the second epoch after a resumed one is a whole one.
    """
    own = datasets.IterableDataset
    if hasattr(own.load_state_dict, "deepdialogue"):
        return
    loaded, iterated = own.load_state_dict, own.__iter__

    @functools.wraps(loaded)
    def load_state_dict(self: Any, state_dict: dict[str, Any]) -> None:
        loaded(self, state_dict)
        if _reads_part(self._ex_iterable):
            if self.epoch == 0:  # nobody has said which: that of the state
                self.set_epoch(state_dict["epoch"])
            self._state_dict = copy.deepcopy(state_dict)

    @functools.wraps(iterated)
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807 - it is that method
        if not _reads_part(self._ex_iterable):
            return iterated(self)  # type: ignore[no-any-return]
        start, self._starting_state_dict = self._starting_state_dict, None
        if start is None or start["epoch"] != self.epoch:
            self._prepare_ex_iterable_for_iteration()  # whose state is the beginning
        return _from(self, start)

    def _from(self: Any, start: dict[str, Any] | None) -> Iterator[Any]:
        rows = iterated(self)
        later, self._starting_state_dict = self._starting_state_dict, start
        try:
            first = next(rows, None)
        finally:
            self._starting_state_dict = later
        if first is not None:
            yield first
            yield from rows

    load_state_dict.deepdialogue = True  # type: ignore[attr-defined]
    own.load_state_dict, own.__iter__ = load_state_dict, __iter__


_resume_exactly()
