"""Loads a packaged dataset in every way its readers can, and says whether all ways give the same rows.

    python tests/loading.py dist/deepdialogue

The ways, each map-style and streaming: `load_dataset` by the bare name beside the folder, its audio left encoded; the
same decoded by `datasets` itself; `load_dataset` after `import deepdialogue`; and `deepdialogue.load`, decoded.
Law of the file: it runs wherever `datasets` 3.6 or later and soundfile do, so it imports nothing of the tests.
"""

# ruff: noqa: T201 - a program prints

import argparse
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile

CONFIGS = ("xtts", "orpheus", "text-only", "xtts-turns", "orpheus-turns")

Rows = dict[str, list[dict[str, Any]]]
"""By split, as plain data: labels as names, a clip as what `fingerprint` makes of it."""


def compare(folder: Path) -> dict[str, dict[str, Rows | str]]:
    """Loads every config in every way.

    Returns:
        By config and way, the rows; or, for a way that cannot work here, the reason.
    """
    os.chdir(folder.parent)
    by_name = {config: _by_name(folder.name, config) for config in CONFIGS}
    # Only after the bare name, which must not need it; and last in line, where it cannot hide another module.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    return {config: by_name[config] | _with_module(folder, config) for config in CONFIGS}


def _by_name(name: str, config: str) -> dict[str, Rows | str]:
    table = datasets.load_dataset(name, config)
    stream = datasets.load_dataset(name, config, streaming=True)
    ways: dict[str, Rows | str] = {
        "load_dataset": _rows(_encoded(table), table),
        "load_dataset, streaming": _rows(_encoded(stream), table),
    }
    if config != "text-only":
        reason = _undecodable()
        ways["decoded by datasets"] = reason or _rows(table, table)
        ways["decoded by datasets, streaming"] = reason or _rows(stream, table)
    return ways


def _with_module(folder: Path, config: str) -> dict[str, Rows | str]:
    import deepdialogue

    root = str(folder)
    table = datasets.load_dataset("deepdialogue", config, data_dir=root)
    stream = datasets.load_dataset("deepdialogue", config, data_dir=root, streaming=True)
    return {
        "import deepdialogue": _rows(_encoded(table), table),
        "import deepdialogue, streaming": _rows(_encoded(stream), table),
        "deepdialogue.load": _rows(deepdialogue.load(config, data_dir=root), table),
        "deepdialogue.load, streaming": _rows(
            deepdialogue.load(config, data_dir=root, streaming=True), table
        ),
    }


def _undecodable() -> str | None:
    """Why `datasets` itself cannot decode audio here, if it cannot."""
    try:
        if int(datasets.__version__.split(".")[0]) < 4:
            import librosa  # noqa: F401
        else:
            import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return str(error).strip().split("\n")[0]
    return None


def _encoded(loaded: dict[str, Any]) -> dict[str, Any]:
    """Every split with its audio left as bytes."""
    audio = datasets.Audio(decode=False)
    return {
        split: dataset.cast_column("audio", audio if "dialogue" in dataset.features else [audio])
        if "audio" in dataset.features
        else dataset
        for split, dataset in loaded.items()
    }


def _rows(loaded: dict[str, Iterable[dict[str, Any]]], labelled: dict[str, Any]) -> Rows:
    return {
        split: [_plain(row, labelled[split].features) for row in dataset] for split, dataset in loaded.items()
    }


def _plain(value: Any, feature: Any) -> Any:
    """A value as plain data, read with its feature."""
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(value)
    if isinstance(feature, datasets.Audio):
        return _clip(value)
    if isinstance(feature, dict):
        if value.keys() != feature.keys():
            raise ValueError(f"found {sorted(value)} where {sorted(feature)} should be")
        return {name: _plain(value[name], part) for name, part in feature.items()}
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else feature.feature
        return [_plain(item, inner) for item in value]
    return value


def _clip(clip: Any) -> dict[str, Any]:
    if isinstance(clip, dict) and "bytes" in clip:
        return fingerprint(*soundfile.read(io.BytesIO(clip["bytes"]), dtype="float32"))
    return fingerprint(clip["array"], clip["sampling_rate"])


def fingerprint(samples: np.ndarray, sampling_rate: int) -> dict[str, Any]:
    """A clip in short: its rate, its length and a hash of its samples as 16-bit numbers."""
    pcm = np.round(np.asarray(samples) * 2**15).astype("<i2").tobytes()
    return {
        "sampling_rate": sampling_rate,
        "samples": len(samples),
        "sha256": hashlib.sha256(pcm).hexdigest(),
    }


def picked(emotion: str, sampling_rate: int) -> list[Any]:
    """The ids of the turns of one emotion, which a filter of `datasets` finds, and the rate that their clips are cast to."""
    train = partial(datasets.load_dataset, "deepdialogue", "xtts-turns", split="train", streaming=True)
    wanted = train().features["emotion"].str2int(emotion)
    found = train(filters=[("emotion", "==", wanted)])
    encoded = found.cast_column("audio", datasets.Audio(sampling_rate=sampling_rate, decode=False))
    return [[row["id"] for row in encoded], encoded.features["audio"].sampling_rate]


def report(ways: dict[str, dict[str, Any]]) -> bool:
    """Prints a line for each config and way; returns whether all ways agree."""
    print(f"datasets {datasets.__version__}, Python {sys.version.split()[0]}")
    agree = True
    for config, loaded in ways.items():
        reference: Rows = loaded["load_dataset"]
        print(f"{config}: " + ", ".join(f"{len(rows)} {split}" for split, rows in reference.items()))
        first = next(iter(reference.values()))[0]
        spoken = first["turns"][0] if "turns" in first else first
        print(f"  {first['id']} begins: {spoken['speaker']}, {spoken['emotion']}: {spoken['text']}")
        for way, rows in loaded.items():
            verdict = (
                f"skipped, {rows}" if isinstance(rows, str) else "same" if rows == reference else "DIFFERENT"
            )
            agree &= verdict != "DIFFERENT"
            print(f"  {way}: {verdict}")
    return agree


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(
        description="Loads a packaged dataset in every way and compares the rows."
    )
    arguments.add_argument("folder", type=Path, help="a packaged folder, such as dist/deepdialogue")
    arguments.add_argument(
        "--json", action="store_true", help="also print every row of every way, and what a filter finds"
    )
    given = arguments.parse_args()
    loaded = compare(given.folder.resolve())
    if not report(loaded):
        sys.exit("the ways disagree")
    if given.json:
        print(json.dumps({"ways": loaded, "picked": picked("worried", 16_000)}))
