"""Is a packaged folder what it says it is? Schema, counts, checksums, rows, and every clip decoded.

Law of the file: it trusts nothing but the bytes, holds one row group at a time, and names every fault it finds.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo, Features
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

import deepdialogue
from builder.audio import decode
from builder.config import TEXT_ONLY
from builder.core.dialogue import SPEAKERS
from builder.core.scenario import parse_id
from builder.dataset import CARD, Manifest, Shard, file_sha256, read_manifest, strays
from builder.errors import DatasetError, SourceError, first_line
from builder.progress import bar

_TOLERANCE_S = 1e-6


class _Seen(NamedTuple):
    """What every config must say alike of a dialogue."""

    split: str
    words: bytes
    """A digest of the turns: who says what, and with what emotion."""


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
    ids: dict[str, dict[str, _Seen]] = {}
    with bar("validate", sum(shard.rows for shard in sound)) as progress:
        for shard in sound:
            seen = ids.setdefault(shard.config, {})
            try:
                for fault in _shard(folder, shard, seen, progress.advance):
                    faults.append(f"{folder / shard.path}: {fault}")
            except (pa.ArrowException, OSError, ValueError) as error:
                faults.append(f"{folder / shard.path}: cannot be read: {first_line(error)}")
    texts = ids.get(TEXT_ONLY, {})
    for config, seen in ids.items():
        astray = [id for id, own in seen.items() if id not in texts or texts[id].split != own.split]
        if astray:
            faults.append(
                f"{folder}: {config}: {astray[0]!r} is not in the same split of {TEXT_ONLY} ({len(astray)} such)"
            )
        other = [id for id, own in seen.items() if id in texts and texts[id].words != own.words]
        if other:
            faults.append(
                f"{folder}: {config}: {other[0]!r} says other words than in {TEXT_ONLY} ({len(other)} such)"
            )
    return faults


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Every file the manifest names is there, whole and unchanged, and there is no other."""
    for shard in manifest.shards:
        path = folder / shard.path
        if shard.split not in deepdialogue.SPLITS or Path(shard.path).parent != Path(
            shard.config, shard.split
        ):
            yield f"{path}: is not where readers look for {shard.config}/{shard.split}"
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != shard.num_bytes or file_sha256(path) != shard.sha256:
            yield f"{path}: its checksum is not the manifest's: it was changed or cut off"
    if (folder / CARD).is_file() and file_sha256(folder / CARD) != manifest.card_sha256:
        yield f"{folder / CARD}: its checksum is not the manifest's: it was changed"
    for path in strays(folder, manifest):
        yield f"{path}: not in the manifest: take it out, for readers take every file of a split"


def _card(folder: Path, manifest: Manifest) -> Iterator[str]:
    """The card's YAML is what `datasets` reads: configs, files, features and counts, as the shards are."""
    path = folder / CARD
    if not path.is_file():
        yield f"{path}: missing"
        return
    try:
        infos, files = _read_card(path)
    except Exception as error:  # noqa: BLE001 - a damaged card may raise anything in the libraries that read it
        yield f"{path}: its YAML cannot be read: {first_line(error)}"
        return
    wanted = {shard.config for shard in manifest.shards}
    if set(files) != wanted:
        yield f"{path}: names the configs {sorted(files)}, the shards are of {sorted(wanted)}"
    for name in sorted(wanted | set(infos)):
        own = [shard for shard in manifest.shards if shard.config == name]
        if name in files and files[name] != {(shard.split, shard.path) for shard in own}:
            yield f"{path}: its data_files of {name} are not the shards of {name}"
        info = infos.get(name, DatasetInfo())
        yield from (f"{path}: {fault}" for fault in _counts(name, info, own))
        for shard in own[:1]:
            if (folder / shard.path).is_file() and info.features != _features(folder / shard.path):
                yield f"{path}: its features of {name} are not those of {shard.path}"


def _counts(config: str, info: DatasetInfo, shards: list[Shard]) -> Iterator[str]:
    said = {split.name: split.num_examples for split in (info.splits or {}).values()}
    rows: Counter[str] = Counter()
    for shard in shards:
        rows[shard.split] += shard.rows
    for split in sorted(said.keys() | rows.keys()):
        if said.get(split) != rows.get(split):
            yield f"says {said.get(split, 0)} rows in {config}/{split}, there are {rows[split]}"


def _read_card(path: Path) -> tuple[dict[str, DatasetInfo], dict[str, set[tuple[str, str]]]]:
    """By config: what the card's YAML says of it, and split and path of every file it names."""
    data = DatasetCard.load(path).data
    listed = data.to_dict()["dataset_info"]
    infos = map(DatasetInfo._from_yaml_dict, listed if isinstance(listed, list) else [listed])  # noqa: SLF001
    files = {
        name: {
            (entry["split"], file.relative_to(path.parent).as_posix())
            for entry in config["data_files"]
            for file in path.parent.glob(entry["path"])
        }
        for name, config in MetadataConfigs.from_dataset_card_data(data).items()
    }
    return {info.config_name: info for info in infos}, files


def _features(path: Path) -> Features | None:
    """The features of a shard; None where there is nothing to read them from."""
    try:
        return Features.from_arrow_schema(pq.read_schema(path))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        return None


def _contract(config: str, features: Features) -> Features:
    """What the features of a shard must be, given the vocabulary and sampling rate it is written with.

    Raises:
        KeyError, TypeError, AttributeError: a column that must be there is missing, or of another kind.
    """
    labels = deepdialogue.Labels(
        domains=tuple(features["domain"].names),
        pairings=tuple(features["pairing"].names),
        models=tuple(features["first_model"].names),
        emotions=tuple(features["turns"].feature["emotion"].names),
    )
    rate = features["audio"].feature.sampling_rate if "audio" in features else 24_000
    return deepdialogue.features(config, labels, rate)


def _shard(folder: Path, shard: Shard, seen: dict[str, _Seen], advance: Any) -> Iterator[str]:
    file = pq.ParquetFile(folder / shard.path)
    features = _features(folder / shard.path)
    try:
        fits = features is not None and features == _contract(shard.config, features)
    except (KeyError, TypeError, AttributeError):
        fits = False
    if features is None or not fits:
        yield f"its columns are not those of a {shard.config} shard"
        return
    if file.metadata.num_rows != shard.rows:
        yield f"holds {file.metadata.num_rows} rows, the manifest says {shard.rows}"
    for group in range(file.num_row_groups):
        for row in file.read_row_group(group).to_pylist():
            if row["id"] in seen:
                yield f"{row['id']}: is in the dataset twice"
            try:
                faults = list(_row(row, shard, features))
                said = [(turn["speaker"], turn["text"], turn["emotion"]) for turn in row["turns"]]
            except (TypeError, AttributeError):
                faults, said = ["a value is missing"], []
            seen[row["id"]] = _Seen(
                shard.split, hashlib.blake2b(repr(said).encode(), digest_size=16).digest()
            )
            yield from (f"{row['id']}: {fault}" for fault in faults)
            advance()


def _row(row: dict[str, Any], shard: Shard, features: Features) -> Iterator[str]:
    try:
        name = parse_id(row["id"])
    except ValueError as error:
        yield str(error)
        return
    if not _is_labelled(row, features):
        yield "a label is a number without a name"
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
    if any(turn["speaker"] != position % len(SPEAKERS) for position, turn in enumerate(row["turns"])):
        yield "its speakers do not take turns"
    if not all(math.isfinite(score["score"]) for score in row["scores"]):
        yield "a score is not a number"
    if shard.config != TEXT_ONLY:
        yield from _sound(row, features["audio"].feature.sampling_rate)


def _is_labelled(value: Any, feature: Any) -> bool:
    """Whether every number that stands for a name has one."""
    if hasattr(feature, "names"):
        return value in range(len(feature.names))
    if isinstance(feature, dict):
        return all(_is_labelled(value[name], part) for name, part in feature.items())
    inner = getattr(feature, "feature", None)
    return inner is None or all(_is_labelled(item, inner) for item in value)


def _sound(row: dict[str, Any], sampling_rate_hz: int) -> Iterator[str]:
    if len(row["audio"]) != len(row["turns"]):
        yield f"has {len(row['audio'])} clips for {len(row['turns'])} turns"
        return
    name = row["id"].rpartition("/")[2]
    before = 0.0
    for position, (turn, clip) in enumerate(zip(row["turns"], row["audio"], strict=True), start=1):
        try:
            samples, rate = decode(clip["bytes"])
        except (SourceError, DatasetError, RuntimeError) as error:
            yield f"clip {position} does not decode: {error}"
            continue
        length = len(samples) / rate
        if clip["path"] != f"{name}_{position:02d}.flac":
            yield f"clip {position} is called {clip['path']!r}: it belongs elsewhere"
        if rate != sampling_rate_hz:
            yield f"clip {position} is at {rate} Hz, the column says {sampling_rate_hz} Hz"
        # Negated, so that what is not a number at all is found, too.
        if not abs(turn["end"] - turn["start"] - length) <= _TOLERANCE_S:
            yield f"clip {position} lasts {length:.3f} s, its turn {turn['end'] - turn['start']:.3f} s"
        if not before - _TOLERANCE_S <= turn["start"] <= turn["end"] <= row["duration"] + _TOLERANCE_S:
            yield f"turn {position} lies at {turn['start']:.3f}–{turn['end']:.3f} s, over its neighbours or the end"
        before = turn["end"]
