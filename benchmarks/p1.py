"""P1: packaging ready FLAC in both views, against a plain pyarrow writer of the same bytes and against `datasets`' own path.

    python -m benchmarks.p1 [--megabytes 384] [--repeat 3] [--rows 4000 16000]

The clips lie in one file, as a run's do, and are 3 to 8 seconds long; their bytes are random, which packs as FLAC does. Each
contestant reads them, and writes the dialogues and the turns: DeepDialogue with checksums and the index; pyarrow with
`Table.from_pylist` and a `ParquetWriter` of the same settings and row groups, and nothing else; `datasets` with
`Dataset.from_generator` and `to_parquet`. Then tiny rows, more and more of them: what one costs must not grow.
Law of the file: every run is a process of its own, they take turns, and what is printed is the median of each and their ratios.
"""

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import datasets
import numpy as np
import pyarrow as pa

import deepdialogue
from builder.core.row import Row, turn_rows
from builder.index import path_of, write_index
from builder.shards import GROUP_BYTES, Contract, parquet_writer, write_shards

_CONTRACT: Contract = ("xtts", deepdialogue.LABELS, 24_000)
_VIEWS = ("xtts", "xtts-turns")
_TURNS = 6
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
    num_bytes: int
    """Of what was written."""


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
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_taken, work, clips, out).result()


def _taken(work: Callable[[Clips, Path], None], clips: Clips, out: Path) -> Taken:
    out.mkdir()
    begin, cpu = time.perf_counter(), time.process_time()
    work(clips, out)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    written = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    shutil.rmtree(out)
    return Taken(seconds, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, written)


def main() -> None:
    """Prints a line for each contestant and each number of tiny rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.p1")
    parser.add_argument("--megabytes", type=int, default=384, help="of clips (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[4_000, 16_000], help="tiny rows (%(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        real = Clips(folder / "real.flacs", options.megabytes * 10**6 // (_TURNS * 160_000), 80_000, 240_000)
        make(real)
        print(f"P1  {real.dialogues} dialogues, {real.path.stat().st_size / 1e6:.0f} MB of FLAC, both views")
        print(f"{'':>14}{'MB/s':>8}{'CPU s':>8}{'peak MB':>9}{'DeepDialogue is':>17}")
        took: dict[str, list[Taken]] = {"DeepDialogue": [], "pyarrow": [], "datasets": []}
        for _ in range(options.repeat):
            for name, work in zip(took, (ours, plain, library), strict=True):
                took[name].append(taken(work, real, folder / "out"))
        speeds = {
            name: median(run.num_bytes / run.seconds / 1e6 for run in runs) for name, runs in took.items()
        }
        for name, runs in took.items():
            cpu_s, peak_mb = median(run.cpu_s for run in runs), median(run.peak_mb for run in runs)
            times = speeds["DeepDialogue"] / speeds[name]
            print(f"{name:>14}{speeds[name]:>8.0f}{cpu_s:>8.2f}{peak_mb:>9.0f}{times:>11.2f} times")
        print(f"{'tiny rows':>14}{'ms each':>8}{'CPU ms':>8}{'peak MB':>9}")
        for count in options.rows:
            tiny = Clips(folder / f"{count}.flacs", count, 64, 128)
            make(tiny)
            runs = [taken(ours, tiny, folder / "out") for _ in range(options.repeat)]
            seconds, cpu_s = median(run.seconds for run in runs), median(run.cpu_s for run in runs)
            peak_mb = median(run.peak_mb for run in runs)
            print(f"{count:>14,}{1e3 * seconds / count:>8.3f}{1e3 * cpu_s / count:>8.3f}{peak_mb:>9.0f}")


if __name__ == "__main__":
    main()
