"""A small packaged dataset, written as the packager lays it out, and the rows it holds.

Law of the file: what is read back is compared with `rows`, which never passed through `datasets`.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import yaml

import deepdialogue
from builder.dataset.index import CLIPS, path_of, write_index
from deepdialogue import LABELS, Labels

RATE = 24_000
SHARDS = {"train": ("art", "travel"), "validation": ("art",), "test": ("work",)}
"""Split to the domains of its shards."""


def package(
    folder: Path, labels: Labels = LABELS, shards: dict[str, tuple[str, ...]] | None = None, title: str = "a"
) -> Path:
    """Writes the README and, for each config, `<config>/<split>/<domain>-00000.parquet`."""
    shards = SHARDS if shards is None else shards
    for config in deepdialogue.CONFIGS:
        for split, domains in shards.items():
            for domain in domains:
                path = folder / config / split / f"{domain}-00000.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                numbered = [_numbered(row, labels) for row in rows(config, split, labels, (domain,), title)]
                schema = deepdialogue.schema(config, labels, RATE)
                pq.write_table(
                    pa.Table.from_pylist(numbered, schema=schema),
                    path,
                    row_group_size=1,
                    compression="none",
                    use_dictionary=False,
                )
        if f"{config}-turns" in deepdialogue.CONFIGS:
            _index(folder, config, labels, shards, title)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(_card(labels, shards))}---\n# A small dataset\n")
    return folder


def _index(folder: Path, config: str, labels: Labels, shards: dict[str, tuple[str, ...]], title: str) -> None:
    """Writes where every clip was found in the shards."""
    entries = []
    for split, domains in shards.items():
        for domain in domains:
            file = f"{config}/{split}/{domain}-00000.parquet"
            data, at = (folder / file).read_bytes(), 0
            for row in rows(f"{config}-turns", split, labels, (domain,), title):
                flac = _flac(row["audio"]["samples"])
                at = data.index(flac, at)
                place = {"file": file, "offset": at, "length": len(flac)}
                known = {"num_samples": len(row["audio"]["samples"]), "sha256": hashlib.sha256(flac).digest()}
                entries.append(row | place | known | {"id": row["dialogue"]})
    write_index(folder / path_of(config), [pa.Table.from_pylist(entries, schema=CLIPS)])


def rows(
    config: str,
    split: str,
    labels: Labels = LABELS,
    domains: tuple[str, ...] | None = None,
    title: str = "a",
) -> list[dict[str, Any]]:
    """The rows of a split with labels as names; a clip is its samples, int16 of shape (samples,)."""
    dialogue = config.removesuffix("-turns")
    found = [
        _row(dialogue, split, labels, domain, index, title)
        for domain in (SHARDS[split] if domains is None else domains)
        for index in range(2)
    ]
    return found if config == dialogue else [turn for row in found for turn in _turns(row)]


def _turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The same dialogue, one turn a row."""
    return [
        {
            "id": f"{row['id']}/0{position + 1}",
            "dialogue": row["id"],
            "turn": position + 1,
            **{name: row[name] for name in ("num_turns", "split", "domain", "pairing", "rehearsal")},
            "model": row[("first_model", "second_model")[position % 2]],
            "checkpoint": row[("first_checkpoint", "second_checkpoint")[position % 2]],
            "engine": row["engine"],
            "voice": ("v1", "v2")[position % 2],
            **{name: turn[name] for name in ("speaker", "text", "emotion", "ravdess", "start")},
            "duration": turn["end"] - turn["start"],
            "audio": clip,
        }
        for position, (turn, clip) in enumerate(zip(row["turns"], row["audio"], strict=True))
    ]


def _row(config: str, split: str, labels: Labels, domain: str, index: int, title: str) -> dict[str, Any]:
    pairing, num_turns = labels.pairings[index], 3 + index
    names = pairing.split("_")
    row: dict[str, Any] = {
        "id": f"{pairing}/{domain}_{index}_{num_turns}",
        "split": split,
        "domain": domain,
        "pairing": pairing,
        "first_model": names[0],
        "second_model": names[-1],
        "first_checkpoint": f"ORG/{names[0]}@v1",
        "second_checkpoint": f"ORG/{names[-1]}",
        "rehearsal": index == 1,
        "num_turns": num_turns,
        "scores": [{"judge": "length", "criterion": "length", "score": 1.0}][: index + 1] * index,
        "turns": [
            {
                "speaker": deepdialogue.SPEAKERS[position % 2],
                "text": f"“{title}” {domain} {position}: ça va?",
                "emotion": labels.emotions[-1 - position],
                "ravdess": deepdialogue.RAVDESS[position],
            }
            for position in range(num_turns)
        ],
    }
    if config != "text-only":
        lengths = [1_200 * (position + 1) for position in range(num_turns)]
        starts = [sum(lengths[:position]) / RATE + 0.3 * position for position in range(num_turns)]
        row |= {"engine": config, "first_voice": "v1", "second_voice": "v2", "duration": starts[-1] + 0.9}
        for turn, start, length in zip(row["turns"], starts, lengths, strict=True):
            turn |= {"start": start, "end": start + length / RATE}
        row["audio"] = [
            {"path": f"{domain}_{index}_{position:02}.flac", "samples": _tone(length, 200 + 50 * position)}
            for position, length in enumerate(lengths)
        ]
    return row


def _tone(length: int, hertz: float) -> np.ndarray:
    return np.round(8_000 * np.sin(2 * np.pi * hertz * np.arange(length) / RATE)).astype(np.int16)


def _numbered(row: dict[str, Any], labels: Labels) -> dict[str, Any]:
    """As Parquet stores it: labels as numbers, clips as FLAC."""
    names = {
        "split": deepdialogue.SPLITS,
        "domain": labels.domains,
        "pairing": labels.pairings,
        "first_model": labels.models,
        "second_model": labels.models,
        "model": labels.models,
        "speaker": deepdialogue.SPEAKERS,
        "emotion": labels.emotions,
        "ravdess": deepdialogue.RAVDESS,
    }

    def stored(value: Any, column: str = "") -> Any:
        if column in names:
            return names[column].index(value)
        if isinstance(value, list):
            return [stored(item) for item in value]
        if isinstance(value, dict) and "samples" in value:
            return {"bytes": _flac(value["samples"]), "path": value["path"]}
        return {key: stored(part, key) for key, part in value.items()} if isinstance(value, dict) else value

    numbered: dict[str, Any] = stored(row)
    return numbered


def _flac(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _card(labels: Labels, shards: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    return {
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}/*.parquet"} for split in shards],
            }
            | ({"default": True} if config == deepdialogue.CONFIGS[0] else {})
            for config in deepdialogue.CONFIGS
        ],
        "dataset_info": [
            {
                "config_name": config,
                "features": deepdialogue.card_features(config, labels, RATE),
                "splits": [
                    {
                        "name": split,
                        "num_bytes": 1_000,
                        "num_examples": len(rows(config, split, labels, domains)),
                    }
                    for split, domains in shards.items()
                ],
            }
            for config in deepdialogue.CONFIGS
        ],
    }
