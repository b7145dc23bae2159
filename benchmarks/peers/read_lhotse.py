"""Lhotse Shar: clips and their words as cuts, as its documentation has them written and read.

    python benchmarks/peers/read_lhotse.py FOLDER [--decode | --write]

FOLDER holds `shards/*.tar`, of which `--write` makes `shar/`. Prints what `benchmarks/read.py` prints.
Law of the file: it runs in Lhotse's own environment and imports nothing of DeepDialogue's package.
"""

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.shar import SharWriter

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.read import spread, timed

FOLDER = Path(sys.argv[1])


def write() -> None:
    """Makes the Shar folder of the tar files."""
    (FOLDER / "shar").mkdir()
    with SharWriter(FOLDER / "shar", fields={"recording": "original"}, shard_size=250) as writer:
        for path in sorted(FOLDER.glob("shards/*.tar")):
            with tarfile.open(path) as tar:
                held = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
            for name in sorted(name for name in held if name.endswith(".flac")):
                key, words = name.removesuffix(".flac"), json.loads(held[name.replace(".flac", ".json")])
                cut = Recording.from_bytes(held[name], key).to_cut()
                cut.supervisions = [
                    SupervisionSegment(key, key, 0.0, cut.duration, text=words["text"], custom=words)
                ]
                writer.write(cut)


def rows() -> Iterator[dict[str, Any]]:
    """Every clip with its words."""
    for cut in CutSet.from_shar(in_dir=FOLDER / "shar"):
        audio = cut.recording.sources[0].source
        yield {"audio": audio, "text": cut.supervisions[0].text}


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """The same with its samples."""
    return row | {"audio": soundfile.read(io.BytesIO(row["audio"]), dtype="float32")}


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        print(json.dumps(timed((lambda: spread(decoded, rows())) if "--decode" in sys.argv else rows)))
