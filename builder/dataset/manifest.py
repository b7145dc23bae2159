"""The manifest: what a packaged folder holds, every file with its checksum.

Law of the file: what a packaged folder holds is what its manifest says, and nothing else.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from builder.config import TEXT_ONLY, is_spoken
from builder.core.checkpoint import Answered, several
from builder.core.version import Release
from builder.errors import DatasetError
from builder.files import is_junk
from builder.records import Record, encode

MANIFEST = "manifest.json"
CARD = "README.md"
CROISSANT = "croissant.json"

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Written in C where PyYAML was built with it: the other needs a tenth of a second for every card."""


class Shard(Record):
    """One Parquet file."""

    path: str
    """Relative to the folder, with `/`."""
    config: str
    split: str
    rows: int
    num_bytes: int
    sha256: str


class Index(Record):
    """The index of one dialogue config."""

    path: str
    """Relative to the folder, with `/`."""
    config: str
    rows: int
    num_bytes: int
    sha256: str


class Document(Record):
    """A file that stands beside the card: a figure, or metadata for machines."""

    path: str
    """Relative to the folder, with `/`."""
    num_bytes: int
    sha256: str


class Manifest(Record):
    """What a packaged folder holds."""

    study: str
    rehearsal: bool
    card_sha256: str
    shards: tuple[Shard, ...]
    indexes: tuple[Index, ...] = ()
    """One for every dialogue config; none in what was packaged before there were any."""
    documents: tuple[Document, ...] = ()
    """None in what was packaged before there were any."""
    speakers: tuple[Answered, ...] = ()
    """What spoke as every model of the study, in dialogues; none in what was packaged before this was recorded."""
    judges: tuple[Answered, ...] = ()
    """What judged as every model that is asked to, in votes; likewise."""
    versions: tuple[Release, ...] = ()
    """Of what was published, every version up to this one; none in a folder that was only packaged."""

    @property
    def files(self) -> list[Shard | Index | Document]:
        """All that is listed with a checksum."""
        return [*self.shards, *self.indexes, *self.documents]

    @property
    def spoken(self) -> list[str]:
        """The configs of spoken dialogues, in the order of the shards."""
        return list(dict.fromkeys(shard.config for shard in self.shards if is_spoken(shard.config)))


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a packaged folder.

    Raises:
        DatasetError: there is none, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}: not a packaged dataset") from None
    except ValueError as error:
        raise DatasetError(f"{path}: not a manifest: {error}") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, the last file of a packaged folder."""
    (folder / MANIFEST).write_bytes(written(manifest))


def written(manifest: Manifest) -> bytes:
    """A manifest as its file has it."""
    return msgspec.json.format(encode(manifest), indent=2) + b"\n"


def read_front_matter(card: str) -> dict[str, Any]:
    """The YAML that a card begins with, where huggingface_hub finds it; empty where there is none.

    Raises:
        yaml.YAMLError, TypeError: it is not YAML, or not a mapping.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    found = REGEX_YAML_BLOCK.search(card)
    read = yaml.load(found[2], Loader=_YAML) if found else None  # noqa: S506 - both loaders are safe ones
    if not isinstance(read, dict | None):
        raise TypeError("it is not a mapping")
    return read or {}


def strays(folder: Path, manifest: Manifest, *, hidden: bool = True) -> Iterator[Path]:
    """What lies in a packaged folder and is not the dataset's own, sorted.

    What the Hub adds to a download counts as its own, and what a system leaves in every folder does not count.

    Args:
        folder: the packaged one.
        manifest: what is its own.
        hidden: whether what no reader takes counts, since a dot begins its name or that of a folder it is in, such as `.git`.
    """
    known = {MANIFEST, CARD, ".gitattributes", *(file.path for file in manifest.files)}
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        if within.as_posix() in known or within.parts[:2] == (".cache", "huggingface") or is_junk(within):
            continue
        if not hidden and any(part.startswith(".") for part in within.parts):
            continue
        if path.is_symlink() or not path.is_dir():
            yield path


def describe(folder: Path) -> str:
    """What a packaged folder holds, where it is, and the lines that load it."""
    manifest = read_manifest(folder)
    rows: dict[str, dict[str, int]] = {}
    for shard in manifest.shards:
        splits = rows.setdefault(shard.config, {})
        splits[shard.split] = splits.get(shard.split, 0) + shard.rows
    spoken = manifest.spoken
    size = sum(shard.num_bytes for shard in manifest.shards) / 1e6
    order = {"train": 0, "validation": 1, "test": 2}
    lines = [f"{folder}: study {manifest.study!r}, {size:,.1f} MB in {len(manifest.shards)} shards"]
    lines += [
        f"  {config:<14} "
        + ", ".join(f"{splits[name]} {name}" for name in sorted(splits, key=order.__getitem__))
        for config, splits in rows.items()
    ]
    if manifest.rehearsal:
        lines.append("  a rehearsal: stand-ins took part; same schema, not training data")
    differences = [one.told("dialogues") for one in manifest.speakers]
    differences += [one.told("votes") for one in manifest.judges]
    lines += [
        f"  {said}" for said in (*differences, *several((*manifest.speakers, *manifest.judges))) if said
    ]
    config = spoken[0] if spoken else TEXT_ONLY
    name, wanted = (json.dumps(text, ensure_ascii=False) for text in (folder.name, config))
    plain = f"from datasets import load_dataset; print(load_dataset({name}, {wanted}))"
    if any(mark in str(folder.absolute()) for mark in "*?["):
        plain = f"import deepdialogue; {plain}"  # which reads a folder of any name: `datasets` takes these for a pattern
    split = min(rows.get(config, {"train": 0}), key=order.__getitem__)
    decoded = f'import deepdialogue; print(deepdialogue.load({wanted}, "{split}", data_dir={name})[0])'
    lines += [
        "",
        "to load it:",
        f"  cd {shlex.quote(str(folder.parent))}",
        f"  python -c {shlex.quote(plain)}",
    ]
    if spoken:
        lines += [
            "  datasets 4 and 5 decode audio with torchcodec and FFmpeg; without them, decoded with soundfile:",
            f"  python -c {shlex.quote(decoded)}",
        ]
    return "\n".join(lines)


def file_sha256(path: Path) -> str:
    """The checksum of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
