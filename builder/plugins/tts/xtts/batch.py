"""Rows that decode together: a row that ends makes room for the next piece at once, whatever the others are at.

Continuous batching is Orca's (Yu et al. 2022, OSDI). All that a step reads and writes lies in tensors that stay where they are,
so that a GPU can be handed a step as one recorded graph, and the host looks at the rows only every few steps.
Law of the file: what a row holds when it ends is its piece's alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from builder.core.speech import Sampling
from builder.plugins.tts.xtts.conditioning import Conditioning
from builder.plugins.tts.xtts.gpt import BUCKET, Gpt
from builder.plugins.tts.xtts.graph import Replay
from builder.plugins.tts.xtts.sampling import Sampler

_STEPS_BETWEEN_LOOKS = {"cuda": 8}
"""A look waits for the GPU; on a CPU it costs nothing. Between two, a row that ended idles."""

_PREFIX_TOKEN = 1
"""What the library has stand for a prefix among the tokens that its repetition penalty counts as used."""


@dataclass(eq=False)
class Piece:
    """Text short enough to be spoken in one go."""

    tokens: list[int]
    conditioning: Callable[[], Conditioning]
    seed: int
    sampling: Sampling
    spoken: "Future[NDArray[np.float32]]" = field(default_factory=Future)
    """Samples of shape (samples,)."""
    endless: bool = False
    """Once it is spoken: whether it went on to the most tokens that the model gives and did not stop by itself."""


class Batch:
    """The rows.

    Args:
        gpt: the network.
        rows: how many pieces decode at once.
    """

    def __init__(self, gpt: Gpt, rows: int) -> None:
        self._gpt = gpt
        self._pieces: list[Piece | None] = [None] * rows
        self._reach = [0] * rows
        self._stride = _STEPS_BETWEEN_LOOKS.get(gpt.device.type, 1)
        size = max(rows, 2)  # the one size whose products round otherwise is one
        self._cache = gpt.cache(size)
        self._sampler = Sampler(size, gpt.vocabulary, gpt.most_tokens, gpt.device)
        self._rows = torch.arange(size, device=gpt.device)
        self._tokens, self._steps, self._places = torch.zeros(3, size, dtype=torch.long, device=gpt.device)
        self._live, self._broken, self._stopped = torch.zeros(3, size, dtype=torch.bool, device=gpt.device)
        self._latents = torch.zeros(size, gpt.most_tokens + 1, gpt.width, dtype=gpt.dtype, device=gpt.device)
        self._replay = Replay(self._step, gpt.device)

    def room(self) -> int:
        """Rows that hold no piece."""
        return self._pieces.count(None)

    def admit(self, pieces: Sequence[tuple[Piece, Conditioning]]) -> None:
        """Begins pieces, no more than there is room for.

        On a GPU their prefixes go through the network together; on a CPU, which gains nothing by it, each by itself, and so
        with the same bits in any company.
        """
        free = (row for row, held in enumerate(self._pieces) if held is None)
        begun = []
        for row, (piece, conditioning) in zip(free, pieces, strict=False):
            prefix = self._gpt.prefix(conditioning.latents, piece.tokens)
            self._pieces[row], self._reach[row] = piece, len(prefix)
            self._sampler.admit(row, piece.sampling, piece.seed, (_PREFIX_TOKEN, self._gpt.start))
            self._tokens[row], self._steps[row], self._places[row] = self._gpt.start, 0, len(prefix)
            self._live[row], self._broken[row], self._stopped[row] = True, False, False
            begun.append((row, prefix))
        together = len(begun) if self._gpt.device.type == "cuda" else 1
        for first in range(0, len(begun), max(1, together)):
            rows, prefixes = zip(*begun[first : first + together], strict=True)
            self._gpt.prefill(self._cache, rows, prefixes)

    def run(self) -> None:
        """A few steps of all rows that hold a piece; on a GPU it does not wait for them."""
        held = [row for row, piece in enumerate(self._pieces) if piece is not None]
        for row in held:
            self._reach[row] += self._stride
        longest = max((self._reach[row] for row in held), default=0)
        bucket = min(-(-longest // BUCKET) * BUCKET, self._gpt.places)
        for _ in range(self._stride if held else 0):
            self._replay(bucket)

    def _step(self, bucket: int) -> None:
        latents, logits = self._gpt.step(self._cache, self._tokens, self._steps, self._places, bucket)
        self._latents[self._rows, self._steps] = latents
        self._broken |= self._live & ~logits.isfinite().all(-1)
        tokens = self._sampler.draw(logits.float(), self._steps)
        self._tokens.copy_(tokens)
        self._steps += self._live
        self._places += self._live
        self._stopped |= self._live & (tokens == self._gpt.stop)
        self._live &= ~self._stopped & (self._steps < self._gpt.most_tokens) & ~self._broken

    def take(self) -> list[tuple[Piece, Any]]:
        """Looks at the rows, and frees those that ended or are no longer wanted.

        Returns:
            Each piece that ended, with what the vocoder is to speak, of shape (tokens, width); None where the network's numbers
            ran out of range.
        """
        if all(piece is None for piece in self._pieces):
            return []
        states = [self._live.long(), self._broken.long(), self._stopped.long(), self._steps]
        rows = torch.stack(states).T.tolist()
        taken: list[tuple[Piece, Any]] = []
        for row, (piece, (live, broken, stopped, steps)) in enumerate(zip(self._pieces, rows, strict=False)):
            if piece is None or (live and not piece.spoken.cancelled()):
                continue
            self._pieces[row] = None
            self._live[row] = False
            piece.endless = not stopped
            taken.append((piece, None if broken else self._latents[row, :steps].clone()))
            if broken:
                for part in self._cache:
                    part[:, row] = 0
        if taken and self._gpt.device.type == "cuda":
            torch.cuda.current_stream().synchronize()  # the vocoder reads on a stream of its own
        return taken
