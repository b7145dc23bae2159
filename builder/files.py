"""Files and folders: read as people bring them, written so that they appear whole, and locked by who works on them.

What an editor shows is what is read, and what no person put into a folder is not there. Readers, also those after a power cut,
see the old file or the new one; what failed leaves nothing behind. The kernel keeps a lock for as long as the process lives, so
that a kill leaves none behind.
"""

import codecs
import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_MARKS = {
    # The longer first: UTF-32 begins with the mark of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_JUNK = re.compile(
    r"\._.*"  # macOS: what its own disks keep beside a file
    r"|\.DS_Store|\.AppleDouble|\.Spotlight-V100|\.Trashes|\.fseventsd|\.TemporaryItems|\.apdisk|\.localized"
    r"|__MACOSX|Icon\r"
    r"|Thumbs\.db(:encryptable)?|ehthumbs(_vista)?\.db|desktop\.ini|\$RECYCLE\.BIN|System Volume Information"
    r"|\.nfs.*|\.fuse_hidden.*|\.Trash-\d+|\.directory|lost\+found"
    r"|@eaDir|@tmp|@Recycle|#recycle|#snapshot|\.snapshots?"  # network disks
    r"|\.ipynb_checkpoints|__pycache__"
    r"|\.~lock\..*#|~\$.*|.*~|\..*\.sw[a-p]",  # editors, while a file is open in them
    re.IGNORECASE | re.DOTALL,
)


def is_junk(path: Path) -> bool:
    """Whether a file or folder was left by a system or an editor, and not put there by a person.

    Args:
        path: of it, relative to the folder that is read: a file is junk in a folder that is junk.
    """
    return any(map(_JUNK.fullmatch, path.parts))


def listed(paths: Iterable[Path]) -> list[Path]:
    """What a folder holds without its junk, sorted.

    Args:
        paths: of one folder, as `glob` and `iterdir` give them.
    """
    return sorted(path for path in paths if not _JUNK.fullmatch(path.name))


def read_text(path: Path, most: int | None = None) -> str:
    r"""The text of a file, without a byte order mark; every line ends in `\n`.

    It is UTF-8, unless a mark says that it is UTF-16 or UTF-32.

    Args:
        path: of the file.
        most: bytes it may have; None is any number.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not text, as one line that says how to save it, or has too many bytes.
    """
    with path.open("rb") as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise ValueError(f"it has more than {most} bytes: is it the file that was meant?")
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    coding = _MARKS.get(mark, "utf-8")
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not {coding.upper()} ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"not UTF-8 (a zero byte at character {text.index(chr(0))}): save it as UTF-8")
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


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


def hold(lock: Path, opened: ExitStack, *, shared: bool = False, wait: bool = False) -> None:
    """Holds a lock until `opened` closes.

    Args:
        lock: the file; it is made, and stays.
        opened: what lets go of it.
        shared: whether others may hold it, shared as well.
        wait: whether to wait until it is free.

    Raises:
        BlockingIOError: another process holds it in a way that does not go together with this.
    """
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    opened.callback(os.close, fd)
    fcntl.flock(fd, (0 if wait else fcntl.LOCK_NB) | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))


def is_held(lock: Path) -> bool:
    """Whether a process has this lock alone. Several may ask at once, and none takes another's question for a process at work."""
    try:
        with ExitStack() as opened:
            hold(lock, opened, shared=True)
            return False
    except BlockingIOError:
        return True
