"""Dialogues made of what is said in them, and what a judge says of one.

Law of the file: a judge is made from a table of settings, as a study makes it.
"""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.vocabulary import Vocabulary
from builder.plugins import make
from builder.plugins.judges import Context, Judge, Twin
from builder.records import convert

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared/published-sample/xtts/data"


@pytest.fixture(scope="session")
def held() -> Callable[..., Dialogue]:
    """A dialogue about travel that says the given texts."""

    def held(*texts: str, index: int = 1, emotion: str = "happy") -> Dialogue:
        return Dialogue(
            id=f"llama3-8B/travel_{index}_{len(texts)}",
            domain="travel",
            pairing="llama3-8B",
            first_checkpoint="org/one",
            second_checkpoint="org/two",
            rehearsal=False,
            turns=tuple(
                Turn(speaker=SPEAKERS[position % 2], text=text, emotion=emotion)
                for position, text in enumerate(texts)
            ),
        )

    return held


@pytest.fixture(scope="session")
def context() -> Context:
    path = ROOT / "configs/vocabularies/deepdialogue.toml"
    vocabulary = convert(tomllib.loads(path.read_text(encoding="utf-8")), Vocabulary, path.name)
    return Context(name="panel", seed=7, vocabulary=vocabulary, twins={})


@pytest.fixture(scope="session")
def fault(context: Context) -> Callable[..., str | None]:
    """What a rule of that name and those settings finds in a dialogue; its verdict must agree."""

    def fault(
        rule: str, dialogue: Dialogue, *, twins: dict[str, Twin] | None = None, **table: object
    ) -> str | None:
        judge = make(Judge, table, "a study", default=rule)
        known = Context(name=rule, seed=0, vocabulary=context.vocabulary, twins=twins or {})
        with pytest.raises(StopIteration) as end:
            next(judge.judge(dialogue, known))
        verdict = end.value.value
        assert verdict.scores == {rule: 0.0 if verdict.reason else 1.0}
        return verdict.reason or None

    return fault


@pytest.fixture(scope="session")
def published() -> list[Dialogue]:
    if not PUBLISHED.exists():
        pytest.skip("the published sample is not beside this checkout")
    dialogues = []
    for path in sorted(PUBLISHED.glob("*/*.json")):
        pairing = path.parent.name.removeprefix("dialogues_")
        data = json.loads(path.read_text(encoding="utf-8"))
        turns = tuple(Turn(**turn) for turn in data["conversation"])
        dialogues.append(
            Dialogue(
                id=f"{pairing}/{path.stem}",
                domain=data["domain"].replace(" ", "_"),
                pairing=pairing,
                first_checkpoint=data["model1"],
                second_checkpoint=data["model2"],
                rehearsal=False,
                turns=turns,
            )
        )
    return dialogues
