"""Storage that several machines see: a folder on a network disk, or a bucket that speaks S3.

Two promises carry all that is built on it: an object is there as a whole or not at all, and of several who create one of the
same name exactly one does. A folder keeps the second by a hard link, S3 by a conditional put (`If-None-Match: *`).
Law of the file: nothing is ever replaced, and no credential is taken from a URL or stands in a message.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from builder.errors import ConfigError, DeepDialogueError, StorageError, extra, first_line
from builder.files import listed, sync

PIN = "run.json"
"""The one object that every share has; without it there is none."""

_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_REFUSALS = ("NoCredentialsError", "PartialCredentialsError", "PermissionError")


class Storage(Protocol):
    """Objects by name, such as `parts/3-of-16/000007.json`. May be used by several threads.

    Every method raises StorageError where the storage does not answer, and ConfigError where it refuses us or the extra for it
    is not installed.
    """

    url: str
    """Without credentials, and without a slash at the end."""

    def read(self, name: str, begin: int | None = None, end: int | None = None) -> bytes | None:
        """An object's bytes in begin..end, or all; None where there is none."""

    def create(self, name: str, content: bytes) -> bool:
        """Makes an object; False where there is one already, which stays as it is."""

    def names(self, folder: str) -> list[str]:
        """The names of what lies directly in a folder, without it; none where there is no such folder."""

    def remove(self, name: str) -> None:
        """Takes an object away, where there is one."""


def is_url(written: str) -> bool:
    """Whether it names storage by a URL, and not a path."""
    return "://" in written


def open_storage(url: str) -> Storage:
    """The storage at `s3://BUCKET/FOLDER`, `file:///FOLDER` or a path.

    Raises:
        ConfigError: it is none of these, or holds credentials.
    """
    scheme, _, place = url.partition("://") if is_url(url) else ("file", "", url)
    if scheme == "file" and place:
        return _Folder(Path(place).absolute())
    if "@" in place or "?" in place:
        raise ConfigError(
            "the URL of a share names a bucket and a folder, no key: credentials come from the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if scheme != "s3" or not place.strip("/"):
        raise ConfigError(
            f"{url!r} is no storage that a run can be shared on: name s3://BUCKET/FOLDER, or a path that all machines see"
        )
    return _Bucket(place.strip("/"))


class _Folder:
    """A folder on a disk that all machines mount."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = str(root)

    def read(self, name: str, begin: int | None = None, end: int | None = None) -> bytes | None:
        with _told(self.url):
            try:
                with (self._root / name).open("rb") as file:
                    file.seek(begin or 0)
                    return file.read() if end is None else file.read(end - file.tell())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, name: str, content: bytes) -> bool:
        path = self._root / name
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with _told(self.url):
            if name != PIN and not (self._root / PIN).exists():
                # What is not mounted looks like an empty folder, and what was written there would be lost.
                raise StorageError(f"{self.url}: no run is shared there any more: mount it again")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(partial, path)
            except FileExistsError:
                return False
            finally:
                partial.unlink(missing_ok=True)
            sync(path.parent)
        return True

    def names(self, folder: str) -> list[str]:
        with _told(self.url):
            try:
                return [path.name for path in listed((self._root / folder).iterdir()) if path.name[0] != "."]
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        with _told(self.url):
            (self._root / name).unlink(missing_ok=True)


class _Bucket:
    """A folder of a bucket. Where it is and who asks is said by the environment, as for every client of S3."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.url = f"s3://{place}"

    @cached_property
    def _fs(self) -> Any:
        # Made on use: who reads a run that was pulled as a whole needs neither the library nor the bucket.
        s3fs = extra("s3fs", "s3")
        config = {"connect_timeout": 5, "read_timeout": 60, "max_pool_connections": 32}
        fs = s3fs.S3FileSystem(use_listings_cache=False, config_kwargs=config)
        # botocore tries again as AWS_MAX_ATTEMPTS says; to try all of that five times would take minutes.
        fs.retries = 2
        return fs

    def read(self, name: str, begin: int | None = None, end: int | None = None) -> bytes | None:
        with _told(self.url), suppress(FileNotFoundError):
            content: bytes = self._fs.cat_file(f"{self._place}/{name}", start=begin, end=end)
            return content
        return None

    def create(self, name: str, content: bytes) -> bool:
        with _told(self.url):
            try:
                self._fs.pipe_file(f"{self._place}/{name}", content, mode="create")
            except FileExistsError:
                return False
        return True

    def names(self, folder: str) -> list[str]:
        with _told(self.url), suppress(FileNotFoundError):
            found: list[str] = self._fs.ls(f"{self._place}/{folder}", detail=False, refresh=True)
            return [path.rpartition("/")[2] for path in found]
        return []

    def remove(self, name: str) -> None:
        with _told(self.url), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._place}/{name}")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Makes one line of whatever a storage's library raises."""
    try:
        yield
    except DeepDialogueError:
        raise
    except Exception as error:  # noqa: BLE001 - every library has errors of its own
        reason = first_line(error)
        for name in _SECRETS:
            if secret := os.environ.get(name):
                reason = reason.replace(secret, f"${name}")
        if type(error).__name__ in _REFUSALS:
            raise ConfigError(
                f"{url}: refused: {reason}: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that may read and write it"
                if url.startswith("s3:")
                else f"{url}: refused: {reason}"
            ) from None
        raise StorageError(f"{url}: does not answer as it should: {reason}") from None
