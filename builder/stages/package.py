"""package: what was accepted becomes a dataset folder that `load_dataset` opens.

The folder is written beside its place, brought to the disk and moved there; a reader sees the old dataset or the new one,
and what is not the old dataset's own is never moved away.
Law of the file: the dataset depends on what the ledgers say, not on the order they say it in.
"""

import asyncio
import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

import deepdialogue
from builder.audio import AudioFiles
from builder.card import Figures, contract_of, render
from builder.config import TEXT_ONLY, resources
from builder.core.row import Row, spoken_row, text_row
from builder.core.scenario import parse_id, split_of
from builder.core.speech import Recording
from builder.dataset import (
    CARD,
    MANIFEST,
    Manifest,
    Shard,
    file_sha256,
    read_manifest,
    strays,
    write_manifest,
    write_shards,
)
from builder.errors import DatasetError, RunError
from builder.progress import Bar, bar, say
from builder.records import Record, encode
from builder.run import Run, Tally

Cell = tuple[str, str]
"""A split and a domain: what one file holds."""


class _Packaged(Record):
    """What the run packaged last, so that packaging the same again is nothing to do."""

    source: str
    manifest_sha256: str


async def package(run: Run) -> Tally:
    """Writes the dataset, unless the folder already holds exactly this one.

    Raises:
        RunError: nothing was accepted, or a clip cannot be read back.
        DatasetError: the folder holds something that is not this study's dataset, or another process packages there.
    """
    accepted = sorted(run.accepted())
    if not accepted:
        raise RunError(
            f"{run.folder}: none of its {len(run.dialogues)} dialogues is accepted: `deepdialogue status` shows what is owed"
        )
    out, record = _place(run.out), run.folder / "package.json"
    with _alone(out):
        source = _source(run)
        if _is_current(record, source, out):
            return Tally(skipped=len(accepted))
        _refuse_foreign(run, out)
        with _replacing(out) as folder:
            await _write_dataset(run, accepted, folder)
        record.write_bytes(encode(_Packaged(source=source, manifest_sha256=file_sha256(out / MANIFEST))))
    return Tally(done=len(accepted))


def _place(out: Path) -> Path:
    """Where the dataset goes: where a link leads, so that what is replaced is the old dataset and not the link."""
    place = Path(os.path.realpath(out))
    try:
        str(place).encode()
    except UnicodeEncodeError:
        raise DatasetError(
            f"{out} is not UTF-8, and no Parquet file can be written there: name another --out"
        ) from None
    if Path.cwd().is_relative_to(place):
        raise DatasetError(
            f"{out} is replaced as a whole, and this is run in it: name another folder with --out"
        )
    return place


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other processes from packaging to the same place, and mends what one that was killed left half moved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_beside(out, "lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DatasetError(
            f"another process packages into {out}: wait for it, or name another folder with --out"
        ) from None
    try:
        if _beside(out, "old").exists() and not out.exists():
            _beside(out, "old").rename(out)
        yield
    finally:
        lock.release()


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Gives an empty folder, and once it was filled brings it to the disk and puts it in the place of the old one."""
    partial, old = _beside(out, "partial"), _beside(out, "old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        partial.rename(out)
        _sync(out.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


async def _write_dataset(run: Run, accepted: list[str], folder: Path) -> None:
    """Writes everything a packaged folder holds; the manifest comes last."""
    shards, figures = await _write_all(run, accepted, folder)
    card = render(run, figures, shards)
    (folder / CARD).write_text(card, encoding="utf-8")
    manifest = Manifest(
        study=run.study.name,
        rehearsal=figures.rehearsal,
        card_sha256=file_sha256(folder / CARD),
        shards=tuple(shards),
    )
    write_manifest(folder, manifest)


def _source(run: Run) -> str:
    """A digest of everything the dataset is made of, and of what makes it."""
    digest = hashlib.sha256()
    files = [
        run.folder / name for name in ("run.json", "scenarios.jsonl", "dialogues.jsonl", "reviews.jsonl")
    ]
    for kind in ("recordings", "measures", "failures"):
        files += sorted((run.folder / kind).glob("*.jsonl"))
    code = sorted(Path(__file__).parents[1].rglob("*.py"))
    files += [*sorted(resources("card").iterdir()), *code, Path(deepdialogue.__file__)]
    for file in files:
        digest.update(f"{file.name} {file_sha256(file) if file.exists() else ''}\n".encode())
    return digest.hexdigest()


def _is_current(record: Path, source: str, out: Path) -> bool:
    """Whether the folder is what the run packaged last, of the same ledgers, and has all its shards."""
    try:
        last = msgspec.json.decode(record.read_bytes(), type=_Packaged)
        if last != _Packaged(source=source, manifest_sha256=file_sha256(out / MANIFEST)):
            return False
        return all(
            (out / shard.path).stat().st_size == shard.num_bytes for shard in read_manifest(out).shards
        )
    except (OSError, ValueError):
        return False


def _refuse_foreign(run: Run, out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    repair = "name another folder with --out, or move this one away"
    if not (out / MANIFEST).is_file():
        raise DatasetError(f"{out} exists and is no packaged dataset: {repair}")
    held = read_manifest(out)
    if held.study != run.study.name:
        raise DatasetError(
            f"{out} holds the dataset of study {held.study!r}, not of {run.study.name!r}: {repair}"
        )
    for path in strays(out, held):
        raise DatasetError(
            f"{path} is not the dataset's, and packaging would take it away: move it out of {out}, or {repair}"
        )


async def _write_all(run: Run, accepted: list[str], folder: Path) -> tuple[list[Shard], Figures]:
    figures = Figures(run)
    shards: list[Shard] = []
    spoken = {config: [id for id in accepted if id in ledger] for config, ledger in run.recordings.items()}
    for config, ids in spoken.items():
        if len(ids) < len(accepted):
            say(
                f"package: {len(accepted) - len(ids)} of {len(accepted)} dialogues have no recording in {config!r}"
            )
    with bar("package", len(accepted) + sum(map(len, spoken.values()))) as progress, ExitStack() as opened:
        for config, ids in {TEXT_ONLY: accepted, **spoken}.items():
            audio = opened.enter_context(run.audio(config)) if config != TEXT_ONLY else None
            contract = contract_of(run, config)
            schema, code = deepdialogue.schema(*contract), _coder(deepdialogue.features(*contract))
            for (split, domain), cell in sorted(_cells(run, ids).items()):
                rows = map(code, _rows(run, config, split, cell, audio, figures, progress))
                shards += write_shards(
                    folder, config=config, split=split, domain=domain, rows=rows, schema=schema
                )
                await asyncio.sleep(0)  # an interruption is heard between files
    return shards, figures


def _cells(run: Run, ids: list[str]) -> dict[Cell, list[str]]:
    cells: dict[Cell, list[str]] = defaultdict(list)
    for id in ids:
        cells[split_of(id, run.study.splits, run.study.seed), parse_id(id).domain].append(id)
    return cells


def _rows(
    run: Run,
    config: str,
    split: str,
    ids: list[str],
    audio: AudioFiles | None,
    figures: Figures,
    progress: Bar,
) -> Iterator[Row]:
    ravdess = run.study.vocabulary.ravdess()
    for id in ids:
        dialogue = run.dialogues[id]
        review = run.reviews.get(id)
        row = text_row(dialogue, run.study.vocabulary.pairings[dialogue.pairing], split, review, ravdess)
        if audio is not None:
            recording = run.recordings[config][id]
            row = spoken_row(row, recording, _flacs(audio, recording))
        figures.add(config, row)
        yield row
        progress.advance()


def _flacs(audio: AudioFiles, recording: Recording) -> list[bytes]:
    flacs = [audio.read(clip.file, clip.offset, clip.num_bytes) for clip in recording.clips]
    for clip, flac in zip(recording.clips, flacs, strict=True):
        if len(flac) != clip.num_bytes or flac[:4] != b"fLaC":
            raise RunError(
                f"a clip of {recording.id} is not at byte {clip.offset} of {clip.file}: the audio file was changed; "
                f"remove the recording's line and synthesize again"
            )
    return flacs


def _coder(kind: Any) -> Any:
    """A function that turns label names into numbers wherever the features say so, and changes nothing else."""
    if hasattr(kind, "names") and hasattr(kind, "str2int"):
        return {name: number for number, name in enumerate(kind.names)}.__getitem__
    inner = getattr(kind, "feature", kind[0] if isinstance(kind, list) else None)
    if inner is not None:
        code = _coder(inner)
        return lambda values: [code(value) for value in values]
    if isinstance(kind, dict):
        coders = {name: _coder(part) for name, part in kind.items()}
        return lambda row: {name: code(row[name]) for name, code in coders.items()}
    return lambda value: value
