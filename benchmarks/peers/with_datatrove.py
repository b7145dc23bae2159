"""datatrove's inference runner with checkpoints on, holding the dialogues of W1.

    PYTHON with_datatrove.py URL DIALOGUES TURNS CONCURRENCY FOLDER

Law of the file: what datatrove offers for it as its documentation says, a rollout that asks turn by turn; nothing is tuned
against it.
"""

import shutil
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter

_PROMPTS = Path(__file__).parents[2] / "configs/prompts"
_TOPICS = "places to go, plans to get there and tales from the road"


def main(url: str, dialogues: int, turns: int, concurrency: int, folder: Path) -> None:
    """Holds the dialogues."""
    system, opening, reply = (
        (_PROMPTS / f"{name}.txt").read_text().strip() for name in ("system", "opening", "reply")
    )
    system = system.replace("{domain}", "travel").replace("{topics}", _TOPICS).replace("{word_limit}", "25")

    async def rollout(document, generate):  # noqa: ANN001, ANN202 - the types are datatrove's own
        said: list[str] = []
        for turn in range(turns):
            messages = [{"role": "system", "content": system}]
            for place in range(turn % 2, turn + 1, 2):
                words = (reply if place else opening).replace("{emotion}", "hopeful")
                heard = f"{said[place - 1]}\n\n{words}" if place else words
                messages.append({"role": "user", "content": heard})
                if place < turn:
                    messages.append({"role": "assistant", "content": said[place]})
            sampling = {"max_tokens": 128, "temperature": 0.7, "top_p": 0.95}
            seed = 1_000_000_000 + int(document.id) * turns + turn
            said.append((await generate({"messages": messages, **sampling, "seed": seed})).text)
        return said

    shutil.rmtree(folder, ignore_errors=True)
    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="tgi",
        endpoint_url=url,
        use_chat=True,
        max_concurrent_generations=concurrency,
        max_concurrent_documents=concurrency,
        metric_interval=120,
    )
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=config,
        output_writer=JsonlWriter(
            str(folder / "out"), output_filename="${rank}_chunk_${chunk_index}.jsonl", compression=None
        ),
        checkpoints_local_dir=str(folder / "checkpoints"),
        records_per_chunk=500,
    )
    documents = [Document(text="Start.", id=str(number)) for number in range(dialogues)]
    LocalPipelineExecutor(
        pipeline=[documents, runner], tasks=1, workers=1, logging_dir=str(folder / "logs")
    ).run()


if __name__ == "__main__":
    address, *counts, path = sys.argv[1:]
    held, long, at_once = map(int, counts)
    main(address, held, long, at_once, Path(path))
