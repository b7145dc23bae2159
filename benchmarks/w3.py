"""W3: W2 in trouble: 5 % are refused, 1 % fail, 0.5 % hang, and one of a model's two replicas dies halfway.

    python -m benchmarks.w3 [--dialogues 1840] [--no-replica]

The bound counts what was answered, no trouble, and from the death on only the places that are left. The dataset must be the
one that endpoints without any latency or trouble give.
Law of the file: a run that ends in another dataset is an error, however fast it was.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.server import Fleet, Settings, Stats
from benchmarks.study import site
from benchmarks.w2 import CAPS, endpoints, held, paper, print_ratio, print_shares

_TROUBLES = {"refused": 0.05, "failed": 0.01, "hung": 0.005}
_TWICE = "qwen2.5-32B"
"""The model with two replicas: the busiest of all."""


def main() -> None:
    """Prints every endpoint's share and the whole's ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w3")
    parser.add_argument("--dialogues", type=int, default=1840, help="%(default)s")
    parser.add_argument(
        "--no-replica", action="store_true", help="no model has two replicas, and nothing dies"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        what = paper(folder, options.dialogues)
        calm = [replace(one, latency_s=0.0, cap=0) for one in endpoints(what)]
        with Fleet(calm) as fleet:
            held(what, _site(folder, list(CAPS), calm, fleet.urls), folder / "calm")
            halves = {name: one.answered // 2 for name, one in zip(CAPS, fleet.stats(), strict=True)}
        troubled = endpoints(what, **_TROUBLES)
        names = list(CAPS)
        if not options.no_replica:
            names, troubled = _doubled(names, troubled, halves)
        with Fleet(troubled) as fleet:
            cost = held(what, _site(folder, names, troubled, fleet.urls), folder / "troubled")
            stats = fleet.stats()
        same = _dataset(folder / "calm") == _dataset(folder / "troubled")
    labels = [
        f"{name}{' (dies)' if one.dies_after else ''}" for name, one in zip(names, troubled, strict=True)
    ]
    death = "nothing dies" if options.no_replica else f"one of two replicas of {_TWICE} dies halfway"
    print(f"\nW3  {options.dialogues} dialogues, 5 % 429, 1 % 500, 0.5 % hang, {death}")
    caps = {label: one.cap for label, one in zip(labels, troubled, strict=True)}
    print_shares(dict(zip(labels, stats, strict=True)), caps)
    print_ratio(stats, cost, _bound(names, troubled, stats))
    print("the same dataset as without trouble" if same else "ANOTHER DATASET than without trouble")
    sys.exit(not same)


def _doubled(
    names: list[str], troubled: list[Settings], halves: dict[str, int]
) -> tuple[list[str], list[Settings]]:
    """Splits one endpoint into two of half its places, of which one dies when half of the work is done."""
    place = names.index(_TWICE)
    half = replace(troubled[place], cap=troubled[place].cap // 2)
    dying = replace(half, dies_after=halves[_TWICE] // 2)
    return [*names, _TWICE], [*troubled[:place], half, *troubled[place + 1 :], dying]


def _site(folder: Path, names: list[str], settings: list[Settings], urls: list[str]) -> Path:
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    for name, one, url in zip(names, settings, urls, strict=True):
        # Everything here is some fifty times faster than a model is; so is what waits for it.
        waits = {"timeout_s": max(1.0, 4 * one.latency_s), "pause_s": 0.1, "attempts": 8}
        tables[name].append({"backend": "tgi", "url": url, **waits})
    return site(folder, tables)


def _bound(names: list[str], settings: list[Settings], stats: list[Stats]) -> float:
    begin_s = min(one.first_s for one in stats if one.first_s is not None)
    bounds = []
    for model in set(names):
        mine = [(one, seen) for name, one, seen in zip(names, settings, stats, strict=True) if name == model]
        work_s, places = sum(seen.work_s for _, seen in mine), sum(one.cap for one, _ in mine)
        bound_s = work_s / places
        for one, seen in mine:
            if seen.died_s is not None and (lived_s := seen.died_s - begin_s) < bound_s:
                bound_s = lived_s + (work_s - places * lived_s) / (places - one.cap)
        bounds.append(bound_s)
    return max(bounds)


def _dataset(run: Path) -> list[bytes]:
    return sorted((run / "dialogues.jsonl").read_bytes().splitlines())


if __name__ == "__main__":
    main()
