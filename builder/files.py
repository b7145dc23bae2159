"""Files that people bring: text as any editor saves it, and folders as any system leaves them.

Law of the file: what an editor shows is what is read, and what no person put into a folder is not there.
"""

import codecs
import re
from collections.abc import Iterable
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
