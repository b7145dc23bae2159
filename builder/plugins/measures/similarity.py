"""Similarity: whether a speaker keeps one voice throughout a dialogue, and the two keep different ones.

Law of the file: voices are compared within a dialogue; the speakers take turns, so that every second clip is the same one's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.plugins.measures import Gauge, Measure, Spoken, Weights
from builder.plugins.measures._model import LOADING, load, needed, required, unusable, waveform


class Similarity(Measure):
    """Speaker similarity by x-vectors: any model with such a head that `transformers` loads, as WavLM and UniSpeech-SAT."""

    @contextmanager
    def open(self, weights: Weights | None) -> Iterator[Gauge]:
        """Loads the model; raises as the contract says."""
        weights = required(weights, "similarity")
        transformers = needed("transformers", "transformers")
        network = load("AutoModelForAudioXVector", weights)
        try:
            extractor = transformers.AutoFeatureExtractor.from_pretrained(weights.path)
        except LOADING as error:
            raise unusable(weights, "AutoFeatureExtractor", error) from None
        yield _Similarity(network, extractor)


@dataclass
class _Similarity:
    network: Any
    extractor: Any

    def measure(self, clips: Sequence[Spoken]) -> list[Mapping[str, float]]:
        """Compares each clip with the rest of its dialogue.

        Returns:
            `similarity_same`: the cosine, in [-1, 1], between the clip's voice and the mean of the same speaker's other clips;
            left out of a speaker's only clip. `similarity_other`: the same with the other speaker's clips.
        """
        voices = [self._voice(clip) for clip in clips]
        return [self._compared(voices, place) for place in range(len(voices))]

    def _voice(self, clip: Spoken) -> NDArray[np.float64]:
        """The x-vector of a clip, of length 1."""
        torch = needed("torch", "transformers")
        rate = self.extractor.sampling_rate
        features = self.extractor(waveform(clip, rate), sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            found = self.network(**features.to(self.network.device, self.network.dtype)).embeddings[0]
        return _unit(found.double().cpu().numpy())

    def _compared(self, voices: list[NDArray[np.float64]], place: int) -> Mapping[str, float]:
        theirs = {
            "similarity_same": [
                voice for at, voice in enumerate(voices) if at != place and at % 2 == place % 2
            ],
            "similarity_other": [voice for at, voice in enumerate(voices) if at % 2 != place % 2],
        }
        return {
            name: float(voices[place] @ _unit(np.mean(those, axis=0)))
            for name, those in theirs.items()
            if those
        }


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
