"""W2: all sixteen pairings on nine endpoints of different speed: how close the whole comes to its bound.

    python -m benchmarks.w2 [--dialogues 1840]

The bound is the least time in which the slowest endpoint can do what was asked of it: max over endpoints of work over places,
where the work is the sum of the latencies it really answered with.
Law of the file: a cap is a cap; whoever asks above it is refused.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cost import Cost, deepdialogue
from benchmarks.server import Fleet, Settings, Stats
from benchmarks.study import site, study
from builder.config import load_study

DOMAINS = ("travel", "work", "cooking", "movies", "finance")
PAIRINGS = 16
S_A_BILLION = 0.010
"""Seconds of latency for each billion parameters: 40 to 720 ms."""
JITTER = 0.3
CAPS = {
    "cohere7B": 4,
    "gemma3-4B": 3,
    "gemma3-27B": 16,
    "llama3-8B": 6,
    "llama3-70B": 32,
    "phi4-14B": 10,
    "phi4-mini": 2,
    "qwen2.5-32B": 16,
    "qwen2.5-72B": 32,
}
"""Prompts each endpoint takes at once; two of the nine have room to spare, the other seven are nearly as busy as the busiest."""


def main() -> None:
    """Prints every endpoint's share and the whole's ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w2")
    parser.add_argument("--dialogues", type=int, default=1840, help="%(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        what = paper(folder, options.dialogues)
        with Fleet(endpoints(what)) as fleet:
            where = site(
                folder,
                {
                    model: [{"backend": "tgi", "url": url}]
                    for model, url in zip(CAPS, fleet.urls, strict=True)
                },
            )
            cost = held(what, where, folder / "run")
            stats = dict(zip(CAPS, fleet.stats(), strict=True))
    bound_s = max(one.work_s / CAPS[model] for model, one in stats.items())
    print(f"\nW2  {options.dialogues} dialogues, 16 pairings, 9 endpoints, caps {sum(CAPS.values())} in all")
    print_shares(stats, CAPS)
    print_ratio(list(stats.values()), cost, bound_s)


def paper(folder: Path, dialogues: int) -> Path:
    """The study: all pairings, dialogues of 3 to 10 turns."""
    return study(folder, dialogues_per_cell=max(1, dialogues // (PAIRINGS * len(DOMAINS))), domains=DOMAINS)


def endpoints(what: Path, **troubles: float) -> list[Settings]:
    """One for each model of `CAPS`, in its order."""
    models = load_study(str(what)).vocabulary.models
    return [
        Settings(
            models[name].hub_id,
            latency_s=S_A_BILLION * models[name].billion_parameters,
            jitter=JITTER,
            cap=cap,
            **troubles,  # type: ignore[arg-type]
        )
        for name, cap in CAPS.items()
    ]


def held(what: Path, where: Path, run: Path) -> Cost:
    """Plans, then generates; what failed is owed again and asked for again, at most twice."""
    deepdialogue("plan", what, "--run", run)
    for last in (False, False, True):
        cost = deepdialogue("generate", "--run", run, "--site", where, accept=(0,) if last else (0, 3))
        if cost.status == 0:
            break
        print("some dialogues failed and are asked for again")
    return cost


def print_shares(stats: Mapping[str, Stats], caps: Mapping[str, int]) -> None:
    """One line an endpoint."""
    print(
        f"{'':20}{'cap':>5}{'answered':>10}{'429':>7}{'500':>6}{'hung':>6}{'peak':>6}{'work/cap s':>12}{'busy':>7}"
    )
    span_s = span(list(stats.values()))
    for name, one in stats.items():
        print(
            f"{name:20}{caps[name]:5}{one.answered:10}{one.refused:7}{one.failed:6}{one.hung:6}{one.peak:6}"
            f"{one.work_s / caps[name]:12.2f}{one.in_flight_s / caps[name] / span_s:7.0%}"
        )


def span(stats: list[Stats]) -> float:
    """From the first request anywhere to the last answer anywhere, in seconds."""
    return max(one.last_s for one in stats) - min(one.first_s for one in stats if one.first_s is not None)


def print_ratio(stats: list[Stats], cost: Cost, bound_s: float) -> None:
    """The makespan over the bound, and what it cost."""
    makespan_s, calls = span(stats), sum(one.answered for one in stats)
    print(
        f"makespan {makespan_s:.2f} s, bound {bound_s:.2f} s: {makespan_s / bound_s:.3f} of it; {calls} calls, "
        f"{1000 * cost.cpu_s / calls:.2f} CPU ms a call, {cost.rss_mb:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
