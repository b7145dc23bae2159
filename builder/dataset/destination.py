"""Where something may be written: refused before any work is done where nothing can be, or something else would be lost.

Law of the file: it looks, and changes nothing.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from builder.errors import ConfigError, DeepDialogueError


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
        if is_packaged(outer):
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


def is_packaged(folder: Path) -> bool:
    """Whether a folder holds a packaged dataset."""
    try:
        msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, ValueError):
        return False
    return True
