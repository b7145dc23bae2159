"""Measures: what can be heard in a clip, as numbers. The folder is the registry: one file, one `Measure` record.

    [measures.prosody]          # in a study: what is measured
    max_f0_hz = 500.0           # the record's fields are its settings

    [measures.transcript]       # in a site: where the weights are that a measure needs
    path = "/models/whisper-large-v3"

Law of the folder: a measure says numbers and decides nothing; what it has no weights for here, it did not run, and says so.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from builder.core.speech import Samples, Voice
from builder.records import Record


@dataclass(frozen=True, eq=False)
class Spoken:
    """One clip, as a measure is given it."""

    samples: Samples
    """Mono PCM of shape (samples,)."""
    sampling_rate_hz: int
    text: str
    voice: Voice | None
    """None where the study does not know it."""


class Weights(Record):
    """Where a site has a model that measures."""

    path: str
    """A folder, a file, or a repository of the Hub, as the measure says."""
    device: str = "cpu"
    """Such as `cuda:1`."""


class Gauge(Protocol):
    """An opened measure."""

    def measure(self, clips: Sequence[Spoken]) -> list[Mapping[str, float]]:
        """Measures the clips of one dialogue, in order.

        Returns:
            For each, numbers by name, with their unit in it (`f0_median_hz`); a number that a clip does not have, such as the
            pitch of a whisper, is left out.
        """
        ...


class Measure(Record):
    """The settings of a measure; `open` makes it a gauge."""

    def open(self, weights: Weights | None) -> AbstractContextManager[Gauge]:
        """Loads what it needs, and lets go of it at the end.

        Args:
            weights: what the site has for it; None where it has nothing.

        Raises:
            NotRunError: it needs weights that the site does not name, or an extra that is not installed.
            ConfigError: the weights cannot be loaded.
        """
        raise TypeError(f"{type(self).__name__} does not say how to open")
