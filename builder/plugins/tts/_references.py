"""Reference clips: how a voice sounds in an acted class, joined into the one waveform that an engine takes after.

A folder of RAVDESS speech (Livingstone and Russo 2018, doi 10.1371/journal.pone.0196391) is read by the names of its files,
`MM-VC-EE-II-SS-RR-AA.wav`: modality (03 is sound alone), vocal channel (01 is speech), emotion, intensity, statement, repetition,
actor. Its voices are `actor-01` to `actor-24`. Any other folder has a manifest, `references.toml`:

    [anna.happy]                                          # a voice of the study, and an acted class
    normal = ["anna/happy-1.wav", "anna/happy-2.flac"]    # beside it in the folder, in the order to be taken
    strong = ["anna/overjoyed.wav"]

Law of the file: a reference is one voice in one class, and the same files give the same samples.
"""

import hashlib
import io
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from builder.core.emotion import RAVDESS, Emotion, Ravdess
from builder.core.speech import Voice, Waveform
from builder.core.wav import is_wav, parse, rebuilt
from builder.errors import ConfigError, SynthesisError, nearest
from builder.files import listed, read_text
from builder.records import Record, convert

SAMPLING_RATE_HZ = 22050
"""Of every reference: what XTTS listens at."""

_MOST_S, _ENOUGH_S, _LEAST_S = 10.0, 3.0, 0.33
_PAUSE_S, _MARGIN_S = 0.2, 0.05
_SILENCE_DB = -40.0  # below the clip's own peak
_INAUDIBLE_DB = -60.0  # below full scale
_LEVEL_DB, _PEAK_DB = -20.0, -1.0

_MANIFEST = "references.toml"
_SPEECH = re.compile(r"0[13]-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])\.wav", re.IGNORECASE)
_STATEMENT, _REPETITION = 2, 3


class Acted(Record):
    """The clips of a voice in one class, by intensity: files in the folder, in the order they are taken."""

    normal: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Reference:
    """What an engine listens to before it speaks."""

    waveform: Waveform
    """Mono float32 at `SAMPLING_RATE_HZ`, of 0.33 to 10 s; each of its clips at the same level."""
    sha256: str
    """Of the samples as little-endian float32, in hexadecimal: the key of whatever is computed from nothing else."""
    files: tuple[str, ...]
    """The clips it is made of, in order, as they are named in the folder."""


class References:
    """The reference clips of a folder.

    Args:
        folder: RAVDESS speech, with its `Actor_NN` folders or without, or any clips beside a `references.toml`; where both are,
            the manifest holds.

    Raises:
        ConfigError: the folder is neither, or the manifest cannot be used as written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        manifest = folder / _MANIFEST
        self._acted = _listed(manifest) if manifest.is_file() else _ravdess(folder)

    def check(self, voices: Iterable[Voice], emotions: Iterable[Emotion]) -> None:
        """Makes sure, by names alone, that there is a clip of every voice in the class of every emotion.

        Raises:
            ConfigError: lists what is missing.
        """
        classes = sorted({emotion.ravdess for emotion in emotions}, key=RAVDESS.index)
        missing = []
        for voice in voices:
            acted = self._acted.get(voice.name, {})
            lacking = [name for name in classes if name not in acted]
            if lacking:
                missing.append(f"{voice.name!r} ({', '.join(lacking) if acted else 'any class'})")
        if missing:
            raise ConfigError(
                f"{self._folder}: no clips of {', '.join(missing)}: "
                "bring them, or leave the voices or the classes out of the study"
            )

    def reference(self, voice: Voice, emotion: Emotion) -> Reference:
        """A voice in the class and intensity that an emotion is acted in.

        Whole clips are joined as long as they fit into 10 s, 0.2 s of silence between two: first those of the emotion's
        intensity and, only if they are shorter than 3 s together, those of the other one. No class stands in for another.
        Each clip is trimmed to what is within 40 dB of its peak, with 50 ms on either side, and brought to -20 dBFS (root mean
        square, since a single plosive sets a peak), or less where its peak would pass -1 dBFS. The first 10 s of a longer clip
        are taken.

        Raises:
            ConfigError: there is no clip of this voice in this class.
            SynthesisError: a clip is damaged, cut off (which WAV, FLAC and MP3 tell) or silent, or all of them together are
                shorter than 0.33 s.
        """
        acted = self._clips_of(voice, emotion.ravdess)
        most, enough, least = (
            round(length_s * SAMPLING_RATE_HZ) for length_s in (_MOST_S, _ENOUGH_S, _LEAST_S)
        )
        silence = np.zeros(round(_PAUSE_S * SAMPLING_RATE_HZ), np.float32)
        chosen: dict[str, NDArray[np.float32]] = {}
        length = 0
        strong = emotion.intensity == "strong"
        for takes in (acted.strong, acted.normal) if strong else (acted.normal, acted.strong):
            if length >= enough:
                break
            for file in takes:
                clip = _clip(self._folder / file)[:most]
                if file not in chosen and length + len(clip) + len(silence) * len(chosen) <= most:
                    chosen[file] = clip
                    length += len(clip)
        if length < least:
            raise SynthesisError(
                f"{self._folder}: voice {voice.name!r} as {emotion.ravdess!r} has {length / SAMPLING_RATE_HZ:.2f} s of "
                f"sound in {', '.join(chosen)}: {_LEAST_S} s are needed, bring more or longer clips"
            )
        samples = np.concatenate([part for clip in chosen.values() for part in (silence, clip)][1:])
        return Reference(
            waveform=Waveform(samples, SAMPLING_RATE_HZ),
            sha256=hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest(),
            files=tuple(chosen),
        )

    def _clips_of(self, voice: Voice, ravdess: Ravdess) -> Acted:
        if voice.name not in self._acted:
            raise ConfigError(
                f"{self._folder}: no clips of voice {voice.name!r}: {nearest(voice.name, self._acted)}"
            )
        acted = self._acted[voice.name].get(ravdess)
        if acted is None:
            repair = f"bring 03-01-{RAVDESS.index(ravdess) + 1:02}-*-{voice.name[-2:]}.wav of RAVDESS"
            if (self._folder / _MANIFEST).is_file():  # it holds, whatever lies beside it
                repair = f"name some under [{voice.name}.{ravdess}] in {_MANIFEST}"
            raise ConfigError(f"{self._folder}: no clips of voice {voice.name!r} as {ravdess!r}: {repair}")
        return acted


_Voices = dict[str, dict[Ravdess, Acted]]
"""The clips of every voice in every class."""


def _ravdess(folder: Path) -> _Voices:
    """The speech of RAVDESS; where a take is there as sound alone and out of a film, sound alone is taken."""
    takes = {}
    found = listed([*folder.glob("*"), *folder.glob("Actor_*/*")])
    for path in sorted(found, key=lambda path: (path.name, path)):
        if name := _SPEECH.fullmatch(path.name):
            takes[name.groups()] = path.relative_to(folder).as_posix()
    if not takes:
        raise ConfigError(
            f"{folder}: neither RAVDESS speech (03-01-EE-II-SS-RR-AA.wav, in Actor_NN folders or without) nor "
            f"a {_MANIFEST}: name the folder that the archive was unpacked in, or write the manifest"
        )
    voices: dict[str, dict[str, dict[str, list[str]]]] = {}
    for take in sorted(
        takes, key=lambda take: (take[_REPETITION], take[_STATEMENT])
    ):  # both statements first
        emotion, intensity, *_, actor = take
        acted = voices.setdefault(f"actor-{actor}", {}).setdefault(RAVDESS[int(emotion) - 1], {})
        acted.setdefault("strong" if intensity == "02" else "normal", []).append(takes[take])
    return convert(voices, _Voices, str(folder))


def _listed(manifest: Path) -> _Voices:
    try:
        table = tomllib.loads(read_text(manifest))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{manifest}: cannot be read as TOML in UTF-8 ({error}): mend it") from None
    voices = convert(table, _Voices, str(manifest))
    for voice, classes in voices.items():
        for ravdess, acted in classes.items():
            files = (*acted.normal, *acted.strong)
            absent = [file for file in files if not (manifest.parent / file).is_file()]
            if absent or not files:
                reason = f"names the file {absent[0]!r}, which is not there" if absent else "names no file"
                raise ConfigError(
                    f"{manifest}: [{voice}.{ravdess}] {reason}: bring it, or take the entry out"
                )
    return voices


def _clip(path: Path) -> NDArray[np.float32]:
    """One clip, trimmed, levelled and resampled: of shape (samples,)."""
    sound, rate_hz = _read(path)
    peak = float(np.abs(sound).max(initial=0))
    if peak < _ratio(_INAUDIBLE_DB):
        raise SynthesisError(f"{path}: silent throughout: fetch it again, or take it out of the folder")
    heard = np.flatnonzero(np.abs(sound) >= peak * _ratio(_SILENCE_DB))
    margin = round(_MARGIN_S * rate_hz)
    spoken = sound[max(0, heard[0] - margin) : heard[-1] + 1 + margin]
    level = float(np.sqrt(np.mean(np.square(spoken, dtype=np.float64))))
    gain = min(_ratio(_LEVEL_DB) / level, _ratio(_PEAK_DB) / peak)
    clip: NDArray[np.float32] = soxr.resample(
        spoken * np.float32(gain), rate_hz, SAMPLING_RATE_HZ, quality="HQ"
    )
    return clip


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _read(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples of shape (samples,), all channels in one, without offset; and their sampling rate in hertz."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SynthesisError(f"{path}: {error.strerror}: bring it back") from None
    try:
        if is_wav(data) and (found := parse(data)).streamed:
            data = rebuilt(data, found)
    except ValueError as error:
        raise SynthesisError(f"{path}: {error}") from None
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            samples = sound.read(dtype="float32", always_2d=True)
            if len(samples) < sound.frames:
                raise SynthesisError(
                    f"{path}: cut off: {len(samples)} samples of {sound.frames} are there: fetch it again"
                )
            rate_hz = int(sound.samplerate)
    except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", error)
        raise SynthesisError(f"{path}: no sound that can be read ({reason}): fetch it again") from None
    if odd := int(np.count_nonzero(~np.isfinite(samples))):
        raise SynthesisError(f"{path}: {odd} samples are not finite: fetch or convert it again")
    mono = samples.mean(axis=1)
    return mono - (mono.mean() if mono.size else 0), rate_hz
