"""Is an environment what its lock says, and the lock what `pyproject.toml` wants? Run by the environment's own Python.

Law of the file: no network is asked. What a package needs is read where it is installed.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = Path(__file__).resolve().parent / "locks"
OURS, TORCH = "deepdialogue", "torch"


def problems(wanted: Sequence[str], lock: Sequence[str]) -> Iterator[str]:
    """Every package that has another release, no pin, not the release that something needs, or no use.

    Args:
        wanted: the lines of `NAME.in`.
        lock: the lines of `NAME.txt`; the first says for which Pythons.
    """
    here = "{}.{}".format(*sys.version_info)
    for package, release in _pins(lock, here).items():
        if (found := _installed(package)) != release:
            yield f"{package} {release} is pinned, {found or 'none'} is installed"
    for python in re.findall(r"\d+\.\d+", lock[0].rpartition(" on Python ")[2]):
        pins, needs = _pins(lock, python), _needs(wanted, python)
        for package, asked in needs.items():
            for requirement, by in asked:
                if package in pins:
                    if not requirement.specifier.contains(pins[package], prereleases=True):
                        yield f"Python {python}: {by or 'the environment'} needs {requirement}, {pins[package]} is pinned"
                # What PyTorch alone needs comes with its build.
                elif package not in {OURS, TORCH} and (by in pins or by == OURS or not by):
                    yield f"Python {python}: {by or 'the environment'} needs {requirement}, which has no pin"
        # What a package needs that is installed on another Python alone is not known here.
        for package in pins.keys() - needs.keys() if python == here else ():
            yield f"nothing needs {package}"


def _pins(lock: Sequence[str], python: str) -> dict[str, str]:
    """The release of each package on a Python."""
    pins = [Requirement(line) for line in lock if not line.startswith("#")]
    valid = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in valid}


def _needs(wanted: Sequence[str], python: str) -> dict[str, list[tuple[Requirement, str]]]:
    """What is asked of each package on a Python, and by which: all that can be reached from what is wanted."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    lines = [re.sub(r"^--editable \.", OURS, line) for line in wanted if not line.startswith("#")]
    todo, seen = [(Requirement(line), "") for line in lines], set()
    needs = defaultdict(list)
    while todo:
        requirement, by = todo.pop()
        package = canonicalize_name(requirement.name)
        needs[package].append((requirement, by))
        for extra in {"", *requirement.extras} - {each for name, each in seen if name == package}:
            seen.add((package, extra))
            inside = environment | {"extra": extra}
            further = map(Requirement, _requires(package))
            todo += [(each, package) for each in further if not each.marker or each.marker.evaluate(inside)]
    return needs


def _requires(package: str) -> Sequence[str]:
    try:
        return distribution(package).requires or ()
    except PackageNotFoundError:  # one for another Python
        return ()


def _installed(package: str) -> str | None:
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return None


def main(name: str) -> None:
    """Says what does not agree, and fails with it."""
    lines = ((LOCKS / f"{name}{end}").read_text().splitlines() for end in (".in", ".txt"))
    if found := sorted(set(problems(*lines))):
        sys.exit("\n  ".join([f".ci/locks/{name}.txt does not agree, `make lock` refreshes it:", *found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
