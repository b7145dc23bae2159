"""A causal language model in this process: any that `transformers` loads, from the Hub or a folder.

Law of the file: a completion depends on its prompt, its decoding and its seed, never on the prompts answered
beside it (but for the last bits of floating-point sums, which no padded batch can promise and `limit = 1` can).
A schema is not enforced: `transformers` has no constrained decoding of its own.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jinja2
import msgspec

from builder.core.checkpoint import named
from builder.core.prompt import Completion, Decoding, Prompt
from builder.core.thinking import split_thinking
from builder.core.vocabulary import Model
from builder.errors import ConfigError, EndpointError, ProtocolError, extra, first_line
from builder.plugins import precision
from builder.plugins.llm import Backend, Endpoint
from builder.plugins.llm._extra import check
from builder.remote.batches import Batches

_PENALTIES = {
    "repetition_penalty": "RepetitionPenaltyLogitsProcessor",
    "no_repeat_ngram_size": "NoRepeatNGramLogitsProcessor",
}
"""What of `extra` changes the scores of tokens, by the class of `transformers` that does so."""
_CUTS = {
    "top_k": "TopKLogitsWarper",
    "min_p": "MinPLogitsWarper",
    "typical_p": "TypicalLogitsWarper",
    "epsilon_cutoff": "EpsilonLogitsWarper",
    "eta_cutoff": "EtaLogitsWarper",
}
"""What of it leaves fewer tokens to draw from."""
_TEMPLATE = "chat_template_kwargs"

_DIGITS = 16
"""So many of a digest tell weights apart."""


class Transformers(Backend):
    """A model loaded here."""

    path: str | None = None
    """A folder that holds the model, or a repository to take instead of the study's."""
    device: str | None = None
    """As PyTorch says it, such as `cuda:1`; by default the GPU where there is one, else the CPU."""
    dtype: precision.Precision = "auto"
    """`auto` is what the weights were saved in, or float32 on a CPU that cannot work in that."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 16
    """Prompts in one batch; memory grows with it."""
    extra: dict[str, Any] = {}
    """Sampling that the study has no word for: `repetition_penalty`, `no_repeat_ngram_size`, `top_k`, `min_p`, `typical_p`,
    `epsilon_cutoff`, `eta_cutoff`. Anything else goes into the chat template, as what is in `chat_template_kwargs` does."""

    def __post_init__(self) -> None:
        check(self.extra)
        if not isinstance(self.extra.get(_TEMPLATE, {}), dict):
            raise ValueError(f"extra.{_TEMPLATE} is not a table")  # noqa: TRY004 - as every setting that is wrong

    def address(self, model: Model) -> str:
        """What is loaded."""
        return f"transformers {self.path or model.checkpoint}"

    @asynccontextmanager
    async def open(self, model: Model) -> AsyncIterator[Endpoint]:
        """Loads the model and starts the one thread that runs it; raises as the contract says."""
        loaded = await asyncio.to_thread(self._load, model)
        async with Batches(loaded.checkpoint, loaded.generate, self.limit, EndpointError, "limit") as batches:
            try:
                yield _Opened(loaded.checkpoint, self.limit, frozenset(), loaded, batches)
            finally:
                loaded.stopped.set()

    def _load(self, model: Model) -> "_Loaded":
        torch, transformers = extra("torch", "transformers"), extra("transformers", "transformers")
        source = self.path or model.hub_id
        revision = None if self.path else model.revision
        device = precision.device(torch, self.device, self.dtype)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
            network = transformers.AutoModelForCausalLM.from_pretrained(
                source, revision=revision, dtype=self.dtype
            )
            network = precision.fitted(torch, network.to(device)).eval()
        except Exception as error:  # noqa: BLE001 - an error of safetensors, or of a GPU that is absent, is of no narrower kind
            raise ConfigError(
                f"transformers cannot load {source!r} on {device!r}: {first_line(error)}"
            ) from None
        if tokenizer.chat_template is None:
            raise ConfigError(f"{source!r} has no chat template: name a model that was trained to chat")
        try:
            penalties, cuts = (
                [getattr(transformers, by)(self.extra[key]) for key, by in kinds.items() if key in self.extra]
                for kinds in (_PENALTIES, _CUTS)
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"extra: {first_line(error)}") from None
        template = {
            key: value for key, value in self.extra.items() if key not in {*_PENALTIES, *_CUTS, _TEMPLATE}
        }
        ends = network.generation_config.eos_token_id
        ends = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
        if not ends:
            raise ConfigError(
                f"{source!r} names no token that ends a reply: set eos_token_id in its generation_config.json"
            )
        # The study's decoding is the whole of it: a repetition penalty of the model's own would go unsaid.
        network.generation_config = transformers.GenerationConfig()
        return _Loaded(
            _checkpoint(source, network),
            tokenizer,
            network,
            sorted(ends),
            template | self.extra.get(_TEMPLATE, {}),
            penalties,
            cuts,
        )


def _checkpoint(source: str, network: Any) -> str:
    """A repository with its commit; a folder by its whole path, which is no repository's name, with a digest of its weights."""
    folder = Path(source)
    if not folder.is_dir():
        commit = getattr(network.config, "_commit_hash", None)
        return f"{source}@{commit}" if commit else source
    path = named(str(folder.resolve()))
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if "@" in path or not files:
        return path
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as weights:
            whole.update(f"{file.name} {hashlib.file_digest(weights, 'sha256').hexdigest()}\n".encode())
    return f"{path}@{whole.hexdigest()[:_DIGITS]}"


class _Request(NamedTuple):
    ids: list[int]
    decoding: Decoding
    seed: int


@dataclass
class _Loaded:
    checkpoint: str
    tokenizer: Any
    network: Any
    ends: list[int]
    """The tokens that end a reply."""
    template: dict[str, Any]
    """What the chat template is told beyond the chat."""
    penalties: list[Any]
    """What changes the scores of tokens, from a row's tokens so far and its scores, of shapes (1, length) and (1, vocabulary)."""
    cuts: list[Any]
    """What leaves fewer tokens to draw from, likewise."""
    stopped: threading.Event = field(default_factory=threading.Event)

    def encode(self, prompt: Prompt) -> list[int]:
        """The chat as token ids. Only the event loop's thread uses the tokenizer: it bears no second."""
        chat = [{"role": message.role, "content": message.content} for message in prompt.messages]
        try:
            text = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, **self.template
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise ProtocolError(
                f"{self.checkpoint}: its chat template refuses the prompt: {first_line(error)}"
            ) from None
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        room = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        if room is not None and len(ids) + prompt.decoding.max_tokens > room:
            raise ProtocolError(
                f"{self.checkpoint}: {len(ids)} tokens of prompt and max_tokens = "
                f"{prompt.decoding.max_tokens} are more than its context of {room}"
            )
        return ids

    def generate(self, batch: Sequence[_Request]) -> list[list[int]]:
        """The tokens of each reply, up to and with the one that ends it."""
        torch, transformers = extra("torch", "transformers"), extra("transformers", "transformers")
        width = max(len(request.ids) for request in batch)
        ids = torch.full((len(batch), width), self.ends[0])
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):
            ids[row, width - len(request.ids) :] = torch.tensor(request.ids)
            mask[row, width - len(request.ids) :] = 1
        most = max(request.decoding.max_tokens for request in batch)
        with torch.inference_mode():
            out = self.network.generate(
                input_ids=ids.to(self.network.device),
                attention_mask=mask.to(self.network.device),
                generation_config=transformers.GenerationConfig(
                    do_sample=False, max_new_tokens=most, eos_token_id=self.ends, pad_token_id=self.ends[0]
                ),
                logits_processor=transformers.LogitsProcessorList(
                    [_Sampler(torch, batch, width, self.penalties, self.cuts)]
                ),
                stopping_criteria=transformers.StoppingCriteriaList([self._stop]),
            )
        return [self._cut(row, request) for row, request in zip(out[:, width:].tolist(), batch, strict=True)]

    def read(self, tokens: list[int]) -> tuple[str, str]:
        """What a reply thinks and what it says. Thoughts may stand between special tokens, which are part of neither."""
        text: str = self.tokenizer.decode([token for token in tokens if token not in self.ends])
        thinking, said = split_thinking(text)
        if not thinking:
            return "", self.tokenizer.decode(tokens, skip_special_tokens=True)
        for special in self.tokenizer.all_special_tokens:
            thinking, said = thinking.replace(special, ""), said.replace(special, "")
        return thinking, said

    def _stop(self, ids: Any, _scores: Any) -> Any:
        return ids.new_full((len(ids),), self.stopped.is_set(), dtype=bool)

    def _cut(self, tokens: list[int], request: _Request) -> list[int]:
        tokens = tokens[: request.decoding.max_tokens]
        end = next((place for place, token in enumerate(tokens) if token in self.ends), len(tokens))
        return tokens[: end + 1]


@dataclass
class _Opened:
    checkpoint: str
    limit: int
    names: frozenset[str]
    loaded: _Loaded
    batches: Batches[_Request, list[int]]

    async def complete(self, prompt: Prompt) -> Completion:
        loaded, ids = self.loaded, self.loaded.encode(prompt)
        tokens = await self.batches.ask(_Request(ids, prompt.decoding, prompt.seed))
        thinking, said = loaded.read(tokens)
        thought = loaded.tokenizer(thinking, add_special_tokens=False)["input_ids"] if thinking else ()
        return Completion(
            text=said,
            finish_reason="stop" if tokens and tokens[-1] in loaded.ends else "length",
            prompt_tokens=len(ids),
            completion_tokens=len(tokens),
            thinking=thinking,
            thinking_tokens=min(len(thought), len(tokens)),
        )


class _Sampler:
    """Draws each row's next token from a stream of its own, and leaves the greedy search no other choice.

    So `generate` keeps what it knows of positions, caches and padding for every architecture, and no row's
    draw depends on how many rows there are.
    """

    def __init__(
        self, torch: Any, batch: Sequence[_Request], width: int, penalties: list[Any], cuts: list[Any]
    ) -> None:
        self._torch = torch
        self._begins = [width - len(request.ids) for request in batch]
        """Before them a row is padded."""
        self._penalties, self._cuts = penalties, cuts
        self._decodings = [request.decoding for request in batch]
        self._streams = [torch.Generator().manual_seed(request.seed) for request in batch]

    def __call__(self, ids: Any, scores: Any) -> Any:
        chosen = self._torch.full_like(scores, -float("inf"))
        for row, logits in enumerate(scores.float().cpu()):
            chosen[row, self._draw(row, ids[row, self._begins[row] :], logits)] = 0
        return chosen

    def _draw(self, row: int, ids: Any, logits: Any) -> int:
        """The next token of a row, from its tokens so far and its logits of shape (vocabulary,)."""
        decoding = self._decodings[row]
        logits = self._changed(self._penalties, ids, logits)
        if decoding.temperature == 0:
            return int(logits.argmax())
        chances = self._changed(self._cuts, ids, logits / decoding.temperature).softmax(-1)
        if decoding.top_p < 1:
            ordered, places = chances.sort(descending=True, stable=True)
            # A token is in the nucleus while those before it do not fill it.
            chances[places[ordered.cumsum(-1) - ordered >= decoding.top_p]] = 0
        # It sums nothing and goes through the vocabulary in its own order, so rounding cannot shift the draw.
        return int(self._torch.multinomial(chances, 1, generator=self._streams[row]))

    def _changed(self, by: list[Any], ids: Any, logits: Any) -> Any:
        for one in by:
            logits = one(ids.cpu()[None], logits[None])[0]
        return logits
