"""`make lock`: the one release of every package that an environment of the Makefile gets, today and in a year.

`locks/NAME.in` says what an environment wants; `locks/NAME.txt` pins all that this takes, as pip resolves it.
Law of the file: PyTorch is in no lock. A machine brings the build that suits it (`TORCH=`), and what only a build for GPUs
wants comes with that build.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / ".ci/locks"
ORDER = ("test", "test-light", "light", "build", "datasets-3.6", "datasets-4.8")
WITHIN = ("test-light", "light", "build")
"""They keep to what those before them pin, so that a package has one release in all four."""
EVERY_PYTHON = ("test-light", "light", "build")
"""They hold for every Python of the classifiers, the others for the oldest."""


def lock(torch: str, *interpreters: str) -> None:
    """Writes every lock.

    Args:
        torch: the requirement of PyTorch.
        interpreters: one for each Python of the classifiers, oldest first.
    """
    keep: dict[str, str] = {}
    for name in ORDER:
        keep = keep if name in WITHIN else {}
        found: dict[str, dict[str, str]] = {}
        for interpreter in interpreters if name in EVERY_PYTHON else interpreters[:1]:
            python = _said(interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
            found[python] = pins = _resolved(interpreter, name, [torch] if name == "test" else [], keep)
            keep = pins | keep
        lines = [f"# Written by `make lock`: what {name}.in takes on Python {', '.join(found)}."]
        for package, release in sorted({pin for pins in found.values() for pin in pins.items()}):
            on = [python for python, pins in found.items() if pins.get(package) == release]
            marker = " or ".join(f'python_version == "{python}"' for python in on)
            lines.append(f"{package}=={release}" + (f" ; {marker}" if len(on) < len(found) else ""))
        (LOCKS / f"{name}.txt").write_text("\n".join(lines) + "\n")
        print(f"{name}.txt: {len(lines) - 1} packages", flush=True)


def _resolved(interpreter: str, name: str, beside: Sequence[str], keep: dict[str, str]) -> dict[str, str]:
    """The release of each package that pip would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        _said(interpreter, "-m", "venv", f"{folder}/venv")
        kept = Path(folder) / "keep.txt"
        kept.write_text("".join(f"{package}=={release}\n" for package, release in keep.items()))
        pip = (f"{folder}/venv/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-")
        said = _said(*pip, "--constraint", str(kept), "--requirement", str(LOCKS / f"{name}.in"), *beside)
    found = [each["metadata"] for each in json.loads(said)["install"]]
    pins = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in found}
    if gpus := sorted(package for package in pins if package.startswith(("nvidia-", "triton"))):
        sys.exit(
            f"{name}: {beside[0]} is a build for GPUs, it takes {gpus[0]}: make lock TORCH=... names another"
        )
    return {package: release for package, release in pins.items() if package not in {"deepdialogue", "torch"}}


def _said(*command: str) -> str:
    """What a command prints. What it complains of, pip's conflicts among them, is seen as it comes."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: no lock was changed that is not named above")
    return done.stdout


if __name__ == "__main__":
    lock(*sys.argv[1:])
