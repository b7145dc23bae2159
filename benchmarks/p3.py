"""P3: how many bytes of a new version the Hub does not hold already, by its own chunking (hf_xet), for usual changes.

    python -m benchmarks.p3 [--dialogues 400] [--turns 6]

Two domains of one split are packaged by the project's own writers, spoken dialogues in both views and the text. Clips are of 60
to 250 kB, as 3 to 10 s of FLAC at 24 kHz; their bytes are random, which deduplicates as FLAC does. Each change is made to the
first version, and both are uploaded one after the other to an empty local store, as `push` does it: the turn view after the rest.
Law of the file: what is counted as new is what hf_xet says that it sent; a change weighs what its new clips weigh, and where
there are none the whole of the new version; beside it stands what `push --dry-run` would have told.
"""

import argparse
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from builder.core.row import Row
from builder.hub.difference import difference
from builder.hub.snapshot import of_folder
from deepdialogue import EMOTIONS, PAIRINGS, RAVDESS, SPEAKERS
from tests.releases import dataset

Rows = list[Row]
_UPLOAD = """
import sys
from pathlib import Path
import hf_xet
paths = sorted(Path(sys.argv[2]).rglob("*.parquet"))
turns = [path for path in paths if path.parts[-3].endswith("-turns")]
new = total = 0
for files in ([path for path in paths if path not in turns], turns):
    commit = hf_xet.XetSession().new_upload_commit(endpoint="local://" + sys.argv[1])
    for path in files:
        commit.start_upload_file(str(path), sha256=hf_xet.SKIP_SHA256)
    metrics = commit.wait_to_finish().dedup_metrics
    new, total = new + metrics.new_bytes, total + metrics.total_bytes
print(new, total)
"""


def main() -> None:
    """Prints one line for each change."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.p3")
    parser.add_argument("--dialogues", type=int, default=400, help="%(default)s")
    parser.add_argument("--turns", type=int, default=6, help="of each (%(default)s)")
    options = parser.parse_args()
    rows = [dialogue(number, options.turns) for number in range(options.dialogues)]
    changes: dict[str, tuple[Callable[[Rows], Rows], float | None]] = {
        "3 rows in": (
            lambda rows: rows + [dialogue(10**6 + number, options.turns) for number in range(3)],
            None,
        ),
        "4 rows out": (lambda rows: rows[:50] + rows[54:], None),
        "one text edited": (edited, None),
        "2 % of dialogues anew": (lambda rows: anew(rows, range(options.turns), 0.02), 1.3),
        "2 % of single turns anew": (turns_anew, 2.3),
        "20 % filtered out": (filtered, 0.1),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = packaged(folder / "first", rows)
        store = folder / "store"
        sent, size = uploaded(store, first)
        shutil.copytree(store, folder / "kept")
        print(
            f"P3  {len(rows)} dialogues of {options.turns} turns: {size / 1e6:,.0f} MB in both views and text, "
            f"{sent / 1e6:,.0f} MB to the Hub"
        )
        print(f"{'':26}{'changed MB':>11}{'new MB':>9}{'ratio':>8}{'goal':>7}{'told MB':>9}{'of new':>8}")
        for what, (change, goal) in changes.items():
            second = packaged(folder / "second", change(rows))
            clips = weight(of_folder(first), of_folder(second))
            new, total = uploaded(store, second)
            told = difference(of_folder(first), of_folder(second)).files.new_bytes
            ratio = new / (clips or total)
            limit = "" if goal is None else f"{goal:g}"
            print(
                f"{what:26}{clips / 1e6:11.2f}{new / 1e6:9.2f}{ratio:8.3f}{limit:>7}{told / 1e6:9.2f}{told / new:8.2f}"
                f"{'' if clips else '  of the whole'}"
            )
            for path in (second, store):
                shutil.rmtree(path)
            shutil.copytree(folder / "kept", store)


def dialogue(number: int, turns: int) -> Row:
    """A dialogue of random clips, labels as names."""
    draw = random.Random(number)
    pairing = PAIRINGS[number % 3]
    domain = ("art", "travel")[number % 2]
    models = pairing.split("_")
    return {
        "id": f"{pairing}/{domain}_{number}_{turns}",
        "split": "train",
        "domain": domain,
        "pairing": pairing,
        "first_model": models[0],
        "second_model": models[-1],
        "first_checkpoint": "ORG/FIRST",
        "second_checkpoint": "ORG/SECOND",
        "rehearsal": False,
        "num_turns": turns,
        "scores": [{"judge": "length", "criterion": "length", "score": 1.0}],
        "turns": [
            {
                "speaker": SPEAKERS[turn % 2],
                "text": " ".join(
                    draw.choice(("yes", "never", "often", "there", "we", "went")) for _ in range(30)
                ),
                "emotion": draw.choice(EMOTIONS),
                "ravdess": draw.choice(RAVDESS),
                "start": 7.0 * turn,
                "end": 7.0 * turn + 6.0,
            }
            for turn in range(turns)
        ],
        "engine": "random",
        "first_voice": "first",
        "second_voice": "second",
        "duration": 7.0 * turns,
        "audio": [
            {"bytes": clip(draw), "path": f"{domain}_{number}_{turns}_{turn + 1:02d}.flac"}
            for turn in range(turns)
        ],
    }


def clip(draw: random.Random) -> bytes:
    """Bytes that begin as FLAC does, and that nothing shrinks."""
    return b"fLaC" + draw.randbytes(draw.randint(60_000, 250_000))


def edited(rows: Rows) -> Rows:
    """One text is another."""
    changed = copy.deepcopy(rows[7]) | {"audio": rows[7]["audio"]}
    changed["turns"][0]["text"] += " and so it is"
    return [*rows[:7], changed, *rows[8:]]


def anew(rows: Rows, turns: range, share: float) -> Rows:
    """Turns of a share of the dialogues, drawn anew, are other clips."""
    draw = random.Random("anew")
    chosen = set(draw.sample(range(len(rows)), round(share * len(rows))))
    return [respoken(row, set(turns), draw) if place in chosen else row for place, row in enumerate(rows)]


def turns_anew(rows: Rows) -> Rows:
    """As many turns, here and there, are other clips."""
    draw = random.Random("turns")
    places = [(place, turn) for place, row in enumerate(rows) for turn in range(len(row["turns"]))]
    chosen = set(draw.sample(places, round(0.02 * len(places))))
    return [
        respoken(row, turns, draw)
        if (turns := {turn for turn in range(len(row["turns"])) if (place, turn) in chosen})
        else row
        for place, row in enumerate(rows)
    ]


def respoken(row: Row, turns: set[int], draw: random.Random) -> Row:
    """The same dialogue, some turns of it spoken anew."""
    audio = [
        part | {"bytes": clip(draw)} if turn in turns else part for turn, part in enumerate(row["audio"])
    ]
    return row | {"audio": audio}


def filtered(rows: Rows) -> Rows:
    """Four in five are kept."""
    draw = random.Random("filtered")
    return [row for row in rows if draw.random() >= 0.2]


def packaged(folder: Path, rows: Rows) -> Path:
    """A dataset of these rows, spoken and as text."""
    spoken = {"engine", "first_voice", "second_voice", "duration", "audio"}

    def replaced(held: dict[str, Rows]) -> None:
        held["xtts"][:] = rows
        held["text-only"][:] = [
            {name: value for name, value in row.items() if name not in spoken} for row in rows
        ]

    made: Path = dataset(folder, replaced)
    return made


def weight(old: Any, new: Any) -> int:
    """Bytes of the clips that the new version has and the old one has not."""
    known = set(old.table("xtts", ["sha256"])["sha256"].to_pylist())
    return sum(length for sha256, length in _clips(new) if sha256 not in known)


def _clips(snapshot: Any) -> Iterator[tuple[bytes, int]]:
    table = snapshot.table("xtts", ["sha256", "length"])
    yield from zip(table["sha256"].to_pylist(), table["length"].to_pylist(), strict=True)


def uploaded(store: Path, folder: Path) -> tuple[int, int]:
    """Bytes that were new to a store, and bytes in all; a process of its own, with a cache beside the store."""
    store.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _UPLOAD, store, folder],
        env=os.environ | {"HF_XET_CACHE": str(store / "cache"), "HF_HOME": str(store / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    new, total = map(int, done.stdout.split()[-2:])
    return new, total


if __name__ == "__main__":
    main()
