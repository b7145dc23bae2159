"""XTTS's vocoder, HiFi-GAN (Kong et al. 2020, arXiv 2010.05646), one clip at a time and in float32.

Padding clips to one length would change the ends of the shorter ones, since each of its some 80 convolutions looks a little
further into what is beyond the end. And there is little to gain: unlike a step of the GPT, which waits for its weights, one clip
of some seconds has millions of values a layer to compute with; on a CPU four together took a quarter longer than one by one.
Law of the file: a clip's samples are those that the library's own decoder gives for it.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize


class Vocoder:
    """The library's decoder with its weight norm folded into its weights, once and not at each call.

    Args:
        decoder: `TTS.tts.layers.xtts.hifigan_decoder.HifiDecoder`, where it is to run.
        device: that place; on a GPU it works on a stream of its own, beside the decoding.
    """

    def __init__(self, decoder: Any, device: torch.device) -> None:
        self._decoder = decoder
        for module in decoder.waveform_decoder.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, latents: Any, speaker: Any) -> NDArray[np.float32]:
        """Speaks.

        Args:
            latents: of shape (tokens, width); finished, if they come from another stream.
            speaker: of shape (1, 512, 1).

        Returns:
            Samples of shape (samples,), 1,024 for a token at 22,050 Hz, resampled to the decoder's rate.
        """
        with torch.cuda.stream(self._stream):
            samples: NDArray[np.float32] = (
                self._decoder(latents[None].float(), g=speaker).flatten().cpu().numpy()
            )
        return samples
