"""Folders that verbs are given: a path, or a URL of a shared run, in whose place its view is read.

Law of the file: what only reads takes a URL as it takes a path; what writes into a run wants one that was pulled.
"""

import argparse
from pathlib import Path

from builder.errors import ConfigError


class Shared(str):
    """A URL whose view is to be read."""

    __slots__ = ()


def to_read(written: str) -> Path | Shared:
    """The type of an argument that is only read; `opened` makes a folder of it."""
    from builder.run.share import is_url

    return Shared(written) if is_url(written) else Path(written)


def to_write(written: str) -> Path:
    """The type of an argument that is written into."""
    from builder.run.share import is_url

    if is_url(written):
        raise argparse.ArgumentTypeError(
            f"a shared run is written part by part, not as a whole: `deepdialogue pull URL RUN` first, then name RUN "
            f"instead of {written.rpartition('@')[2]!r}"
        )
    return Path(written)


def run_folder(place: Path, option: str = "--run") -> Path:
    """A run folder that is to be worked on or begun, as it was named.

    Raises:
        ConfigError: there can be none.
    """
    from builder.dataset.destination import is_packaged, writable

    real = writable(place, option)
    if not (real / "run.json").exists() and is_packaged(real):
        raise ConfigError(
            f"{option} {str(place)!r}: it is a packaged dataset, and no run folder: name another folder with {option}"
        )
    return place


def inside(path: Path, name: str) -> Path:
    """Where a verb that only reads a run leaves what it makes, unless it is told where: in the run folder.

    Raises:
        ConfigError: the run was named by a URL, and has no folder but one for a while.
    """
    from builder.run.share import pulled_from

    share = pulled_from(path)
    if share and path.parent == share.scratch():
        raise ConfigError(f"{share.url}: --out is not given: name the folder for the {name}")
    return path / name


def opened(options: argparse.Namespace) -> None:
    """Puts a folder in the place of every URL, brought up to date; raises as `Share.view` does."""
    from builder.run.share import Share

    for name, value in vars(options).items():
        if isinstance(value, Shared):
            setattr(options, name, Share(value).view())
