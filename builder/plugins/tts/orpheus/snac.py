"""SNAC's decoder: from the codes of clips to their waveforms.

SNAC (Siuzdak et al. 2024, arXiv 2410.14411) adds noise that its library draws from PyTorch's one global stream, and its
convolutions look beyond the end of a clip. Here each clip has a stream of its own, and beyond its end lies what lies beyond the
end of a clip alone: zeros, before every convolution.
Law of the file: a waveform depends on its codes and its seed. On a CPU, where batches gain nothing, clips are decoded one by one
and are the same bit for bit (for one number of threads); on a GPU they are decoded together and are the same but for the last
bits of sums.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import numpy as np
import torch
from numpy.typing import NDArray

from builder.errors import ConfigError, extra, first_line
from builder.plugins.tts.orpheus.tokens import CODES, FRAME_SAMPLES, SAMPLING_RATE_HZ

_LEVELS = ([0], [1, 4], [2, 3, 5, 6])
"""The slots of a frame that each of SNAC's codebooks is spread over, from coarse to fine."""


class Codes(NamedTuple):
    """A clip that is to be decoded."""

    codes: NDArray[np.int64]
    """Of shape (frames, 7), at least one frame, each in 0..4095."""
    seed: int
    """Of its noise, in 0..2**31 - 1."""


class Codec:
    """SNAC, loaded; one thread at a time uses it.

    Args:
        network: a `snac.SNAC` at 24 kHz, whose modules are changed.
        name: what it is.
        rows: how many clips are decoded at once.
    """

    def __init__(self, network: Any, name: str, rows: int) -> None:
        self.name = name
        self.rows = rows
        self._network = network
        self._frames: list[int] = []
        """Of each clip that is being decoded."""
        self._streams: list[torch.Generator] = []
        layers = extra("snac.layers", "orpheus")
        for module in network.decoder.modules():
            if isinstance(module, layers.NoiseBlock):
                module.forward = _Noise(self, module.linear)
            elif isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d) and module.kernel_size != (
                1,
            ):
                module.register_forward_pre_hook(self._silenced)

    def decode(self, clips: Sequence[Codes]) -> list[NDArray[np.float32]]:
        """Decodes whole clips.

        Returns:
            Of each clip the samples, of shape (2048 * frames,), at 24 kHz and full scale at -1 and 1.
        """
        starts = range(0, len(clips), self.rows)
        return [samples for start in starts for samples in self._decode(clips[start : start + self.rows])]

    def _decode(self, clips: Sequence[Codes]) -> list[NDArray[np.float32]]:
        self._frames = [len(clip.codes) for clip in clips]
        self._streams = [torch.Generator().manual_seed(clip.seed) for clip in clips]
        padded = torch.zeros(len(clips), max(self._frames), 7, dtype=torch.long)
        for row, clip in enumerate(clips):
            padded[row, : len(clip.codes)] = torch.from_numpy(clip.codes)
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            levels = [padded[..., slots].flatten(1).to(device) for slots in _LEVELS]
            sound = self._network.decode(levels)[:, 0].float().cpu().numpy()
        return [row[: FRAME_SAMPLES * frames] for row, frames in zip(sound, self._frames, strict=True)]

    def _ends(self, width: int) -> list[int]:
        """Where each clip ends in a layer of `width` places."""
        return [width // max(self._frames) * frames for frames in self._frames]

    def _silenced(self, _: Any, inputs: tuple[Any]) -> tuple[Any]:
        (values,) = inputs
        ends = self._ends(values.shape[-1])
        if min(ends) == max(ends):
            return inputs
        places = torch.arange(values.shape[-1], device=values.device)
        within = places < torch.tensor(ends, device=values.device)[:, None, None]
        return (torch.where(within, values, 0.0),)

    def noise(self, width: int) -> Any:
        """The next of each clip's own noise, of shape (clips, 1, width), and zeros where the clip has ended."""
        drawn = torch.zeros(len(self._frames), 1, width)
        for row, (stream, end) in enumerate(zip(self._streams, self._ends(width), strict=True)):
            drawn[row, 0, :end] = torch.randn(end, generator=stream)
        return drawn


class _Noise:
    """What a `NoiseBlock` does, with noise from the clips' own streams."""

    def __init__(self, codec: Codec, linear: Any) -> None:
        self._codec, self._linear = codec, linear

    def __call__(self, values: Any) -> Any:
        noise = self._codec.noise(values.shape[-1]).to(values)
        return values + noise * self._linear(values)


def load(source: str, device: str | None, rows: int) -> Codec:
    """Loads SNAC from a folder or a repository on the Hub: `config.json` and `pytorch_model.bin`.

    Raises:
        ConfigError: it cannot be loaded, or it is not the one that Orpheus speaks with.
    """
    library = extra("snac", "orpheus")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    folder = Path(source)
    try:
        if not folder.is_dir():
            files = ["config.json", "pytorch_model.bin"]
            folder = Path(huggingface_hub.snapshot_download(source, allow_patterns=files))
        network = library.SNAC.from_pretrained(str(folder)).to(device)
    except Exception as error:  # noqa: BLE001 - an empty file, a cut one and a GPU that is absent each raise their own
        # The first sentence: PyTorch's next ones advise to trust the file.
        said = first_line(error).partition(". ")[0]
        raise ConfigError(
            f"snac = {source!r} cannot be loaded on {device!r}: {said}: name a folder with a whole config.json and "
            "pytorch_model.bin, or hubertsiuzdak/snac_24khz on the Hub, and a device that is here"
        ) from None
    found = (
        network.sampling_rate,
        int(network.hop_length) * network.vq_strides[0],
        network.codebook_size,
        list(network.vq_strides),
        network.attn_window_size,
    )
    if found != (SAMPLING_RATE_HZ, FRAME_SAMPLES, CODES, [4, 2, 1], None):
        raise ConfigError(
            f"snac = {source!r} is not SNAC at 24 kHz: name hubertsiuzdak/snac_24khz or a copy of it"
        )
    name = folder.resolve().name if Path(source).is_dir() else f"{source}@{folder.name}"
    return Codec(network, name, rows if torch.device(device).type != "cpu" else 1)
