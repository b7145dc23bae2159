"""XTTS's GPT over the library's own weights: a batch of rows, each at its own place, over a cache of fixed size.

A row is what one piece of text becomes: 32 vectors that condition on the voice, the text's tokens, then audio tokens, one a step.
The architecture is GPT-2's (Radford et al. 2019; blocks as in `transformers`' `GPT2Block`) after XTTS (Casanova et al. 2024,
arXiv 2406.04904): text and audio have position embeddings of their own, the conditioning has none, and two norms follow the last
block. The normed state that gives an audio token's chances is at once what the vocoder speaks. The library computes it again in a
second pass over the finished tokens, with the same inputs at the same positions under the same causal mask, and so with the same
result but for the rounding of sums in another order; here there is no second pass.
Law of the file: on the CPU in float32 no row depends, in any bit, on how many rows there are, on which it is, or on the others.
oneDNN's product with packed weights keeps it (for two rows or more), as does the plain product of attention; PyTorch's default
product and its fused attention do not with more than one thread.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

BUCKET = 64
"""Attention covers a multiple of so many places of the cache: the least that holds the longest row."""

_Map = Callable[[Any], Any]
_Attend = Callable[[int, Any, Any, Any], Any]


class Cache(NamedTuple):
    """What the rows attend to: keys and values of shape (layers, rows, heads, places, width of a head)."""

    keys: Any
    values: Any


class _Block(NamedTuple):
    norm: _Map
    qkv: _Map
    out: _Map
    second_norm: _Map
    up: _Map
    down: _Map


class Gpt:
    """The network, ready to decode. It takes the transformer out of the library's model, which has no more use for it.

    Args:
        gpt: `TTS.tts.layers.xtts.gpt.GPT`, on the CPU in float32.
        device: where it is to run.
        dtype: of its weights, its cache and its states.
    """

    def __init__(self, gpt: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.start, self.stop, self.vocabulary = (
            gpt.start_audio_token,
            gpt.stop_audio_token,
            gpt.num_audio_tokens,
        )
        self.most_tokens: int = gpt.max_gen_mel_tokens
        """The most audio tokens of a row, the one that ends it included."""
        self.width: int = gpt.model_dim
        self.places = -(-gpt.gpt.config.n_positions // BUCKET) * BUCKET
        """Of a row in the cache: the longest text with the most audio tokens."""
        self._heads: int = gpt.heads
        self._text_marks = gpt.start_text_token, gpt.stop_text_token
        transformer, gpt.gpt = gpt.gpt, None
        for module in (
            gpt.text_embedding,
            gpt.text_pos_embedding,
            gpt.mel_embedding,
            gpt.mel_pos_embedding,
            gpt.final_norm,
        ):
            module.to(device, dtype)
        self._text, self._text_positions = gpt.text_embedding, gpt.text_pos_embedding
        self._audio, self._audio_positions = gpt.mel_embedding, gpt.mel_pos_embedding.emb
        self._blocks = [self._block(block) for block in transformer.h]
        self._norm, self._last_norm = transformer.ln_f.to(device, dtype), gpt.final_norm
        self._head = self._linear(gpt.mel_head.weight, gpt.mel_head.bias)
        self._attention = functional.scaled_dot_product_attention if device.type == "cuda" else _attention

    def _block(self, block: Any) -> _Block:
        qkv, out, up, down = (
            self._linear(layer.weight.t(), layer.bias, gelu=layer is block.mlp.c_fc)
            for layer in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)
        )
        norm, second_norm = block.ln_1.to(self.device, self.dtype), block.ln_2.to(self.device, self.dtype)
        return _Block(norm, qkv, out, second_norm, up, down)

    def _linear(self, weight: Any, bias: Any, *, gelu: bool = False) -> _Map:
        """A linear map, with GPT-2's GELU after it where wanted. `weight` is of shape (out, in)."""
        weight, bias = (part.detach().to(self.device, self.dtype).contiguous() for part in (weight, bias))
        packs = self.dtype in {torch.float32, torch.bfloat16} and torch.backends.mkldnn.is_available()
        if self.device.type == "cpu" and packs:
            # What torch.compile makes of a frozen linear layer: twice as fast as the product it replaces, at 16 rows.
            oneDNN = torch.ops.mkldnn  # noqa: N806 - the library's name
            packed = oneDNN._reorder_linear_weight(weight)  # noqa: SLF001 - it has no public name
            after, how = ("gelu", "tanh") if gelu else ("none", "")
            return lambda x: oneDNN._linear_pointwise(x, packed, bias, after, [], how)  # noqa: SLF001
        if gelu:
            return lambda x: functional.gelu(functional.linear(x, weight, bias), approximate="tanh")
        return lambda x: functional.linear(x, weight, bias)

    def cache(self, rows: int) -> Cache:
        """An empty cache. What a row does not attend to must still be finite, so it begins as zeros."""
        width = self.width // self._heads
        shape = (len(self._blocks), rows, self._heads, self.places, width)
        return Cache(*(torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(2)))

    def prefix(self, conditioning: Any, tokens: Sequence[int]) -> Any:
        """What comes before a row's audio.

        Args:
            conditioning: of shape (1, vectors, width).
            tokens: the text's.

        Returns:
            Embeddings of shape (places, width).
        """
        start, stop = self._text_marks
        text = torch.tensor([[start, *tokens, stop]], device=self.device)
        embedded = self._text(text) + self._text_positions(text)
        return torch.cat([conditioning.to(self.dtype), embedded], dim=1)[0]

    def prefill(self, cache: Cache, rows: Sequence[int], prefixes: Sequence[Any]) -> None:
        """Puts prefixes into the cache of their rows. What pads the shorter ones lies where nothing attends to it yet."""
        x = torch.nn.utils.rnn.pad_sequence(list(prefixes), batch_first=True)
        at, length = torch.tensor(rows, device=self.device), x.shape[1]

        def attend(layer: int, query: Any, key: Any, value: Any) -> Any:
            cache.keys[layer, at, :, :length], cache.values[layer, at, :, :length] = key, value
            return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

        self._through(x, attend)

    def step(self, cache: Cache, tokens: Any, steps: Any, places: Any, bucket: int) -> tuple[Any, Any]:
        """One step of every row.

        Args:
            cache: of the rows; each one's new key and value go into it.
            tokens: each row's last audio token, of shape (rows,).
            steps: how many audio tokens came before it, of shape (rows,).
            places: where in the cache it goes, of shape (rows,).
            bucket: places that are looked at; more than any in `places`.

        Returns:
            What the vocoder speaks, of shape (rows, width), and the next token's logits, of shape (rows, vocabulary).
        """
        rows = torch.arange(len(tokens), device=self.device)
        seen = (torch.arange(bucket, device=self.device) <= places[:, None])[:, None, None]

        def attend(layer: int, query: Any, key: Any, value: Any) -> Any:
            keys, values = cache.keys[layer], cache.values[layer]
            keys[rows, :, places], values[rows, :, places] = key[:, :, 0], value[:, :, 0]
            return self._attention(query, keys[:, :, :bucket], values[:, :, :bucket], seen)

        latents = self._through((self._audio(tokens) + self._audio_positions(steps))[:, None], attend)[:, 0]
        return latents, self._head(latents)

    def _through(self, x: Any, attend: _Attend) -> Any:
        """All blocks and both norms, over states of shape (rows, length, width)."""
        rows, length, width = x.shape
        for layer, block in enumerate(self._blocks):
            heads = block.qkv(block.norm(x)).view(rows, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            x = x + block.out(attend(layer, *heads).transpose(1, 2).reshape(rows, length, width))
            x = x + block.down(block.up(block.second_norm(x)))
        return self._last_norm(self._norm(x))


def _attention(query: Any, key: Any, value: Any, seen: Any) -> Any:
    """Attention as two plain products; shapes are (rows, heads, length, width of a head)."""
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    return torch.matmul(scores.masked_fill(~seen, -torch.inf).softmax(-1), value)
