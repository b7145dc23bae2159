"""One reader, once, in a process of its own: how soon the first row is there, and how long all of them take.

    python -m benchmarks.read READER ROOT WHAT [--decode]

Prints one line of JSON: clips; seconds to the first row, from when the libraries are imported; seconds and CPU seconds for all
rows, from when the dataset is open.
Law of the file: each reader is what its documentation says, in as few lines, and gives every clip with its words.
"""
# ruff: noqa: PLC0415 - a reader's libraries are its own, and the environments of peers have not all of them

import argparse
import io
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Rows = Iterable[dict[str, Any]]
SUBSETS: dict[str, dict[str, Any]] = {
    "all": {},
    "domain": {"domain": "travel"},
    "emotion": {"emotion": "happy"},
    "text": {},
}


def main() -> None:
    """Prints what one reader took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read")
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("root")
    parser.add_argument("what", choices=SUBSETS)
    parser.add_argument("--decode", action="store_true")
    options = parser.parse_args()
    rows = READERS[options.reader](options.root, options.what, options.decode)
    print(json.dumps(timed(rows)))


def timed(rows: Callable[[], Rows]) -> dict[str, float]:
    """Opens what is read, and goes through the rows; a row's `audio` is a clip or a list of them."""
    begin = time.perf_counter()
    held = rows()
    opened, cpu = time.perf_counter(), time.process_time()
    first = clips = 0.0
    for row in held:
        first = first or time.perf_counter() - begin
        audio = row.get("audio")
        clips += len(audio) if isinstance(audio, list) else 1
    span_s, cpu_s = time.perf_counter() - opened, time.process_time() - cpu
    return {"clips": clips, "first_s": first, "span_s": span_s, "cpu_s": cpu_s}


def spread(work: Callable[[Any], Any], rows: Rows) -> Iterator[Any]:
    """The plainest way to use all cores: a pool of threads, two rows a core ahead."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Any] = deque()
        for row in rows:
            waiting.append(pool.submit(work, row))
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    import soundfile

    row["audio"] = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
    return row


def _pyarrow(root: str, what: str, decode: bool) -> Callable[[], Rows]:  # noqa: FBT001
    import pyarrow.parquet as pq

    assert what == "all", "the bare reader knows no subsets"

    def rows() -> Iterator[dict[str, Any]]:
        for path in sorted(Path(root).glob("xtts-turns/train/*.parquet")):
            with pq.ParquetFile(path, memory_map=True) as file:
                for group in range(file.num_row_groups):
                    yield from file.read_row_group(group).to_pylist()

    return lambda: spread(_decoded, rows()) if decode else rows()


def _datasets(root: str, what: str, decode: bool) -> Callable[[], Rows]:  # noqa: FBT001
    import datasets
    import torch  # noqa: F401 - which `datasets` imports with its first stream, where it is installed

    import deepdialogue

    def rows() -> Rows:
        filters = {
            "domain": [("domain", "==", deepdialogue.DOMAINS.index("travel"))],
            "emotion": [("emotion", "==", deepdialogue.EMOTIONS.index("happy"))],
        }.get(what)
        config = "text-only" if what == "text" else "xtts-turns"
        asked = {"filters": filters} if filters else {}
        stream = datasets.load_dataset(
            "deepdialogue", config, data_dir=root, split="train", streaming=True, **asked
        )
        if what != "text":
            stream = stream.cast_column("audio", datasets.Audio(decode=False))
        return stream

    return lambda: spread(_decoded, rows()) if decode else rows()


def _ours(level: str, seed: int | None = None) -> Callable[[str, str, bool], Callable[[], Rows]]:
    def reader(root: str, what: str, decode: bool) -> Callable[[], Rows]:  # noqa: FBT001
        import torch  # noqa: F401 - as above

        import deepdialogue
        from builder.dataset.reader import subset  # noqa: F401

        def rows() -> Rows:
            config = "text-only" if what == "text" else "xtts"
            wanted = "dialogue" if what == "text" else level
            stream = deepdialogue.load(
                config, "train", data_dir=root, streaming=True, level=wanted, decode=decode, **SUBSETS[what]
            )
            return stream if seed is None else stream.shuffle(seed)

        return rows

    return reader


READERS: dict[str, Callable[[str, str, bool], Callable[[], Rows]]] = {
    "pyarrow": _pyarrow,
    "datasets": _datasets,
    "deepdialogue-turns": _ours("turn"),
    "deepdialogue-dialogues": _ours("dialogue"),
    "deepdialogue-shuffled": _ours("turn", seed=1),
}

if __name__ == "__main__":
    main()
