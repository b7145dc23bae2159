"""A real inference server that decodes by a grammar, llama.cpp's own, in front of a hundred thousand random weights.

Law of the file: nothing of the server is imitated or patched. The weights are random but for one dimension, which makes words,
an end and a closing quotation mark likely: free speech is words and ends by itself, and what a grammar holds ends too.
"""

import subprocess
import sys
from pathlib import Path
from typing import Self

NEEDS = ("gguf", "numpy", "xllamacpp")
"""The writer of the model's file, and the wheel with the server in it."""

_ROOT = Path(__file__).parents[2]


class LlamaServer:
    """Use it as `with`: `url` is where it listens, and it is ready.

    Args:
        model: the file of the model, whose path is also the name it is served under.
        home: where it keeps its `log`.
    """

    def __init__(self, model: Path, home: Path) -> None:
        self.model = str(model)
        self.log = home / "server.log"
        self._command = [sys.executable, "-m", "tests.servers.llama_server", self.model]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.kill()
            raise RuntimeError(f"llama.cpp's server does not start: {self.log.read_text()[-2000:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        with self._process:
            self._process.kill()


def make_speaker(path: Path) -> Path:
    """Writes a Llama whose replies are some ten common words; its vocabulary is the bytes and those words.

    The first dimension of every token is so large that it is the same for all of them after the normalisation: what the head
    holds there is a bias, and the others are noise. At temperature 0 it ends at once, and inside a string, where a grammar
    lets it not end, it ends the string.

    Args:
        path: the file to write, of half a megabyte.
    """
    import gguf
    import numpy as np

    words = ["Ġ" + word for word in _WORDS.split()]
    tokens = ["<s>", "</s>", *_letters(), *words]
    width, bias = 64, np.full(len(tokens), -30.0)
    bias[-len(words) :], bias[tokens.index("</s>")], bias[tokens.index('"')] = 0.0, 1.8, 1.5

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_block_count(2)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges(["Ġ a"])  # there must be one
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(_TEMPLATE)

    numbers = np.random.default_rng(0)

    def add(name: str, weights: np.ndarray) -> None:
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))

    embedding, head = (numbers.normal(0, spread, (len(tokens), width)) for spread in (1.0, 0.05))
    embedding[:, 0], head[:, 0] = 20.0, bias / width**0.5
    add("token_embd", embedding)
    for block in ("blk.0", "blk.1"):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            add(f"{block}.{name}", numbers.normal(0, 0.1, (width, width)))
        for name in ("attn_norm", "ffn_norm"):
            add(f"{block}.{name}", np.ones(width))
    add("output_norm", np.ones(width))
    add("output", head)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _letters() -> list[str]:
    """The 256 bytes as a byte-level vocabulary writes them: a visible one stands for itself, the others from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(hidden)) for byte in range(256)]


def _serve(model: str) -> None:
    """Serves until its standard input ends, so that it outlives nobody; its address is the one line that it prints."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_parallel = 4
    settings.n_ctx = settings.n_parallel * _CONTEXT
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.sampling.top_k, settings.sampling.min_p = 0, 0.0
    server = xllamacpp.Server(settings)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    sys.stdin.read()


_CONTEXT = 16384
_TEMPLATE = (
    "{% for message in messages %}{{ '[' + message.role + ']' + message.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
_WORDS = (
    "a about again all always and any are ask at back because been before better but call can come could day do"
    " even ever every far feel find first for from funny give go good great had have hear help here home hope how"
    " if in into it just know last late laugh let like little long look love made make maybe mean more morning most"
    " much my never new next night no not now of off old on once one only or other our out over people place quite"
    " really right same say see should some soon still such sure take talk tell than that the then there these they"
    " think this time to today together too true try very walk want was way we week well went were what when where"
    " which while who why with wonder work world would year yes yet you your"
)

if __name__ == "__main__":
    _serve(sys.argv[1])
