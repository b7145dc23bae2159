"""What every driver asks for: the words, the decoding and the seeds of W1's dialogues, which are those of the bare loop.

Law of the file: Python's own library and nothing else, so that it runs in any environment.
"""

import sys
import sysconfig
from pathlib import Path

SAMPLING = {"max_tokens": 128, "temperature": 0.7, "top_p": 0.95}
TOKENIZERS = f"{sysconfig.get_path('purelib')}/litellm/litellm_core_utils/tokenizers"
"""Where litellm carries the file of `cl100k_base`; as tiktoken's documented `TIKTOKEN_CACHE_DIR` it saves the download."""
_SYSTEM, _OPENING, _REPLY = (
    (Path(__file__).parents[2] / f"configs/prompts/{name}.txt").read_text().strip()
    for name in ("system", "opening", "reply")
)
_TOPICS = "places to go, plans to get there and tales from the road"


def messages(said: list[str]) -> list[dict[str, str]]:
    """The chat that asks for the turn after those said, as its speaker has seen the dialogue."""
    system = _SYSTEM.replace("{domain}", "travel").replace("{topics}", _TOPICS).replace("{word_limit}", "25")
    chat = [{"role": "system", "content": system}]
    for place in range(len(said) % 2, len(said) + 1, 2):
        words = (_REPLY if place else _OPENING).replace("{emotion}", "hopeful")
        heard = f"{said[place - 1]}\n\n{words}" if place else words
        chat.append({"role": "user", "content": heard})
        if place < len(said):
            chat.append({"role": "assistant", "content": said[place]})
    return chat


def seed(dialogue: int, turn: int, turns: int) -> int:
    """The seed of one turn of one dialogue."""
    return 1_000_000_000 + dialogue * turns + turn


def arguments() -> tuple[str, int, int, int, Path]:
    """URL, dialogues, turns, concurrency and a new folder, from the command line."""
    url, dialogues, turns, concurrency, folder = sys.argv[1:]
    return url, int(dialogues), int(turns), int(concurrency), Path(folder)


def check(held: list[list[str]], dialogues: int, turns: int) -> None:
    """Ends the driver with an error unless every dialogue has all its turns, and no turn is empty."""
    whole = sum(len(said) == turns and all(said) for said in held)
    if whole != dialogues:
        sys.exit(f"{whole} whole dialogues of {len(held)}, and {dialogues} were asked for")
