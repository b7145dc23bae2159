"""Files that appear whole: beside their place first, on the disk, and then moved there.

Law of the file: readers, also those after a power cut, see the old file or the new one; what failed leaves nothing behind.
"""

import os
from collections.abc import Iterable
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
