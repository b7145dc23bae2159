"""One version of a dataset, wherever it lies: its manifest, its card and its index, a few MB of what may be many GB.

    dist/deepdialogue                       a packaged folder
    ORG/NAME, ORG/NAME@v1.0.0               a dataset of the Hub, at its main branch or at a revision
    hf://datasets/ORG/NAME@v1.0.0           the same, as other libraries write it

Law of the file: no shard is read, and what is read of the Hub is read of one commit.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from builder.core.version import Release, Version, columns, without_versions
from builder.dataset.croissant import PATH as CROISSANT
from builder.dataset.croissant import without_version
from builder.dataset.index import read_index
from builder.dataset.manifest import CARD, MANIFEST, Document, Index, Manifest, Shard, read_front_matter
from builder.errors import DatasetError, ReleaseError, first_line
from builder.hub.repository import Repository


@dataclass(frozen=True)
class Snapshot:
    """One version."""

    name: str
    """As it was named."""
    manifest: Manifest
    card: str
    """The whole Markdown."""
    path: Callable[[str], Path]
    """Gives a file of the version by its path within it, fetched if need be."""

    @property
    def files(self) -> dict[str, Shard | Index | Document]:
        """Everything the manifest lists by its path."""
        return {file.path: file for file in self.manifest.files}

    @cached_property
    def packaged(self) -> Manifest:
        """The manifest as packaging wrote it, before anything in the folder told of versions."""
        return msgspec.structs.replace(
            self.manifest,
            versions=(),
            card_sha256=_sha256(without_versions(self.card).encode()),
            documents=tuple(map(self._packaged, self.manifest.documents)),
        )

    def _packaged(self, document: Document) -> Document:
        if document.path != CROISSANT:
            return document
        try:
            content = without_version(self.path(CROISSANT).read_bytes())
        except (DatasetError, OSError):
            return document  # it was deleted by hand, which is for others to say
        return Document(path=CROISSANT, num_bytes=len(content), sha256=_sha256(content))

    @property
    def release(self) -> Release | None:
        """What was published here; None where it was only packaged."""
        return self.manifest.versions[-1] if self.manifest.versions else None

    @property
    def version(self) -> Version | None:
        """Its number; None where it was only packaged."""
        return Version.parse(self.release.version) if self.release else None

    @property
    def configs(self) -> list[str]:
        """Every config, in the order of the shards."""
        return list(dict.fromkeys(shard.config for shard in self.manifest.shards))

    def table(self, config: str, wanted: list[str]) -> pa.Table:
        """Columns of the index of a dialogue config.

        Raises:
            DatasetError: it was packaged before there was an index.
        """
        path = next((one.path for one in self.manifest.indexes if one.config == config), None)
        if path is None:
            raise DatasetError(
                f"{self.name}: has no index of {config}: it was packaged by an older version: package it again"
            )
        return read_index(self.path(path), wanted)

    def columns(self) -> dict[str, dict[str, Any]]:
        """By config: every column with its type, as the card says.

        Raises:
            DatasetError: the card has no YAML that says it.
        """
        try:
            listed = self.metadata["dataset_info"]
            infos = listed if isinstance(listed, list) else [listed]
            return {info["config_name"]: columns(info["features"]) for info in infos}
        except (KeyError, TypeError, AttributeError):
            raise DatasetError(f"{self.name}: its {CARD} does not say what the columns are") from None

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The card's YAML.

        Raises:
            DatasetError: it cannot be read.
        """
        try:
            return read_front_matter(self.card)
        except Exception as error:  # noqa: BLE001 - a damaged card may raise anything in the library that reads it
            raise DatasetError(
                f"{self.name}: the YAML of its {CARD} cannot be read: {first_line(error)}"
            ) from None


def opened(reference: str) -> Snapshot:
    """Opens a version: a folder, or a dataset of the Hub.

    Raises:
        ConfigError: it is written like neither.
        DatasetError: it is not a packaged dataset.
        ReleaseError: the Hub has no such dataset or revision, or does not answer.
    """
    if Path(reference).is_dir():
        return of_folder(Path(reference))
    name, _, revision = reference.removeprefix("hf://").removeprefix("datasets/").partition("@")
    repository = Repository(name)
    head = repository.head(revision or "main")
    if head is None:
        raise ReleaseError(
            f"{reference}: there is no such folder, and the Hub shows no dataset {name!r} with a revision "
            f"{revision or 'main'!r}: mind the spelling, or set HF_TOKEN to one that may read it"
        )
    return of_commit(repository, head.sha, reference)


def of_folder(folder: Path) -> Snapshot:
    """A packaged folder.

    Raises:
        DatasetError: it is none.
    """
    return _snapshot(str(folder), folder.joinpath)


def of_commit(repository: Repository, sha: str, name: str) -> Snapshot:
    """What a commit of the Hub holds.

    Raises:
        DatasetError: it is not a packaged dataset.
        ReleaseError: the Hub does not answer.
    """
    return _snapshot(name, lambda path: repository.fetch(path, sha))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _snapshot(name: str, path: Callable[[str], Path]) -> Snapshot:
    try:
        manifest = msgspec.json.decode(path(MANIFEST).read_bytes(), type=Manifest)
        card = path(CARD).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DatasetError(
            f"{name}: has no {Path(str(error.filename)).name}: not a packaged dataset"
        ) from None
    except ValueError as error:
        raise DatasetError(f"{name}: not a packaged dataset: {error}") from None
    return Snapshot(name, manifest, card, path)
