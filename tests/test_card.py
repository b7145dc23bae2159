"""What the card promises: figures that add up, and Markdown that no name, prompt or server can break."""

import asyncio
import re

import msgspec
import pytest
from huggingface_hub import DatasetCard

from builder.run import Failure
from builder.stages.judge import judge
from builder.stages.package import package
from tests.runs import held, small


def card(run):
    asyncio.run(package(run))
    return (run.out / "README.md").read_text(encoding="utf-8")


def test_what_failed_is_counted_where_it_failed_and_what_is_owed_is_not_called_a_failure(tmp_path):
    study = small(judges=())
    with held(tmp_path / "run", study) as run:
        for number, boundary in enumerate(("reply", "reply", "endpoint")):
            scenario = run.scenarios[run.scenarios.ids()[number]]
            id = scenario.id.replace(f"_{len(scenario.emotions)}", f"7_{len(scenario.emotions)}")
            run.scenarios.append(id, msgspec.structs.replace(scenario, id=id))
            run.failures("generate").append(id, Failure(id=id, boundary=boundary, message="no"))
        owed = id.replace("7_", "77_")
        run.scenarios.append(owed, msgspec.structs.replace(run.scenarios[id], id=owed))
        text = " ".join(card(run).split())
    assert (
        "12 dialogues were planned and 8 held; 1 failed at the boundary `endpoint`; 2 failed because" in text
    )
    assert "in every attempt; 1 are still to be held. Of the 8 dialogues, 8 were accepted" in text


def test_dialogues_that_nobody_judged_yet_are_counted_as_such(tmp_path):
    with held(tmp_path / "run", small()) as run:
        ids = run.dialogues.ids()
        asyncio.run(judge(run))
        reviews = [run.reviews[id] for id in ids[:6]]
        run.reviews.close()
        run.reviews.path.unlink()
    with held(tmp_path / "run", small()) as run:
        for review in reviews:
            run.reviews.append(review.id, review)
        text = " ".join(card(run).split())
    assert "Of the 8 dialogues, 6 were accepted (75.0 %), 0 rejected, 0 left undecided" in text
    assert "2 not judged yet" in text


@pytest.mark.parametrize(
    "hostile", ["`</details><b>x", "a|b", "[x](y)", "x\n# y", "{{ 7 * 7 }}{% raw %}", "---"]
)
def test_no_checkpoint_title_or_prompt_can_break_the_card(tmp_path, hostile):
    study = small(judges=())
    prompt = f"{study.script.system}\n```\n{hostile}\n````\n"
    script = msgspec.structs.replace(study.script, system=prompt)
    study = small(judges=(), title=f"A {hostile}", script=script)
    with held(tmp_path / "run", study, checkpoint=f"ORG/NAME@{hostile}") as run:
        text = card(run)
    assert DatasetCard(text).data.pretty_name == f"A {hostile}"
    title = re.search(r"^# .*$", text, re.MULTILINE)[0]
    assert re.sub(r"\\([\\`<>\[\]|])", r"\1", title) == "# A " + " ".join(hostile.split())
    assert not re.search(r"(?<!\\)[<`|\[]", title)
    assert "`ORG/NAME@" + " ".join(hostile.split()).replace("`", "'") + "` 8" in text
    assert f"`````text\n{prompt.strip()}\n`````\n" in text, "the fence is longer than any in the prompt"
