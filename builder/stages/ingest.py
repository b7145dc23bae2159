"""ingest: what was published before becomes dialogues and recordings.

    SOURCE/ENGINE/data/dialogues_PAIRING/ID.json                              the text; or else
    SOURCE/ENGINE/data/*.parquet                                              its rows, which say what was spoken, too
    SOURCE/ENGINE/data/dialogues_PAIRING/ID/ID_full.wav                       all turns in one file
    SOURCE/ENGINE/data/dialogues_PAIRING/ID/segments/NNN_LLMk_RAVDESS.wav     a file for each turn

A recording needs one of the two; where it has both, they agree to the sample. Other files are ignored. A repository on the Hub
holds the same, and its files are here only for as long as their dialogue is taken in.
Law of the file: what is published is kept as it is or refused by name, never mended; what the checks find in a clip is
recorded and the clip kept; nothing is read outside SOURCE, and what a system left there is not looked at.
"""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from rich.filesize import decimal

from builder.config import is_spoken
from builder.core.checkpoint import NAME, named
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.emotion import RAVDESS, Ravdess
from builder.core.scenario import Name, parse_id
from builder.core.speech import Line, Samples, Take, Voice, Waveform, cut, find, pauses
from builder.core.vocabulary import Vocabulary
from builder.core.word import words
from builder.errors import ConfigError, SourceError, nearest
from builder.files import listed, read_text
from builder.hub.address import DATA, FOLDER, Address
from builder.hub.published import Origin, open_origin
from builder.hub.published_rows import Rows
from builder.plugins.checks import Check
from builder.records import Record, convert
from builder.run.audio import read_wav
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.run.work import Tally, work
from builder.terminal import say

_ENGINES = {"xtts": "XTTS-v2", "orpheus": "Orpheus"}
_SEGMENT = re.compile(r"([0-9]{3})_(LLM[12])_([a-z]+)\.wav")
_HUB_ID = re.compile(rf"{NAME}/{NAME}")
_TEXT = "text"
"""The fault of a clip that another text was spoken for, as the rows record it."""


class Chosen(Record):
    """What of a source is taken in, and how it is brought here."""

    domains: tuple[str, ...] = ()
    """Only these; all where there are none."""
    pairings: tuple[str, ...] = ()
    connections: int = 16
    """Files that are fetched at once, at most; a Hub that is busy is asked for fewer."""
    full: bool = False
    """Whether full recordings are fetched where there are segments, too."""

    def takes(self, name: Name) -> bool:
        """Whether a dialogue is among them."""
        return (not self.domains or name.domain in self.domains) and (
            not self.pairings or name.pairing in self.pairings
        )


class _Published(Record):
    """The published JSON."""

    domain: str
    timestamp: str | None
    model1: str
    model2: str
    conversation: tuple[Turn, ...]


@dataclass(frozen=True)
class _Item:
    """One dialogue as one engine spoke it."""

    root: Path
    """The source, free of links."""
    engine: str
    folder: Path
    """Of its pairing."""
    stem: str
    """Its published id; empty for a pairing's folder that leads out of the source, or cannot be looked into."""

    @property
    def dialogue(self) -> str:
        """The id of its dialogue; what cannot be printed in a name stands escaped."""
        return repr(f"{self.folder.name.removeprefix(FOLDER)}/{self.stem}")[1:-1]

    @property
    def id(self) -> str:
        """Its name among the failures."""
        return f"{self.engine}:{self.dialogue}"

    def inside(self, path: Path) -> Path:
        """The same path, if it does not lead out of the source."""
        return _inside(path, self.root)


@dataclass(frozen=True)
class _Sound:
    """What a recording is made of."""

    sampling_rate_hz: int
    clips: list[Samples]
    silences: list[int]
    ravdess: list[Ravdess]


class _RowsFile(NamedTuple):
    """A Parquet file of one engine that may hold the text in rows."""

    id: str
    """Its name among the failures."""
    path: Path


@dataclass(frozen=True)
class _Lot:
    """What one engine spoke at one source."""

    engine: str
    items: list[_Item]
    rows: Rows
    unread: tuple[_RowsFile, ...] = ()
    """Files that are to be taken into `rows`."""
    origin: Origin | None = None
    """Where its files are brought from; None where they are here."""

    @asynccontextmanager
    async def brought(self, item: _Item, *, sound: bool) -> AsyncIterator[None]:
        """Has the files of a dialogue here for as long as the context is open."""
        if self.origin is None:
            yield
            return
        try:
            async with self.origin.brought(item.folder.name, item.stem, sound=sound):
                yield
        except SourceError as error:
            raise SourceError(str(error).replace(str(item.root), str(self.origin))) from None

    @property
    def at_once(self) -> int:
        """The dialogues to work on at once: one for each core, and those whose files are on the way."""
        return (os.cpu_count() or 1) + (self.origin.connections if self.origin else 0)


async def ingest(run: Run, *sources: Path | Address, chosen: Chosen | None = None) -> Tally:
    """Takes in every published dialogue and recording that the run does not hold yet.

    A text is kept even where its recording is refused; two engines must have spoken the same text.

    Args:
        run: an opened run of a study whose vocabulary has the published names.
        sources: each a folder of engines' folders, or one engine's folder, which holds `data/`; or a repository on the Hub.
            The folder's name, or the end of the repository's, becomes the dataset config.
        chosen: what of them, and how.

    Returns:
        What was done, counted in recordings: a dialogue that two engines spoke counts twice.

    Raises:
        SourceError: there is nothing to ingest.
        ConfigError: there is no such repository, domain or pairing.
        RunError: the run holds rehearsed data, or took a config from elsewhere, or the disk has too little room.
        EndpointError: the Hub does not answer.
        OSError: a folder cannot be listed, or the run cannot be written; what is finished is kept.
    """
    chosen = chosen or Chosen()
    for what, names, known in (
        ("domain", chosen.domains, run.study.vocabulary.domains),
        ("pairing", chosen.pairings, run.study.vocabulary.pairings),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(f"unknown {what} {name!r}: {nearest(name, known)}")
    noted: set[str] = set()
    tallies = []
    async with AsyncExitStack() as opened:
        # A misspelt repository is found before another is taken in.
        origins = {
            source: await opened.enter_async_context(
                open_origin(run.folder, source, chosen.connections, full=chosen.full)
            )
            for source in sources
            if isinstance(source, Address)
        }
        for source in sources:
            if isinstance(source, Address):
                lots = [await _fetched(source.config, origins[source], chosen)]
            else:
                lots = _lots(source, chosen)
            for lot in lots:
                tallies.append(await _read_rows(run, lot))
                for name, lacking in lot.rows.foreign.items():
                    say(
                        f"{source}: {name} is no text in rows, for it has no column {', '.join(lacking)}: left unread"
                    )
                tallies.append(await _take_in(run, lot, noted))
    return Tally.sum(tallies)


async def _read_rows(run: Run, lot: _Lot) -> Tally:
    """Takes in the rows of a folder; a file that is damaged is recorded, and what the others say counts without it."""

    async def read(file: _RowsFile) -> None:
        with _reading(file.path):
            await asyncio.to_thread(lot.rows.read, file.path)

    total = len(lot.unread)
    tally = await work(run, "ingest", lot.unread, read, total=total, at_once=1, done=0) if total else Tally()
    return Tally(failed=tally.failed)


async def _take_in(run: Run, lot: _Lot, noted: set[str]) -> Tally:
    engine, origin = lot.engine, lot.origin
    vocabulary, recordings = run.study.vocabulary, run.recorded(engine)
    damaged = run.failures.damaged(engine)

    def is_heard(item: _Item) -> bool:
        return item.dialogue in recordings and item.dialogue not in damaged

    owed = [item for item in lot.items if item.dialogue not in run.dialogues or not is_heard(item)]
    before = len(lot.items) - len(owed)
    if not owed:
        return Tally(skipped=before)
    run.pin.rehearse("text", False)
    run.pin.rehearse(engine, False)
    if origin:
        origin.expect({_place(item): not is_heard(item) for item in owed})
    checks = run.plugins.checks(engine)
    with Recorder(run.audio(engine), recordings, damaged) as recorder:

        async def take(item: _Item) -> None:
            _name(item)
            spoken = not is_heard(item)
            async with lot.brought(item, sound=spoken):
                dialogue = await asyncio.to_thread(_dialogue, item, lot.rows, vocabulary)
                if dialogue.id in run.dialogues:
                    _agree(item, run.dialogues[dialogue.id], dialogue)
                else:
                    run.dialogues.append(dialogue.id, dialogue)
                for note in _notes(dialogue, vocabulary):
                    if note not in noted:
                        noted.add(note)
                        say(note)
                if spoken:
                    await asyncio.to_thread(_record, recorder, item, dialogue, vocabulary, checks, lot.rows)
                    run.failures.mended(engine, dialogue.id)

        return await work(
            run,
            "ingest",
            owed,
            take,
            total=len(owed),
            at_once=lot.at_once,
            done=before,
            aside=_bytes_of(origin) if origin else None,
        )


def _place(item: _Item) -> tuple[str, str]:
    return item.folder.name, item.stem


def _bytes_of(origin: Origin) -> Callable[[], str]:
    """Says how many bytes came, how fast, and how long the rest takes."""
    begin = time.monotonic()

    def note() -> str:
        done, rate = origin.fetched_bytes, origin.fetched_bytes / max(1e-3, time.monotonic() - begin)
        left = timedelta(seconds=round(max(0, origin.total_bytes - done) / max(1.0, rate)))
        return f"{decimal(done)} of {decimal(origin.total_bytes)}, {decimal(round(rate))}/s, {left} left"

    return note


def flagged(run: Run) -> Iterator[str]:
    """For each dataset config a line on the clips that were taken in with a fault; none where there is none."""
    for config, recordings in sorted(run.recordings.items()):
        clips = found = 0
        counts: Counter[str] = Counter()
        for clip in (clip for recording in recordings for clip in recording.clips if clip.attempts == 1):
            clips += 1
            found += bool(clip.faults)
            counts.update(clip.faults)
        if found:
            told = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
            yield f"{config}: {found} of {clips} clips are flagged: {told}"


def _lots(source: Path, chosen: Chosen) -> list[_Lot]:
    """Every dialogue of every engine, sorted; one without a text is among them, to be refused."""
    root = Path(os.path.realpath(source))
    inner = [folder / DATA for folder in listed(root.glob("*")) if not folder.name.startswith(".")]
    folders = [root] if (root / DATA).is_dir() else [folder for folder in inner if folder.is_dir()]
    lots = []
    for folder in folders:
        engine = folder if folder == root else folder.parent
        if not is_spoken(engine.name):
            raise SourceError(
                f"{str(engine)!r} is named like no engine: rename the folder to one like 'xtts'"
            )
        items = list(_spoken(root, engine))
        files = [
            _RowsFile(f"{engine.name}:{repr(path.name)[1:-1]}", _inside(path, root))
            for path in listed((engine / DATA).glob("*.parquet"))
        ]
        lots.append(_Lot(engine.name, _chosen(items, chosen), Rows(()), tuple(files)))
    if not any(lot.items for lot in lots):
        raise SourceError(
            f"{source}: holds no published dialogue{_of(chosen)}: expected a folder for each engine, such as xtts/, "
            f"with data/{FOLDER}<pairing>/<id>.json in it"
        )
    return lots


async def _fetched(config: str, origin: Origin, chosen: Chosen) -> _Lot:
    """Every dialogue of a repository; only rows of text are brought."""
    places = await origin.look(chosen.pairings)
    items = _chosen(
        [_Item(origin.root, config, origin.root / DATA / name, stem) for name, stem in places], chosen
    )
    if not items:
        raise SourceError(
            f"{origin}: holds no published dialogue{_of(chosen)} in the folders of its pairings"
        )
    return _Lot(config, items, await asyncio.to_thread(Rows, origin.rows), origin=origin)


def _chosen(items: list[_Item], chosen: Chosen) -> list[_Item]:
    if not (chosen.domains or chosen.pairings):
        return items
    return [item for item in items if _is_chosen(item, chosen)]


def _is_chosen(item: _Item, chosen: Chosen) -> bool:
    try:
        return chosen.takes(parse_id(item.dialogue))
    except ValueError:
        return False


def _of(chosen: Chosen) -> str:
    parts = [*chosen.domains, *chosen.pairings]
    return f" of {', '.join(parts)}" if parts else ""


def _spoken(root: Path, engine: Path) -> Iterator[_Item]:
    for folder in listed(_inside(engine / DATA, root).glob(f"{FOLDER}*")):
        if not _is_inside(folder, root):
            yield _Item(root, engine.name, folder, "")
        elif os.path.isdir(folder):  # noqa: PTH112 -- `Path.is_dir` raises where links go in a circle
            try:
                entries = listed(folder.iterdir())
            except OSError:
                yield _Item(root, engine.name, folder, "")
                continue
            stems = {
                entry.name.removesuffix(".json")
                for entry in entries
                if entry.name.endswith(".json") or os.path.isdir(entry)  # noqa: PTH112
            }
            yield from (_Item(root, engine.name, folder, stem) for stem in sorted(stems))


def _is_inside(path: Path, root: Path) -> bool:
    # `Path.resolve` raises where links go in a circle; opening such a path says so itself.
    return Path(os.path.realpath(path)).is_relative_to(root)


def _inside(path: Path, root: Path) -> Path:
    if not _is_inside(path, root):
        raise SourceError(f"{str(path)!r} is a link out of the source: put what it leads to in its place")
    return path


def _name(item: _Item) -> Name:
    with _reading(item.inside(item.folder)):
        if not item.stem:
            os.scandir(item.folder).close()
    try:
        return parse_id(item.dialogue)
    except ValueError as error:
        raise SourceError(f"{error}: rename it") from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Makes a refusal of whatever keeps a file of the source from being read.

    Raises:
        SourceError: what was read inside could not be.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise SourceError(
            f"{str(where)!r}: {error.strerror or error}: let it be read, or fetch it again"
        ) from None


def _dialogue(item: _Item, rows: Rows, vocabulary: Vocabulary) -> Dialogue:
    """Reads a text and checks it against its name and the vocabulary."""
    name = _name(item)
    path = item.inside(item.folder / f"{item.stem}.json")
    with _reading(path):
        in_rows = item.dialogue in rows and not path.exists()
        published = _row(item, rows, vocabulary) if in_rows else _read(path)
    try:
        _check(published, name, vocabulary)
        first, second = _checkpoints(published, name.pairing, vocabulary)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    return Dialogue(
        id=item.dialogue,
        domain=name.domain,
        pairing=name.pairing,
        first_checkpoint=first,
        second_checkpoint=second,
        rehearsal=False,
        turns=published.conversation,
        timestamp=published.timestamp,
    )


def _row(item: _Item, rows: Rows, vocabulary: Vocabulary) -> _Published:
    """The text as the rows have it. Where they do not say what spoke, the pairing's name does."""
    pair = vocabulary.pairings.get(_name(item).pairing)
    spoke = [vocabulary.models[model].hub_id for model in (pair.first, pair.second)] if pair else ["", ""]
    text: dict[str, Any] = {"model1": spoke[0], "model2": spoke[1]} | rows.text(item.dialogue)
    try:
        return convert(text, _Published, f"the rows of {item.id}")
    except ConfigError as error:
        raise SourceError(str(error)) from None


def _read(path: Path) -> _Published:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file, and every recording needs its text: fetch it")
    try:
        return convert(msgspec.json.decode(read_text(path)), _Published, str(path))
    except ConfigError as error:
        raise SourceError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON ({error}): fetch it again") from None


def _check(published: _Published, name: Name, vocabulary: Vocabulary) -> None:
    """Raises ValueError where a text contradicts its name or is not in the words of the vocabulary."""
    if name.pairing not in vocabulary.pairings:
        raise ValueError(f"unknown pairing {name.pairing!r}: {nearest(name.pairing, vocabulary.pairings)}")
    domain = published.domain.replace(" ", "_")
    if domain not in vocabulary.domains:
        known = nearest(domain, vocabulary.domains)
        raise ValueError(f"key 'domain' is {published.domain!r}, which is unknown: {known}")
    if domain != name.domain:
        raise ValueError(f"key 'domain' is {published.domain!r}, its name says {name.domain!r}: correct one")
    turns = published.conversation
    if len(turns) != name.num_turns:
        raise ValueError(
            f"key 'conversation' has {len(turns)} turns, its name says {name.num_turns}: correct one"
        )
    for position, turn in enumerate(turns):
        key, due = f"conversation[{position}]", SPEAKERS[position % 2]
        if turn.speaker != due:
            raise ValueError(f"key '{key}.speaker' is {turn.speaker!r}: turn {position + 1} is for {due!r}")
        if turn.emotion not in vocabulary.emotions:
            known = nearest(turn.emotion, vocabulary.emotions)
            raise ValueError(f"key '{key}.emotion' is {turn.emotion!r}, which is unknown: {known}")


def _checkpoints(published: _Published, pairing: str, vocabulary: Vocabulary) -> tuple[str, str]:
    """What spoke, as `ORG/NAME` or `ORG/NAME@REVISION`, out of a Hub id or the path of a cached model.

    A Hub id that the vocabulary gives to another model is a contradiction. One that it does not know is kept:
    the Hub renames models, and the source knows better than a vocabulary what spoke.
    """
    models, pair = vocabulary.models, vocabulary.pairings[pairing]
    spoke, checkpoints = [], []
    for key, value, model in (
        ("model1", published.model1, pair.first),
        ("model2", published.model2, pair.second),
    ):
        checkpoint = named(value)
        hub_id = checkpoint.partition("@")[0]
        if not _HUB_ID.fullmatch(hub_id) or (checkpoint == value and "@" in value):
            raise ValueError(f"key {key!r} is {value!r}, no model of the Hub: put its id there, as ORG/NAME")
        owners = [name for name, known in models.items() if known.hub_id == hub_id]
        if owners and model not in owners:
            raise ValueError(
                f"key {key!r} is {value!r}, that is {owners[0]!r}, but {model!r} speaks there: correct one"
            )
        spoke.append(hub_id)
        checkpoints.append(checkpoint)
    if pair.first == pair.second and spoke[0] != spoke[1]:
        spoken = " and ".join(map(repr, spoke))
        raise ValueError(f"keys 'model1' and 'model2' are {spoken}, but both are {pair.first!r}: correct one")
    return checkpoints[0], checkpoints[1]


def _notes(dialogue: Dialogue, vocabulary: Vocabulary) -> Iterator[str]:
    """What a person should know of the checkpoints."""
    pair = vocabulary.pairings[dialogue.pairing]
    for model, checkpoint in (
        (pair.first, dialogue.first_checkpoint),
        (pair.second, dialogue.second_checkpoint),
    ):
        hub_id, known = checkpoint.partition("@")[0], vocabulary.models[model].hub_id
        if hub_id != known:
            yield f"model {model!r} is kept as {hub_id!r}, as published; the vocabulary has {known!r}"


def _agree(item: _Item, held: Dialogue, dialogue: Dialogue) -> None:
    """Refuses a text that says another thing than the one ingested before."""
    for (key, before), (_, now) in zip(_said(held), _said(dialogue), strict=True):
        if before != now:
            path = item.folder / f"{item.stem}.json"
            raise SourceError(
                f"{path}: key {key!r} is {now!r}, but was {before!r} when it was ingested before: "
                f"correct one, or leave this recording out"
            )


def _said(dialogue: Dialogue) -> Iterator[tuple[str, str]]:
    yield "model1", dialogue.first_checkpoint
    yield "model2", dialogue.second_checkpoint
    for position, turn in enumerate(dialogue.turns):
        yield f"conversation[{position}].text", turn.text
        yield f"conversation[{position}].emotion", turn.emotion


def _record(
    recorder: Recorder,
    item: _Item,
    dialogue: Dialogue,
    vocabulary: Vocabulary,
    checks: dict[str, Check],
    rows: Rows,
) -> None:
    with _reading(item.folder / item.stem):
        sound = _sound(item, dialogue, vocabulary)
    faults = _faults(dialogue, sound, vocabulary, checks, rows.spoken(dialogue.id))
    recorder.keep(
        dialogue.id,
        engine=f"{_ENGINES.get(item.engine, item.engine)} (published)",
        rehearsal=False,
        voices=("unknown", "unknown"),
        sampling_rate_hz=sound.sampling_rate_hz,
        takes=[
            Take(clip, silence, ravdess, faults=found)
            for clip, silence, ravdess, found in zip(
                sound.clips, sound.silences, sound.ravdess, faults, strict=True
            )
        ],
    )


def _faults(
    dialogue: Dialogue,
    sound: _Sound,
    vocabulary: Vocabulary,
    checks: dict[str, Check],
    spoken: Collection[str | None],
) -> list[tuple[str, ...]]:
    """What is wrong with each clip: that its text was not the one spoken, and the checks that it fails."""
    found: list[list[str]] = [[] for _ in dialogue.turns]
    told = spoken if len(spoken) == len(found) else []
    for place, (turn, text) in enumerate(zip(dialogue.turns, told, strict=False)):
        if text is not None and words(text) != words(turn.text):
            found[place].append(_TEXT)
    clips = [
        Waveform(clip.astype(np.float32) / np.float32(2**15), sound.sampling_rate_hz) for clip in sound.clips
    ]
    lines = [
        Line(
            text=turn.text,
            # Who spoke is not published; no check asks for more than that there are two.
            voice=Voice(name=turn.speaker, sex="female"),
            emotion=msgspec.structs.replace(vocabulary.emotions[turn.emotion], ravdess=ravdess),
            seed=0,
        )
        for turn, ravdess in zip(dialogue.turns, sound.ravdess, strict=True)
    ]
    for name, check in checks.items():
        for place, fault in enumerate(check.faults(clips, lines)):
            if fault is not None:
                found[place].append(name)
    return [*map(tuple, found)]


def _sound(item: _Item, dialogue: Dialogue, vocabulary: Vocabulary) -> _Sound:
    """Reads a recording: from a file for each turn, else out of the full one."""
    folder = item.folder / item.stem
    texts = tuple(turn.text for turn in dialogue.turns)
    full = folder / f"{item.stem}_full.wav"
    segments = _segments(item, dialogue.turns)
    if not segments and not full.exists():
        raise SourceError(f"{folder}: has neither {full.name} nor segments/*.wav: fetch one of them")
    paths = [*segments, full] if full.exists() else [*segments]
    sounds, rates = zip(*(read_wav(item.inside(path)) for path in paths), strict=True)
    rate = rates[0]
    for path, other in zip(paths, rates, strict=True):
        if other != rate:
            raise SourceError(f"{path}: at {other} Hz, but {paths[0].name} at {rate} Hz: resample one")
    try:
        if not segments:
            acted = [vocabulary.emotions[turn.emotion].ravdess for turn in dialogue.turns]
            return _Sound(rate, *cut(sounds[0], texts, rate), acted)
        clips = list(sounds[: len(segments)])
        silences = find(sounds[-1], clips, texts, rate) if full.exists() else pauses(texts, rate)
    except ValueError as error:
        repair = "fetch both again, or remove one" if segments else "add segments/ with a file for each turn"
        raise SourceError(f"{full}: {error}: {repair}") from None
    return _Sound(rate, clips, silences, list(segments.values()))


def _segments(item: _Item, turns: tuple[Turn, ...]) -> dict[Path, Ravdess]:
    """The file of every turn, in order, with the class it was acted in; empty where there are none."""
    folder = item.inside(item.folder / item.stem / "segments")
    if not folder.is_dir():
        return {}
    paths = [path for path in listed(folder.iterdir()) if path.suffix == ".wav"]
    acted: dict[Path, Ravdess] = {}
    for number, (path, turn) in enumerate(zip(paths, turns, strict=False), start=1):
        match = _SEGMENT.fullmatch(path.name)
        if not match or (int(match[1]), match[2]) != (number, turn.speaker):
            due = f"{number:03d}_{turn.speaker}_<class>.wav"
            raise SourceError(f"{folder}: has {path.name!r} where {due} is due: fetch or rename it")
        if match[3] not in RAVDESS:
            raise SourceError(f"{path}: acted class {match[3]!r} is unknown: {nearest(match[3], RAVDESS)}")
        acted[path] = cast("Ravdess", match[3])
    if paths and len(paths) != len(turns):
        raise SourceError(f"{folder}: has {len(paths)} clips for {len(turns)} turns: one for each is needed")
    return acted
