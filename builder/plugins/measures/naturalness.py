"""Naturalness: the opinion score that listeners would give a clip, as a model predicts it.

Predictors such as UTMOS (Saeki et al. 2022, arXiv 2204.02152) are published as one file of TorchScript, network and code in one:
PyTorch alone loads it. `balacoon/utmos` on the Hub is one; it keeps to the device it was traced on.
Law of the file: one clip at a time, since padding moves the score.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from builder.plugins.measures import Gauge, Measure, Spoken, Weights
from builder.plugins.measures._model import LOADING, needed, required, unusable, waveform


class Naturalness(Measure):
    """A predictor of mean opinion scores in TorchScript: takes samples of shape (1, samples), gives one score."""

    sampling_rate_hz: Annotated[int, msgspec.Meta(ge=8000, le=192000)] = 16000
    """What it was trained at."""
    samples: Literal["int16", "float32"] = "int16"
    """What it takes: whole numbers up to 32767, or fractions up to 1."""

    @contextmanager
    def open(self, weights: Weights | None) -> Iterator[Gauge]:
        """Loads the file that the site's `path` names; raises as the contract says."""
        weights = required(weights, "naturalness")
        torch = needed("torch", "transformers")
        try:
            with warnings.catch_warnings():
                # PyTorch would rather have torch.export; the field publishes TorchScript.
                warnings.simplefilter("ignore", DeprecationWarning)
                network = torch.jit.load(weights.path, map_location=weights.device).eval()
        except LOADING as error:
            raise unusable(weights, "a file of TorchScript", error) from None
        yield _Naturalness(self, weights, network)


@dataclass
class _Naturalness:
    settings: Naturalness
    weights: Weights
    network: Any

    def measure(self, clips: Sequence[Spoken]) -> list[Mapping[str, float]]:
        """Scores each clip for itself.

        Returns:
            `mos`: the predicted mean opinion score, in 1..5 of most predictors.

        Raises:
            ConfigError: the file takes another kind of samples, or gives other than one score.
        """
        return [{"mos": self._score(clip)} for clip in clips]

    def _score(self, clip: Spoken) -> float:
        torch = needed("torch", "transformers")
        sound = waveform(clip, self.settings.sampling_rate_hz)
        if self.settings.samples == "int16":
            sound = np.clip(np.rint(sound * 32767), -32768, 32767)
        samples = torch.from_numpy(sound.astype(self.settings.samples))[None].to(self.weights.device)
        try:
            with torch.inference_mode():
                return float(self.network(samples))
        except (RuntimeError, TypeError, ValueError, torch.jit.Error) as error:
            raise unusable(self.weights, f"one that scores {self.settings.samples}", error) from None
