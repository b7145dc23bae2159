"""webdataset: clips and their words in tar files, as its documentation has them read.

    python benchmarks/peers/read_webdataset.py FOLDER [--decode]

FOLDER holds `shards/*.tar`, each clip as KEY.flac and KEY.json. Prints what `benchmarks/read.py` prints.
Law of the file: it runs in webdataset's own environment and imports nothing of DeepDialogue's package.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile
import webdataset

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.read import spread, timed


def rows() -> Iterator[dict[str, Any]]:
    """Every clip with its words."""
    shards = sorted(map(str, Path(sys.argv[1]).glob("shards/*.tar")))
    for sample in webdataset.WebDataset(shards, shardshuffle=False):
        yield {"audio": sample["flac"], **json.loads(sample["json"])}


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """The same with its samples."""
    return row | {"audio": soundfile.read(io.BytesIO(row["audio"]), dtype="float32")}


if __name__ == "__main__":
    print(json.dumps(timed((lambda: spread(decoded, rows())) if "--decode" in sys.argv else rows)))
