"""A packaged dataset of clips that can be told apart, written by the packager's own hand, and the rows it holds.

Law of the file: what a stream gives is compared with what plain `datasets` reads of the same files.
"""

from pathlib import Path
from unittest import mock

import numpy as np

import deepdialogue
from builder.core.row import Row
from builder.dataset import index, shards
from builder.run.audio import encode

RATE = 24_000
DOMAINS = ("art", "cooking", "travel", "work")
VOICES = ("ann", "ben", "cat", "dan", "eve", "fay")
CONFIGS = ("xtts", "text-only")


def write(
    folder: Path,
    *,
    configs: tuple[str, ...] = CONFIGS,
    count: int = 6,
    samples: int = 600,
    group_bytes: int = 6_000,
    file_bytes: int = 20_000,
) -> Path:
    """Writes `count` dialogues for each domain in train, and two each in validation and test.

    Args:
        folder: the dataset's.
        configs: those that are written.
        count: dialogues in a domain.
        samples: of the shortest clip.
        group_bytes: at which a row group is closed.
        file_bytes: at which a file is closed.
    """
    with mock.patch.multiple(shards, GROUP_BYTES=group_bytes, FILE_BYTES=file_bytes, TURN_BYTES=64):
        for config in configs:
            contract = (config, deepdialogue.LABELS, RATE)
            entries = []
            for split, many in {"train": count, "validation": 2, "test": 2}.items():
                for place, domain in enumerate(DOMAINS):
                    rows = [_row(config, split, domain, place, number, samples) for number in range(many)]
                    rows.sort(key=lambda row: row["id"])
                    entries += shards.write_shards(
                        folder, contract, split=split, domain=domain, rows=rows
                    ).entries
            index.write_index(folder / index.path_of(config), entries)
    (folder / "README.md").write_text("# A small dataset\n")
    return folder


def _row(config: str, split: str, domain: str, place: int, number: int, samples: int) -> Row:
    draw = np.random.default_rng([deepdialogue.SPLITS.index(split), place, number])
    pairing = deepdialogue.PAIRINGS[number % 3]
    names = pairing.split("_")
    num_turns = 2 + number % 5
    who = 2 * int(draw.integers(3))
    lengths = [samples * (1 + turn) for turn in range(num_turns)]
    starts = np.cumsum([0, *lengths]) / RATE
    row: Row = {
        "id": f"{pairing}/{domain}_{deepdialogue.SPLITS.index(split)}{number:04d}_{num_turns}",
        "split": split,
        "domain": domain,
        "pairing": pairing,
        "first_model": names[0],
        "second_model": names[-1],
        "first_checkpoint": "ORG/FIRST",
        "second_checkpoint": "ORG/SECOND",
        "rehearsal": True,
        "num_turns": num_turns,
        "scores": [],
        "turns": [
            {
                "speaker": deepdialogue.SPEAKERS[turn % 2],
                "text": f"{domain} {number} {turn}: “ça va?”",
                "emotion": deepdialogue.EMOTIONS[int(draw.integers(20))],
                "ravdess": deepdialogue.RAVDESS[int(draw.integers(8))],
            }
            for turn in range(num_turns)
        ],
    }
    if config == "text-only":
        return row
    row |= {
        "engine": "tone 1",
        "first_voice": VOICES[who],
        "second_voice": VOICES[who + 1],
        "duration": float(starts[-1]),
        "audio": [
            {
                "bytes": encode(draw.integers(-20_000, 20_000, length).astype(np.int16), RATE),
                "path": f"{row['id'].rpartition('/')[2]}_{turn:02d}.flac",
            }
            for turn, length in enumerate(lengths, start=1)
        ],
    }
    row["turns"] = [
        turn | {"start": float(starts[place]), "end": float(starts[place + 1])}
        for place, turn in enumerate(row["turns"])
    ]
    return row
