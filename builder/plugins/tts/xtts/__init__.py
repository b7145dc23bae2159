"""XTTS-v2 in continuous batches: a voice that takes after a reference clip in each emotion, on a GPU of one's own or a CPU.

The turns of many dialogues decode together, and a turn that ends makes room for the next. The engine needs a folder with the
model (config.json, model.pth and vocab.json of https://huggingface.co/coqui/XTTS-v2, under the CPML, which allows non-commercial
use only) and a folder of reference clips. It comes with the extra `xtts`; nothing is downloaded.
Law of the file: on the CPU in float32 a line gives the same samples, bit for bit, alone or in any company, whatever `batch` is.
On a GPU, and in half precision, the company can move a sum by its last bit, and so now and then a draw.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from builder.core.emotion import Emotion
from builder.core.speech import Voice
from builder.errors import ConfigError, extra
from builder.plugins import precision
from builder.plugins.tts import Engine, Synthesizer
from builder.plugins.tts._references import References
from builder.plugins.tts.xtts.model import check

if TYPE_CHECKING:
    from builder.plugins.tts.xtts.synthesizer import XttsSynthesizer

_VOICED_TOGETHER = 16
"""Clips that the vocoder speaks at once on a GPU, which the layers of one short clip would leave idle."""


class Xtts(Engine):
    """Speaks with XTTS-v2."""

    path: str
    """The folder with the model's config.json, model.pth and vocab.json."""
    references: str
    """The folder with the reference clips: RAVDESS's, or any beside a references.toml."""
    device: str | None = None
    """As PyTorch says it, such as `cuda:1`; by default the GPU where there is one, else the CPU."""
    dtype: precision.Precision = "auto"
    """Of the GPT. `auto` is float16 on a GPU, nearer to float32 than bfloat16 and what the library's own acceleration takes, and
    float32 on the CPU. The vocoder and what listens to the references are float32 anywhere."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """Pieces of text that decode at once; by default 64 on a GPU, 8 on the CPU. It is halved where memory runs out."""
    language: str = "en"
    """As the model calls it."""
    cache: str | None = None
    """The folder that keeps what is computed of each reference; by default one in the user's own cache."""

    def prepare(self, voices: Sequence[Voice], emotions: Sequence[Emotion]) -> None:
        """Looks whether there are the model's files, and a reference clip of every voice in the class of every emotion.

        Raises:
            ConfigError: says what is missing, or that the CPU cannot work in `dtype`.
        """
        if self.dtype in precision.HALF:
            precision.device(extra("torch", "xtts"), self.device, self.dtype)
        check(Path(self.path))
        References(Path(self.references)).check(voices, emotions)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Synthesizer]:
        """Loads the model and starts the thread that works it.

        Raises:
            ConfigError: a folder does not hold what it should, the extra is missing, or the model does not fit the device.
        """
        synthesizer = await asyncio.to_thread(self._load)
        try:
            yield synthesizer
        finally:
            await asyncio.to_thread(synthesizer.close)

    def _load(self) -> "XttsSynthesizer":
        torch = extra("torch", "xtts")
        name = precision.device(torch, self.device, self.dtype)
        references = References(Path(self.references))
        cache = Path(self.cache) if self.cache else _user_cache() / "deepdialogue" / "xtts"
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cache {str(cache)!r} cannot be made: {error.strerror}: name a folder that can"
            ) from None
        from builder.plugins.tts.xtts.conditioning import Conditioner
        from builder.plugins.tts.xtts.decoder import Decoder
        from builder.plugins.tts.xtts.gpt import Gpt
        from builder.plugins.tts.xtts.model import load
        from builder.plugins.tts.xtts.synthesizer import XttsSynthesizer
        from builder.plugins.tts.xtts.vocoder import Vocoder

        model = load(Path(self.path), self.language)
        try:
            device = torch.device(name)
            dtype = self.dtype if self.dtype != "auto" else "float16" if device.type == "cuda" else "float32"
            gpt = Gpt(model.xtts.gpt, device, getattr(torch, dtype))
            model.xtts.to(device)
            together = _VOICED_TOGETHER if device.type == "cuda" else 1
            vocoder = Vocoder(model.xtts.hifigan_decoder, device, together)
        except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch is built without it
            raise ConfigError(f"device {name!r} cannot take XTTS: {str(error).splitlines()[0]}") from None
        rows = self.batch or (64 if device.type == "cuda" else 8)
        conditioner = Conditioner(model, references, cache, device)
        return XttsSynthesizer(model, conditioner, Decoder(gpt, vocoder, rows), rows)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
