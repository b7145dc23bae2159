"""Two versions of a dataset -> what changed between them, and which step it is, from their manifests, cards and indexes.

Law of the file: no shard is read; dialogues are counted in every dialogue config that has them; clips are the same when their
bytes are, wherever they lie.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from builder.config import TEXT_ONLY, TURNS
from builder.core.version import Column, Counts, Step, compare, judged
from builder.hub.snapshot import Snapshot
from builder.records import Record

Names = frozenset[str]

_PLACE = ["file", "offset", "sha256"]
_EDGE_BYTES = 180_000
"""What the Hub's chunks cost beside a place that changed, in both views; measured by benchmarks/p3.py with hf_xet 1.8.0."""


class Files(Record):
    """The files that are not in both as they are, by path, and what they weigh."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    num_bytes: int
    """Of those added and changed: what would be sent if nothing in them were known."""
    new_bytes: int
    """Of these, about what the old version has nowhere: clips by their digest, chunks around them, and all that is not audio."""


class Difference(Record):
    """What changed from one version to another."""

    old: str
    new: str
    step: Step
    changes: tuple[str, ...]
    """Every change in words."""
    configs: dict[str, dict[str, Counts]]
    """By config and domain, where something changed."""
    schema: tuple[Column, ...]
    files: Files
    rows: dict[str, tuple[int, int]]
    """By config: rows in the old version and in the new one."""


def difference(old: Snapshot, new: Snapshot) -> Difference:
    """Compares two versions.

    Raises:
        DatasetError: one of them has no index, or cannot be read.
    """
    both = [config for config in new.configs if config in old.configs]
    configs = {one.config for one in (*old.manifest.indexes, *new.manifest.indexes)}
    dialogues = [config for config in both if config in configs or config == TEXT_ONLY]
    texts = _texts(old, new)
    counts = {config: _counts(old, new, config, texts) for config in dialogues}
    were, are = old.columns(), new.columns()
    schema = [one for config in both for one in compare(config, were.get(config, {}), are.get(config, {}))]
    files = _files(old, new)
    touched = len(files.added) + len(files.changed) + len(files.removed)
    step, changes = judged(
        {config: sum(domains.values(), Counts()) for config, domains in counts.items()},
        [config for config in old.configs if config not in both],
        [config for config in new.configs if config not in both],
        schema,
        touched + (old.packaged.card_sha256 != new.packaged.card_sha256),
    )
    return Difference(
        old=old.name,
        new=new.name,
        step=step,
        changes=changes,
        configs={config: domains for config, domains in counts.items() if domains},
        schema=tuple(schema),
        files=files,
        rows={
            config: (_rows(old, config), _rows(new, config))
            for config in dict.fromkeys((*old.configs, *new.configs))
        },
    )


class _Texts(Record):
    """The ids of dialogues that both have and that differ."""

    text: Names
    rest: Names


def _texts(old: Snapshot, new: Snapshot) -> _Texts:
    wanted = ["id", "text_sha256", "rest_sha256"]
    joined = _joined(old.table(TEXT_ONLY, wanted), new.table(TEXT_ONLY, wanted), ["id"])
    other_text = pc.not_equal(joined["text_sha256"], joined["text_sha256_old"])
    other_rest = pc.not_equal(joined["rest_sha256"], joined["rest_sha256_old"])
    return _Texts(text=_ids(joined, other_text), rest=_ids(joined, other_rest))


def _counts(old: Snapshot, new: Snapshot, config: str, texts: _Texts) -> dict[str, Counts]:
    """By domain, what changed in one dialogue config."""
    spoken = config != TEXT_ONLY
    wanted = ["id", "split", "domain", *(["turn", "sha256", "ravdess"] if spoken else [])]
    before, after = old.table(config, wanted), new.table(config, wanted)
    was, now = _splits(before), _splits(after)
    both = was.keys() & now.keys()
    anew = acted = list[str]()
    if spoken:
        joined = _joined(before, after, ["id", "turn"])
        anew = joined.filter(pc.not_equal(joined["sha256"], joined["sha256_old"]))["id"].to_pylist()
        acted = joined.filter(pc.not_equal(joined["ravdess"], joined["ravdess_old"]))["id"].to_pylist()
    moved = {id for id in both if was[id][0] != now[id][0]}
    audio = set(anew) - texts.text
    counted = {
        "added": now.keys() - was.keys(),
        "removed": was.keys() - now.keys(),
        "moved": moved,
        "text": both & texts.text,
        "audio": audio,
        "clips": anew,
        # A split is one of the other columns, and is told by `moved`.
        "rest": (both & (texts.rest | set(acted))) - texts.text - audio - moved,
    }
    domains: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, ids in counted.items():
        for id in ids:
            domains[(now.get(id) or was[id])[1]][name] += 1
    return {domain: Counts(**numbers) for domain, numbers in sorted(domains.items())}


def _joined(old: pa.Table, new: pa.Table, keys: list[str]) -> pa.Table:
    return new.join(old, keys, join_type="inner", right_suffix="_old")


def _ids(table: pa.Table, mask: pa.ChunkedArray) -> Names:
    return frozenset(table.filter(mask)["id"].to_pylist())


def _splits(table: pa.Table) -> dict[str, tuple[str, str]]:
    """Split and domain of every dialogue."""
    ids, splits, domains = (table[name].to_pylist() for name in ("id", "split", "domain"))
    return dict(zip(ids, zip(splits, domains, strict=True), strict=True))


def _files(old: Snapshot, new: Snapshot) -> Files:
    were, are = ({file.path: file for file in one.packaged.files} for one in (old, new))
    added = [path for path in are if path not in were]
    changed = [path for path in are if path in were and are[path].sha256 != were[path].sha256]
    sent = {path: are[path].num_bytes for path in (*added, *changed)}
    return Files(
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(path for path in were if path not in are),
        num_bytes=sum(sent.values()),
        new_bytes=new_bytes(old, new, sent),
    )


def new_bytes(old: Snapshot | None, new: Snapshot, sent: Mapping[str, int]) -> int:
    """About how much the Hub does not hold: clips that the old version lacks, once each; chunks around them; what is not audio.

    Args:
        old: what the Hub holds; None where that is nothing.
        new: what it is to hold.
        sent: the files that are sent, by path with their bytes.
    """
    was, now = _digests(old), _digests(new)
    audio: Counter[str] = Counter()
    unheard: dict[bytes, int] = {}
    edges = 0
    for config in _spoken(new):
        clips = new.table(config, [*_PLACE, "length"])
        gone = _runs(old.table(config, _PLACE), now) if old and config in _spoken(old) else 0
        # A clip that is spoken anew is gone from the same place.
        edges += max(gone, _runs(clips, was)) if old else 0
        fresh = clips.filter(pc.invert(pc.is_in(clips["sha256"], was)))
        unheard |= dict(zip(fresh["sha256"].to_pylist(), fresh["length"].to_pylist(), strict=True))
        by_file = clips.group_by("file").aggregate([("length", "sum")])
        for path, num_bytes in zip(
            by_file["file"].to_pylist(), by_file["length_sum"].to_pylist(), strict=True
        ):
            audio[path] = num_bytes
            # Where a row is a turn the same clips lie again, in a folder of the same name.
            audio[_cell(path.replace(f"{config}/", f"{config}{TURNS}/", 1))] += num_bytes
    sizes: Counter[str] = Counter()
    for path, num_bytes in sent.items():
        sizes[path if path in audio else _cell(path)] += num_bytes
    words = sum(max(0, size - audio[name]) for name, size in sizes.items())
    return min(sum(sent.values()), words + sum(unheard.values()) + edges * _EDGE_BYTES)


def _digests(snapshot: Snapshot | None) -> pa.ChunkedArray:
    """Of every clip."""
    columns = (
        [snapshot.table(config, ["sha256"])["sha256"] for config in _spoken(snapshot)] if snapshot else []
    )
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.binary(32))


def _runs(clips: pa.Table, held: pa.ChunkedArray) -> int:
    """At how many places one or more clips in a row are not among those held."""
    ordered = clips.sort_by([("file", "ascending"), ("offset", "ascending")])
    strange = np.array(pc.invert(pc.is_in(ordered["sha256"], held)).to_pylist(), bool)
    return int(np.count_nonzero(strange[1:] & ~strange[:-1]) + np.count_nonzero(strange[:1]))


def _cell(path: str) -> str:
    """What the files of one domain in one split begin with."""
    return path.rpartition("-")[0]


def _spoken(snapshot: Snapshot) -> list[str]:
    return [one.config for one in snapshot.manifest.indexes if one.config != TEXT_ONLY]


def _rows(snapshot: Snapshot, config: str) -> int:
    return sum(shard.rows for shard in snapshot.manifest.shards if shard.config == config)


def told(found: Difference) -> str:
    """A difference in lines, by config and domain."""
    if found.step == "none":
        return f"{found.old} and {found.new} are the same"
    lines = [f"{found.old} -> {found.new}: a {found.step} step"]
    lines += [f"  {change}" for change in found.changes]
    for config, domains in found.configs.items():
        old, new = found.rows[config]
        lines += ["", f"{config}: {old:,} -> {new:,} rows"]
        for domain, counts in domains.items():
            each = {name: getattr(counts, name) for name in counts.__struct_fields__}
            lines.append(
                f"  {domain:<16} "
                + ", ".join(f"{name} {number:,}" for name, number in each.items() if number)
            )
    files = found.files
    lines += [
        "",
        (
            f"files: {len(files.added)} added, {len(files.changed)} changed, {len(files.removed)} removed; "
            f"{files.num_bytes / 1e6:,.1f} MB in those added and changed, about {files.new_bytes / 1e6:,.1f} MB of it new "
            "(an estimate from the indexes)"
        ),
    ]
    return "\n".join(lines)
