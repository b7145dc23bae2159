"""The committed vocabulary and the whole plan drawn from it.

Law of the file: nothing here is made up; what a test needs beyond it, the test makes.
"""

import tomllib
from pathlib import Path

import pytest

from builder.core.scenario import Plan, Scenario, scenarios
from builder.core.vocabulary import Vocabulary
from builder.records import convert

VOCABULARY = Path(__file__).parents[2] / "configs/vocabularies/deepdialogue.toml"
SEED = 2505


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return convert(tomllib.loads(VOCABULARY.read_text(encoding="utf-8")), Vocabulary, VOCABULARY.name)


@pytest.fixture(scope="session")
def whole_plan(vocabulary: Vocabulary) -> tuple[Scenario, ...]:
    return tuple(scenarios(Plan(dialogues_per_cell=100), vocabulary, SEED))
