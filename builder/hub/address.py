"""The published DeepDialogue, wherever it lies: its layout, its text as rows, and its repositories on the Hub.

    data/dialogues_PAIRING/ID.json                              the text
    data/dialogues_PAIRING/ID/ID_full.wav                       all turns in one file
    data/dialogues_PAIRING/ID/segments/NNN_LLMk_RAVDESS.wav     a file for each turn
    data/*.parquet                                              the text once more, a row for each turn

Law of the folder: it says where things are and brings them here; whether they are sound is the stage's business.
"""

import re
from pathlib import Path
from typing import NamedTuple

from builder.config import is_spoken
from builder.errors import ConfigError

DATA = "data"
FOLDER = "dialogues_"
"""What the name of a pairing's folder begins with."""

_HUB = "hf://datasets/"
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


class Address(NamedTuple):
    """A published repository on the Hub."""

    name: str
    """`ORG/NAME`."""
    revision: str | None
    """A branch, a tag or a commit; None is the head of `main`."""

    @property
    def config(self) -> str:
        """What the end of the name, after its last `-`, says of the engine: `xtts` of `DeepDialogue-xtts`."""
        return self.name.rpartition("/")[2].rpartition("-")[2].lower()


def where(source: str) -> Path | Address:
    """Reads what a person calls a source: a folder that is there, `ORG/NAME[@REVISION]`, or the same after `hf://datasets/`.

    Raises:
        ConfigError: it is none of them, or its name does not end in the name of an engine.
    """
    if not source.startswith(_HUB) and Path(source).is_dir():
        return Path(source)
    match = _NAME.fullmatch(source.removeprefix(_HUB))
    if not match:
        raise ConfigError(
            f"{source!r} is no folder, and no dataset of the Hub, which is written ORG/NAME or ORG/NAME@REVISION: "
            f"correct it"
        )
    address = Address(match["name"], match["revision"])
    if not is_spoken(address.config):
        raise ConfigError(
            f"{source!r}: its name ends in no engine's, as DeepDialogue-xtts does: "
            f"download it into a folder of that name and ingest the folder"
        )
    return address
