"""The offset index: where every clip lies in the shards, and what every dialogue says, in a few bytes each.

    index/CONFIG.parquet        of a spoken config: one row a clip, `CLIPS`
    index/text-only.parquet     one row a dialogue, `DIALOGUES`

A shard's audio column is plain, uncompressed and one page a row group, so every FLAC lies contiguous in the file: whoever has
the index reads one clip with one range request, and two versions of a dataset are compared without opening a shard.
Law of the file: what is indexed was found in the file that was written; the same dataset gives the same bytes.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DatasetError, first_line

FOLDER = "index"
CLIPS = pa.schema(
    {
        "id": pa.string(),
        "turn": pa.int32(),
        "split": pa.string(),
        "domain": pa.string(),
        "pairing": pa.string(),
        "speaker": pa.string(),
        "emotion": pa.string(),
        "ravdess": pa.string(),
        "file": pa.string(),
        "offset": pa.int64(),
        "length": pa.int32(),
        "num_samples": pa.int32(),
        "sha256": pa.binary(32),
    }
)
"""`id` of the dialogue; `turn` from 1; labels by name; `file` relative to the dataset's folder, with `/`; `offset` of the FLAC's
first byte in it and `length` in bytes; `sha256` of these bytes."""

DIALOGUES = pa.schema(
    {
        "id": pa.string(),
        "split": pa.string(),
        "domain": pa.string(),
        "pairing": pa.string(),
        "num_turns": pa.int32(),
        "emotions": pa.list_(pa.string()),
        "file": pa.string(),
        "row_group": pa.int32(),
        "text_sha256": pa.binary(32),
        "rest_sha256": pa.binary(32),
    }
)
"""`emotions` of the turns, in order; `row_group` of the file from 0; the digests are those of `digests`."""

_DELTAS = {
    "id": "DELTA_BYTE_ARRAY",
    "turn": "DELTA_BINARY_PACKED",
    "offset": "DELTA_BINARY_PACKED",
    "length": "DELTA_BINARY_PACKED",
    "num_samples": "DELTA_BINARY_PACKED",
    "sha256": "PLAIN",
    "text_sha256": "PLAIN",
    "rest_sha256": "PLAIN",
}


def path_of(config: str) -> str:
    """Where the index of a dialogue config lies in a packaged folder."""
    return f"{FOLDER}/{config}.parquet"


def write_index(path: Path, entries: Iterable[pa.Table]) -> int:
    """Writes an index, sorted by dialogue and turn.

    Args:
        path: the file; its folder is made if need be.
        entries: tables of `CLIPS` or of `DIALOGUES`, at least one.

    Returns:
        How many rows it has.
    """
    table = pa.concat_tables(entries)
    keys = [(name, "ascending") for name in ("id", "turn") if name in table.column_names]
    names = table.column_names
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table.sort_by(keys),
        path,
        compression="zstd",
        use_dictionary=[
            "emotions.list.element" if name == "emotions" else name for name in names if name not in _DELTAS
        ],
        column_encoding={name: coding for name, coding in _DELTAS.items() if name in names},
        write_statistics=[name for name in names if not name.endswith("sha256")],
    )
    return int(table.num_rows)


def read_index(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads an index, of clips or of dialogues.

    Args:
        path: of the file.
        columns: those wanted; None for all of them.

    Returns:
        A table of `CLIPS` or `DIALOGUES`, sorted by dialogue and turn.

    Raises:
        DatasetError: it cannot be read, or is no index.
    """
    try:
        with pq.ParquetFile(path) as file:
            refuse_other(file.schema_arrow, str(path))
            return file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{path}: cannot be read: {first_line(error)}: fetch the index again, or package the dataset again"
        ) from None


def refuse_other(schema: pa.Schema, name: str) -> None:
    """Refuses what is no index.

    Args:
        schema: of a file.
        name: of the file, for the message.

    Raises:
        DatasetError: it is neither `CLIPS` nor `DIALOGUES`.
    """
    if not any(schema.equals(known) for known in (CLIPS, DIALOGUES)):
        raise DatasetError(
            f"{name}: its columns {schema.names} are not those of an index: package the dataset again"
        )


def offsets(path: Path, groups: Sequence[Sequence[int]]) -> list[int]:
    """Where the clips of a shard begin, computed from its pages and looked up in the file, each of them.

    A page of plain byte arrays ends in its values, each behind its length in four bytes; so what the last page of a column
    chunk holds is known from the chunk's end alone.

    Args:
        path: of the shard.
        groups: the length of every clip in bytes, by row group.

    Returns:
        The offset of the first byte of every clip, in order.

    Raises:
        DatasetError: a clip is not where it has to be, for the row group is more than a page, or not these clips.
    """
    metadata = pq.read_metadata(path)
    found: list[int] = []
    with path.open("rb") as file:
        for number, lengths in enumerate(groups):
            ends = np.cumsum([length + 4 for length in lengths], dtype=np.int64)
            end = _end_of_audio(path, metadata.row_group(number))
            begins = (end - ends[-1:] + ends - lengths).tolist() if len(lengths) else []
            for begin, length in zip(begins, lengths, strict=True):
                prefix = os.pread(file.fileno(), 8, begin - 4)
                if prefix != length.to_bytes(4, "little") + b"fLaC":
                    raise DatasetError(
                        f"{path}: no clip of {length} bytes at byte {begin}: row group {number} is not one plain page "
                        f"of these clips: package the dataset again"
                    )
            found += begins
    return found


def _end_of_audio(path: Path, group: Any) -> int:
    """The byte after the last clip of a row group."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.startswith("audio.") and column.path_in_schema.endswith(".bytes"):
            return int(column.data_page_offset + column.total_compressed_size)
    raise DatasetError(f"{path}: has no audio: package the dataset again")


def digests(row: dict[str, Any]) -> tuple[bytes, bytes]:
    """What a dialogue says, and all else that is known of it, as two SHA-256 digests.

    Args:
        row: of the config `text-only`, labels as names.

    Returns:
        Of the turns' speaker, text and emotion; and of every other column, with the turns' acted classes. Both are of compact
        JSON in UTF-8, scores as the 32-bit floats that are stored.
    """
    said = [(turn["speaker"], turn["text"], turn["emotion"]) for turn in row["turns"]]
    rest = row | {
        "scores": [score | {"score": float(np.float32(score["score"]))} for score in row["scores"]],
        "turns": [turn["ravdess"] for turn in row["turns"]],
    }
    text, other = (
        hashlib.sha256(msgspec.json.encode(part, order="sorted")).digest() for part in (said, rest)
    )
    return text, other
