"""espeak-ng, in this process: the engine for rehearsals. It needs no model, no GPU and no network.

It is a formant synthesizer: clear, tireless and without a heart. What it speaks has the shape of the dataset,
not its worth. espeak-ng is GPL-3.0, so it comes with the extra `rehearsal` and is loaded on use.
Law of the file: the same line gives the same samples, bit for bit. The C library keeps the phase of its waves
in static memory, so it is loaded afresh for every clip, and one thread at a time speaks through it.
"""

import _ctypes
import asyncio
import ctypes
import html
import re
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, ClassVar, NamedTuple

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray

from builder.core.draw import Draw
from builder.core.speech import Line, Voice, Waveform
from builder.core.spoken import spoken
from builder.errors import ConfigError, SynthesisError, extra
from builder.plugins.tts import Engine, Synthesizer

_VARIANTS = {
    "female": tuple(f"f{number}" for number in range(1, 6)),
    "male": tuple(f"m{number}" for number in range(1, 9)),
}
_ACCENTS = ("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-029")

# Of speak_lib.h.
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_CHARACTERS, _UTF8 = 1, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

_QUIET = 60
"""The volume asked of the library: at 100, its default, some voices are cut off at full scale."""
_HIGHEST_PEAK = 0.97

_ONE_AT_A_TIME = threading.Lock()

_TAG = re.compile(r"""</?[A-Za-z][\w:-]*(?:\s+[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9A-Fa-f]+|[A-Za-z]\w*);")
_STARS = re.compile(r"\*+(?=\S)|(?<=\S)\*+")


class Espeak(Engine):
    """Speaks with espeak-ng."""

    rehearsal: ClassVar[bool] = True
    sampling_rate_hz: Annotated[int, msgspec.Meta(ge=8000, le=48000)] = 24000

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Synthesizer]:
        """Makes sure that the library loads and finds its voices.

        Raises:
            ConfigError: the extra is missing, or the library does not start.
        """
        version = await asyncio.to_thread(_version)
        yield _Espeak(f"espeak-ng {version}", self.sampling_rate_hz)


class _Espeak:
    """The engine, opened."""

    limit = 4

    def __init__(self, name: str, sampling_rate_hz: int) -> None:
        self.name = name
        self._sampling_rate_hz = sampling_rate_hz

    async def speak(self, line: Line) -> Waveform:
        """Speaks one line in a thread, at the engine's sampling rate, with a peak below full scale.

        Raises:
            SynthesisError: there is nothing in it to speak, or the library gives up.
        """
        return await asyncio.to_thread(self._speak, line)

    def _speak(self, line: Line) -> Waveform:
        manner = manner_of(line)
        pcm, rate_hz = _pcm(words(spoken(line.text)), manner, line.seed)
        sound = soxr.resample(pcm.astype(np.float32) / 32768, rate_hz, self._sampling_rate_hz, quality="HQ")
        peak = float(np.abs(sound).max(initial=0))
        gain = min(10 ** (manner.gain_db / 20), _HIGHEST_PEAK / peak) if peak else 0.0
        whole = Waveform(sound * np.float32(gain), self._sampling_rate_hz)
        heard = np.flatnonzero(whole.pcm())
        if not heard.size:
            raise SynthesisError(f"espeak-ng spoke {line.text!r} as silence: change the text")
        return Waveform(whole.samples[heard[0] : heard[-1] + 1], self._sampling_rate_hz)


class Manner(NamedTuple):
    """How a line is spoken."""

    voice: str
    """The accent and the variant, as the library names them: `en-us+f3`."""
    rate: int
    """Words a minute."""
    pitch: int
    """Base pitch, 0..99."""
    range: int
    """How far the pitch moves, 0..99."""
    gain_db: float
    """Level above what the library gives, in decibels."""


def manner_of(line: Line) -> Manner:
    """Who speaks comes from the voice's name and sex, how from the emotion, and a shade of it from the seed.

    Activation speeds a voice up, widens and raises its melody and makes it louder; pleasure brightens it, and
    displeasure gives it a little more force.
    """
    variant, accent, base = _timbre(line.voice)
    valence, arousal = line.emotion.valence, line.emotion.arousal
    draw = Draw(line.seed, "espeak")
    tempo, lift, spread = (2 * draw.uniform() - 1 for _ in range(3))
    return Manner(
        voice=f"{accent}+{variant}",
        rate=round((170 + 34 * arousal + 6 * valence) * (1 + 0.04 * tempo)),
        pitch=round(base + 12 * arousal + 12 * valence + 2 * lift),
        range=round(52 + 32 * arousal + 10 * valence + 4 * spread),
        gain_db=6 * arousal - 1.5 * valence - 3,
    )


def _timbre(voice: Voice) -> tuple[str, str, int]:
    draw = Draw(0, "espeak", voice.sex, voice.name)
    return draw.choice(_VARIANTS[voice.sex]), draw.choice(_ACCENTS), 38 + draw.index(15)


def words(text: str) -> str:
    """The text without what the library would read out though nobody would say it.

    It reads a tag, an entity, an asterisk and an emoji by name, and takes orders from control characters.

    Raises:
        SynthesisError: nothing is left to say.
    """
    plain = _TAG.sub(" ", text)
    plain = _ENTITY.sub(lambda entity: html.unescape(entity[0]), plain)
    plain = _STARS.sub("", "".join(map(_spoken, plain)))
    if not any(map(str.isalnum, plain)):
        raise SynthesisError(f"espeak-ng finds nothing to say in {text!r}: a turn needs a letter or a digit")
    return " ".join(plain.split())


def _spoken(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in {"Cf", "Me"} or "\ufe00" <= character <= "\ufe0f":  # joins or dresses the characters beside it
        return ""
    picture = kind in {"So", "Sk"} and character > "\u2190"  # below it: degrees, trade marks and the like
    return " " if picture or kind[0] == "C" else character


def _version() -> str:
    with _ONE_AT_A_TIME, _loaded() as (library, _):
        library.espeak_Info.restype = ctypes.c_char_p
        return str(library.espeak_Info(None).decode()).split()[0]


def _pcm(text: str, manner: Manner, seed: int) -> tuple[NDArray[np.int16], int]:
    """Speaks plain text.

    Returns:
        Samples of shape (samples,) and their sampling rate in hertz.
    """
    chunks: list[bytes] = []

    def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(take)
    spoken = text.encode()
    with _ONE_AT_A_TIME, _loaded() as (library, rate_hz):
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        library.espeak_SetSynthCallback(callback)
        failed = library.espeak_SetVoiceByName(manner.voice.encode())
        settings = {_RATE: manner.rate, _PITCH: manner.pitch, _RANGE: manner.range, _VOLUME: _QUIET}
        for parameter, value in settings.items():
            failed = failed or library.espeak_SetParameter(parameter, value, 0)
        failed = failed or library.espeak_Synth(
            spoken, ctypes.c_size_t(len(spoken) + 1), 0, _CHARACTERS, 0, _UTF8, None, None
        )
    if failed:
        raise SynthesisError(f"espeak-ng failed with code {failed} at {text!r} in voice {manner.voice!r}")
    return np.frombuffer(b"".join(chunks), "<i2").astype(np.int16), rate_hz


@contextmanager
def _loaded() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library as if nobody had ever spoken with it, and its sampling rate in hertz."""
    loader = extra("espeakng_loader", "rehearsal")
    data = loader.get_data_path()
    try:
        library = ctypes.CDLL(loader.get_library_path())
    except OSError as error:
        raise ConfigError(f"espeak-ng cannot be loaded ({error}): reinstall espeakng-loader") from None
    try:
        rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
        if rate_hz <= 0:
            raise ConfigError(
                f"espeak-ng does not start with the data in {data}: "
                "reinstall espeakng-loader, in a shorter path"
            )
        yield library, rate_hz
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)  # noqa: SLF001 - ctypes has no public way to unload
