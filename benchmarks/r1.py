"""R1: what a cluster costs and what it gives: Ray on this machine against one process, and two workers against one.

    python -m benchmarks.r1 [--repeat 1] [--dialogues 2000] [--stand-ins 6000] [--latency-ms 200] [--limit 24]

First a model behind one endpoint holds the dialogues, in process and on Ray with two workers that share the endpoint's limit;
a run on Ray that finds nothing to do is the start. Then stand-ins judge more of them on Ray with one worker and with two, which
is work for the processor alone.
Law of the file: all take turns in one run, each from an empty run folder, and only ratios count.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.cost import ROOT
from benchmarks.server import Fleet, Settings
from benchmarks.study import site, study

_MODEL, _PAIRING = "meta-llama/Meta-Llama-3-8B-Instruct", "llama3-8B"
_DOMAINS = ("travel", "work", "cooking", "movies", "finance")
_SAID = re.compile(r"^(\w+): (\d+) done, \d+ done before, 0 failed.*, ([0-9.]+) s$", re.MULTILINE)


def main() -> None:
    """Prints both ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.r1")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is run (%(default)s)")
    parser.add_argument("--dialogues", type=int, default=2000, help="%(default)s")
    parser.add_argument(
        "--stand-ins", type=int, default=6000, help="dialogues that stand-ins judge (%(default)s)"
    )
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--limit", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _overhead(folder, options)
        _speed_up(folder, options)


def _overhead(folder: Path, options: argparse.Namespace) -> None:
    what = _study(folder, options.dialogues)
    with Fleet([Settings(_MODEL, options.latency_ms / 1000)]) as fleet:
        served = {_PAIRING: [{"backend": "tgi", "url": fleet.urls[0], "limit": options.limit}]}
        here = site(folder, served).rename(folder / "here.toml")
        there = _on_ray(site(folder, served), workers=2)
        alone, spread, starts = list[float](), list[float](), list[float]()
        for number in range(options.repeat):
            run = folder / f"alone-{number}"
            _ran("plan", what, "--run", run)
            alone.append(_ran("generate", "--run", run, "--site", here)[0])
            fleet.stats()
            run = folder / f"ray-{number}"
            spread.append(_ran("generate", what, "--run", run, "--site", there)[0])
            (stats,) = fleet.stats()
            assert stats.peak <= options.limit, "workers keep to the endpoint's limit together"
            starts.append(_ran("generate", "--run", run, "--site", there)[0])
    ratio, start = median(spread) / median(alone), median(starts)
    print(
        f"\nR1  {options.dialogues} dialogues, one endpoint of {options.latency_ms:g} ms, {options.limit} at once"
    )
    print(
        f"in process {median(alone):.1f} s, on Ray with 2 workers {median(spread):.1f} s: {ratio:.3f} of it"
    )
    print(
        f"a run on Ray that finds nothing to do takes {start:.1f} s; without that it is "
        f"{(median(spread) - start) / median(alone):.3f}",
        flush=True,
    )


def _speed_up(folder: Path, options: argparse.Namespace) -> None:
    what = _study(folder, options.stand_ins)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(options.repeat):
        for workers, some in seconds.items():
            there = _on_ray(site(folder, {"*": [{"backend": "rehearsal"}]}), workers=workers)
            run = folder / f"stand-ins-{workers}-{number}"
            _ran("generate", what, "--run", run, "--site", there)
            judged, idle = (_ran("judge", "--run", run, "--site", there)[1] for _ in range(2))
            some.append(judged["judge"] - idle["judge"])
    one, two = median(seconds[1]), median(seconds[2])
    print(
        f"\nR1  {options.stand_ins} dialogues judged by stand-ins, work for the processor alone; past the start of Ray"
    )
    print(f"1 worker {one:.1f} s, 2 workers {two:.1f} s: {one / two:.2f} times as fast", flush=True)


def _study(folder: Path, dialogues: int) -> Path:
    return study(folder, dialogues_per_cell=dialogues // len(_DOMAINS), domains=_DOMAINS, pairings=[_PAIRING])


def _on_ray(path: Path, workers: int) -> Path:
    path.write_text(f'engine = "ray"\n[ray]\nworkers = {workers}\nparts = 8\n{path.read_text()}')
    return path


def _ran(*arguments: str | Path) -> tuple[float, dict[str, float]]:
    """Runs a verb; gives its wall time, and what it says that each stage took, both in seconds."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "builder", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
    wall_s = time.monotonic() - begin
    return wall_s, {verb: float(seconds) for verb, _, seconds in _SAID.findall(done.stderr)}


if __name__ == "__main__":
    main()
