"""Versions of a small dataset: packaged by the packager's own writers, sound to `validate`, and changed as a test likes.

Law of the file: what differs between two versions is what `change` did to the rows, and nothing else.
"""

import io
import os
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from unittest import mock

import soundfile
import yaml
from huggingface_hub import constants

import deepdialogue
from builder.__main__ import main
from builder.dataset.index import path_of, write_index
from builder.dataset.manifest import CARD, Index, Manifest, file_sha256, written
from builder.dataset.shards import write_shards
from tests.packaged import RATE, _flac
from tests.packaged import rows as plain_rows

CONFIGS = ("text-only", "xtts")
SHARDS = {"train": ("art", "travel"), "validation": ("books",), "test": ("work",)}


def dataset(
    folder, change=None, *, labels=deepdialogue.LABELS, configs=CONFIGS, licence="cc-by-nc-4.0", note=""
):
    """Writes one version.

    Args:
        folder: where; must not be there.
        change: takes the rows by config, labels as names and clips as FLAC, and changes them in place.
        labels: the vocabulary.
        configs: those that are written.
        licence: as the card says.
        note: words of the card.
    """
    held = {config: _rows(config, labels) for config in configs}
    if change:
        change(held)
    shards, indexes = [], []
    for config, rows in held.items():
        entries = []
        for split, domain in sorted({(row["split"], row["domain"]) for row in rows}):
            own = sorted(
                (row for row in rows if (row["split"], row["domain"]) == (split, domain)),
                key=lambda row: row["id"],
            )
            done = write_shards(folder, (config, labels, RATE), split=split, domain=domain, rows=own)
            shards += done.shards
            entries += done.entries
        path = folder / path_of(config)
        count = write_index(path, entries)
        indexes.append(
            Index(
                path=path_of(config),
                config=config,
                rows=count,
                num_bytes=path.stat().st_size,
                sha256=file_sha256(path),
            )
        )
    shards.sort(key=lambda shard: (shard.config, shard.path))
    (folder / CARD).write_text(_card(shards, labels, licence, note), encoding="utf-8")
    manifest = Manifest(
        study="small",
        rehearsal=any(row["rehearsal"] for rows in held.values() for row in rows),
        card_sha256=file_sha256(folder / CARD),
        shards=tuple(shards),
        indexes=tuple(indexes),
    )
    (folder / "manifest.json").write_bytes(written(manifest))
    return folder


def _rows(config, labels):
    rows = [row for split, domains in SHARDS.items() for row in plain_rows(config, split, labels, domains)]
    for row in rows:
        row["rehearsal"] = False
        for clip in row.get("audio", ()):
            clip["bytes"] = _flac(clip.pop("samples"))
        _name(row)
    return rows


def _card(shards, labels, licence, note):
    configs = list(dict.fromkeys(shard.config for shard in shards))
    splits = {config: {} for config in configs}
    for shard in shards:
        rows = splits[shard.config]
        rows[shard.split] = rows.get(shard.split, 0) + shard.rows
    head = {
        "license": licence,
        "configs": [
            {
                "config_name": config,
                "data_files": [
                    {"split": split, "path": f"{config}/{split}/*.parquet"} for split in splits[config]
                ],
            }
            for config in configs
        ],
        "dataset_info": [
            {
                "config_name": config,
                "features": deepdialogue.card_features(config, labels, RATE),
                "splits": [
                    {"name": split, "num_bytes": 1, "num_examples": rows}
                    for split, rows in splits[config].items()
                ],
            }
            for config in configs
        ],
    }
    return f"---\n{yaml.safe_dump(head)}---\n# A small dataset\n\n{note}\n\n## Cite\n\nNobody.\n"


def add(held, index=7, domain="travel"):
    """One dialogue more in every config."""
    for rows in held.values():
        row = deepcopy(next(row for row in rows if row["domain"] == domain))
        pairing, _, name = row["id"].partition("/")
        row["id"] = f"{pairing}/{domain}_{index}_{name.rpartition('_')[2]}"
        _name(row)
        rows.append(row)


def _name(row):
    for position, clip in enumerate(row.get("audio", ()), start=1):
        clip["path"] = f"{row['id'].partition('/')[2]}_{position:02d}.flac"


def remove(held):
    """One dialogue less in every config."""
    for rows in held.values():
        rows.pop(0)


def edit(held):
    """One text is another."""
    for rows in held.values():
        rows[0]["turns"][0]["text"] += " So it is."


def rescore(held):
    """One score more."""
    for rows in held.values():
        rows[0]["scores"].append({"judge": "pace", "criterion": "pace", "score": 1.0})


def respeak(held):
    """One clip is spoken anew, as long as it was."""
    clip = held["xtts"][0]["audio"][0]
    samples, _ = soundfile.read(io.BytesIO(clip["bytes"]), dtype="int16")
    clip["bytes"] = _flac(-samples)


def move(held):
    """The dialogues of a domain change their split."""
    for rows in held.values():
        for row in rows:
            if row["domain"] == "work":
                row["split"] = "train"


@contextmanager
def pointed(hub, home):
    """Makes huggingface_hub in this process take a loopback Hub for the Hub, and wait for nothing.

    Yields:
        How long it would have waited, each time.
    """
    waits = []
    with (
        mock.patch.dict(os.environ, hub.environment(home)),
        _as_the_environment_says(),
        mock.patch("time.sleep", waits.append),
    ):
        yield waits


def main_of_hub(arguments):
    """The command line in a process whose environment says which Hub there is, after huggingface_hub was imported."""
    with _as_the_environment_says():
        return main(arguments)


def _as_the_environment_says():
    url, home = os.environ["HF_ENDPOINT"], Path(os.environ["HF_HOME"])
    changed = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
    }
    return mock.patch.multiple(constants, **changed)
