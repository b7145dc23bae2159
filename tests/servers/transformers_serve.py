"""A real inference server, `transformers serve`, in front of a few thousand random weights that speak in made-up words.

Law of the file: nothing of the server is imitated or patched. The weights are random but for one dimension, which makes
letters, spaces and an end likely, so that a reply is words and ends by itself.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Self

from tests.llm.asking import free_url
from tests.patience import PATIENCE_S
from tests.tiny import make_llama

NEEDS = ("accelerate", "fastapi", "openai", "torch", "transformers", "uvicorn")
"""What `pip install 'transformers[serving]'` brings."""


class TransformersServe:
    """Use it as `with`: `url` is where it listens, and it is ready.

    Args:
        model: the folder of the model, which is also the name it is served under.
        home: where it keeps its cache and `log`.
    """

    def __init__(self, model: Path, home: Path) -> None:
        self.model = str(model)
        self.url = free_url()
        self.log = home / "serve.log"
        self._home = home

    def __enter__(self) -> Self:
        (self._home / "hub").mkdir(exist_ok=True)  # without it /v1/models answers 500
        host, _, port = self.url.removeprefix("http://").partition(":")
        program = Path(sys.executable).with_name("transformers")
        # More than one thread makes a model this small twenty times slower.
        settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(self._home)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", self.model, "--host", host, "--port", port, "--device", "cpu"],
                env=os.environ | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def is_dead(self) -> bool:
        """Whether it ended, by itself or killed."""
        return self._process.poll() is not None

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=PATIENCE_S).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"transformers serve does not answer: {self.log.read_text()[-2000:]}")


def make_talker(folder: Path) -> Path:
    """Writes a model whose replies are some twenty letters in made-up words.

    The first dimension of every token is so large that it alone survives the normalisation, and no layer touches it: what
    the head holds there is a bias.
    """
    import torch
    from transformers import AutoTokenizer, GenerationConfig, LlamaForCausalLM

    make_llama(folder, context=4096)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = LlamaForCausalLM.from_pretrained(folder)
    letters, space = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (_LETTERS, " "))
    bias = torch.full((len(tokenizer),), -30.0)
    bias[letters], bias[space], bias[tokenizer.eos_token_id] = 0.0, 1.5, 0.3
    with torch.no_grad():
        network.model.embed_tokens.weight[:, 0] = 100.0
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        network.lm_head.weight *= 0.05
        network.lm_head.weight[:, 0] = bias / network.config.hidden_size**0.5
    # The server takes `do_sample`, `top_k` and the penalties from the model, whatever the request says.
    network.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1, do_sample=True, top_k=0)
    network.save_pretrained(folder)
    return folder


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
