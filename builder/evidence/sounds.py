"""Sounds: what was heard in the recordings of one dataset config, emotion against emotion, and how often they had to be spoken.

Law of the file: it counts what the ledgers say of clips, and opens none.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from builder.core.effect import Effect, Heard
from builder.run.folder import Run

_CONTRASTS = {
    "angry over sad": ("emotion", "angry", "sad"),
    "excited over relaxed": ("emotion", "excited", "relaxed"),
    "acted angry over sad": ("ravdess", "angry", "sad"),
    "high over low arousal": ("arousal", "high", "low"),
}


class Loudness:
    """How loud clips are, counted by whole LUFS."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    @property
    def clips(self) -> int:
        """How many were measured."""
        return self.counts.total()

    def quantile(self, share: float) -> int:
        """The loudness that this share of the clips does not exceed.

        Args:
            share: in (0, 1]; there must be a clip.
        """
        steps = sorted(self.counts)
        reached = accumulate(self.counts[step] for step in steps)
        return next(step for step, seen in zip(steps, reached, strict=True) if seen >= share * self.clips)


class Sound:
    """What was heard in the clips of one config.

    Args:
        run: whose clips they are.
        config: which of them.
    """

    def __init__(self, run: Run, config: str) -> None:
        emotions = run.study.vocabulary.emotions
        self.heard = Heard(emotions)
        self.contrasts = {
            title: (kind, first, second)
            for title, (kind, first, second) in _CONTRASTS.items()
            if kind != "emotion" or {first, second} <= set(emotions)
        }
        """By title: two labels of a kind, of which the first is expected to lie higher in pitch, level and pace."""
        self.recordings = self.measured = self.clips = self.again = self.flagged = 0
        self.loudness = Loudness()
        self.engines: set[str] = set()
        self.acted: Counter[str] = Counter()
        """Clips by acted class."""
        self.faults: Counter[str] = Counter()
        """Attempts that failed, by check."""
        self.found: Counter[str] = Counter()
        """Clips taken in as they were published, by what is wrong with them; there are `flagged` of them."""
        self.not_run: Counter[tuple[str, str]] = Counter()
        """Recordings by measure that did not run and by reason."""
        self.failures = Counter(
            failure.boundary
            for failure in run.failures.unresolved(f"synthesize-{config}")
            if failure.id not in run.recordings[config]
        )
        """Dialogues that could not be spoken, by boundary."""
        self._recordings = run.recordings[config]
        self._measured = run.measured(config)

    def add(self, id: str, emotions: Sequence[str]) -> None:
        """Counts one recording.

        Args:
            id: of the dialogue.
            emotions: of its turns.
        """
        self.recordings += 1
        recording = self._recordings[id]
        self.engines.add(recording.engine)
        for clip in recording.clips:
            self.clips += 1
            self.acted[clip.ravdess] += 1
            if clip.loudness_lufs is not None:
                self.loudness.counts[round(clip.loudness_lufs)] += 1
            self.again += clip.attempts > 1
            if clip.attempts > 1:
                self.faults.update(clip.faults)
            elif clip.faults:
                self.flagged += 1
                self.found.update(clip.faults)
        measured = self._measured.get(id)
        if measured is None:
            return
        self.not_run.update(measured.not_run.items())
        self.measured += bool(measured.done)
        self.heard.add(emotions, [clip.ravdess for clip in recording.clips], measured.clips)

    @property
    def usual(self) -> str:
        """The acted class of most clips, the first by name where there are as many."""
        return by_count(self.acted)[0][0]

    def effects(self, number: str) -> list[Effect | None]:
        """The contrasts of one number, in order; None where there is too little to compare."""
        of = self.heard.numbers[number].contrasts
        return [of[kind].effect(first, second) for kind, first, second in self.contrasts.values()]


def by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most first, and by name where they are as many."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
