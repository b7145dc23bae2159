"""Folders that verbs are given: a path, or a URL of a shared run, in whose place its view is read.

Law of the file: what only reads takes a URL as it takes a path; what writes into a run wants one that was pulled; where nothing
can be written, or something else would be lost, is refused before any work is done.
"""

import argparse
import errno
import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from builder.errors import ConfigError, DeepDialogueError
from builder.share import Share, is_url, pulled_from


class Shared(str):
    """A URL whose view is to be read."""

    __slots__ = ()


def to_read(written: str) -> Path | Shared:
    """The type of an argument that is only read; `opened` makes a folder of it."""
    return Shared(written) if is_url(written) else Path(written)


def to_write(written: str) -> Path:
    """The type of an argument that is written into."""
    if is_url(written):
        raise argparse.ArgumentTypeError(
            f"a shared run is written part by part, not as a whole: `deepdialogue pull URL RUN` first, then name RUN "
            f"instead of {written.rpartition('@')[2]!r}"
        )
    return Path(written)


class _Manifest(msgspec.Struct):
    shards: list[msgspec.Raw]


def writable(
    place: Path, option: str, *, replaced: bool = False, kind: type[DeepDialogueError] = ConfigError
) -> Path:
    """A folder that is to be written, which need not be there yet, free of links.

    Args:
        place: as it was named.
        option: that named it, such as `--out`.
        replaced: whether another folder is moved to its place, so that what is there now is taken away.
        kind: of the error.

    Raises:
        DeepDialogueError: it is a file or lies in one, is not to be written to, or holds what is not to be replaced.
    """
    real = Path(os.path.realpath(place))
    if fault := next(chain(_losses(real, replaced=replaced), _obstacles(real, replaced=replaced)), None):
        raise kind(f"{option} {str(place)!r}: {fault}: name another folder with {option}")
    return real


def _losses(real: Path, *, replaced: bool) -> Iterator[str]:
    """What would be lost or spoilt, were it written to."""
    home = Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111 -- `Path.home` raises where there is none
    if real == real.parent:
        yield "it is the root of the disk"
    if real == home:
        yield "it is your home folder"
    for what, held in (("this is run in it", Path.cwd()), ("your home folder is in it", home)):
        if replaced and held.is_relative_to(real):
            yield f"it is replaced as a whole, and {what}"
    if replaced and os.path.ismount(real):
        yield "a disk is mounted there, which cannot be replaced by a folder"
    for outer in real.parents:
        if _is_dataset(outer):
            yield f"{outer} is a packaged dataset, and it lies in there"


def _obstacles(real: Path, *, replaced: bool) -> Iterator[str]:
    """What keeps it from being written to."""
    try:
        real.lstat()
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            yield str(error.strerror)
    there = next(path for path in (real, *real.parents) if os.path.lexists(path))
    if not there.is_dir():
        yield "it is a file" if there == real else f"{there} is a file"
    into = there.parent if replaced and there == real else there
    try:
        with tempfile.TemporaryDirectory(prefix=".deepdialogue-", dir=into):
            pass
    except OSError as error:
        yield f"nothing can be written to {into} ({error.strerror})"


def _is_dataset(folder: Path) -> bool:
    try:
        msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, ValueError):
        return False
    return True


def run_folder(place: Path, option: str = "--run") -> Path:
    """A run folder that is to be worked on or begun, as it was named.

    Raises:
        ConfigError: there can be none.
    """
    real = writable(place, option)
    if not (real / "run.json").exists() and _is_dataset(real):
        raise ConfigError(
            f"{option} {str(place)!r}: it is a packaged dataset, and no run folder: name another folder with {option}"
        )
    return place


def inside(path: Path, name: str) -> Path:
    """Where a verb that only reads a run leaves what it makes, unless it is told where: in the run folder.

    Raises:
        ConfigError: the run was named by a URL, and has no folder but one for a while.
    """
    share = pulled_from(path)
    if share and path.parent == share.scratch():
        raise ConfigError(f"{share.url}: --out is not given: name the folder for the {name}")
    return path / name


def opened(options: argparse.Namespace) -> None:
    """Puts a folder in the place of every URL, brought up to date; raises as `Share.view` does."""
    for name, value in vars(options).items():
        if isinstance(value, Shared):
            setattr(options, name, Share(value).view())
