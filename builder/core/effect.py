"""What can be heard, compared: how far two emotions lie apart in one number, within the same voice.

A dataset that gives anger to deep voices differs in pitch without a trace of anger in it, and loudness is set once for each
speaker of a dialogue. So clips are compared with others of the same speaker in the same dialogue only: one linear model with
a term for every speaker of every dialogue, absorbed by taking away their mean, and one for every emotion.
Law of the file: memory does not grow with the clips, and where too little was heard nothing is said.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from builder.core.emotion import RAVDESS, Emotion, Ravdess
from builder.core.interval import Z_95

MIN_CLIPS = 5
"""Of either emotion; a contrast of fewer is not said."""
MIN_FREEDOM = 10
"""Degrees of freedom of the standard deviation; with fewer the interval would be too short."""


class Effect(NamedTuple):
    """How far the first emotion lies above the second, in standard deviations."""

    g: float
    low: float
    """Of the 95 % interval."""
    high: float
    first: int
    """Clips of the first emotion."""
    second: int


class Contrasts:
    """Compares one number between the labels of clips, within speakers.

    Args:
        labels: every label that a clip may have.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._place = {label: place for place, label in enumerate(labels)}
        size = len(self._place)
        self._within = np.zeros((size, size))
        self._moved = np.zeros(size)
        self._squares = 0.0
        self._freedom = 0
        self._clips = np.zeros(size, np.int64)

    def add(self, labels: Sequence[str], values: Sequence[float]) -> None:
        """Takes in the clips of one speaker of one dialogue.

        Args:
            labels: of each clip.
            values: finite numbers, as many.
        """
        if not values:
            return
        label = np.zeros((len(values), len(self._place)))
        label[np.arange(len(values)), [self._place[name] for name in labels]] = 1
        self._clips += label.sum(axis=0).astype(np.int64)
        label -= label.mean(axis=0)
        value = np.asarray(values) - np.mean(values)
        self._within += label.T @ label
        self._moved += label.T @ value
        self._squares += float(value @ value)
        self._freedom += len(values) - 1

    def effect(self, first: str, second: str) -> Effect | None:
        """Hedges' g of the first label over the second.

        The difference of the two least-squares means over the standard deviation that is left within speakers and labels, with
        Hedges' correction for small samples (1981). Its interval is normal, by the variance of Borenstein et al. (2009),
        equations 4.20 to 4.24, where the variance of the least-squares contrast takes the place of 1/n1 + 1/n2, and the degrees
        of freedom that of n1 + n2: with one speaker and two labels it is theirs.

        Returns:
            None where either label has fewer than `MIN_CLIPS` clips, the standard deviation fewer than `MIN_FREEDOM` degrees of
            freedom or no size, or no chain of speakers leads from one label to the other.
        """
        one, two = self._place[first], self._place[second]
        clips = int(self._clips[one]), int(self._clips[two])
        contrast = np.zeros(len(self._place))
        contrast[one], contrast[two] = 1, -1
        sizes, axes = np.linalg.eigh(self._within)
        axes = axes[:, sizes > 1e-9 * max(sizes[-1], 1.0)]  # the sums of a million clips are not exact
        inverse = axes @ np.linalg.inv(axes.T @ self._within @ axes) @ axes.T
        estimable = np.allclose(axes @ (axes.T @ contrast), contrast, atol=1e-6)
        freedom = self._freedom - axes.shape[1]
        if min(clips) < MIN_CLIPS or freedom < MIN_FREEDOM or not estimable:
            return None
        left = self._squares - float(self._moved @ inverse @ self._moved)
        if left <= 1e-12 * self._squares:
            return None
        d = float(contrast @ inverse @ self._moved) / math.sqrt(left / freedom)
        error = math.sqrt(float(contrast @ inverse @ contrast) + d * d / (2 * freedom))
        small = 1 - 3 / (4 * freedom - 1)
        return Effect(small * d, small * (d - Z_95 * error), small * (d + Z_95 * error), *clips)


class Number:
    """One number, such as `f0_median_hz`, over the clips of one dataset config.

    Args:
        labels: by kind, every label that a clip may have.
    """

    def __init__(self, labels: Mapping[str, Sequence[str]]) -> None:
        self.clips = 0
        """That have it."""
        self.mean = 0.0
        self._squares = 0.0
        self.contrasts = {kind: Contrasts(names) for kind, names in labels.items()}

    @property
    def sd(self) -> float:
        """The standard deviation over all clips; 0 of a single one."""
        return math.sqrt(self._squares / (self.clips - 1)) if self.clips > 1 else 0.0

    def count(self, value: float) -> None:
        """Takes in one clip, in one pass (Welford 1962)."""
        self.clips += 1
        step = value - self.mean
        self.mean += step / self.clips
        self._squares += step * (value - self.mean)


class Heard:
    """What was measured of the clips of one dataset config, number by number.

    A clip has three labels: its `emotion`; its `ravdess`, the class it was acted in; and the `arousal` of its emotion on
    Russell's circumplex, `high` from 0.5, `low` up to 0, `middle` between.

    Args:
        emotions: every emotion that a clip may have.
    """

    def __init__(self, emotions: Mapping[str, Emotion]) -> None:
        self._arousal = {name: _level(emotion.arousal) for name, emotion in emotions.items()}
        self._labels = {"emotion": tuple(emotions), "ravdess": RAVDESS, "arousal": ("low", "middle", "high")}
        self.numbers: dict[str, Number] = {}

    def add(
        self, emotions: Sequence[str], ravdess: Sequence[Ravdess], clips: Sequence[Mapping[str, float]]
    ) -> None:
        """Takes in one dialogue; its two speakers take turns.

        Frequencies (`_hz`) are averaged as they are and compared by their logarithms, as they are heard: a third is a third in
        any voice.

        Args:
            emotions: of each clip.
            ravdess: the acted class of each.
            clips: the numbers of each.
        """
        labels = {
            "emotion": emotions,
            "ravdess": ravdess,
            "arousal": [self._arousal[emotion] for emotion in emotions],
        }
        for name in dict.fromkeys(name for clip in clips for name in clip):
            number = self.numbers.setdefault(name, Number(self._labels))
            for speaker in (0, 1):
                having = [place for place in range(speaker, len(clips), 2) if name in clips[place]]
                values = [clips[place][name] for place in having]
                for value in values:
                    number.count(value)
                heard = [math.log(value) for value in values] if name.endswith("_hz") else values
                for kind, contrasts in number.contrasts.items():
                    contrasts.add([labels[kind][place] for place in having], heard)


def _level(arousal: float) -> str:
    if arousal >= 0.5:
        return "high"
    return "low" if arousal <= 0 else "middle"
