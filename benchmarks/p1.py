"""P1: packaging ready FLAC in both views, against a plain pyarrow writer of the same bytes and against `datasets`' own path.

    python -m benchmarks.p1 [--megabytes 384] [--repeat 5] [--rows 4000 16000 40000]

The clips lie in one file, as a run's do, and are 3 to 8 seconds long; their bytes are random, which packs as FLAC does. Each
contestant reads them once and writes the dialogues and the turns to a file each; nothing is brought to the disk.

    DeepDialogue   with the index, and SHA-256 of every clip and of both files
    pyarrow        `Table.from_pylist` and a `ParquetWriter` of the same settings and row groups, and nothing else
    with SHA-256   the same, and then SHA-256 of every clip and of both files, from memory
    datasets       `Dataset.from_generator` and `to_parquet`, and nothing else

Then tiny rows, more and more of them: what one costs must not grow.
Law of the file: every run is a process of its own that begins with nothing left to be written to the disk; they take turns, every
second time the other way round; what is printed is the median and the best of each, their ratios, and how busy others were.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import datasets
import numpy as np
import pyarrow as pa

import deepdialogue
from builder.core.row import Row, turn_rows
from builder.dataset.index import path_of, write_index
from builder.dataset.shards import GROUP_BYTES, Contract, parquet_writer, write_shards

_CONTRACT: Contract = ("xtts", deepdialogue.LABELS, 24_000)
_VIEWS = ("xtts", "xtts-turns")
_TURNS = 6
_STAT = Path("/proc/stat")
_HEAD = "".join(f"{name:>9}" for name in ("s", "best s", "CPU s", "peak MB", "others"))
_NUMBERS = {
    column: {name: number for number, name in enumerate(names)}
    for column, names in {
        "split": deepdialogue.SPLITS,
        "domain": deepdialogue.DOMAINS,
        "pairing": deepdialogue.PAIRINGS,
        "first_model": deepdialogue.MODELS,
        "second_model": deepdialogue.MODELS,
        "model": deepdialogue.MODELS,
        "speaker": deepdialogue.SPEAKERS,
        "emotion": deepdialogue.EMOTIONS,
        "ravdess": deepdialogue.RAVDESS,
    }.items()
}


class Clips(NamedTuple):
    """Ready clips in one file."""

    path: Path
    dialogues: int
    least: int
    """Bytes of the shortest clip."""
    most: int

    def lengths(self) -> list[list[int]]:
        """Of every clip in bytes, by dialogue."""
        drawn = np.random.default_rng(0).integers(
            self.least, self.most, (self.dialogues, _TURNS), endpoint=True
        )
        lengths: list[list[int]] = drawn.tolist()
        return lengths


class Taken(NamedTuple):
    """What one run took."""

    seconds: float
    cpu_s: float
    peak_mb: float
    others: float
    """Cores that other processes kept busy meanwhile."""


Runs = dict[str, list[Taken]]


def make(clips: Clips) -> None:
    """Writes the file of clips."""
    draw = np.random.default_rng(1)
    with clips.path.open("wb") as file:
        for lengths in clips.lengths():
            for length in lengths:
                file.write(b"fLaC" + draw.bytes(length - 4))


def rows(clips: Clips) -> Iterator[Row]:
    """The dialogues, labels as names."""
    emotions, ravdess = deepdialogue.EMOTIONS, deepdialogue.RAVDESS
    with clips.path.open("rb") as file:
        for index, lengths in enumerate(clips.lengths()):
            name = f"travel_{index:06}_{_TURNS}"
            yield {
                "id": f"phi4-mini/{name}",
                "split": "train",
                "domain": "travel",
                "pairing": "phi4-mini",
                "first_model": "phi4-mini",
                "second_model": "phi4-mini",
                "first_checkpoint": "microsoft/Phi-4-mini-instruct",
                "second_checkpoint": "microsoft/Phi-4-mini-instruct",
                "rehearsal": False,
                "num_turns": _TURNS,
                "engine": "none",
                "first_voice": "actor-01",
                "second_voice": "actor-02",
                "duration": 5.5 * _TURNS,
                "scores": [],
                "turns": [
                    {
                        "speaker": deepdialogue.SPEAKERS[turn % 2],
                        "text": f"I have never told anybody about number {index}, not even {turn} times, and I never will.",
                        "emotion": emotions[(index + turn) % len(emotions)],
                        "ravdess": ravdess[(index + turn) % len(ravdess)],
                        "start": 5.5 * turn,
                        "end": 5.5 * turn + 5,
                    }
                    for turn in range(_TURNS)
                ],
                "audio": [
                    {"bytes": file.read(length), "path": f"{name}_{turn:02}.flac"}
                    for turn, length in enumerate(lengths, start=1)
                ],
            }


def ours(clips: Clips, out: Path) -> None:
    """As `package` writes."""
    written = write_shards(out, _CONTRACT, split="train", domain="travel", rows=rows(clips))
    write_index(out / path_of("xtts"), written.entries)


def plain(clips: Clips, out: Path) -> None:
    """As one would write it with pyarrow."""
    with ExitStack() as opened:
        schemas = [deepdialogue.schema(view) for view in _VIEWS]
        writers = [
            opened.enter_context(parquet_writer(out / f"{view}.parquet", schema))
            for view, schema in zip(_VIEWS, schemas, strict=True)
        ]
        dialogues = rows(clips)
        while group := list(islice(dialogues, max(1, GROUP_BYTES // (_TURNS * clips.most)))):
            both = group, [turn for row in group for turn in turn_rows(row)]
            for writer, schema, held in zip(writers, schemas, both, strict=True):
                table = pa.Table.from_pylist(list(map(_numbered, held)), schema=schema)
                writer.write_table(table, row_group_size=len(held))


def checked(clips: Clips, out: Path) -> None:
    """The same, and the checksums that `package` writes."""
    plain(clips, out)
    for path in [*out.iterdir(), clips.path]:
        with path.open("rb") as file:
            if path != clips.path:
                hashlib.file_digest(file, "sha256")
                continue
            for length in chain.from_iterable(clips.lengths()):
                hashlib.sha256(file.read(length)).digest()


def _numbered(row: Row) -> Row:
    return {
        name: [_numbered(turn) for turn in value]
        if name == "turns"
        else _NUMBERS[name][value]
        if name in _NUMBERS
        else value
        for name, value in row.items()
    }


def library(clips: Clips, out: Path) -> None:
    """As one would write it with `datasets`."""
    datasets.disable_progress_bars()
    for view in _VIEWS:
        made = datasets.Dataset.from_generator(
            _named_rows,
            features=deepdialogue.features(view),
            gen_kwargs={"clips": clips, "view": view},
            cache_dir=str(out / "cache"),
        )
        made.to_parquet(out / f"{view}.parquet")


def _named_rows(clips: Clips, view: str) -> Iterator[Row]:
    for row in rows(clips):
        yield from [row] if view == "xtts" else turn_rows(row)


def taken(work: Callable[[Clips, Path], None], clips: Clips, out: Path) -> Taken:
    """What work took that is done in a process of its own."""
    os.sync()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_taken, work, clips, out).result()


def _taken(work: Callable[[Clips, Path], None], clips: Clips, out: Path) -> Taken:
    out.mkdir()
    begin, cpu, busy = time.perf_counter(), time.process_time(), _busy()
    work(clips, out)
    seconds, cpu_s, busy_s = time.perf_counter() - begin, time.process_time() - cpu, _busy() - busy
    shutil.rmtree(out)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Taken(seconds, cpu_s, peak_mb, max(0.0, busy_s - cpu_s) / seconds)


def _busy() -> float:
    """The CPU seconds of the whole machine since it was started; on Linux alone."""
    user, nice, system, _, _, *interrupts = map(int, _STAT.read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def race(works: Mapping[str, tuple[Callable[[Clips, Path], None], Clips]], repeat: int, out: Path) -> Runs:
    """Runs each so often, in turns."""
    took: Runs = {name: [] for name in works}
    for number in range(repeat):
        for name in list(works)[:: 1 - 2 * (number % 2)]:
            took[name].append(taken(*works[name], out))
    return took


def main() -> None:
    """Prints a line for each contestant and each number of tiny rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.p1")
    parser.add_argument("--megabytes", type=int, default=384, help="of clips (%(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="how often each is run (%(default)s)")
    parser.add_argument(
        "--rows", type=int, nargs="*", default=[4_000, 16_000, 40_000], help="tiny rows (%(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        real = Clips(folder / "real.flacs", options.megabytes * 10**6 // (_TURNS * 160_000), 80_000, 240_000)
        make(real)
        size_mb = real.path.stat().st_size / 1e6
        print(f"P1  {real.dialogues} dialogues, {size_mb:.0f} MB of FLAC, both views, {os.cpu_count()} cores")
        works = {"DeepDialogue": ours, "pyarrow": plain, "with SHA-256": checked, "datasets": library}
        took = race({name: (work, real) for name, work in works.items()}, options.repeat, folder / "out")
        print(f"{'':>14}{_HEAD}   DeepDialogue is    at best")
        for name, runs in took.items():
            times, best = (
                of(run.seconds for run in runs) / of(run.seconds for run in took["DeepDialogue"])
                for of in (median, min)
            )
            print(f"{name:>14}{_line(runs, 1)}{times:>12.2f} times{best:>11.2f}")
        tiny = {count: Clips(folder / f"{count}.flacs", count, 64, 128) for count in options.rows}
        for clips in tiny.values():
            make(clips)
        took = race(
            {f"{count:,}": (ours, clips) for count, clips in tiny.items()}, options.repeat, folder / "out"
        )
        print(f"{'tiny rows':>14}{_HEAD}   by the thousand")
        for count, runs in zip(tiny, took.values(), strict=True):
            print(f"{count:>14,}{_line(runs, count / 1000)}")


def _line(runs: list[Taken], share: float) -> str:
    """Of a table: what runs took, their time by this share of it."""
    seconds, cpu_s, peak_mb, others = (median(values) for values in zip(*runs, strict=True))
    best_s = min(run.seconds for run in runs)
    return f"{seconds / share:>9.3f}{best_s / share:>9.3f}{cpu_s / share:>9.3f}{peak_mb:>9.0f}{others:>9.1f}"


if __name__ == "__main__":
    main()
