"""The packaged folder: Parquet shards by config, split and domain, the card, and a manifest with every file's checksum.

    README.md                                   the card; its YAML is all that `load_dataset` needs
    manifest.json                               every file with rows, bytes and sha256
    CONFIG/SPLIT/DOMAIN-00000.parquet           sorted by id; row groups of about 32 MB closed at a dialogue

The audio column is stored as it is, without compression, dictionary, statistics or content-defined chunks: FLAC does not
shrink, and measured with the Hub's own store each of them multiplies what a changed dataset uploads again.
Law of the file: the same rows give the same bytes, and memory holds one row group.
"""

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from builder.config import TEXT_ONLY
from builder.core.row import Row
from builder.errors import DatasetError
from builder.records import Record, encode

MANIFEST = "manifest.json"
CARD = "README.md"
GROUP_BYTES = 32 * 2**20
FILE_BYTES = 400 * 2**20


class Shard(Record):
    """One Parquet file."""

    path: str
    """Relative to the folder, with `/`."""
    config: str
    split: str
    rows: int
    num_bytes: int
    sha256: str


class Manifest(Record):
    """What a packaged folder holds."""

    study: str
    rehearsal: bool
    card_sha256: str
    shards: tuple[Shard, ...]


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
    (folder / MANIFEST).write_bytes(msgspec.json.format(encode(manifest), indent=2) + b"\n")


def strays(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """What lies in a packaged folder and is not the dataset's own, sorted."""
    known = {MANIFEST, CARD, *(shard.path for shard in manifest.shards)}
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(folder).as_posix() not in known:
            yield path


def describe(folder: Path) -> str:
    """What a packaged folder holds, where it is, and the lines that load it."""
    manifest = read_manifest(folder)
    rows: dict[str, dict[str, int]] = {}
    for shard in manifest.shards:
        splits = rows.setdefault(shard.config, {})
        splits[shard.split] = splits.get(shard.split, 0) + shard.rows
    spoken = [config for config in rows if config != TEXT_ONLY]
    size = sum(shard.num_bytes for shard in manifest.shards) / 1e6
    order = {"train": 0, "validation": 1, "test": 2}
    lines = [f"{folder}: study {manifest.study!r}, {size:,.1f} MB in {len(manifest.shards)} shards"]
    lines += [
        f"  {config:<10} "
        + ", ".join(f"{splits[name]} {name}" for name in sorted(splits, key=order.__getitem__))
        for config, splits in rows.items()
    ]
    if manifest.rehearsal:
        lines.append("  a rehearsal: stand-ins took part; same schema, not training data")
    config = spoken[0] if spoken else TEXT_ONLY
    lines += [
        "",
        "to load it:",
        f"  cd {shlex.quote(str(folder.parent))}",
        f'  python -c \'from datasets import load_dataset; print(load_dataset("{folder.name}", "{config}"))\'',
    ]
    if spoken:
        lines += [
            "  datasets 4 and 5 decode audio with torchcodec and FFmpeg; without them, decoded with soundfile:",
            f'  python -c \'import deepdialogue; print(deepdialogue.load("{config}", "train", data_dir="{folder.name}")[0])\'',
        ]
    return "\n".join(lines)


def file_sha256(path: Path) -> str:
    """The checksum of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_shards(
    folder: Path, *, config: str, split: str, domain: str, rows: Iterable[Row], schema: pa.Schema
) -> list[Shard]:
    """Writes the rows of one domain in one split: one shard, or more of about 400 MB each.

    Args:
        folder: the packaged folder.
        config: the dataset config.
        split: the split.
        domain: the domain, which names the files.
        rows: sorted by id, labels as numbers, as `schema` says; not empty.
        schema: of the config.
    """
    target = folder / config / split
    target.mkdir(parents=True, exist_ok=True)
    shards: list[Shard] = []
    groups = _groups(rows)
    group = next(groups, None)
    while group is not None:
        path = target / f"{domain}-{len(shards):05d}.parquet"
        held = count = 0
        with _writer(path, schema) as writer:
            while group is not None and held < FILE_BYTES:
                writer.write_table(
                    pa.Table.from_pylist(group.rows, schema=schema), row_group_size=len(group.rows)
                )
                held, count = held + group.num_bytes, count + len(group.rows)
                group = next(groups, None)
        shards.append(_shard(folder, path, config, split, count))
    return shards


class _Group(NamedTuple):
    rows: list[Row]
    num_bytes: int


def _groups(rows: Iterable[Row]) -> Iterator[_Group]:
    group: list[Row] = []
    held = 0
    for row in rows:
        group.append(row)
        held += sum(len(turn["text"]) + 64 for turn in row["turns"])
        held += sum(len(clip["bytes"]) for clip in row.get("audio", ()))
        if held >= GROUP_BYTES:
            yield _Group(group, held)
            group, held = [], 0
    if group:
        yield _Group(group, held)


def _shard(folder: Path, path: Path, config: str, split: str, rows: int) -> Shard:
    return Shard(
        path=path.relative_to(folder).as_posix(),
        config=config,
        split=split,
        rows=rows,
        num_bytes=path.stat().st_size,
        sha256=file_sha256(path),
    )


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    plain = {leaf for leaf in leaves if leaf.startswith("audio.")}
    others = [leaf for leaf in leaves if leaf not in plain]
    return pq.ParquetWriter(
        path,
        schema,
        compression={leaf: "none" if leaf in plain else "zstd" for leaf in leaves},
        use_dictionary=others,
        write_statistics=others,
        # One page a row group: an uploader that cuts by content then finds the same bytes again.
        data_page_size=2**30,
    )


def _leaves(path: str, kind: Any) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path
