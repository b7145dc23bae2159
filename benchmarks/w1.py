"""W1: 500 dialogues of 6 turns with one endpoint: how close DeepDialogue comes to a bare loop that keeps nothing.

    python -m benchmarks.w1 [--repeat 3] [--dialogues 500] [--peers FOLDER]

Law of the file: the two take turns in one run, and what is printed is the median of each and their ratio. Peers are slow:
they follow once for each latency, at the first concurrency.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.cost import Cost, deepdialogue, timed
from benchmarks.server import Fleet, Settings
from benchmarks.study import site, study

_TURNS = 6
_MODEL, _PAIRING = "meta-llama/Meta-Llama-3-8B-Instruct", "llama3-8B"
_DOMAINS = ("travel", "work", "cooking", "movies", "finance")


@dataclass(frozen=True)
class _Trial:
    """One way of holding the dialogues, once."""

    cost: Cost
    span_s: float
    """From the first request to the last answer, as the server saw it."""
    calls: int
    in_flight: float
    """On average over the span."""
    bytes_a_call: float

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cost.cpu_s / self.calls


def main() -> None:
    """Prints one table for each latency and concurrency."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w1")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--dialogues", type=int, default=500, help="%(default)s")
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[100.0, 0.0])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--peers", type=Path, help="the folder with an environment for each peer")
    options = parser.parse_args()
    for latency_ms in options.latency_ms:
        for concurrency in options.concurrency:
            _table(latency_ms, concurrency, options)


def _table(latency_ms: float, concurrency: int, options: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        Fleet([Settings(_MODEL, latency_ms / 1000)]) as fleet,
    ):
        folder, (url,) = Path(place), fleet.urls
        what = study(
            folder,
            dialogues_per_cell=options.dialogues // len(_DOMAINS),
            domains=_DOMAINS,
            pairings=[_PAIRING],
            turns=(_TURNS, _TURNS),
        )
        where = site(folder, {_PAIRING: [{"backend": "tgi", "url": url, "limit": concurrency}]})
        runs = (folder / f"run-{number}" for number in range(options.repeat))
        size = [str(options.dialogues), str(_TURNS), str(concurrency)]

        def ours() -> Cost:
            run = next(runs)
            deepdialogue("plan", what, "--run", run)
            fleet.stats()
            cost = deepdialogue("generate", "--run", run, "--site", where)
            idle.append(deepdialogue("generate", "--run", run, "--site", where))
            return cost

        def bare() -> Cost:
            return timed(sys.executable, "-m", "benchmarks.bare", url, *size, folder / "bare.jsonl")

        idle: list[Cost] = []
        trials: dict[str, list[_Trial]] = {"bare aiohttp loop": [], "deepdialogue": []}
        for _ in range(options.repeat):
            for name, run in zip(trials, (bare, ours), strict=True):
                fleet.stats()
                trials[name].append(_trial(fleet, run()))
        if options.peers and concurrency == options.concurrency[0]:
            for name, trial in _peers(options.peers.absolute(), fleet, [url, *size], folder):
                trials[name] = [trial]
        print(
            f"\nW1  {options.dialogues} dialogues x {_TURNS} turns, {latency_ms:g} ms, {concurrency} at once"
        )
        print(
            f"{'':28}{'span s':>8}{'wall s':>8}{'in flight':>11}{'CPU ms/call':>13}{'RSS MB':>8}{'B/call':>8}"
        )
        for name, some in trials.items():
            print(
                f"{name:28}{_of(some, 'span_s'):8.2f}{median(t.cost.wall_s for t in some):8.2f}"
                f"{_of(some, 'in_flight'):11.1f}{_of(some, 'cpu_ms'):13.2f}"
                f"{median(t.cost.rss_mb for t in some):8.0f}{_of(some, 'bytes_a_call'):8.0f}"
            )
        start_s, start_cpu_s = median(one.wall_s for one in idle), median(one.cpu_s for one in idle)
        mine, theirs = trials["deepdialogue"], trials["bare aiohttp loop"]
        wall = median(t.cost.wall_s for t in theirs) / median(t.cost.wall_s for t in mine)
        print(
            f"speed of deepdialogue over the bare loop's: {_of(theirs, 'span_s') / _of(mine, 'span_s'):.2f} by span, "
            f"{wall:.2f} by wall; starting and finding nothing to do takes {start_s:.2f} s, so past the start "
            f"{_of(mine, 'cpu_ms') - 1000 * start_cpu_s / mine[0].calls:.2f} CPU ms a call",
            flush=True,
        )


def _of(trials: list[_Trial], name: str) -> float:
    figure: float = median(getattr(trial, name) for trial in trials)
    return figure


def _trial(fleet: Fleet, cost: Cost) -> _Trial:
    (stats,) = fleet.stats()
    assert stats.first_s is not None, "a trial asks at least once"
    span_s = stats.last_s - stats.first_s
    return _Trial(
        cost, span_s, stats.answered, stats.in_flight_s / span_s, stats.bytes_in / max(1, stats.requests)
    )


def _peers(
    environments: Path, fleet: Fleet, arguments: list[str], folder: Path
) -> Iterator[tuple[str, _Trial]]:
    """Each peer once, in a home of its own, so that it finds and leaves nothing; why one is left out is said."""
    for driver in sorted((Path(__file__).parent / "peers").glob("with_*.py")):
        name = driver.stem.removeprefix("with_").replace("_", "-")
        python = environments / name / "bin" / "python"
        if not python.exists():
            print(f"{name} is left out: there is no {python}")
            continue
        home = folder / name
        home.mkdir()
        fleet.stats()
        try:
            cost = timed("env", f"HOME={home}", python, driver, *arguments, home / "held")
        except RuntimeError as why:
            print(f"{name} is left out: {str(why).splitlines()[-1]}")
        else:
            yield name, _trial(fleet, cost)


if __name__ == "__main__":
    main()
