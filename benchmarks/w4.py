"""W4: plan, generate, judge and package of 1,008, 8,000 and 65,600 dialogues in rehearsal, text only.

    python -m benchmarks.w4 [--full]

Law of the file: what a dialogue costs and how much memory it takes must not depend on how many there are.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost import Cost, deepdialogue
from benchmarks.study import site, study
from builder.config import load_study

_SIZES = {1_008: (9, 7), 8_000: (20, 25), 65_600: (41, 100)}
"""Dialogues: how many of the domains, and how many dialogues for each of the sixteen pairings in each."""
_VERBS = ("plan", "generate", "judge", "package")


@dataclass(frozen=True)
class _Stage:
    dialogues: int
    cost: Cost


def main() -> None:
    """Prints a table of the verbs at every size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w4")
    parser.add_argument("--full", action="store_true", help="65,600 dialogues as well")
    options = parser.parse_args()
    domains = list(load_study("deepdialogue").vocabulary.domains)
    before: dict[str, _Stage] = {}
    print("\nW4  rehearsal, text only")
    print(f"{'':22}{'wall s':>9}{'CPU ms/dialogue':>17}{'of the next ones':>18}{'RSS MB':>8}")
    for dialogues in _SIZES if options.full else list(_SIZES)[:2]:
        some, per_cell = _SIZES[dialogues]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            what = study(folder, dialogues_per_cell=per_cell, domains=domains[:some])
            where = site(folder, {"*": [{"backend": "rehearsal"}]})
            for verb in _VERBS:
                cost = deepdialogue(
                    verb, what, "--run", folder / "run", "--site", where, "--out", folder / "out"
                )
                _line(f"{dialogues:>7,} {verb}", dialogues, cost, before.get(verb))
                before[verb] = _Stage(dialogues, cost)


def _line(name: str, dialogues: int, cost: Cost, before: _Stage | None) -> None:
    """One line; beside the mean, what each dialogue costs that the size before did not have: no start is in it."""
    more = ""
    if before is not None:
        extra = (cost.cpu_s - before.cost.cpu_s) / (dialogues - before.dialogues)
        more = f"{1000 * extra:.2f}"
    print(
        f"{name:22}{cost.wall_s:9.1f}{1000 * cost.cpu_s / dialogues:17.2f}{more:>18}{cost.rss_mb:8.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
