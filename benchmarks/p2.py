"""P2: clips a second from a packaged dataset, and what a subset costs in bytes and requests, beside what others read.

    python -m benchmarks.p2 [--dialogues 60] [--texts 300] [--repeat 3] [--latency-ms 40] [--peers FOLDER]

Law of the file: every figure is of a process of its own that reads everything once; readers take turns, and what is printed is
the median of each and its ratio in this one run. The Hub on loopback counts bytes; a folder's are mapped and not counted.
"""

import argparse
import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
from aiohttp import web

from builder.config import TEXT_ONLY
from builder.core.row import Row
from builder.dataset.index import read_index
from builder.run.audio import encode
from tests import streamed
from tests.servers.hub import Hub
from tests.servers.loopback import Handler

ROOT = Path(__file__).parents[1]
_DOMAINS = ("art", "books", "cars", "coding", "cooking", "food", "travel", "work")
_LOCAL = ("pyarrow", "datasets", "deepdialogue-turns", "deepdialogue-dialogues", "deepdialogue-shuffled")
_REMOTE = ("datasets", "deepdialogue-turns")


def main() -> None:
    """Prints a table of speeds on the disk, and one of subsets over the line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.p2")
    parser.add_argument(
        "--dialogues", type=int, default=60, help="spoken, in each of 8 domains (%(default)s)"
    )
    parser.add_argument("--texts", type=int, default=300, help="written, in each of 8 domains (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--latency-ms", type=float, default=40.0, help="of every request (%(default)s)")
    parser.add_argument("--peers", type=Path, help="the folder with an environment for each peer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "packaged"
        _write(folder, options.dialogues)
        _write_text(folder, options.texts)
        _speeds(folder, options)
        _subsets(folder, Path(place) / "home", options)


def _write(folder: Path, dialogues: int) -> None:
    """Clips of 3 to 10 s that take about as many bytes as speech does: a tone under coloured noise."""
    draw = np.random.default_rng(0)

    def speech(_: Any, rate: int) -> bytes:
        size = int(draw.integers(3 * rate, 10 * rate))
        noise = np.convolve(draw.normal(size=size), np.ones(6) / 6, "same") * 250
        return encode((noise + 3000 * np.sin(np.arange(size) / 20)).astype(np.int16), rate)

    with mock.patch.multiple(streamed, encode=speech, DOMAINS=_DOMAINS):
        streamed.write(folder, count=dialogues, samples=10, group_bytes=32 * 2**20, file_bytes=400 * 2**20)


def _write_text(folder: Path, dialogues: int) -> None:
    """The config of text alone anew, larger: turns of 10 to 50 words, as common as words are, which shrink as English does."""
    shutil.rmtree(folder / TEXT_ONLY)
    draw = np.random.default_rng(1)
    letters = "etaoinshrdlu"
    words = ["".join(draw.choice(list(letters), draw.integers(2, 10))) for _ in range(5_000)]
    common = 1 / np.arange(2, len(words) + 2)

    def spoken(config: str, *place: Any) -> Row:
        row = plain(config, *place)
        for turn in row["turns"]:
            turn["text"] = " ".join(draw.choice(words, draw.integers(10, 50), p=common / common.sum()))
        return row

    plain = streamed._row  # noqa: SLF001 - the same rows with other words
    with mock.patch.multiple(streamed, _row=spoken, DOMAINS=_DOMAINS):
        streamed.write(
            folder, configs=(TEXT_ONLY,), count=dialogues, group_bytes=32 * 2**20, file_bytes=400 * 2**20
        )


@dataclass(frozen=True)
class _Trial:
    clips: float
    first_s: float
    span_s: float
    cpu_s: float


def _run(command: list[str], environment: dict[str, str] | None = None) -> _Trial:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return _Trial(**json.loads(done.stdout.splitlines()[-1]))


def _speeds(folder: Path, options: argparse.Namespace) -> None:
    readers = {
        name: [sys.executable, "-m", "benchmarks.read", name, str(folder), "all"] for name in _LOCAL
    } | dict(_peers(folder, options.peers))
    for decode in (False, True):
        trials: dict[str, list[_Trial]] = {name: [] for name in readers}
        for _ in range(options.repeat):
            for name, command in readers.items():
                trials[name].append(_run([*command, *(["--decode"] if decode else [])]))
        bare = _speed(trials["pyarrow"])
        print(f"\nP2  from a folder, {'decoded on all cores' if decode else 'as FLAC bytes'}")
        print(f"{'':28}{'clips/s':>9}{'of pyarrow':>12}{'clips/CPU s':>13}{'first row ms':>14}")
        for name, some in trials.items():
            print(
                f"{name:28}{_speed(some):9.0f}{_speed(some) / bare:12.2f}"
                f"{median(one.clips / one.cpu_s for one in some):13.0f}{1000 * median(one.first_s for one in some):14.0f}",
                flush=True,
            )


def _speed(trials: list[_Trial]) -> float:
    return median(one.clips / one.span_s for one in trials)


def _peers(folder: Path, environments: Path | None) -> Iterator[tuple[str, list[str]]]:
    """The commands of the peers whose environment is there; why one is left out is said."""
    if environments is None:
        return
    there = folder.parent / "peers"
    _tars(folder, there / "shards")
    for driver in sorted((ROOT / "benchmarks" / "peers").glob("read_*.py")):
        name = driver.stem.removeprefix("read_")
        python = environments.absolute() / name / "bin" / "python"
        command = [str(python), str(driver), str(there)]
        if not python.exists():
            print(f"{name} is left out: there is no {python}")
            continue
        try:
            if name in {"lhotse", "streaming"}:
                subprocess.run([*command, "--write"], cwd=ROOT, check=True, capture_output=True)
            _run(command)
        except (RuntimeError, subprocess.CalledProcessError) as why:
            print(f"{name} is left out: {why}")
        else:
            yield name, command


def _tars(folder: Path, shards: Path) -> None:
    """The same clips with their words in tar files, one for each domain."""
    shards.mkdir(parents=True)
    for path in sorted(folder.glob("xtts-turns/train/*.parquet")):
        with tarfile.open(shards / f"{path.stem}.tar", "w") as tar, pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    key = row["id"].replace("/", "_").replace(".", "-")
                    flac = row.pop("audio")["bytes"]
                    for name, content in ((f"{key}.flac", flac), (f"{key}.json", json.dumps(row).encode())):
                        entry = tarfile.TarInfo(name)
                        entry.size = len(content)
                        tar.addfile(entry, io.BytesIO(content))


def _subsets(folder: Path, home: Path, options: argparse.Namespace) -> None:
    async def far(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(options.latency_ms / 1000)
        return await handler(request)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    with Hub() as hub:
        hub.commit_folder("lab/speech", folder)
        hub.fail("", far, times=2**62)
        print(f"\nP2  over loopback HTTP, {options.latency_ms:g} ms a request, FLAC bytes")
        print(
            f"{'':28}{'subset':>9}{'first s':>9}{'all s':>8}{'requests':>10}{'MB read':>9}{'of its own':>12}"
        )
        for what, own in _own(folder).items():
            for number, name in enumerate(_REMOTE):
                before = len(hub.calls)
                root = "hf://datasets/lab/speech"
                command = [sys.executable, "-m", "benchmarks.read", name, root, what]
                trial = _run(command, environment | hub.environment(home / f"{what}{number}", None))
                sent = sum(call.sent for call in hub.calls[before:])
                print(
                    f"{name:28}{what:>9}{trial.first_s:9.2f}{trial.span_s:8.2f}{len(hub.calls) - before:10}"
                    f"{sent / 1e6:9.1f}{sent / own:12.2f}",
                    flush=True,
                )


def _own(folder: Path) -> dict[str, int]:
    """The bytes of each subset: its files, or its clips."""
    clips = read_index(folder / "index" / "xtts.parquet", ["split", "emotion", "length"]).to_pylist()
    return {
        "all": _size(folder, "xtts/train/*.parquet"),
        "domain": _size(folder, "xtts/train/travel-*.parquet"),
        "emotion": sum(
            clip["length"] for clip in clips if clip["split"] == "train" and clip["emotion"] == "happy"
        ),
        "text": _size(folder, "text-only/train/*.parquet"),
    }


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


if __name__ == "__main__":
    main()
