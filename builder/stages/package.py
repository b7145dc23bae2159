"""package: what was accepted becomes a dataset folder that `load_dataset` opens.

The folder is written beside its place, brought to the disk and moved there; a reader sees the old dataset or the new one,
and what is not the old dataset's own is never moved away.
Law of the file: the dataset depends on what the ledgers say, not on the order they say it in.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

import deepdialogue
from builder.config import TEXT_ONLY, resources
from builder.core.row import Row, spoken_row, text_row
from builder.core.scenario import parse_id, split_of
from builder.dataset.croissant import PATH as CROISSANT
from builder.dataset.croissant import croissant
from builder.dataset.destination import writable
from builder.dataset.index import path_of, write_index
from builder.dataset.manifest import (
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
from builder.dataset.shards import Written, write_shards
from builder.errors import DatasetError, RunError, SourceError
from builder.evidence.card import CITATION, Figures, contract_of, render
from builder.evidence.gallery import can_draw, gallery
from builder.files import beside, hold, listed, put, replacing
from builder.records import Record, encode
from builder.run.folder import Run
from builder.run.work import Tally
from builder.terminal import Bar, bar, say


class Cell(NamedTuple):
    """A split and a domain in one config: what one shard holds, or several one after the other."""

    config: str
    split: str
    domain: str
    ids: tuple[str, ...]
    """Of its dialogues, sorted."""


_RECORD = "package.json"

Press = Callable[[Run, Path, list[Cell]], Awaitable[list[Written]]]
"""Writes the shards of these cells into a folder, and gives what it wrote of each."""


_SHAPING = (
    "dataset/croissant dataset/index dataset/manifest dataset/shards people/markup stages/package",
    "evidence/__init__ evidence/card evidence/figures evidence/findings/__init__ evidence/findings/emotions",
    "evidence/gallery evidence/panel evidence/sounds",
    "core/agreement core/annotation core/bias core/census core/checkpoint core/dialogue core/draw core/effect core/emotion",
    "core/interval core/licence core/markdown core/row core/scenario core/speech core/stop core/verdict core/version",
    "core/vocabulary core/word",
)
"""The files of `builder` that decide what is in a dataset, and how; a change of any other leaves every dataset current."""
_LIBRARIES = ("pyarrow", "datasets", "jinja2", "pyyaml")
"""Libraries that leave their mark on bytes, beside the one that draws."""


class _State(NamedTuple):
    """What tells cheaply that a file was not written to."""

    num_bytes: int
    modified_ns: int


class _Packaged(Record):
    """What the run packaged last, so that packaging the same again is nothing to do."""

    source: str
    out: str
    """Where it lies, free of links."""
    manifest_sha256: str
    files: dict[str, _State]
    """Every file by its path in the folder."""


async def package(run: Run, press: Press | None = None) -> Tally:
    """Writes the dataset, unless the folder already holds exactly this one.

    A file counts as whole where it has the size and the time of its last change that it was packaged with, or else its
    checksum; where the run is to verify, its checksum alone counts. A recording that is damaged is left out, recorded and
    owed again.

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
    out, record = destination(run.out, run.folder), run.folder / _RECORD
    with _alone(out):
        refuse_foreign(run)
        source, last = _source(run), _last(record)
        if last and last.source == source and (held := _found_whole(out, last, verify=run.verify)):
            if held != last.files:
                put(record, [encode(msgspec.structs.replace(last, files=held, out=str(out)))])
            checked = "checksums" if run.verify else "sizes and times"
            repair = "" if run.verify else "; --verify reads every byte"
            say(f"package: {out} is up to date, by the {checked} of its {len(held)} files{repair}")
            return Tally(skipped=len(accepted))
        with replacing(out) as folder:
            lost = await _write_dataset(run, accepted, folder, press)
        packaged = _Packaged(
            source=source, out=str(out), manifest_sha256=file_sha256(out / MANIFEST), files=_states(out)
        )
        put(record, [encode(packaged)])
    return Tally(done=len(accepted), failed=lost)


def destination(out: Path, run: Path | None) -> Path:
    """Where the dataset goes: where a link leads, so that what is replaced is the old dataset and not the link.

    Args:
        out: as it was named.
        run: the folder of the run; None where it is shared.

    Raises:
        DatasetError: no dataset can be put there.
    """
    place, repair = writable(out, "--out", replaced=True, kind=DatasetError), "name another folder with --out"
    try:
        str(place).encode()
    except UnicodeEncodeError:
        raise DatasetError(
            f"--out {str(out)!r} is not UTF-8, and no Parquet file can be written there: {repair}"
        ) from None
    for held in (run.resolve(),) if run else ():
        if held.is_relative_to(place) or place.is_relative_to(held):
            raise DatasetError(
                f"--out {out}: it is replaced as a whole, and the run {run} is there or around it: {repair}"
            )
    return place


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other processes from packaging to the same place, and mends what one that was killed left half moved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locked:
        try:
            hold(beside(out, "lock"), locked)
        except BlockingIOError:
            raise DatasetError(
                f"another process packages into {out}: wait for it, or name another folder with --out"
            ) from None
        if beside(out, "old").exists() and not out.exists():
            beside(out, "old").rename(out)
        yield


async def _write_dataset(run: Run, accepted: list[str], folder: Path, press: Press | None) -> int:
    """Writes everything a packaged folder holds; the manifest comes last. Gives how many recordings were left out."""
    shards, indexes, figures, lost = await _write_all(run, accepted, folder, press)
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
        speakers=figures.answered,
        judges=figures.judges,
        shards=tuple(shards),
        indexes=tuple(indexes),
        documents=tuple(
            Document(path=path, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for path, content in sorted(beside_card.items())
        ),
    )
    write_manifest(folder, manifest)
    return lost


def _croissant(run: Run, shards: list[Shard], indexes: list[Index], figures: Figures) -> bytes:
    census, configs = figures.census, dict.fromkeys(shard.config for shard in shards)
    description = (
        f"Emotion-conditioned dialogues between two language models: {census.dialogues:,} dialogues of {census.turns:,} turns "
        f"over {len(census.by_domain)} domains. All text and speech is synthetic."
    )
    contracts = [contract_of(run, config) for config in configs]
    return croissant(run.study, description, CITATION, contracts, indexes, figures.limits)


def _source(run: Run) -> str:
    """A digest of everything the dataset is made of, and of what makes it; of sound, that it was not written to."""
    libraries = (*_LIBRARIES, "matplotlib") if can_draw() else _LIBRARIES
    marks = [f"{library} {metadata.version(library)}" for library in libraries]
    files = [run.folder / "run.json"]
    for ledger in ("scenarios", "dialogues", "reviews"):
        files += listed(run.folder.glob(f"{ledger}.*jsonl"))
    for kind in ("recordings", "measures", "failures", "annotations"):
        files += listed((run.folder / kind).glob("*.jsonl"))
    code = Path(__file__).parents[1]
    files += [code / f"{name}.py" for line in _SHAPING for name in line.split()]
    files += [*listed(resources("card").iterdir()), Path(deepdialogue.__file__)]
    marks += [f"{file.name} {file_sha256(file) if file.exists() else ''}" for file in files]
    for file in listed((run.folder / "audio").glob("*/*.flacs")):
        marks.append(f"{file.parent.name}/{file.name} {_state(file)}")
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()


def _last(record: Path) -> _Packaged | None:
    """What was packaged last; None where nothing was, or by a version that kept less of it."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=_Packaged)
    except (OSError, ValueError):
        return None


def _state(path: Path) -> _State:
    told = path.stat()
    return _State(told.st_size, told.st_mtime_ns)


def _states(out: Path) -> dict[str, _State]:
    """Of the files of a dataset, by path."""
    paths = [MANIFEST, CARD, *(file.path for file in read_manifest(out).files)]
    return {path: _state(out / path) for path in paths}


def _found_whole(out: Path, last: _Packaged, *, verify: bool) -> dict[str, _State] | None:
    """The files as they are now, where all that were packaged last are there and whole; else None, and it is said why."""
    if not out.exists():
        return None
    try:
        found = {path: _state(out / path) for path in last.files}
        suspect = [path for path in found if verify or found[path] != last.files[path]]
        changed = next(_changed(out, last, suspect), None)
    except OSError as error:
        changed = f"{error.filename}: {error.strerror}"
    if changed is None:
        return found
    say(f"package: {changed}: the dataset is packaged again")
    return None


def _changed(out: Path, last: _Packaged, suspect: list[str]) -> Iterator[str]:
    """The files among these whose checksums are not those they were packaged with."""
    if not suspect:
        return
    if file_sha256(out / MANIFEST) != last.manifest_sha256:
        yield f"{out / MANIFEST} was changed"
        return
    manifest = read_manifest(out)
    due = {file.path: file.sha256 for file in manifest.files} | {CARD: manifest.card_sha256}
    for path in suspect:
        if path != MANIFEST and file_sha256(out / path) != due[path]:
            yield f"{out / path} was changed"


def refuse_foreign(run: Run) -> None:
    """Refuses to take away what is not this run's dataset, however damaged that may be.

    Raises:
        DatasetError: its place is taken, or there can be no dataset.
    """
    out, last = destination(run.out, run.folder), _last(run.folder / _RECORD)
    if not out.exists() or not listed(out.iterdir()):
        return
    repair = "name another folder with --out, or move this one away"
    own = last.files if last and last.out == str(out) and _holds_any(out, last) else {}
    if not (out / MANIFEST).is_file() and not own:
        raise DatasetError(f"{out} exists and is no packaged dataset: {repair}")
    try:
        held = read_manifest(out)
    except DatasetError:
        if not own:
            raise
        held = Manifest(study=run.study.name, rehearsal=False, card_sha256="", shards=())
    if held.study != run.study.name and not own:
        raise DatasetError(
            f"{out} holds the dataset of study {held.study!r}, not of {run.study.name!r}: {repair}"
        )
    for path in strays(out, held):
        if path.relative_to(out).as_posix() not in own:
            raise DatasetError(
                f"{path} is not the dataset's, and packaging would take it away: move it out of {out}, or {repair}"
            )


def _holds_any(out: Path, last: _Packaged) -> bool:
    """Whether a file is still there as it was packaged last: a dataset that another run put in its place has none."""
    return any((out / path).is_file() and _state(out / path) == state for path, state in last.files.items())


async def _write_all(
    run: Run, accepted: list[str], folder: Path, press: Press | None
) -> tuple[list[Shard], list[Index], Figures, int]:
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
                lost: dict[str, str] = {}
                counted = _counted(rows(run, cell, lost), cell.config, figures, progress)
                written.append(write_cell(run, cell, folder, counted, lost))
                await asyncio.sleep(0)  # an interruption is heard between files
        else:
            written = await press(run, folder, cells)
            for cell, one in zip(cells, written, strict=True):
                for _ in _counted(rows(run, cell, one.lost, sound=False), cell.config, figures, progress):
                    pass
    for config in dict.fromkeys(cell.config for cell in cells):
        ours = [one for one, cell in zip(written, cells, strict=True) if cell.config == config]
        held = (shard for one in ours for shard in one.shards)
        shards += sorted(held, key=lambda shard: shard.config)  # a config, and behind it its turns
        if entries := [table for one in ours for table in one.entries]:
            indexes.append(_write_index(folder, config, entries))
    for cell, one in zip(cells, written, strict=True):
        _note_damaged(run, cell, one.lost)
    return shards, indexes, figures, sum(len(one.lost) for one in written)


def write_cell(run: Run, cell: Cell, folder: Path, rows: Iterable[Row], lost: dict[str, str]) -> Written:
    """Writes the shards of a cell into a folder, of what `rows` gives and leaves out."""
    contract = contract_of(run, cell.config)
    written = write_shards(folder, contract, split=cell.split, domain=cell.domain, rows=rows)
    return written._replace(lost=lost)


def _note_damaged(run: Run, cell: Cell, lost: dict[str, str]) -> None:
    """Says what was left out, and records it where the run may be written: what makes recordings then makes it again."""
    for message in lost.values():
        say(f"package: left out of {cell.config}: {message}")
    if run.writable and cell.config != TEXT_ONLY:
        for id in cell.ids:
            if id in lost:
                run.failures.note(f"package-{cell.config}", id, SourceError.boundary, lost[id])
            else:
                run.failures.note(f"package-{cell.config}", id)


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


def rows(run: Run, cell: Cell, lost: dict[str, str], *, sound: bool = True) -> Iterator[Row]:
    """The rows of a cell, labels as names.

    Args:
        run: whose dialogues they are.
        cell: which of them.
        lost: what is not to be among them, with the reason; what is found damaged is added.
        sound: whether to read the clips; without, each is empty.

    Raises:
        RunError: an audio file is gone.
    """
    ravdess = run.study.vocabulary.ravdess()
    with ExitStack() as opened:
        spoken = cell.config != TEXT_ONLY
        audio = opened.enter_context(run.audio(cell.config)) if spoken and sound else None
        for id in cell.ids:
            if id in lost:
                continue
            dialogue = run.dialogues[id]
            review = run.reviews.get(id)
            pairing = run.study.vocabulary.pairings[dialogue.pairing]
            row = text_row(dialogue, pairing, cell.split, review, ravdess)
            if spoken:
                recording = run.recordings[cell.config][id]
                if len(recording.clips) != len(dialogue.turns):
                    lost[id] = f"{id}: {len(recording.clips)} clips for {len(dialogue.turns)} turns"
                    continue
                try:
                    flacs = audio.clips(recording) if audio else [b""] * len(recording.clips)
                except SourceError as error:
                    lost[id] = str(error)
                    continue
                row = spoken_row(row, recording, flacs)
            yield row
