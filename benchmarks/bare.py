"""The yardstick: a bare aiohttp loop that asks for the same dialogues, and keeps nothing but their texts.

    python -m benchmarks.bare URL DIALOGUES TURNS CONCURRENCY OUT

Law of the file: the least that holds a dialogue at all; the requests are as long as DeepDialogue's, turn by turn.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp

from builder.config import resources

_PROMPTS = resources("configs") / "prompts"
_SYSTEM, _OPENING, _REPLY = (
    (_PROMPTS / f"{name}.txt").read_text().strip() for name in ("system", "opening", "reply")
)
_TOPICS = "places to go, plans to get there and tales from the road"


async def main(url: str, dialogues: int, turns: int, concurrency: int, out: Path) -> None:
    """Holds the dialogues."""
    system = _SYSTEM.replace("{domain}", "travel").replace("{topics}", _TOPICS).replace("{word_limit}", "25")
    numbers = iter(range(dialogues))
    with out.open("w") as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

            async def ask(said: list[str], seed: int) -> str:
                messages = [{"role": "system", "content": system}]
                for place in range(len(said) % 2, len(said) + 1, 2):
                    words = _REPLY if place else _OPENING
                    words = words.replace("{emotion}", "hopeful")
                    heard = f"{said[place - 1]}\n\n{words}" if place else words
                    messages.append({"role": "user", "content": heard})
                    if place < len(said):
                        messages.append({"role": "assistant", "content": said[place]})
                body = {
                    "model": "tgi",
                    "messages": messages,
                    "max_tokens": 128,
                    "temperature": 0.7,
                    "top_p": 0.95,
                    "seed": seed,
                    "stream": False,
                }
                async with session.post(url + "/v1/chat/completions", json=body) as answer:
                    text: str = (await answer.json())["choices"][0]["message"]["content"]
                    return text

            async def worker() -> None:
                for number in numbers:
                    said: list[str] = []
                    for turn in range(turns):
                        said.append(await ask(said, 1_000_000_000 + number * turns + turn))
                    file.write(json.dumps({"id": number, "turns": said}) + "\n")

            await asyncio.gather(*(worker() for _ in range(concurrency)))
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    address, *counts, path = sys.argv[1:]
    held, long, at_once = map(int, counts)
    asyncio.run(main(address, held, long, at_once, Path(path)))
