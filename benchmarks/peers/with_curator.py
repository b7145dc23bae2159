"""Bespoke Curator with its cache on, holding the dialogues of W1.

    PYTHON with_curator.py URL DIALOGUES TURNS CONCURRENCY FOLDER

Law of the file: what Curator offers for many dialogues as its documentation says, one `curator.LLM` block a turn, each fed the
dataset of the one before; nothing is tuned against it. Its own `MultiTurnAgents` holds one dialogue at a time.
"""

import json
import os
from pathlib import Path

from chat import SAMPLING, TOKENIZERS, arguments, check, messages, seed

# What follows is read when Curator is imported.
os.environ["TELEMETRY_ENABLED"] = "false"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["TIKTOKEN_CACHE_DIR"] = TOKENIZERS

from bespokelabs import curator


class Turn(curator.LLM):
    """One turn of every dialogue."""

    def prompt(self, row: dict) -> list[dict[str, str]]:
        """Asks for it."""
        return messages(row["said"])

    def parse(self, row: dict, response: str) -> dict:
        """Adds it to what was said."""
        return _row(row["dialogue"], row["turns"], [*row["said"], response])


def main(url: str, dialogues: int, turns: int, concurrency: int, folder: Path) -> None:
    """Holds the dialogues."""
    held = [_row(number, turns, []) for number in range(dialogues)]
    for _ in range(turns):
        block = Turn(
            model_name="tgi",
            backend="openai",
            generation_params=SAMPLING,
            backend_params={
                "base_url": f"{url}/v1",
                "api_key": "none",
                "max_concurrent_requests": concurrency,
                "max_requests_per_minute": 10_000_000,
                "max_tokens_per_minute": 10_000_000_000,
            },
        )
        held = block(held, working_dir=str(folder)).dataset
    check(list(held["said"]), dialogues, turns)


def _row(dialogue: int, turns: int, said: list[str]) -> dict:
    """A dialogue; Curator takes what differs from request to request from the column `generation_params`."""
    params = json.dumps({"seed": seed(dialogue, len(said), turns)})
    return {"dialogue": dialogue, "turns": turns, "said": said, "generation_params": params}


if __name__ == "__main__":
    main(*arguments())
