"""XTTS's vocoder, HiFi-GAN (Kong et al. 2020, arXiv 2010.05646), in float32 and on a GPU in batches.

Each of its some 80 convolutions looks a little beyond the end of a clip. There lies, in a batch, what lies beyond the end of a
clip alone: zeros, before every convolution. What comes before them all, the stretching from the rate of the tokens to that of the
sound, is done clip by clip, since PyTorch does it in another way where a clip is too short to grow.
Law of the file: a clip's samples are those that the library's own decoder gives for it. On a CPU, where four together took a
quarter longer than one by one, clips are spoken one by one and are the same bit for bit; in a batch, as on a GPU, they are the
same but for the last bits of sums.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, pad
from torch.nn.utils import parametrize

from builder.terminal import say

_MOST_TOKENS = 2048
"""Of a batch with its padding: 95 s of sound. Memory grows with it, on a CPU by some 60 MB a second."""


class Tokens(NamedTuple):
    """A clip that is to be spoken."""

    latents: Any
    """Of shape (tokens, width), at least one token; finished, if they come from another stream."""
    speaker: Any
    """Of shape (1, 512, 1)."""


class Vocoder:
    """The library's decoder with its weight norm folded into its weights, once and not at each call.

    Args:
        decoder: `TTS.tts.layers.xtts.hifigan_decoder.HifiDecoder`, where it is to run; its modules are changed.
        device: that place; on a GPU it works on a stream of its own, beside the decoding.
        rows: how many clips are spoken together, at most: where memory runs out it goes on with half as many.
    """

    def __init__(self, decoder: Any, device: torch.device, rows: int) -> None:
        self._decoder, self._rows = decoder, rows
        self._ends: list[int] = []
        """The frames of each clip that is being spoken."""
        self._beyond: dict[int, Any] = {}
        """By the places of a layer: which of them are beyond the end of each clip."""
        for module in decoder.waveform_decoder.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
            if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d) and module.kernel_size != (1,):
                module.register_forward_pre_hook(self._silence)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, clips: Sequence[Tokens]) -> list[NDArray[np.float32]]:
        """Speaks, clips of like length together.

        Returns:
            Of each clip the samples, of shape (samples,), 1,024 for a token at 22,050 Hz, resampled to the decoder's rate.

        Raises:
            torch.OutOfMemoryError: memory does not do for a single one.
        """
        spoken: dict[int, NDArray[np.float32]] = {}
        left = sorted(range(len(clips)), key=lambda place: len(clips[place].latents), reverse=True)
        while left:
            longest = len(clips[left[0]].latents)
            batch = left[: max(1, min(self._rows, _MOST_TOKENS // longest))]
            try:
                sounds = self._speak([clips[place] for place in batch])
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self._rows = len(batch) // 2
                say(f"xtts: out of memory to voice {len(batch)} lines at once, goes on with {self._rows}")
            else:
                spoken.update(zip(batch, sounds, strict=True))
                left = left[len(batch) :]
        return [spoken[place] for place in range(len(clips))]

    def _speak(self, clips: Sequence[Tokens]) -> list[NDArray[np.float32]]:
        with torch.cuda.stream(self._stream):
            frames = [self._stretched(clip.latents) for clip in clips]
            self._ends = [one.shape[-1] for one in frames]
            self._beyond = {}
            longest = max(self._ends)
            padded = torch.stack([pad(one, (0, longest - one.shape[-1])) for one in frames])
            speakers = torch.cat([clip.speaker for clip in clips])
            sound = self._decoder.waveform_decoder(padded, g=speakers)[:, 0].cpu().numpy()
        hop = sound.shape[-1] // longest
        return [row[: hop * end] for row, end in zip(sound, self._ends, strict=True)]

    def _stretched(self, latents: Any) -> Any:
        """Tokens as frames at the rate that is spoken at, of shape (width, frames), in the two steps of the library's decoder."""
        decoder, frames = self._decoder, latents.T[None].float()
        frames_a_token = decoder.ar_mel_length_compression / decoder.output_hop_length
        for factor in (frames_a_token, decoder.output_sample_rate / decoder.input_sample_rate):
            frames = interpolate(frames, scale_factor=[factor], mode="linear")
        return frames[0]

    def _silence(self, _: Any, inputs: tuple[Any]) -> None:
        """In place, since nobody needs what is beyond the end of a clip."""
        (values,) = inputs
        width, longest = values.shape[-1], max(self._ends)
        if min(self._ends) == longest:
            return
        if width not in self._beyond:
            ends = torch.tensor(self._ends, device=values.device) * (width // longest)
            self._beyond[width] = torch.arange(width, device=values.device) >= ends[:, None, None]
        values.masked_fill_(self._beyond[width], 0)
