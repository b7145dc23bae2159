"""Is a packaged folder what it says it is? Schema, counts, checksums, rows, and every clip decoded.

Law of the file: it trusts nothing but the bytes, holds one row group and a few digests of every dialogue, and names every
fault it finds.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo, Features
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

import deepdialogue
from builder.config import TEXT_ONLY, TURNS
from builder.core.dialogue import SPEAKERS
from builder.core.row import Row, turn_rows
from builder.core.scenario import parse_id
from builder.dataset.index import CLIPS, DIALOGUES, path_of, read_index
from builder.dataset.manifest import (
    CARD,
    CROISSANT,
    MANIFEST,
    Manifest,
    Shard,
    file_sha256,
    read_front_matter,
    read_manifest,
    strays,
)
from builder.dataset.rows import named
from builder.dataset.shards import clip_entry, dialogue_entry
from builder.errors import DatasetError, SourceError, first_line
from builder.files import listed
from builder.run.audio import decode
from builder.terminal import bar

_TOLERANCE_S = 1e-6


class _Seen(NamedTuple):
    """What must be said alike of a dialogue wherever it is, as digests."""

    split: str
    words: bytes
    """Of the turns: who says what, and with what emotion."""
    turns: bytes
    """Of its rows in the config with one turn a row; of nothing where it is not spoken."""
    entry: bytes
    """Of what the index says of it."""


_Check = Callable[[Shard, Features, int, list[Row]], Iterator[str]]
"""What checks a row group of a shard, its number and its rows given, labels as numbers."""

_Dialogues = dict[str, _Seen | None]
"""By id, in the order of the shards; None where a dialogue has a fault of its own."""


def validate(folder: Path, *, rows: bool = True) -> list[str]:
    """Checks a packaged dataset.

    Args:
        folder: with README.md and manifest.json.
        rows: whether to read every row and decode every clip, and not only to look at files, checksums and card.

    Returns:
        Every fault as one line naming the file; empty if there is none.

    Raises:
        DatasetError: it is no packaged dataset at all.
    """
    manifest = read_manifest(folder)
    faults = [*_files(folder, manifest), *claims(folder, manifest), *_card(folder, manifest)]
    sound = [shard for shard in manifest.shards if rows and (folder / shard.path).is_file()]
    ids: defaultdict[str, _Dialogues] = defaultdict(dict)
    turns: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    with bar("validate", sum(shard.rows for shard in sound)) as progress:
        for shard in sound:
            check: _Check = (
                partial(_check_turns, turns[shard.config])
                if shard.config.endswith(TURNS)
                else partial(_check_dialogues, ids[shard.config])
            )
            try:
                faults.extend(
                    f"{folder / shard.path}: {fault}"
                    for fault in _shard(folder, shard, check, progress.advance)
                )
            except (pa.ArrowException, OSError, ValueError) as error:
                faults.append(f"{folder / shard.path}: cannot be read: {first_line(error)}")
    for config, dialogues in ids.items():
        found = _texts(dialogues, ids.get(TEXT_ONLY, {}))
        if config != TEXT_ONLY:
            found = chain(found, _turns(config, dialogues, turns[config + TURNS]))
        faults += [f"{folder}: {config}: {fault}" for fault in found]
        faults += _index(folder, config, dialogues, manifest)
    return faults


def claims(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What a manifest says of the whole that its files do not say: a few columns are read, and no sound.

    Args:
        folder: the packaged one.
        manifest: of it, which may have been edited.

    Yields:
        Every contradiction, as one line; what cannot be read is no contradiction.
    """
    path = folder / MANIFEST
    with suppress(pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError):
        yield from (f"{path}: {fault}" for fault in _rows_deny(folder, manifest))
    for index in manifest.indexes:
        with suppress(pa.ArrowException, OSError):
            if (rows := pq.read_metadata(folder / index.path).num_rows) != index.rows:
                yield f"{path}: says that {index.path} has {index.rows} rows, it has {rows}"
    with suppress(OSError, ValueError):
        told = msgspec.json.decode((folder / CROISSANT).read_bytes(), type=_Told)
        version = manifest.versions[-1].version if manifest.versions else ""
        for what, own, other in (("study", manifest.study, told.name), ("version", version, told.version)):
            if own != other:
                yield f"{path}: says that its {what} is {own!r}, {CROISSANT} says {other!r}"


class _Told(msgspec.Struct):
    """What the metadata for machines says of the whole."""

    name: str
    version: str = ""


def _rows_deny(folder: Path, manifest: Manifest) -> list[str]:
    """What the rows deny of a manifest; raises as libraries do where some cannot be read."""
    rehearsed, spoke, denied = list[str](), Counter[tuple[str, str]](), list[str]()
    for shard in manifest.shards:
        names = ["id", "rehearsal"]
        if shard.config == TEXT_ONLY:
            names += [f"{who}_{what}" for who in ("first", "second") for what in ("model", "checkpoint")]
        table = pq.read_table(folder / shard.path, columns=names)
        kinds = Features.from_arrow_schema(pq.read_schema(folder / shard.path))
        for row in (named(row, {name: kinds[name] for name in names}) for row in table.to_pylist()):
            rehearsed += [row["id"]] if row["rehearsal"] else []
            if shard.config == TEXT_ONLY:
                spoke.update({(row[f"{who}_model"], row[f"{who}_checkpoint"]) for who in ("first", "second")})
    if rehearsed and not manifest.rehearsal:
        denied.append(
            f"says that it is no rehearsal, and {rehearsed[0]!r} is one ({len(rehearsed)} such rows)"
        )
    elif manifest.rehearsal and not rehearsed:
        denied.append("says that it is a rehearsal, and no row is one")
    told = {(one.model, one.served): one.count for one in manifest.speakers}
    for model, served in sorted(told.keys() | spoke.keys()) if told else ():
        says, found = told.get((model, served), 0), spoke[model, served]
        if says != found:
            what = f"{served or 'an unknown checkpoint'} spoke as {model}"
            denied.append(f"says that {what} in {says} dialogues, the rows say in {found}")
    return denied


def _texts(dialogues: _Dialogues, texts: _Dialogues) -> Iterator[str]:
    """Every dialogue is in the config of texts, in the same split and in the same words."""
    known = {id: (seen, texts.get(id, seen)) for id, seen in dialogues.items() if seen}
    astray = [
        id for id, (own, text) in known.items() if id not in texts or (text and text.split != own.split)
    ]
    if astray:
        yield f"{astray[0]!r} is not in the same split of {TEXT_ONLY} ({len(astray)} such)"
    other = [id for id, (own, text) in known.items() if text and text.words != own.words]
    if other:
        yield f"{other[0]!r} says other words than in {TEXT_ONLY} ({len(other)} such)"


def _turns(config: str, dialogues: _Dialogues, turns: dict[str, bytes]) -> Iterator[str]:
    """The same clips and texts are there with one turn a row, in the same order."""
    other = [id for id, own in dialogues.items() if own and turns.get(id) != own.turns]
    other += sorted(turns.keys() - dialogues.keys())
    if other:
        yield f"{other[0]!r} is not turn for turn what it is in {config + TURNS} ({len(other)} such)"
    elif [*turns] != [*dialogues]:
        yield f"its dialogues are in another order than in {config + TURNS}"


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Every file the manifest names is there, whole and unchanged, and there is no other."""
    for shard in manifest.shards:
        place = Path(shard.config, shard.split)
        if shard.split not in deepdialogue.SPLITS or Path(shard.path).parent != place:
            yield f"{folder / shard.path}: is not where readers look for {shard.config}/{shard.split}"
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != file.num_bytes or file_sha256(path) != file.sha256:
            yield f"{path}: its checksum is not the manifest's: it was changed or cut off"
    if (folder / CARD).is_file() and file_sha256(folder / CARD) != manifest.card_sha256:
        yield f"{folder / CARD}: its checksum is not the manifest's: it was changed"
    for path in strays(folder, manifest, hidden=False):
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
    data = read_front_matter(path.read_text(encoding="utf-8"))
    told = data["dataset_info"]
    infos = map(DatasetInfo._from_yaml_dict, told if isinstance(told, list) else [told])  # noqa: SLF001
    files = {
        name: {
            (entry["split"], file.relative_to(path.parent).as_posix())
            for entry in config["data_files"]
            for file in listed(path.parent.glob(entry["path"]))
        }
        for name, config in MetadataConfigs.from_dataset_card_data(DatasetCardData(**data)).items()
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
    turn = features if config.endswith(TURNS) else features["turns"].feature
    labels = deepdialogue.Labels(
        domains=tuple(features["domain"].names),
        pairings=tuple(features["pairing"].names),
        models=tuple(features["model" if turn is features else "first_model"].names),
        emotions=tuple(turn["emotion"].names),
    )
    return deepdialogue.features(config, labels, _rate(features))


def _rate(features: Features) -> int:
    """Of the audio in hertz; where there is none, that of any."""
    audio = features.get("audio")
    rate: int = getattr(audio, "feature", audio).sampling_rate if audio else 24_000
    return rate


def _shard(folder: Path, shard: Shard, check: _Check, advance: Callable[[], None]) -> Iterator[str]:
    """Has the rows of a shard checked, a row group at a time."""
    path = folder / shard.path
    features = _features(path)
    try:
        fits = features is not None and features == _contract(shard.config, features)
    except (KeyError, TypeError, AttributeError):
        fits = False
    if features is None or not fits:
        yield f"its columns are not those of a {shard.config} shard"
        return
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != shard.rows:
            yield f"holds {file.metadata.num_rows} rows, the manifest says {shard.rows}"
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group).to_pylist()
            yield from check(shard, features, group, rows)
            for _ in rows:
                advance()


def _check_dialogues(
    seen: _Dialogues, shard: Shard, features: Features, group: int, rows: list[Row]
) -> Iterator[str]:
    for row in rows:
        if row["id"] in seen:
            yield f"{row['id']}: is in the dataset twice"
        try:
            faults = list(_row(row, shard, features))
        except (TypeError, AttributeError):
            faults = ["a value is missing"]
        seen[row["id"]] = None if faults else _seen(named(row, features), shard, group, _rate(features))
        yield from (f"{row['id']}: {fault}" for fault in faults)


def _check_turns(
    seen: dict[str, bytes], _shard: Shard, features: Features, _group: int, rows: list[Row]
) -> Iterator[str]:
    for id, turns in groupby(rows, key=itemgetter("dialogue")):
        if id in seen:
            yield f"{id}: is in the dataset twice, or is not in one piece"
        try:
            seen[id] = _digest([_heard(named(turn, features)) for turn in turns])
        except (TypeError, ValueError):
            seen[id] = b""
            yield f"{id}: a value is missing, or a label is a number without a name"


def _seen(row: Row, shard: Shard, group: int, rate: int) -> _Seen:
    words = _digest([(turn["speaker"], turn["text"], turn["emotion"]) for turn in row["turns"]])
    if shard.config == TEXT_ONLY:
        entry = dialogue_entry(row, shard.path, group)
        return _Seen(shard.split, words, b"", _digest([_entry(entry, DIALOGUES)]))
    turns = turn_rows(row)
    entries = [_entry(clip_entry(turn, shard.path, rate), CLIPS) for turn in turns]
    return _Seen(shard.split, words, _digest([_heard(turn) for turn in turns]), _digest(entries))


def _heard(turn: Row) -> list[Any]:
    """A row of one turn, in the order of its columns, with a checksum in place of its sound."""
    sound = turn["audio"]["path"], hashlib.sha256(turn["audio"]["bytes"]).digest()
    return [sound if name == "audio" else turn[name] for name in sorted(turn)]


def _entry(entry: Row, schema: pa.Schema) -> list[Any]:
    """What the index says of a clip or dialogue, but for the offset, which is looked up."""
    return [entry[name] for name in schema.names if name != "offset"]


def _digest(value: object) -> bytes:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).digest()


def _index(folder: Path, config: str, dialogues: _Dialogues, manifest: Manifest) -> Iterator[str]:
    """The index says of every clip and dialogue what the shards say, and where it says is the clip."""
    path = folder / path_of(config)
    if not any(index.path == path_of(config) for index in manifest.indexes):
        yield f"{path}: not in the manifest: package the dataset again"
        return
    if not path.is_file():
        return
    try:
        table = read_index(path)
    except DatasetError as error:
        yield str(error)
        return
    indexed: dict[str, bytes] = {}
    lost: list[Row] = []
    for id, some in groupby(table.to_pylist(), key=itemgetter("id")):
        entries = list(some)
        indexed[id] = _digest([_entry(entry, table.schema) for entry in entries])
        own = dialogues.get(id)
        if config != TEXT_ONLY and own and own.entry == indexed[id]:
            lost += [entry for entry in entries if not _is_there(folder, entry)]
    if lost:
        at = f"turn {lost[0]['turn']} of {lost[0]['id']} is not at byte {lost[0]['offset']} of {lost[0]['file']}"
        yield f"{path}: {at} ({len(lost)} such)"
    other = [id for id, own in dialogues.items() if own and indexed.get(id) != own.entry]
    other += sorted(indexed.keys() - dialogues.keys())
    if other:
        yield f"{path}: {other[0]!r} is not there as the shards have it ({len(other)} such)"


def _is_there(folder: Path, entry: Row) -> bool:
    with (folder / entry["file"]).open("rb") as file:
        file.seek(entry["offset"])
        return bool(hashlib.sha256(file.read(entry["length"])).digest() == entry["sha256"])


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
