"""Speech: who speaks, what was recorded, and how turns join into a dialogue and come apart again.

The pause rule is read off the published recordings (204 of 204 turns): digital silence of 0.2 s after a turn that ends in
a question mark, 0.3 s after any other, 0.5 s after the last; turns never overlap. The published silences keep the rule
to within 4 ms (4,798 samples for 4,800), so the exact count stands beside every clip.
Law of the file: samples are 16-bit integers, mono, and are never changed, only laid side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from builder.core.draw import Draw
from builder.core.emotion import Emotion, Ravdess
from builder.core.stop import asks
from builder.core.values import Count, Nucleus
from builder.records import Record

SLACK_S = 0.01
"""How far a published silence may be from the rule, in seconds."""

Samples = NDArray[np.int16]
"""Mono PCM of shape (samples,)."""


Sex = Literal["female", "male"]


class Voice(Record):
    """A voice that a speaker keeps throughout a dialogue."""

    name: str
    sex: Sex


class Sampling(Record):
    """How an engine that samples does it. There are no defaults: what suits one engine ruins another."""

    temperature: Annotated[float, msgspec.Meta(gt=0, le=5)]
    top_p: Nucleus
    """The nucleus, in (0, 1]."""
    repetition_penalty: Annotated[float, msgspec.Meta(ge=1, le=100)]
    top_k: Count | None = None
    """The likeliest tokens to draw from; None draws from all."""


class Mastering(Record):
    """How the clips of a config are finished once they passed their checks."""

    lead_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    """Sound begins so long after the clip does."""
    tail_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.15
    """The clip ends so long after its sound does."""
    loudness_lufs: Annotated[float, msgspec.Meta(ge=-60, lt=0)] = -20.0
    """Of all clips of a speaker in a dialogue together, after EBU R128: one gain for them all, so that anger stays louder than
    sadness."""
    peak_db: Annotated[float, msgspec.Meta(ge=-20, le=0)] = -1.0
    """The highest true peak, in decibels relative to full scale; a speaker who would pass it is made as loud as it allows."""


class Line(Record):
    """One turn, ready to be spoken."""

    text: str
    voice: Voice
    emotion: Emotion
    seed: int
    """In 0..2**31 - 1."""
    tag: str = ""
    """The emotive tag of an engine that has some, such as `<laugh>`."""
    sampling: Sampling | None = None
    """None leaves it to the engine."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """Sound in memory."""

    samples: NDArray[np.float32]
    """Mono, of shape (samples,), full scale at -1 and 1."""
    sampling_rate_hz: int
    fault: str = ""
    """What the engine knows to be wrong with it, in a few words: it is spoken again, as where it fails a check."""

    def pcm(self) -> Samples:
        """The same sound in 16 bits, rounded; what is beyond full scale is held at it."""
        scaled: Samples = np.clip(np.rint(self.samples * 32767.0), -32768, 32767).astype(np.int16)
        return scaled


@dataclass(frozen=True, eq=False)
class Take:
    """A clip on its way into a recording, with what the recording says of it; `Clip` has the meanings."""

    samples: Samples
    """At least one."""
    pause_samples: int
    ravdess: Ravdess
    attempts: int = 1
    faults: tuple[str, ...] = ()
    loudness_lufs: float | None = None
    gain_db: float = 0.0


class Clip(Record):
    """One spoken turn, lying in one of the run's audio files."""

    ravdess: Ravdess
    """The acted class it was to be spoken in."""
    file: str
    offset: int
    """First byte of its FLAC in the file."""
    num_bytes: int
    num_samples: int
    pause_samples: int
    """The digital silence after it."""
    sha256: str
    """Of the samples as 16-bit little-endian PCM."""
    attempts: int = 1
    """How often the turn was spoken until its clip passed every check."""
    faults: tuple[str, ...] = ()
    """The check that each attempt before failed, by name; of a clip that was ingested, all that it fails itself."""
    loudness_lufs: float | None = None
    """Of the clip as it is, after EBU R128; None where it was not measured, or is too short or too quiet to be."""
    gain_db: float = 0.0
    """What it was made louder by, the same for all clips of a speaker in a dialogue."""
    flac_sha256: str = ""
    """Of its FLAC, as `sha256`; empty in what was recorded before it was kept."""


class Recording(Record):
    """A whole dialogue, spoken."""

    id: str
    engine: str
    """What spoke, with its version."""
    rehearsal: bool
    """Whether a stand-in spoke: same schema, not training data."""
    first_voice: str
    second_voice: str
    sampling_rate_hz: int
    clips: tuple[Clip, ...]
    """One a turn, in order."""
    number: int = 0
    """Of the recordings of the dialogue: the highest counts, for those before it were damaged."""


class Measured(Record):
    """What was measured of a recording."""

    id: str
    clips: tuple[dict[str, float], ...]
    """Numbers by name, of each clip in order; one that a clip does not have is left out."""
    done: tuple[str, ...]
    """The measures they come from."""
    not_run: dict[str, str] = {}
    """The measures that were wanted and did not run, with the reason."""


def cast_voices(id: str, voices: tuple[Voice, ...], seed: int) -> tuple[Voice, Voice]:
    """Two clearly different voices for a dialogue, drawn from its own seed: of different sex where the cast has both.

    Sex is the one clear difference that is known without hearing them.

    Args:
        id: of the dialogue.
        voices: at least two.
        seed: the study's.
    """
    draw = Draw(seed, "voices", id)
    first = draw.choice(voices)
    others = [voice for voice in voices if voice.sex != first.sex]
    return first, draw.choice(others or [voice for voice in voices if voice != first])


def pauses(texts: tuple[str, ...], sampling_rate_hz: int) -> list[int]:
    """The samples of silence after each turn."""
    seconds = [0.2 if asks(text) else 0.3 for text in texts[:-1]] + [0.5]
    return [round(length * sampling_rate_hz) for length in seconds]


def timeline(clips: tuple[Clip, ...], sampling_rate_hz: int) -> list[tuple[float, float]]:
    """Start and end of every clip in seconds from the start of its dialogue."""
    times, at = [], 0
    for clip in clips:
        times.append((at / sampling_rate_hz, (at + clip.num_samples) / sampling_rate_hz))
        at += clip.num_samples + clip.pause_samples
    return times


def join(clips: Sequence[Samples], silences: Sequence[int]) -> Samples:
    """The full recording: every clip with the samples of silence after it."""
    parts = [
        part
        for clip, silence in zip(clips, silences, strict=True)
        for part in (clip, np.zeros(silence, np.int16))
    ]
    return np.concatenate(parts)


def cut(full: Samples, texts: tuple[str, ...], sampling_rate_hz: int) -> tuple[list[Samples], list[int]]:
    """Takes a full recording apart at the digital silences between its turns.

    Args:
        full: of shape (samples,).
        texts: of the turns, in order.
        sampling_rate_hz: of the recording.

    Returns:
        The clips, and the samples of silence after each: what `join` takes.

    Raises:
        ValueError: the silences do not fit the turns, or fit them in more than one way.
    """
    *between, last = pauses(texts, sampling_rate_hz)
    slack = round(SLACK_S * sampling_rate_hz)
    silent = np.concatenate([[False], full == 0, [False]])
    edges = np.flatnonzero(silent[1:] != silent[:-1])
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    if not runs or runs[-1][1] != len(full) or abs(runs[-1][1] - runs[-1][0] - last) > slack:
        raise ValueError(f"it does not end in {last / sampling_rate_hz:.1f} s of digital silence")
    inner = [run for run in runs[:-1] if run[0] > 0]
    earliest = _fit(inner, between, slack)
    latest = _fit(inner[::-1], between[::-1], slack)[::-1]
    if len(earliest) < len(between) or earliest != latest:
        ways = "no way" if len(earliest) < len(between) else "more than one way"
        raise ValueError(f"its silences fit its {len(texts)} turns in {ways}")
    gaps = [*earliest, runs[-1]]
    begins = [0, *(stop for _, stop in gaps)]
    clips = [full[begin:start] for begin, (start, _) in zip(begins, gaps, strict=False)]
    return clips, [stop - start for start, stop in gaps]


def _fit(runs: list[tuple[int, int]], wanted: list[int], slack: int) -> list[tuple[int, int]]:
    """The first runs, in order, of the wanted lengths; fewer than wanted where they do not all fit.

    Taken from either end these are the outermost ways to fit, so that there is one way only where the two agree.
    """
    rest = iter(runs)
    fitting: list[tuple[int, int]] = []
    for length in wanted:
        fitting += islice((run for run in rest if abs(run[1] - run[0] - length) <= slack), 1)
    return fitting


def find(full: Samples, clips: Sequence[Samples], texts: tuple[str, ...], sampling_rate_hz: int) -> list[int]:
    """The samples of silence after each clip, so that `join` gives back the full recording exactly.

    Raises:
        ValueError: the clips are not those of the recording, in this order and with the pauses of the rule.
    """
    slack = round(SLACK_S * sampling_rate_hz)
    silences: list[int] = []
    at = 0
    for position, (clip, pause) in enumerate(zip(clips, pauses(texts, sampling_rate_hz), strict=True)):
        if not np.array_equal(full[at : at + len(clip)], clip):
            raise ValueError(f"clip {position + 1} is not where the full recording has turn {position + 1}")
        at += len(clip)
        following = clips[position + 1] if position + 1 < len(clips) else None
        for silence in sorted(
            range(pause - slack, pause + slack + 1), key=lambda length: abs(length - pause)
        ):
            begin = at + silence
            fits = (
                begin == len(full)
                if following is None
                else np.array_equal(full[begin : begin + len(following)], following)
            )
            if fits and not full[at:begin].any():
                silences.append(silence)
                at = begin
                break
        else:
            raise ValueError(
                f"after turn {position + 1} it does not pause for {pause / sampling_rate_hz:.1f} s"
            )
    return silences


def fullest(measured: Sequence[Measured]) -> Measured:
    """Of what several processes measured of one recording the record that says most; the first of those that say as much."""
    return max(measured, key=lambda record: len(record.done))
