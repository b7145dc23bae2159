"""Locks: what `.ci/locked.py` finds of an environment, a lock and what is wanted, held against the environment that runs this."""

import importlib.util
import re
from importlib.metadata import requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / ".ci/locks"
HEAD = "# what it takes on Python 3.11, 3.12, 3.13."


@pytest.fixture(scope="module")
def problems():
    spec = importlib.util.spec_from_file_location("locked", ROOT / ".ci/locked.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda wanted, lock: sorted(set(module.problems(wanted, [HEAD, *lock])))


ANYIO = [f"{name}=={version(name)}" for name in ("anyio", "idna", "typing_extensions")]


def test_a_lock_that_pins_what_is_wanted_and_all_that_this_needs_agrees(problems):
    assert problems(["anyio>=4"], ANYIO) == []


def test_what_something_needs_on_any_of_the_pythons_has_a_pin(problems):
    assert any("typing_extensions" in each for each in requires("anyio"))
    only_here = [*ANYIO[:2], ANYIO[2] + ' ; python_version == "3.13"']
    (told,) = [each for each in problems(["anyio>=4"], only_here) if "3.11" in each]
    assert re.fullmatch(r"Python 3\.11: anyio needs typing_extensions.*, which has no pin", told)


def test_a_pin_is_what_is_installed_and_what_is_asked_for(problems):
    assert problems(["idna>=1"], ["idna==1.0"]) == [f"idna 1.0 is pinned, {version('idna')} is installed"]
    told = problems(["idna<1"], [ANYIO[1]])
    assert told == [
        f"Python 3.{n}: the environment needs idna<1, {version('idna')} is pinned" for n in (11, 12, 13)
    ]


def test_a_pin_that_nothing_needs_is_named(problems):
    assert problems(["anyio"], [*ANYIO, f"pytest=={version('pytest')}"]) == ["nothing needs pytest"]


@pytest.mark.parametrize("name", sorted(path.stem for path in LOCKS.glob("*.in")))
def test_a_lock_pins_every_release_exactly_and_no_build_of_pytorch_and_names_no_registry(name):
    head, *lines = (LOCKS / f"{name}.txt").read_text().splitlines()
    assert head.startswith("# Written by `make lock`")
    for line in lines:
        assert re.fullmatch(
            r'[a-z0-9-]+==[0-9][\w.!]*( ; python_version == "3\.\d+"( or python_version == "3\.\d+")*)?', line
        )
        assert not re.match(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==", line)
