"""Orpheus in this process, by `transformers`.

Here the order of the slots is kept while sampling: at each step only the codes of the slot whose turn it is may be drawn, and at
slot 0 the end of speech. The trained model puts next to nothing elsewhere, so that no token is ever out of place.
Law of the file: what is generated depends on the prompt, the sampling and the seed, never on the rows beside it (but for the last
bits of floating-point sums, which no padded batch can promise and `batch = 1` can).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from builder.core.speech import Sampling
from builder.errors import ConfigError, extra, first_line
from builder.plugins import precision
from builder.plugins.tts.orpheus.tokens import (
    AUDIO,
    CODES,
    END,
    HEAD,
    PADDING,
    SLOTS,
    TAIL,
    VOCABULARY,
    Generation,
    prompt,
)
from builder.remote.batches import Batches


class _Request(NamedTuple):
    ids: list[int]
    sampling: Sampling
    seed: int
    max_tokens: int


@dataclass
class _Loaded:
    checkpoint: str
    tokenizer: Any
    network: Any
    stopped: threading.Event = field(default_factory=threading.Event)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def generate(self, batch: Sequence[_Request]) -> list[Generation]:
        transformers = extra("transformers", "orpheus")
        width = max(len(request.ids) for request in batch)
        ids = torch.full((len(batch), width), PADDING)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):
            ids[row, width - len(request.ids) :] = torch.tensor(request.ids)
            mask[row, width - len(request.ids) :] = 1
        with torch.inference_mode():
            out = self.network.generate(
                input_ids=ids.to(self.network.device),
                attention_mask=mask.to(self.network.device),
                generation_config=transformers.GenerationConfig(
                    do_sample=False,
                    max_new_tokens=max(request.max_tokens for request in batch),
                    eos_token_id=END,
                    pad_token_id=PADDING,
                ),
                logits_processor=transformers.LogitsProcessorList(
                    [_Sampler(batch, width, self.network.device)]
                ),
                stopping_criteria=transformers.StoppingCriteriaList([self._stop]),
            )
        return [_cut(row, request) for row, request in zip(out[:, width:].tolist(), batch, strict=True)]

    def _stop(self, ids: Any, _scores: Any) -> Any:
        return ids.new_full((len(ids),), self.stopped.is_set(), dtype=torch.bool)


class _Sampler:
    """Draws each row's next token from numbers of its own, and leaves the greedy search no other choice.

    The order is that of `transformers`' own sampling: repetition penalty, temperature, top k, nucleus.
    """

    def __init__(self, batch: Sequence[_Request], width: int, device: torch.device) -> None:
        def column(values: Sequence[float]) -> Any:
            return torch.tensor(values, device=device)[:, None]

        samplings = [request.sampling for request in batch]
        self._temperature = column([sampling.temperature for sampling in samplings])
        self._top_p = column([sampling.top_p for sampling in samplings])
        self._top_k = column([sampling.top_k or VOCABULARY for sampling in samplings])
        self._penalty = column([sampling.repetition_penalty for sampling in samplings])
        most = max(request.max_tokens for request in batch)
        streams = (torch.Generator().manual_seed(request.seed) for request in batch)
        self._draws = torch.stack([torch.rand(most, generator=stream) for stream in streams]).to(device)
        self._used = torch.zeros(len(batch), VOCABULARY, dtype=torch.bool, device=device)
        self._width = width

    def __call__(self, ids: Any, scores: Any) -> Any:
        step = ids.shape[1] - self._width
        if step:
            self._used.scatter_(1, ids[:, -1:], value=True)
        begin = AUDIO + CODES * (step % SLOTS)
        logits, used = (part[:, begin : begin + CODES] for part in (scores.float(), self._used))
        penalised = torch.where(logits < 0, logits * self._penalty, logits / self._penalty)
        logits = torch.where(used, penalised, logits)
        if step % SLOTS == 0:
            logits = torch.cat([logits, scores[:, END : END + 1].float()], 1)
        place = self._draw(logits / self._temperature, self._draws[:, step : step + 1])
        token = torch.where(place < CODES, begin + place, END)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)

    def _draw(self, logits: Any, drawn: Any) -> Any:
        """Which of the logits each row's number, in [0, 1) and of shape (rows, 1), falls to."""
        ordered, places = logits.sort(descending=True, stable=True)
        ranks = torch.arange(logits.shape[1], device=logits.device)
        chances = ordered.masked_fill(ranks >= self._top_k, -torch.inf).softmax(-1)
        # A token is in the nucleus while those before it do not fill it.
        nucleus = (chances.cumsum(-1) - chances < self._top_p) & (ranks < self._top_k)
        filled = torch.where(nucleus, chances, 0.0).cumsum(-1)
        rank = (filled <= drawn * filled[:, -1:]).sum(-1, keepdim=True)
        return places.gather(1, torch.minimum(rank, nucleus.sum(-1, keepdim=True) - 1))


def _cut(tokens: list[int], request: _Request) -> Generation:
    tokens = tokens[: request.max_tokens]
    end = tokens.index(END) + 1 if END in tokens else len(tokens)
    return Generation(tokens[:end], END in tokens)


@dataclass
class _Local:
    checkpoint: str
    limit: int
    loaded: _Loaded
    batches: Batches[_Request, Generation]

    async def generate(self, prompt: str, sampling: Sampling, seed: int, max_tokens: int) -> Generation:
        # Only the event loop's thread uses the tokenizer: it bears no second.
        return await self.batches.ask(_Request(self.loaded.encode(prompt), sampling, seed, max_tokens))


@asynccontextmanager
async def open_local(
    source: str, checkpoint: str, device: str | None, dtype: str, rows: int
) -> AsyncIterator[_Local]:
    """Loads the model and starts the one thread that runs it.

    Args:
        source: a folder, which is taken for the checkpoint, or a repository on the Hub.
        checkpoint: what a folder is taken for.
        device: as PyTorch says it; None takes a GPU where there is one.
        dtype: as PyTorch calls it; `auto` is what it was saved in, or float32 on a CPU that cannot work in that.
        rows: prompts in one batch.

    Raises:
        ConfigError: it cannot be loaded, it is not an Orpheus, or the CPU cannot work in `dtype`.
    """
    loaded = await asyncio.to_thread(_load, source, checkpoint, device, dtype)
    async with Batches(loaded.checkpoint, loaded.generate, rows) as batches:
        try:
            yield _Local(loaded.checkpoint, rows, loaded, batches)
        finally:
            loaded.stopped.set()


def _load(source: str, checkpoint: str, device: str | None, dtype: str) -> _Loaded:
    transformers = extra("transformers", "orpheus")
    device = precision.device(torch, device, dtype)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        network = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        network = precision.fitted(torch, network.to(device)).eval()
    except Exception as error:  # noqa: BLE001 - an error of safetensors, or of a GPU that is absent, is of no narrower kind
        said = first_line(error).partition(". ")[0]
        raise ConfigError(
            f"transformers cannot load {source!r} on {device!r}: {said}: name a folder that holds the whole checkpoint, "
            "or its repository, and a device that is here"
        ) from None
    # The line's sampling is the whole of it: a setting of the model's own would go unsaid.
    network.generation_config = transformers.GenerationConfig()
    name = checkpoint if Path(source).is_dir() else source
    commit = getattr(network.config, "_commit_hash", None)
    loaded = _Loaded(f"{name}@{commit}" if commit else name, tokenizer, network)
    probe = loaded.encode(prompt("Hello.", "tara"))
    if probe[: len(HEAD)] != HEAD or probe[-len(TAIL) :] != TAIL or network.config.vocab_size < VOCABULARY:
        raise ConfigError(f"{source!r} is no Orpheus: its vocabulary has no tokens for speech")
    return loaded
