"""A small folder of RAVDESS: its names, its format and its silences, with a hum in place of every actor.

Law of the file: every take hums at a pitch of its own, so that one hears in a reference what it was made of.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from builder.core.emotion import RAVDESS, Ravdess

RATE_HZ = 48000


def name_of(
    actor: int,
    ravdess: Ravdess,
    intensity: int = 1,
    statement: int = 1,
    repetition: int = 1,
    modality: int = 3,
) -> str:
    """The file's name: modality, vocal channel (speech), emotion, intensity, statement, repetition, actor."""
    codes = (modality, 1, RAVDESS.index(ravdess) + 1, intensity, statement, repetition, actor)
    return "-".join(f"{code:02}" for code in codes) + ".wav"


def pitch_hz(name: str) -> float:
    """What the take of this name hums at: men around 100 Hz, women around 200 Hz; no two takes of a sex within 0.4 %."""
    _, _, emotion, intensity, statement, repetition, actor = map(int, name.removesuffix(".wav").split("-"))
    take = 4 * (intensity - 1) + 2 * (statement - 1) + repetition - 1
    return (100 if actor % 2 else 200) * 1.004 ** (8 * (emotion - 1) + take + 64 * ((actor - 1) // 2 % 2))


def hum(name: str, speech_s: float = 1.7, silence_s: float = 1.0, level: float = 0.2) -> np.ndarray:
    """One take at 48 kHz, of shape (samples,): syllables of a voice, with the hiss of a quiet room all the time."""
    seconds = np.arange(round(speech_s * RATE_HZ)) / RATE_HZ
    tones = (
        np.sin(2 * np.pi * harmonic * pitch_hz(name) * seconds) / harmonic**1.5 for harmonic in range(1, 6)
    )
    syllables = 0.6 + 0.4 * np.cos(2 * np.pi * 4 * seconds)
    silence = np.zeros(round(silence_s * RATE_HZ))
    sound = np.concatenate([silence, level * syllables * sum(tones), silence])
    return sound + 2e-4 * np.random.default_rng(0).uniform(-1, 1, len(sound)) * level


def make_ravdess(
    folder: Path,
    actors: Iterable[int] = (1, 2),
    classes: Iterable[Ravdess] = ("neutral", "happy"),
    *,
    speech_s: float = 1.7,
    subfolders: bool = True,
) -> Path:
    """Writes all takes of some actors in some classes: two statements, twice, in two intensities (one if neutral).

    Args:
        folder: where; it is made.
        actors: numbers in 1..24.
        classes: of the eight.
        speech_s: how long each speaks, between two seconds of silence.
        subfolders: whether each actor has an `Actor_NN` folder, as in the published archive.

    Returns:
        The folder.
    """
    for actor, ravdess, intensity in itertools.product(actors, classes, (1, 2)):
        if ravdess == "neutral" and intensity == 2:
            continue
        home = folder / f"Actor_{actor:02}" if subfolders else folder
        home.mkdir(parents=True, exist_ok=True)
        for statement, repetition in itertools.product((1, 2), (1, 2)):
            name = name_of(actor, ravdess, intensity, statement, repetition)
            sound = hum(name, speech_s, level=0.05 * intensity * actor)
            soundfile.write(home / name, sound.clip(-1, 1), RATE_HZ, subtype="PCM_16")
    return folder
