"""Is a packaged folder what it says it is? Schema, counts, checksums, rows, and every clip decoded.

Law of the file: it trusts nothing but the bytes, holds one row group at a time, and names every fault it finds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo, Features
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

import deepdialogue
from builder.audio import decode
from builder.config import TEXT_ONLY
from builder.core.scenario import parse_id
from builder.dataset import CARD, MANIFEST, Manifest, Shard, file_sha256, read_manifest
from builder.errors import DatasetError, SourceError
from builder.progress import bar

_TOLERANCE_S = 1e-6


def validate(folder: Path) -> list[str]:
    """Checks a packaged dataset.

    Args:
        folder: with README.md and manifest.json.

    Returns:
        Every fault as one line naming the file; empty if there is none.

    Raises:
        DatasetError: it is no packaged dataset at all.
    """
    manifest = read_manifest(folder)
    faults = [*_files(folder, manifest)]
    sound = [shard for shard in manifest.shards if (folder / shard.path).is_file()]
    faults += _card(folder, manifest)
    ids: dict[str, dict[str, str]] = {}
    with bar("validate", sum(shard.rows for shard in sound)) as progress:
        for shard in sound:
            seen = ids.setdefault(shard.config, {})
            try:
                for fault in _shard(folder, shard, seen, progress.advance):
                    faults.append(f"{folder / shard.path}: {fault}")
            except (pa.ArrowException, OSError) as error:
                faults.append(f"{folder / shard.path}: cannot be read: {str(error).splitlines()[0]}")
    texts = ids.get(TEXT_ONLY, {})
    for config, seen in ids.items():
        strays = [id for id, split in seen.items() if texts.get(id) != split]
        if strays:
            faults.append(
                f"{folder}: {config}: {strays[0]!r} is not in the same split of {TEXT_ONLY} ({len(strays)} such)"
            )
    return faults


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Every file the manifest names is there, whole and unchanged, and there is no other."""
    for shard in manifest.shards:
        path = folder / shard.path
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != shard.num_bytes or file_sha256(path) != shard.sha256:
            yield f"{path}: its checksum is not the manifest's: it was changed or cut off"
    if (folder / CARD).is_file() and file_sha256(folder / CARD) != manifest.card_sha256:
        yield f"{folder / CARD}: its checksum is not the manifest's: it was changed"
    known = {MANIFEST, CARD, *(shard.path for shard in manifest.shards)}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in known:
            yield f"{path}: not in the manifest: take it out, for readers take every file of a split"


def _card(folder: Path, manifest: Manifest) -> Iterator[str]:
    """The card's YAML is what `datasets` reads: configs, files, features and counts, as the shards are."""
    path = folder / CARD
    try:
        data = DatasetCard.load(path).data
        configs = MetadataConfigs.from_dataset_card_data(data)
        infos = data.to_dict()["dataset_info"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{path}: its YAML cannot be read: {str(error).splitlines()[0]}"
        return
    wanted = {shard.config for shard in manifest.shards}
    if set(configs) != wanted:
        yield f"{path}: names the configs {sorted(configs)}, the shards are of {sorted(wanted)}"
    for listed in infos if isinstance(infos, list) else [infos]:
        info = DatasetInfo._from_yaml_dict(listed)  # noqa: SLF001
        own = [shard for shard in manifest.shards if shard.config == info.config_name]
        for split in info.splits.values():
            rows = sum(shard.rows for shard in own if shard.split == split.name)
            if rows != split.num_examples:
                yield f"{path}: says {split.num_examples} rows in {info.config_name}/{split.name}, there are {rows}"
        for shard in own[:1]:
            if (folder / shard.path).is_file() and info.features != _features(folder / shard.path):
                yield f"{path}: its features of {info.config_name} are not those of {shard.path}"


def _features(path: Path) -> Features:
    return Features.from_arrow_schema(pq.read_schema(path))


def _shard(folder: Path, shard: Shard, seen: dict[str, str], advance: Any) -> Iterator[str]:
    file = pq.ParquetFile(folder / shard.path)
    features = _features(folder / shard.path)
    rate = features["audio"].feature.sampling_rate if "audio" in features else 24_000
    labels = deepdialogue.Labels(
        domains=tuple(features["domain"].names),
        pairings=tuple(features["pairing"].names),
        models=tuple(features["first_model"].names),
        emotions=tuple(features["turns"].feature["emotion"].names),
    )
    if features != deepdialogue.features(shard.config, labels, rate):
        yield f"its columns are not those of a {shard.config} shard"
        return
    if file.metadata.num_rows != shard.rows:
        yield f"holds {file.metadata.num_rows} rows, the manifest says {shard.rows}"
    for group in range(file.num_row_groups):
        for row in file.read_row_group(group).to_pylist():
            if row["id"] in seen:
                yield f"{row['id']}: is in the dataset twice"
            seen[row["id"]] = shard.split
            yield from (f"{row['id']}: {fault}" for fault in _row(row, shard, features))
            advance()


def _row(row: dict[str, Any], shard: Shard, features: Features) -> Iterator[str]:
    try:
        name = parse_id(row["id"])
    except ValueError as error:
        yield str(error)
        return
    said = (
        features["pairing"].names[row["pairing"]],
        features["domain"].names[row["domain"]],
        row["num_turns"],
    )
    if said != (name.pairing, name.domain, name.num_turns) or len(row["turns"]) != row["num_turns"]:
        yield "its pairing, domain or number of turns is not what its id says"
    if features["split"].names[row["split"]] != shard.split:
        yield f"lies in {shard.split} and says {features['split'].names[row['split']]}"
    if not all(turn["text"].strip() for turn in row["turns"]):
        yield "a turn has no text"
    if shard.config != TEXT_ONLY:
        yield from _sound(row, features["audio"].feature.sampling_rate)


def _sound(row: dict[str, Any], sampling_rate_hz: int) -> Iterator[str]:
    if len(row["audio"]) != len(row["turns"]):
        yield f"has {len(row['audio'])} clips for {len(row['turns'])} turns"
        return
    before = 0.0
    for position, (turn, clip) in enumerate(zip(row["turns"], row["audio"], strict=True), start=1):
        try:
            samples, rate = decode(clip["bytes"])
        except (SourceError, DatasetError, RuntimeError) as error:
            yield f"clip {position} does not decode: {error}"
            continue
        length = len(samples) / rate
        if rate != sampling_rate_hz:
            yield f"clip {position} is at {rate} Hz, the column says {sampling_rate_hz} Hz"
        if abs(turn["end"] - turn["start"] - length) > _TOLERANCE_S:
            yield f"clip {position} lasts {length:.3f} s, its turn {turn['end'] - turn['start']:.3f} s"
        if turn["start"] < before - _TOLERANCE_S or turn["end"] > row["duration"] + _TOLERANCE_S:
            yield f"turn {position} lies at {turn['start']:.3f}–{turn['end']:.3f} s, over its neighbours or the end"
        before = turn["end"]
