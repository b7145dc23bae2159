"""Files and folders that appear whole: beside their place first, on the disk, and then moved there.

Law of the file: readers, also those after a power cut, see the old file or the new one; what failed leaves nothing behind.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def put(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes a file, or replaces it, in one step.

    Raises:
        OSError: it cannot be written, as on a full disk; then what was there is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Gives an empty folder, and once it was filled brings it to the disk and puts it in the place of the old one.

    Killed between the two moves it leaves the old folder beside its place, as `beside(out, "old")`.
    """
    partial, old = beside(out, "partial"), beside(out, "old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            sync(path)
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        partial.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def beside(out: Path, what: str) -> Path:
    """The place of what belongs to a folder and is not in it, such as `.dist.partial`."""
    return out.with_name(f".{out.name}.{what}")


def sync(path: Path) -> None:
    """Brings a file to the disk, or of a folder which files it has."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
