"""Evidence: what was made, counted once and shown everywhere: on the card, in the report, in `status`.

    findings    one file each: numbers with intervals, charts as data         figures     those charts, drawn
    panel       judges beside each other and beside people                    decisions   another rule of acceptance
    sounds      clips as numbers          card    the dataset's card          gallery     the card's figures
    report      the evidence on one page

Law of the folder: a number is counted from ledgers, never from what a study asked for.
"""

import pkgutil
from pathlib import Path
from typing import Annotated

import msgspec

from builder.records import Record


class Options(Record):
    """What a report is asked for beside the run."""

    concreteness: Path | None = None
    """A file of published norms of how concrete words are."""
    sample: Annotated[int, msgspec.Meta(ge=0)] = 12
    """Dialogues to read and hear."""
    audio_mb: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """Most audio on the page, in megabytes of FLAC."""
    without: tuple[str, ...] = ()
    """Annotators and listeners whose answers do not count."""


def names() -> list[str]:
    """Every finding's file, sorted; none is imported for it."""
    files = sorted(
        module.name for module in pkgutil.iter_modules([str(Path(__file__).with_name("findings"))])
    )
    return [name for name in files if not name.startswith("_")]
