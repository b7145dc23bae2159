"""Where a packaged dataset lies: a folder, a repository of the Hub at one commit, or any address that fsspec opens.

Law of the file: a source knows files and ranges of bytes and nothing of what they hold; it travels to other processes, and opens
there what it had open here; a revision is resolved once, so that nobody reads half of two versions.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ...errors import ConfigError, DatasetError, extra, first_line
from ...secret import struck

Span = tuple[int, int]
"""The first byte, and the one after the last."""


class Source(Protocol):
    """What the reader reads from; every method may be called from several threads at once.

    Each raises FileNotFoundError where there is no such file, and DatasetError where it cannot be read or is too short.
    """

    connections: int
    """How many ranges are worth asking for at once."""
    gap: int
    """Bytes between two ranges below which one range is cheaper than two."""

    def tail(self, path: str, size: int) -> tuple[int, bytes | memoryview]:
        """Where the last bytes of a file begin, and these bytes: fewer where it is shorter."""
        ...

    def range(self, path: str, span: Span) -> memoryview:
        """Some bytes of a file; of a folder without a copy."""
        ...


def open_source(root: str, token: str | None = None) -> Source:
    """The source at `root`.

    Args:
        root: a folder, `hf://datasets/ORG/NAME[@REVISION]`, or an address of fsspec.
        token: for the Hub; None is the one this machine is logged in with.

    Raises:
        FileNotFoundError: there is no such repository or revision.
        ConfigError: what opens such an address is not installed.
    """
    if root.startswith("hf://datasets/"):
        name, _, revision = root.removeprefix("hf://datasets/").partition("@")
        return Hub(name.strip("/"), revision or None, token)
    return Remote(root) if "://" in root else Folder(Path(root))


def coalesced(spans: list[Span], gap: int) -> list[Span]:
    """The fewest ranges that hold all of `spans`, with at most `gap` bytes too many between two of them."""
    held: list[Span] = []
    for begin, end in sorted(spans):
        if held and begin - held[-1][1] <= gap:
            held[-1] = held[-1][0], max(held[-1][1], end)
        else:
            held.append((begin, end))
    return held


class Folder:
    """Files on this machine, mapped into memory."""

    connections = 2
    gap = 0

    def __init__(self, root: Path) -> None:
        self._root = root
        self._maps: dict[str, memoryview] = {}

    def __str__(self) -> str:
        return str(self._root)

    def __getstate__(self) -> dict[str, Any]:
        return {"_root": self._root, "_maps": {}}

    def _map(self, path: str) -> memoryview:
        if path not in self._maps:
            try:
                with (self._root / path).open("rb") as file:
                    self._maps[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except FileNotFoundError:
                raise FileNotFoundError(f"{self._root} has no {path}") from None
            except (OSError, ValueError) as error:
                raise DatasetError(
                    f"{self._root / path}: cannot be read: {first_line(error)}: package it again"
                ) from None
        return self._maps[path]

    def tail(self, path: str, size: int) -> tuple[int, memoryview]:
        """The end of the map."""
        held = self._map(path)
        begin = max(0, len(held) - size)
        return begin, held[begin:]

    def range(self, path: str, span: Span) -> memoryview:
        """A slice of the map."""
        return _full(f"{self._root}/{path}", self._map(path)[slice(*span)], span)


class Hub:
    """A dataset repository at one commit."""

    connections = 8
    gap = 128 * 2**10
    """A request costs some 20 to 50 ms, and a connection gives some 50 MB/s: measured, 4 to 8 of them fill a line."""

    def __init__(self, name: str, revision: str | None, token: str | None) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        self._name, self._token, self._commit = name, token, revision or "main"
        with self._asking("its commit"):
            try:
                self._commit = str(HfApi(token=token).dataset_info(name, revision=revision).sha)
            except RevisionNotFoundError:
                raise FileNotFoundError(
                    f"hf://datasets/{name} has no revision {revision!r}: name one of its tags or branches"
                ) from None
            except RepositoryNotFoundError:
                raise FileNotFoundError(
                    f"there is no folder and on the Hub no dataset {name!r}, or this token may not read it: "
                    f"check the name, or log in"
                ) from None

    def __str__(self) -> str:
        return f"hf://datasets/{self._name}@{self._commit}"

    def tail(self, path: str, size: int) -> tuple[int, bytes]:
        """A suffix range."""
        answer = self._get(path, f"bytes=-{size}")
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        return (int(whole) - len(answer.content) if whole else 0), answer.content

    def range(self, path: str, span: Span) -> memoryview:
        """A range."""
        held = memoryview(self._get(path, f"bytes={span[0]}-{span[1] - 1}").content)
        return _full(f"{self}/{path}", held, span)

    def _get(self, path: str, asked: str) -> Any:
        from huggingface_hub import hf_hub_url, utils

        url = hf_hub_url(self._name, path, repo_type="dataset", revision=self._commit)
        with self._asking(path):
            headers = {"range": asked, **utils.build_hf_headers(token=self._token)}  # type: ignore[attr-defined]
            answer = utils.http_backoff("GET", url, headers=headers, timeout=60)  # type: ignore[attr-defined]
            utils.hf_raise_for_status(answer)  # type: ignore[attr-defined]
        return answer

    @contextmanager
    def _asking(self, path: str) -> Iterator[None]:
        from huggingface_hub.errors import EntryNotFoundError

        try:
            yield
        except EntryNotFoundError:
            raise FileNotFoundError(f"{self} has no {path}") from None
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 - the client library has one for each way in which a line fails
            said = struck(first_line(error), self._token)
            raise DatasetError(
                f"{self}/{path}: cannot be read: {said}: try again, or name a folder that is there"
            ) from None


class Remote:
    """Whatever fsspec opens, such as an object store: its library finds credentials as it does everywhere, none is given here."""

    connections = 8
    gap = 128 * 2**10

    def __init__(self, root: str) -> None:
        if root.startswith("s3://"):
            extra("s3fs", "s3")
        self._root = root.rstrip("/")

    def __str__(self) -> str:
        return self._root

    def tail(self, path: str, size: int) -> tuple[int, bytes]:
        """The end, once the file's size is known."""
        with self._asking(path) as (files, name):
            end = int(files.size(name))
            begin = max(0, end - size)
            return begin, files.cat_file(name, start=begin, end=end)

    def range(self, path: str, span: Span) -> memoryview:
        """A range."""
        with self._asking(path) as (files, name):
            held = memoryview(files.cat_file(name, start=span[0], end=span[1]))
        return _full(f"{self}/{path}", held, span)

    @contextmanager
    def _asking(self, path: str) -> Iterator[tuple[Any, str]]:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        try:
            yield url_to_fs(f"{self._root}/{path}")
        except FileNotFoundError:
            raise FileNotFoundError(f"{self} has no {path}") from None
        except ImportError as error:
            raise ConfigError(f"{self}: {struck(first_line(error))}") from None
        except Exception as error:  # noqa: BLE001 - each store has errors of its own
            raise DatasetError(
                f"{self}/{path}: cannot be read: {struck(first_line(error))}: check the address and the credentials, or try again"
            ) from None


def _full(place: str, held: memoryview, span: Span) -> memoryview:
    if len(held) != span[1] - span[0]:
        raise DatasetError(
            f"{place}: {len(held)} bytes at {span[0]} where {span[1] - span[0]} are needed: fetch or package it again"
        )
    return held
