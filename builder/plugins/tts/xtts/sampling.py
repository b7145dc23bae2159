"""The next token of every row, each drawn after its own settings from its own seed.

The order is that of `transformers`' `generate`, which the library draws with: repetition penalty (Keskar et al. 2019, arXiv
1909.05858), temperature, top k, nucleus (Holtzman et al. 2020, arXiv 1904.09751). `top_k = 1` is greedy search.
Law of the file: a row's numbers are drawn before its first step, one a step, so that no row can take another's.
"""

from typing import Any

import torch

from builder.core.speech import Sampling


class Sampler:
    """How each of the rows is drawn.

    Args:
        rows: how many there are.
        vocabulary: how many tokens there are.
        most: the most that a row draws.
        device: where the logits are.
    """

    def __init__(self, rows: int, vocabulary: int, most: int, device: torch.device) -> None:
        self._most, self._vocabulary = most, vocabulary
        self._temperature, self._top_p, self._penalty = torch.ones(3, rows, 1, device=device)
        self._top_k = torch.ones(rows, 1, dtype=torch.long, device=device)
        self._draws = torch.zeros(rows, most + 1, device=device)
        self._used = torch.zeros(rows, vocabulary, dtype=torch.bool, device=device)

    def admit(self, row: int, sampling: Sampling, seed: int, used: tuple[int, ...]) -> None:
        """Begins a row anew.

        Args:
            row: which.
            sampling: its settings.
            seed: of its draws.
            used: the tokens that are penalised from the start.
        """
        self._temperature[row], self._top_p[row] = sampling.temperature, sampling.top_p
        self._penalty[row] = sampling.repetition_penalty
        self._top_k[row] = min(sampling.top_k or self._vocabulary, self._vocabulary)
        self._draws[row, : self._most] = torch.rand(self._most, generator=torch.Generator().manual_seed(seed))
        self._used[row] = False
        self._used[row, list(used)] = True

    def draw(self, logits: Any, steps: Any) -> Any:
        """Draws a token for every row, and remembers it as used.

        Args:
            logits: float32, of shape (rows, vocabulary).
            steps: how many tokens each row drew before, of shape (rows,).

        Returns:
            Tokens of shape (rows,); of a row with a logit that is not a number, any.
        """
        penalised = torch.where(logits < 0, logits * self._penalty, logits / self._penalty)
        scores = torch.where(self._used, penalised, logits) / self._temperature
        scores, tokens = scores.sort(descending=True, stable=True)
        scores = scores.masked_fill(scores < scores.gather(1, self._top_k - 1), -torch.inf)
        chances = scores.softmax(-1)
        # A token is in the nucleus while those before it do not fill it.
        chances = torch.where(chances.cumsum(-1) - chances < self._top_p, chances, 0.0)
        filled = chances.cumsum(-1)
        drawn = self._draws.gather(1, steps[:, None]) * filled[:, -1:]
        place = (filled <= drawn).sum(-1, keepdim=True).clamp(max=self._vocabulary - 1)
        token = tokens.gather(1, place)
        self._used.scatter_(1, token, value=True)
        return token[:, 0]
