"""The press: shards written by workers of a cluster, each of which reads the share's ledgers and, by range, its clips.

A finished shard goes into the share under the SHA-256 of its bytes, and from there into the dataset's folder.
Law of the file: names and digests travel by Ray, rows and bytes by the share.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from builder.config import Needs
from builder.dataset.manifest import Shard
from builder.dataset.shards import Written
from builder.errors import RunError, in_one_line
from builder.records import Record
from builder.run.folder import Run
from builder.run.share import Share
from builder.stages.package import Cell, rows, write_cell
from builder.terminal import relay

_FOLDER = "packed"


class Packed(Record):
    """What became of one cell."""

    shards: tuple[Shard, ...] = ()
    entries: str = ""
    """The SHA-256 of what the index says of them, as an Arrow stream; empty where it says nothing."""
    lost: dict[str, str] = {}
    """The dialogues that were left out, each with the reason."""
    fault: str = ""
    """Why nothing became of it."""


class Packer:
    """One of several actors that write shards.

    Args:
        url: of the share.
    """

    def __init__(self, url: str) -> None:
        relay()
        self._share = Share(url)
        self._run = Run(self._share.view(), writable=False)

    def pack(self, cell: Cell) -> Packed:
        """Writes the shards of a cell, and puts them into the share."""
        try:
            with TemporaryDirectory(dir=self._share.scratch()) as name:
                lost: dict[str, str] = {}
                written = write_cell(self._run, cell, Path(name), rows(self._run, cell, lost), lost)
                for shard in written.shards:
                    self._share.create(f"{_FOLDER}/{shard.sha256}", (Path(name) / shard.path).read_bytes())
            return Packed(tuple(written.shards), self._kept(written.entries), lost)
        except Exception as error:  # noqa: BLE001 - for Ray any error but an answer is the end of the cluster
            return Packed(fault=in_one_line(error))

    def _kept(self, entries: list[pa.Table]) -> str:
        if not entries:
            return ""
        sink = pa.BufferOutputStream()
        table = pa.concat_tables(entries)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        content = sink.getvalue().to_pybytes()
        sha256 = hashlib.sha256(content).hexdigest()
        self._share.create(f"{_FOLDER}/{sha256}", content)
        return sha256


def press(
    ray: Any, workers: int, needs: Needs, share: Share, folder: Path, cells: list[Cell]
) -> list[Written]:
    """Has workers write the shards of these cells, the largest first, and brings them into a folder.

    Args:
        ray: the library, which is connected to the cluster.
        workers: how many.
        needs: of each.
        share: whose dialogues they are.
        folder: of the dataset, on this machine.
        cells: what to write.

    Raises:
        RunError: a cell cannot be written, or what was written does not arrive.
        StorageError: the storage does not answer.
    """
    kind = ray.remote(
        max_restarts=-1,
        max_task_retries=-1,
        num_cpus=needs.num_cpus,
        num_gpus=needs.num_gpus,
        resources=needs.resources,
    )(Packer)
    actors = [kind.remote(share.url) for _ in range(min(workers, len(cells)))]
    try:
        order = sorted(range(len(cells)), key=lambda place: -len(cells[place].ids))
        pool = ray.util.ActorPool(actors)
        packed = pool.map(lambda actor, place: actor.pack.remote(cells[place]), order)
        written = {place: _brought(share, folder, one) for place, one in zip(order, packed, strict=True)}
    finally:
        for actor in actors:
            ray.kill(actor)
    share.clear(_FOLDER)
    return [written[place] for place in range(len(cells))]


def _brought(share: Share, folder: Path, packed: Packed) -> Written:
    if packed.fault:
        raise RunError(packed.fault)
    for shard in packed.shards:
        path = folder / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_whole(share, shard.sha256))
    if not packed.entries:
        return Written([*packed.shards], [], packed.lost)
    entries = [pa.ipc.open_stream(_whole(share, packed.entries)).read_all()]
    return Written([*packed.shards], entries, packed.lost)


def _whole(share: Share, sha256: str) -> bytes:
    content = share.read(f"{_FOLDER}/{sha256}") or b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(f"{share.url}: {_FOLDER}/{sha256} did not arrive as it was written: run package again")
    return content
