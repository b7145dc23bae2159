"""MosaicML streaming: clips and their words in MDS shards, as its documentation has them written and read.

    python benchmarks/peers/read_streaming.py FOLDER [--decode | --write]

FOLDER holds `shards/*.tar`, of which `--write` makes `mds/`. Prints what `benchmarks/read.py` prints.
Law of the file: it runs in streaming's own environment and imports nothing of DeepDialogue's package.
"""

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile
from streaming import MDSWriter, StreamingDataset

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.read import spread, timed

FOLDER = Path(sys.argv[1])


def write() -> None:
    """Makes the MDS shards of the tar files."""
    columns = {"audio": "bytes", "words": "json"}
    with MDSWriter(out=str(FOLDER / "mds"), columns=columns) as writer:
        for path in sorted(FOLDER.glob("shards/*.tar")):
            with tarfile.open(path) as tar:
                held = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
            for name in sorted(name for name in held if name.endswith(".flac")):
                words = json.loads(held[name.replace(".flac", ".json")])
                writer.write({"audio": held[name], "words": words})


def rows() -> Iterator[dict[str, Any]]:
    """Every clip with its words."""
    for sample in StreamingDataset(local=str(FOLDER / "mds"), shuffle=False, batch_size=1):
        yield {"audio": sample["audio"], **sample["words"]}


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """The same with its samples."""
    return row | {"audio": soundfile.read(io.BytesIO(row["audio"]), dtype="float32")}


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        print(json.dumps(timed((lambda: spread(decoded, rows())) if "--decode" in sys.argv else rows)))
