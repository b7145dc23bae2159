"""package: what was accepted becomes a dataset folder that `load_dataset` opens.

The folder is written beside its place, brought to the disk and moved there; a reader sees the old dataset or the new one,
and what is not the old dataset's own is never moved away.
Law of the file: the dataset depends on what the ledgers say, not on the order they say it in.
"""

import asyncio
import hashlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
from filelock import FileLock, Timeout

import deepdialogue
from builder.audio import AudioFiles
from builder.card import CITATION, Figures, contract_of, render
from builder.config import TEXT_ONLY, resources
from builder.core.row import Row, spoken_row, text_row
from builder.core.scenario import parse_id, split_of
from builder.core.speech import Recording
from builder.croissant import PATH as CROISSANT
from builder.croissant import croissant
from builder.dataset import (
    CARD,
    MANIFEST,
    Document,
    Index,
    Manifest,
    Shard,
    file_sha256,
    read_manifest,
    strays,
    write_manifest,
)
from builder.errors import DatasetError, RunError
from builder.gallery import can_draw, gallery
from builder.index import path_of, write_index
from builder.progress import Bar, bar, say
from builder.records import Record, encode
from builder.run import Run, Tally
from builder.shards import Written, write_shards
from builder.whole import beside, replacing


class Cell(NamedTuple):
    """A split and a domain in one config: what one shard holds, or several one after the other."""

    config: str
    split: str
    domain: str
    ids: tuple[str, ...]
    """Of its dialogues, sorted."""


Press = Callable[[Run, Path, list[Cell]], Awaitable[list[Written]]]
"""Writes the shards of these cells into a folder, and gives what it wrote of each."""


class _Packaged(Record):
    """What the run packaged last, so that packaging the same again is nothing to do."""

    source: str
    manifest_sha256: str


async def package(run: Run, press: Press | None = None) -> Tally:
    """Writes the dataset, unless the folder already holds exactly this one.

    Args:
        run: what was accepted, and where it goes.
        press: what writes the shards; None for this process.

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
        with replacing(out) as folder:
            await _write_dataset(run, accepted, folder, press)
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
    lock = FileLock(beside(out, "lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DatasetError(
            f"another process packages into {out}: wait for it, or name another folder with --out"
        ) from None
    try:
        if beside(out, "old").exists() and not out.exists():
            beside(out, "old").rename(out)
        yield
    finally:
        lock.release()


async def _write_dataset(run: Run, accepted: list[str], folder: Path, press: Press | None) -> None:
    """Writes everything a packaged folder holds; the manifest comes last."""
    shards, indexes, figures = await _write_all(run, accepted, folder, press)
    pictures = gallery(figures)
    if not pictures:
        say("package: the card has no figures: pip install 'deepdialogue[report]' draws them")
    beside_card = {picture.path: picture.png for picture in pictures.values()}
    beside_card[CROISSANT] = _croissant(run, shards, indexes, figures)
    for path, content in beside_card.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    card = render(run, figures, shards, {name: picture[:2] for name, picture in pictures.items()})
    (folder / CARD).write_text(card, encoding="utf-8")
    manifest = Manifest(
        study=run.study.name,
        rehearsal=figures.rehearsal,
        card_sha256=file_sha256(folder / CARD),
        shards=tuple(shards),
        indexes=tuple(indexes),
        documents=tuple(
            Document(path=path, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for path, content in sorted(beside_card.items())
        ),
    )
    write_manifest(folder, manifest)


def _croissant(run: Run, shards: list[Shard], indexes: list[Index], figures: Figures) -> bytes:
    census, configs = figures.census, dict.fromkeys(shard.config for shard in shards)
    description = (
        f"Emotion-conditioned dialogues between two language models: {census.dialogues:,} dialogues of {census.turns:,} turns "
        f"over {len(census.by_domain)} domains. All text and speech is synthetic."
    )
    contracts = [contract_of(run, config) for config in configs]
    return croissant(run.study, description, CITATION, contracts, indexes, figures.limits)


def _source(run: Run) -> str:
    """A digest of everything the dataset is made of, and of what makes it."""
    digest = hashlib.sha256(b"with figures" if can_draw() else b"")
    files = [run.folder / "run.json"]
    for ledger in ("scenarios", "dialogues", "reviews"):
        files += sorted(run.folder.glob(f"{ledger}.*jsonl"))
    for kind in ("recordings", "measures", "failures", "annotations"):
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
        return all((out / file.path).stat().st_size == file.num_bytes for file in read_manifest(out).files)
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


async def _write_all(
    run: Run, accepted: list[str], folder: Path, press: Press | None
) -> tuple[list[Shard], list[Index], Figures]:
    figures = Figures(run)
    shards: list[Shard] = []
    indexes: list[Index] = []
    spoken = {config: [id for id in accepted if id in ledger] for config, ledger in run.recordings.items()}
    for config, ids in spoken.items():
        if len(ids) < len(accepted):
            say(
                f"package: {len(accepted) - len(ids)} of {len(accepted)} dialogues have no recording in {config!r}"
            )
    cells = [
        cell for config, ids in {TEXT_ONLY: accepted, **spoken}.items() for cell in _cells(run, config, ids)
    ]
    with bar("package", sum(len(cell.ids) for cell in cells)) as progress:
        if press is None:
            written = []
            for cell in cells:
                counted = _counted(rows(run, cell), cell.config, figures, progress)
                written.append(write_cell(run, cell, folder, counted))
                await asyncio.sleep(0)  # an interruption is heard between files
        else:
            written = await press(run, folder, cells)
            for cell in cells:
                for _ in _counted(rows(run, cell, sound=False), cell.config, figures, progress):
                    pass
    for config in dict.fromkeys(cell.config for cell in cells):
        ours = [one for one, cell in zip(written, cells, strict=True) if cell.config == config]
        held = (shard for one in ours for shard in one.shards)
        shards += sorted(held, key=lambda shard: shard.config)  # a config, and behind it its turns
        if entries := [table for one in ours for table in one.entries]:
            indexes.append(_write_index(folder, config, entries))
    return shards, indexes, figures


def write_cell(run: Run, cell: Cell, folder: Path, rows: Iterable[Row]) -> Written:
    """Writes the shards of a cell into a folder, of the rows that `rows` gives."""
    contract = contract_of(run, cell.config)
    return write_shards(folder, contract, split=cell.split, domain=cell.domain, rows=rows)


def _write_index(folder: Path, config: str, entries: list[pa.Table]) -> Index:
    path = path_of(config)
    rows = write_index(folder / path, entries)
    size = (folder / path).stat().st_size
    return Index(path=path, config=config, rows=rows, num_bytes=size, sha256=file_sha256(folder / path))


def _cells(run: Run, config: str, ids: list[str]) -> list[Cell]:
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for id in ids:
        cells[split_of(id, run.study.splits, run.study.seed), parse_id(id).domain].append(id)
    return [Cell(config, split, domain, tuple(held)) for (split, domain), held in sorted(cells.items())]


def _counted(rows: Iterable[Row], config: str, figures: Figures, progress: Bar) -> Iterator[Row]:
    for row in rows:
        figures.add(config, row)
        yield row
        progress.advance()


def rows(run: Run, cell: Cell, *, sound: bool = True) -> Iterator[Row]:
    """The rows of a cell, labels as names.

    Args:
        run: whose dialogues they are.
        cell: which of them.
        sound: whether to read the clips; without, each is empty.

    Raises:
        RunError: a clip cannot be read back.
    """
    ravdess = run.study.vocabulary.ravdess()
    with ExitStack() as opened:
        spoken = cell.config != TEXT_ONLY
        audio = opened.enter_context(run.audio(cell.config)) if spoken and sound else None
        for id in cell.ids:
            dialogue = run.dialogues[id]
            review = run.reviews.get(id)
            pairing = run.study.vocabulary.pairings[dialogue.pairing]
            row = text_row(dialogue, pairing, cell.split, review, ravdess)
            if spoken:
                recording = run.recordings[cell.config][id]
                flacs = _flacs(audio, recording) if audio else [b""] * len(recording.clips)
                row = spoken_row(row, recording, flacs)
            yield row


def _flacs(audio: AudioFiles, recording: Recording) -> list[bytes]:
    flacs = [audio.read(clip.file, clip.offset, clip.num_bytes) for clip in recording.clips]
    for clip, flac in zip(recording.clips, flacs, strict=True):
        if len(flac) != clip.num_bytes or flac[:4] != b"fLaC":
            raise RunError(
                f"a clip of {recording.id} is not at byte {clip.offset} of {clip.file}: the audio file was changed; "
                f"remove the recording's line and synthesize again"
            )
    return flacs
