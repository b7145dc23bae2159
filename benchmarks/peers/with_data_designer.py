"""NVIDIA's Data Designer, holding the dialogues of W1.

    PYTHON with_data_designer.py URL DIALOGUES TURNS CONCURRENCY FOLDER

Law of the file: what Data Designer offers for it as its documentation says, one text column a turn whose template names the
columns before it; nothing is tuned against it. A column takes one system and one user prompt, so that the words of the other
messages stand in the user prompt, and one seed for all.
"""

import os
from pathlib import Path

from chat import SAMPLING, TOKENIZERS, arguments, check, messages, seed

# What follows is read when Data Designer is imported.
os.environ["NEMO_TELEMETRY_ENABLED"] = "false"
os.environ["TIKTOKEN_CACHE_DIR"] = TOKENIZERS

import data_designer.config as dd
from data_designer.interface import DataDesigner


def main(url: str, dialogues: int, turns: int, concurrency: int, folder: Path) -> None:
    """Holds the dialogues."""
    sampling = dd.ChatCompletionInferenceParams(
        **SAMPLING, extra_body={"seed": seed(0, 0, turns)}, max_parallel_requests=concurrency
    )
    model = dd.ModelConfig(alias="model", model="tgi", provider="local", inference_parameters=sampling)
    columns = dd.DataDesignerConfigBuilder(model_configs=[model])
    columns.add_column(
        dd.SamplerColumnConfig(
            name="dialogue", sampler_type=dd.SamplerType.UUID, params=dd.UUIDSamplerParams()
        )
    )
    names = [f"turn_{turn}" for turn in range(turns)]
    for turn, name in enumerate(names):
        system, *rest = messages([f"{{{{ {before} }}}}" for before in names[:turn]])
        columns.add_column(
            dd.LLMTextColumnConfig(
                name=name,
                model_alias="model",
                system_prompt=system["content"],
                prompt="\n\n".join(message["content"] for message in rest),
            )
        )
    provider = dd.ModelProvider(name="local", endpoint=f"{url}/v1", api_key="none")
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))  # its default is a fixed port
    made = designer.create(columns, num_records=dialogues, dataset_name="dialogues")
    check(made.load_dataset()[names].to_numpy().tolist(), dialogues, turns)


if __name__ == "__main__":
    main(*arguments())
