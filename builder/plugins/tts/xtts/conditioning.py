"""How voices sound, as the model takes it in: computed once a reference, then read from a cache folder.

Law of the file: what is read from the cache is numbers of the right shape, or it is computed again.
"""

import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from builder.core.emotion import Emotion
from builder.core.speech import Voice
from builder.errors import SynthesisError
from builder.plugins.tts._references import Reference, References
from builder.plugins.tts.xtts.model import Model

_DIGITS = 32


class Conditioning(NamedTuple):
    """How a voice sounds in an acted class."""

    latents: Any
    """What the GPT begins with, float32 of shape (1, vectors, width)."""
    speaker: Any
    """What the vocoder speaks with, float32 of shape (1, 512, 1)."""


class Conditioner:
    """Takes after reference clips, as the library's `Xtts.get_conditioning_latents` does with the model's own settings.

    Args:
        model: with all but its GPT's blocks on `device`, in float32.
        references: the clips.
        cache: a folder that exists.
        device: where the results are wanted.
    """

    def __init__(self, model: Model, references: References, cache: Path, device: torch.device) -> None:
        self._model, self._references, self._cache, self._device = model, references, cache, device
        self._known: dict[tuple[str, str, str], Conditioning] = {}

    def __call__(self, voice: Voice, emotion: Emotion) -> Conditioning:
        """How the voice sounds in the class and intensity that the emotion is acted in.

        Raises:
            ConfigError: there is no clip of this voice in this class.
            SynthesisError: a clip is bad, or gives numbers that are not finite.
        """
        key = voice.name, emotion.ravdess, emotion.intensity
        if key not in self._known:
            latents, speaker = (
                torch.from_numpy(part) for part in self._numbers(self._references.reference(voice, emotion))
            )
            self._known[key] = Conditioning(latents.to(self._device), speaker.to(self._device))
        return self._known[key]

    def _numbers(self, reference: Reference) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        path = self._cache / f"{self._model.digest[:_DIGITS]}-{reference.sha256[:_DIGITS]}.npz"
        numbers = self._read(path)
        if numbers is None:
            numbers = self._computed(reference)
            _write(path, *numbers)
        return numbers

    def _computed(self, reference: Reference) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        xtts, rate_hz = self._model.xtts, reference.waveform.sampling_rate_hz
        sound = torch.from_numpy(reference.waveform.samples)[None].to(self._device)
        length, chunk = xtts.config.gpt_cond_len, xtts.config.gpt_cond_chunk_len
        try:
            latents = xtts.get_gpt_cond_latents(sound, rate_hz, length=length, chunk_length=chunk)
            speaker = xtts.get_speaker_embedding(sound, rate_hz)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
        else:
            reason = "it gives numbers out of range"
            if latents.isfinite().all() and speaker.isfinite().all():
                return latents.cpu().numpy(), speaker.cpu().numpy()
        raise SynthesisError(
            f"XTTS cannot take after {', '.join(reference.files)} ({reason}): bring other clips of this voice"
        )

    def _read(self, path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as parts:
                latents, speaker = parts["latents"], parts["speaker"]
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        args = self._model.xtts.args
        shapes = latents.shape[::2], speaker.shape
        numbers = all(part.dtype == np.float32 and np.isfinite(part).all() for part in (latents, speaker))
        return (
            (latents, speaker)
            if numbers and shapes == ((1, args.gpt_n_model_channels), (1, args.d_vector_dim, 1))
            else None
        )


def _write(path: Path, latents: Any, speaker: Any) -> None:
    """Whole or not at all, for whoever reads at the same time; a cache that takes nothing more only costs time."""
    with suppress(OSError), NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.savez(file, latents=latents, speaker=speaker)
            file.close()
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)
