"""distilabel with its cache on, holding the dialogues of W1.

    PYTHON with_distilabel.py URL DIALOGUES TURNS CONCURRENCY FOLDER

Law of the file: what distilabel offers for it as its documentation says, one task of one's own a turn, batches of as many
dialogues as may be asked for at once; nothing is tuned against it. A task has one seed for all.
"""

import os
from pathlib import Path
from typing import Any

from chat import SAMPLING, arguments, check, messages, seed

# Read when `datasets` is imported, which asks the Hub otherwise when distilabel loads what it wrote.
os.environ["HF_HUB_OFFLINE"] = "1"

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import Task


class Turn(Task):
    """One turn of every dialogue."""

    @property
    def inputs(self) -> list[str]:
        """The columns it reads."""
        return ["said"]

    @property
    def outputs(self) -> list[str]:
        """The columns it writes."""
        return ["said", "model_name"]

    def format_input(self, input: dict[str, Any]) -> list[dict[str, str]]:  # noqa: A002 - distilabel's name
        """Asks for it."""
        return messages(input["said"])

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: A002
        """Adds it to what was said; None is a turn that failed."""
        return {"said": [*(input["said"] if input else ()), output]}


def main(url: str, dialogues: int, turns: int, concurrency: int, folder: Path) -> None:
    """Holds the dialogues."""
    decoding = {
        "max_new_tokens": SAMPLING["max_tokens"],
        "temperature": SAMPLING["temperature"],
        "top_p": SAMPLING["top_p"],
        "extra_body": {"seed": seed(0, 0, turns)},
    }
    with Pipeline(name="dialogues", cache_dir=folder) as pipeline:
        last = LoadDataFromDicts(data=[{"said": []} for _ in range(dialogues)], batch_size=concurrency)
        for turn in range(turns):
            llm = OpenAILLM(model="tgi", base_url=f"{url}/v1", api_key="none", generation_kwargs=decoding)
            step = Turn(name=f"turn_{turn}", llm=llm, input_batch_size=concurrency)
            last >> step
            last = step
    held = pipeline.run()["default"]["train"]
    check(list(held["said"]), dialogues, turns)


if __name__ == "__main__":
    main(*arguments())
