"""Prosody: how high, how loud, how lively and how fast a clip is spoken.

Fundamental frequency is found by autocorrelation (Boersma 1993), in a second pass only near what the first one found (De Looze
and Hirst 2008); syllables by the peaks of the level that are voiced (de Jong and Wempe 2009). Written here on numpy because
`librosa.yin` does not say what is voiced, takes twice as long, and compiles for seconds in every process.
Law of the file: silence before and after the speech changes no number; silence within it is a pause, and part of no level.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from builder.core.speech import Samples
from builder.plugins.measures import Gauge, Measure, Spoken, Weights

Floats = NDArray[np.float64]

_FULL_HZ = 24_000
_RATE_HZ = 8000  # enough for any voice's pitch
_LAG_HZ = (
    4 * _RATE_HZ
)  # the autocorrelation is interpolated, or a long period that falls on a sample would beat a short one
_HOP_S = 0.01
_QUIETEST_DB = -60.0  # relative to full scale: nothing fainter is speech
_VOICED = 0.45  # of a perfect period; Boersma's voicing threshold
_OCTAVE_COST = 0.01  # per octave, so that of equal candidates the higher frequency wins
_DIP_DB = 2.0  # between two syllables


class Prosody(Measure):
    """Pitch, level, rate and pauses, by signal processing alone: no model, no weights."""

    min_f0_hz: Annotated[float, msgspec.Meta(ge=40, le=300)] = 60.0
    """The lowest fundamental frequency looked for."""
    max_f0_hz: Annotated[float, msgspec.Meta(ge=200, le=1000)] = 500.0
    """The highest."""
    floor_db: Annotated[float, msgspec.Meta(gt=0, le=60)] = 35.0
    """What is quieter than the loudest 10 ms by more than this, in decibels, is a pause."""

    def __post_init__(self) -> None:
        if self.min_f0_hz >= self.max_f0_hz:
            raise ValueError(
                f"min_f0_hz is {self.min_f0_hz:g} and max_f0_hz is {self.max_f0_hz:g}: the minimum must be the smaller"
            )

    @contextmanager
    def open(self, weights: Weights | None) -> Iterator[Gauge]:  # noqa: ARG002 - it needs none
        """There is nothing to load."""
        yield _Prosody(self)


class _Prosody:
    def __init__(self, settings: Prosody) -> None:
        self._settings = settings

    def measure(self, clips: Sequence[Spoken]) -> list[Mapping[str, float]]:
        """Measures each clip for itself.

        Returns:
            `level_db`: root mean square of the speech without its pauses, relative to full scale; `level_sd_db`: the standard
            deviation of the level of its 10 ms; `characters_per_s`: of the text, from the first sound to the last;
            `syllables_per_s`: syllable nuclei as heard, likewise; `voiced_share`: of the speech, in [0, 1]; `pause_share`: of the
            time from the first sound to the last, in [0, 1]; `f0_median_hz`; `f0_range_semitones`: from the 10th to the 90th
            percentile. Nothing of a clip without a sound; no `f0` of one without a voice.
        """
        return [self._of(clip) for clip in clips]

    def _of(self, clip: Spoken) -> dict[str, float]:
        if not clip.samples.any():
            return {}
        sound = _whole(clip.samples, clip.sampling_rate_hz)
        level_db = _level_db(_windows(sound, _FULL_HZ, round(2 * _HOP_S * _FULL_HZ)))
        heard = level_db > max(float(level_db.max()) - self._settings.floor_db, _QUIETEST_DB)
        at = np.flatnonzero(heard)
        if not at.size:
            return {}
        seconds = float(at[-1] - at[0] + 1) * _HOP_S
        f0_hz = self._f0_hz(soxr.resample(sound, _FULL_HZ, _RATE_HZ))
        voiced = heard & np.isfinite(f0_hz)
        numbers = {
            "level_db": float(10 * np.log10(np.mean(10 ** (level_db[heard] / 10)))),
            "level_sd_db": float(np.std(level_db[heard])),
            "characters_per_s": len(clip.text) / seconds,
            "syllables_per_s": _syllables(level_db, voiced) / seconds,
            "voiced_share": float(voiced.sum() / heard.sum()),
            "pause_share": 1 - len(at) / float(at[-1] - at[0] + 1),
        }
        if voiced.any():
            low, median, high = np.percentile(f0_hz[voiced], (10, 50, 90))
            numbers["f0_median_hz"] = float(median)
            numbers["f0_range_semitones"] = float(12 * np.log2(high / low))
        return numbers

    def _f0_hz(self, sound: Floats) -> Floats:
        """The fundamental frequency of every 10 ms; not a number where there is no voice."""
        low, high = self._settings.min_f0_hz, self._settings.max_f0_hz
        periodicity = _periodicity(sound, low)
        first = _pick(periodicity, low, high)
        voiced = first[np.isfinite(first)]
        if not voiced.size:
            return first
        lower, upper = np.percentile(voiced, (25, 75))
        return _pick(periodicity, max(low, 0.75 * lower), min(high, 1.5 * upper))


def _whole(samples: Samples, sampling_rate_hz: int) -> Floats:
    """The sound at one rate, full scale at -1 and 1, with silence to a whole number of 10 ms, at least one."""
    padded = np.pad(samples / 32768, (0, max(0, round(_HOP_S * sampling_rate_hz) - len(samples))))
    sound = soxr.resample(padded, sampling_rate_hz, _FULL_HZ)
    return np.pad(sound, (0, -len(sound) % round(_HOP_S * _FULL_HZ)))


def _windows(sound: Floats, rate_hz: int, length: int) -> Floats:
    """A window around the middle of every 10 ms, of shape (hops, length); beyond either end there is silence."""
    hop = round(_HOP_S * rate_hz)
    padded = np.pad(sound, ((length - hop) // 2, length))
    return sliding_window_view(padded, length)[: len(sound) : hop]


def _level_db(windows: Floats) -> Any:
    return 10 * np.log10(np.mean(windows**2, axis=-1) + 1e-20)


def _periodicity(sound: Floats, min_f0_hz: float) -> Floats:
    """The normalised autocorrelation of every 10 ms, of shape (hops, lags), from lag 0 to one beyond the longest period.

    The window spans three of the longest periods. Its own autocorrelation is divided out (Boersma 1993, equation 9).
    """
    length = 2 * int(1.5 * _RATE_HZ / min_f0_hz)
    longest = int(_LAG_HZ / min_f0_hz)
    taper = np.hanning(length)
    windows = _windows(sound, _RATE_HZ, length)
    windows = (windows - windows.mean(axis=1, keepdims=True)) * taper
    own = _autocorrelation(taper[None], longest)
    both = _autocorrelation(windows, longest)
    return both / np.maximum(both[:, :1], 1e-12) / (own / own[:, :1])


def _autocorrelation(windows: Floats, longest: int) -> Floats:
    """From lag 0 to one beyond the longest."""
    length = windows.shape[1]
    size = -(-(length + length // 3 + 2) // 64) * 64  # no lag wraps around, and its factors are small
    power = np.abs(np.fft.rfft(windows, size)) ** 2
    return np.asarray(np.fft.irfft(power, size * _LAG_HZ // _RATE_HZ)[:, : longest + 2])


def _pick(periodicity: Floats, low_hz: float, high_hz: float) -> Floats:
    """The likeliest frequency of every hop between two bounds, in hertz; not a number where none is likely."""
    lags = np.arange(int(np.ceil(_LAG_HZ / high_hz)), int(_LAG_HZ / low_hz) + 1)
    before, here, after = (periodicity[:, lags[0] + step : lags[-1] + 1 + step] for step in (-1, 0, 1))
    likely = (here >= before) & (here > after) & (here > _VOICED)
    best = np.argmax(np.where(likely, here - _OCTAVE_COST * np.log2(lags), -np.inf), axis=1)
    return np.where(likely.any(axis=1), _LAG_HZ / lags[best], np.nan)


def _syllables(level_db: Floats, voiced: NDArray[np.bool_]) -> int:
    """Peaks of the level, of shape (hops,), that are voiced and between which it dips by 2 dB at least."""
    count, peak, rising = 0, 0, True
    dip = float(level_db[0])
    for hop, level in enumerate(level_db.tolist()):
        if rising and level > level_db[peak]:
            peak = hop
        elif rising and level < level_db[peak] - _DIP_DB:
            count += bool(voiced[peak])
            rising, dip = False, level
        elif not rising:
            dip = min(dip, level)
            if level > dip + _DIP_DB:
                rising, peak = True, hop
    return count + bool(rising and voiced[peak])
