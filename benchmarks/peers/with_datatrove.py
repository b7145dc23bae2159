"""datatrove's inference runner with checkpoints on, holding the dialogues of W1.

    PYTHON with_datatrove.py URL DIALOGUES TURNS CONCURRENCY FOLDER

Law of the file: what datatrove offers for it as its documentation says, a rollout that asks turn by turn; nothing is tuned
against it.
"""

import json
from pathlib import Path

from chat import SAMPLING, arguments, check, messages, seed
from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter


def main(url: str, dialogues: int, turns: int, concurrency: int, folder: Path) -> None:
    """Holds the dialogues."""

    async def rollout(document, generate):  # noqa: ANN001, ANN202 - the types are datatrove's own
        said: list[str] = []
        for turn in range(turns):
            body = {
                "messages": messages(said),
                **SAMPLING,
                "seed": seed(int(document.id), turn, turns),
            }
            said.append((await generate(body)).text)
        return said

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
    lines = [line for path in (folder / "out").iterdir() for line in path.read_text().splitlines()]
    held = [
        [said for rollout in json.loads(line)["metadata"]["rollout_results"] for said in rollout]
        for line in lines
    ]
    check(held, dialogues, turns)


if __name__ == "__main__":
    main(*arguments())
