"""Orpheus-3B: a language model that speaks, by a server or in this process, and SNAC, which makes its tokens sound.

A turn is cut into pieces that fit what the model may generate, and their sounds are joined. A generation that loops, does not
end, says nothing or is silent is made again with a new seed. Needs the extra `orpheus`. The checkpoint is a fine-tune of Llama
3.2, whose terms apply; SNAC is under MIT.
Law of the file: a line's samples come from the line alone; every seed is drawn from the line's.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.draw import seed_of
from builder.core.emotion import Emotion
from builder.core.speech import Line, Sampling, Voice, Waveform
from builder.core.spoken import spoken
from builder.errors import ConfigError, SynthesisError, extra, nearest
from builder.plugins import precision
from builder.plugins.tts import Engine, Synthesizer
from builder.plugins.tts._sentences import pieces
from builder.plugins.tts.orpheus.served import open_tgi, open_vllm
from builder.plugins.tts.orpheus.tokens import (
    SAMPLING_RATE_HZ,
    TAGS,
    TOKENS_PER_S,
    VOICES,
    Generation,
    fault,
    parse,
    prompt,
)
from builder.remote import Remote, base
from builder.remote.batches import Batches

_TGI_MAX_TOKENS = 1024
"""What TGI is asked for beyond it is generated in parts, each begun from text instead of ids."""
_SAMPLING = Sampling(temperature=0.6, top_p=0.9, top_k=None, repetition_penalty=1.1)
"""The checkpoint's README and package, but for their penalty of 1.3; at least 1.1 is needed for stable speech."""
_SLOW_CHARACTERS_PER_S = 12
"""Slower than the voices speak (14.1 characters a second in the published recordings)."""
_GENERATIONS = 3
"""How often a piece is asked for before its line cannot be spoken."""
_FAINTEST_DB = -50.0
_MARK = re.compile(r"<\|?/?\w+\|?>")
"""A tag, or a special token spelt out: what a turn says is never an order."""


class _Model(Protocol):
    checkpoint: str
    limit: int

    async def generate(self, prompt: str, sampling: Sampling, seed: int, max_tokens: int) -> Generation: ...


class Orpheus(Remote, Engine, kw_only=True):
    """Speaks with Orpheus-3B."""

    api: Literal["tgi", "vllm", "transformers"]
    """What generates: a server of TGI or vLLM at `url`, or `transformers` in this process."""
    url: str | None = None
    """The server's address, such as `http://node7:8080`."""
    checkpoint: str = "canopylabs/orpheus-3b-0.1-ft"
    """What speaks, on the Hub."""
    path: str | None = None
    """For `transformers`: a folder that holds the checkpoint, or a repository to take instead."""
    snac: str = "hubertsiuzdak/snac_24khz"
    """A folder that holds SNAC at 24 kHz, or its repository on the Hub."""
    device: str | None = None
    """Of SNAC, and of `transformers`, as PyTorch says it; by default the GPU where there is one, else the CPU."""
    dtype: precision.Precision = "auto"
    """For `transformers`: `auto` is what the checkpoint was saved in, or float32 on a CPU that cannot work in that."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 8
    """Clips that a GPU decodes at once, and prompts that `transformers` generates from at once; memory grows with it."""
    max_tokens: Annotated[int, msgspec.Meta(ge=256, le=4096)] = _TGI_MAX_TOKENS
    """Of one generation, 82 to a second of speech. A turn with more to say is spoken in pieces."""

    def __post_init__(self) -> None:
        if self.api == "transformers":
            if self.url is not None:
                raise ValueError("api = 'transformers' speaks in this process: leave out url")
            return
        if self.url is None:
            raise ValueError(f"api = {self.api!r} needs the url of a server")
        base(self.url)
        if self.path is not None:
            raise ValueError(f"api = {self.api!r} speaks where the server is: leave out path")
        if self.api == "tgi" and self.max_tokens > _TGI_MAX_TOKENS:
            raise ValueError(
                f"max_tokens is {self.max_tokens}: TGI generates {_TGI_MAX_TOKENS} at most in one go"
            )

    def prepare(self, voices: Sequence[Voice], emotions: Sequence[Emotion]) -> None:
        """Looks whether these are the checkpoint's own voices, and whether the CPU can work in `dtype`.

        Raises:
            ConfigError: one is not, or it cannot.
        """
        if self.url is None and self.dtype in precision.HALF:
            precision.device(extra("torch", "orpheus"), self.device, self.dtype)
        for voice in voices:
            _check_voice(voice)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Synthesizer]:
        """Reaches the server or loads the model, and loads SNAC.

        Raises:
            ConfigError: the settings cannot work here, such as a missing extra, token or weights.
            EndpointError: the server cannot be reached.
            ProtocolError: what answers does not speak the protocol, or serves another model.
        """
        extra("torch", "orpheus")
        from builder.plugins.tts.orpheus.snac import Codes, load

        async with AsyncExitStack() as opened:
            model = await opened.enter_async_context(self._model())
            codec = await asyncio.to_thread(load, self.snac, self.device, self.batch)
            decoding = await opened.enter_async_context(
                Batches(f"SNAC {codec.name}", codec.decode, self.batch)
            )

            async def decode(codes: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
                return await decoding.ask(Codes(codes, seed))

            name = f"orpheus {model.checkpoint} with SNAC {codec.name}"
            yield _Orpheus(name, model.limit, self.max_tokens, model, decode)

    def _model(self) -> AbstractAsyncContextManager[_Model]:
        if self.url is not None:
            return (open_tgi if self.api == "tgi" else open_vllm)(self.url, self, self.checkpoint)
        from builder.plugins.tts.orpheus.local import open_local

        return open_local(self.path or self.checkpoint, self.checkpoint, self.device, self.dtype, self.batch)


def _check_voice(voice: Voice) -> None:
    if voice.name not in VOICES:
        raise ConfigError(f"Orpheus has no voice {voice.name!r}: {nearest(voice.name, VOICES)}")


class _Decode(Protocol):
    async def __call__(self, codes: NDArray[np.int64], seed: int) -> NDArray[np.float32]: ...


@dataclass
class _Orpheus:
    """The engine, opened."""

    name: str
    limit: int
    max_tokens: int
    model: _Model
    decode: _Decode

    async def speak(self, line: Line) -> Waveform:
        """Speaks one line, its pieces at once.

        Raises:
            ConfigError: it has no such voice or tag; nothing was asked.
            SynthesisError: there is nothing in it to speak, or a piece of it failed in every generation.
            EndpointError: the server is unreachable, overloaded or failing.
            ProtocolError: the server refused the request or answered what its protocol does not allow.
        """
        _check_voice(line.voice)
        tags = ["", *(f"<{tag}>" for tag in TAGS)]
        if line.tag not in tags:
            raise ConfigError(f"Orpheus has no tag {line.tag!r}: {nearest(line.tag, tags[1:])}")
        room = int(self.max_tokens / TOKENS_PER_S * _SLOW_CHARACTERS_PER_S)
        parts = pieces(spoken(_MARK.sub(" ", line.text)), room)
        if not parts:
            raise SynthesisError(
                f"Orpheus finds nothing to say in {line.text!r}: a turn needs a letter or a digit"
            )
        speaking = [asyncio.create_task(self._speak(line, place, part)) for place, part in enumerate(parts)]
        try:
            sounds = await asyncio.gather(*speaking)
        finally:
            # Of a line that failed nothing more is asked, and nothing goes on once the engine is closed.
            for piece in speaking:
                piece.cancel()
            await asyncio.gather(*speaking, return_exceptions=True)
        return Waveform(np.concatenate(sounds), SAMPLING_RATE_HZ)

    async def _speak(self, line: Line, place: int, part: str) -> NDArray[np.float32]:
        """Speaks one piece; the tag goes before the first."""
        asked = prompt(part, line.voice.name, line.tag if place == 0 else "")
        found = None
        for attempt in range(_GENERATIONS):
            seed = seed_of(line.seed, "orpheus", str(place), str(attempt))
            generation = await self.model.generate(asked, line.sampling or _SAMPLING, seed, self.max_tokens)
            speech = parse(generation.tokens)
            found = fault(generation, speech)
            if found is None:
                samples = await self.decode(speech.codes, seed)
                level_db = 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)
                if level_db >= _FAINTEST_DB:
                    return samples
                found = f"silence, at {level_db:.0f} dB"
        raise SynthesisError(
            f"Orpheus failed {_GENERATIONS} times at {part!r} in voice {line.voice.name!r}, at last by {found}"
        )
