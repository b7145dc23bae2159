"""What one more item weighs: bytes of a dialogue and of a clip on the disk, and memory and CPU of an id in a ledger.

    python -m benchmarks.weight [--dialogues 1312] [--recorded FOLDER]

Dialogues are the rehearsal's, clips in the index are random bytes, and of a folder of recorded turns it is told how long
they are and what they weigh as FLAC. What an item costs in CPU the other benchmarks tell.
Law of the file: a weight is that of many items over their number, without what a file weighs that holds none.
"""

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path

import soundfile

from benchmarks import p1
from benchmarks.cost import deepdialogue
from benchmarks.study import site, study
from builder.config import load_study
from builder.core.scenario import Scenario
from builder.dataset.index import path_of
from builder.plugins.judges.duplicate import Duplicate
from builder.run.audio import encode
from builder.run.folder import Run
from builder.run.ledger import Ledger

_CELLS = 41 * 16


def main() -> None:
    """Prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weight")
    parser.add_argument("--dialogues", type=int, default=2 * _CELLS, help="%(default)s")
    parser.add_argument("--recorded", type=Path, help="a folder with published turns, at any depth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        written(Path(name), options.dialogues)
        indexed(Path(name))
        spoken(Path(name))
        ids(Path(name), 200_000)
    if options.recorded:
        recorded(options.recorded)


def written(folder: Path, dialogues: int) -> None:
    """What every verb leaves behind of a dialogue."""
    domains = list(load_study("deepdialogue").vocabulary.domains)
    what = study(folder, dialogues_per_cell=max(1, dialogues // _CELLS), domains=domains)
    where = site(folder, {"*": [{"backend": "rehearsal"}]})
    run, out = folder / "run", folder / "out"
    before = 0
    for verb in ("plan", "generate", "judge", "package"):
        deepdialogue(verb, what, "--run", run, "--site", where, "--out", out)
        after = sum(one.stat().st_size for top in (run, out) for one in top.rglob("*") if one.is_file())
        print(f"{verb:10}{(after - before) / max(1, dialogues // _CELLS) / _CELLS:10,.0f} bytes a dialogue")
        before = after
    with Run(run, writable=False) as made:
        begin_s = time.process_time()
        Duplicate().twins(made.dialogues.ids(), made.dialogues.__getitem__)
        cpu_s = time.process_time() - begin_s
        print(f"{'twins':10}{1000 * cpu_s / len(made.dialogues):10.2f} CPU ms a dialogue")


def indexed(folder: Path) -> None:
    """What a clip is in the index of a dataset config."""
    sizes = {}
    for count in (500, 4_500):
        clips = p1.Clips(folder / f"{count}.flacs", count, 64, 128)
        p1.make(clips)
        out = folder / f"indexed-{count}"
        out.mkdir()
        p1.ours(clips, out)
        sizes[count] = (out / path_of("xtts")).stat().st_size
    clip = (sizes[4_500] - sizes[500]) / (4_000 * p1._TURNS)  # noqa: SLF001
    print(f"{'index':10}{clip:10,.0f} bytes a clip")


def spoken(folder: Path) -> None:
    """What a clip is in the ledger of its config."""
    run = folder / "quickstart"
    for verb in ("plan", "generate", "judge", "synthesize"):
        deepdialogue(verb, "quickstart", "--run", run, "--site", "rehearsal")
    with Run(run, writable=False) as made:
        clips = sum(len(one.clips) for ledgers in made.recordings.values() for one in ledgers)
    size = sum(one.stat().st_size for one in (run / "recordings").iterdir())
    print(f"{'recording':10}{size / clips:10,.0f} bytes a clip")


def ids(folder: Path, count: int) -> None:
    """What an id of a ledger is to a process that opens it."""
    path = folder / "scenarios.jsonl"
    with Ledger(path, Scenario, writable=True) as ledger:
        for number in range(count):
            emotions = ("happy", "curious", "excited", "amused", "happy", "curious")
            id = f"llama3-70B_qwen2.5-72B/relationships_{number}_6"
            ledger.append(
                id,
                Scenario(id=id, domain="relationships", pairing="llama3-70B_qwen2.5-72B", emotions=emotions),
            )
    begin_s = time.process_time()
    with Ledger(path, Scenario, writable=False):
        cpu_s = time.process_time() - begin_s
    tracemalloc.start()
    with Ledger(path, Scenario, writable=False):
        held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"{'ids':10}{held / count:10,.0f} bytes of memory an id and ledger, {1e6 * cpu_s / count:.1f} CPU us to open"
    )


def recorded(folder: Path) -> None:
    """How long recorded turns are, and what they weigh as FLAC."""
    paths = sorted(folder.rglob("*_LLM[12]_*.wav"))
    seconds, size = 0.0, 0
    for path in paths:
        samples, rate = soundfile.read(path, dtype="int16")
        seconds += len(samples) / rate
        size += len(encode(samples, rate))
    print(
        f"{'clips':10}{size / seconds:10,.0f} bytes a second, {seconds / len(paths):.2f} s a turn, {len(paths)} turns"
    )


if __name__ == "__main__":
    main()
