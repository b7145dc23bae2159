"""ingest: what was published before becomes dialogues and recordings.

    SOURCE/ENGINE/data/dialogues_PAIRING/ID.json                              the text
    SOURCE/ENGINE/data/dialogues_PAIRING/ID/ID_full.wav                       all turns in one file
    SOURCE/ENGINE/data/dialogues_PAIRING/ID/segments/NNN_LLMk_RAVDESS.wav     a file for each turn

A recording needs one of the two; where it has both, they agree to the sample. Other files are ignored.
Law of the file: what is published is kept as it is or refused by name, never mended; nothing is read outside
SOURCE.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from builder.audio import read_wav
from builder.config import CONFIG_NAME, TEXT_ONLY
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.emotion import RAVDESS, Ravdess
from builder.core.scenario import Name, parse_id
from builder.core.speech import Samples, Take, cut, find, pauses
from builder.core.vocabulary import Vocabulary
from builder.errors import ConfigError, SourceError, nearest
from builder.progress import say
from builder.recorder import Recorder
from builder.records import Record, convert
from builder.run import Run, Tally

_ENGINES = {"xtts": "XTTS-v2", "orpheus": "Orpheus"}
_FOLDER = "dialogues_"
_SEGMENT = re.compile(r"([0-9]{3})_(LLM[12])_([a-z]+)\.wav")
_NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[A-Za-z0-9._-])*"
_HUB_ID = re.compile(rf"{_NAME}/{_NAME}")
_CACHED = re.compile(rf"(?:.*/)?models--({_NAME})--({_NAME})(?:/snapshots/([0-9a-f]{{7,40}}))?/?")


class _Published(Record):
    """The published JSON."""

    domain: str
    timestamp: str
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
    """Its published id; empty for a pairing's folder that leads out of the source and is not looked into."""

    @property
    def dialogue(self) -> str:
        """The id of its dialogue; what cannot be printed in a name stands escaped."""
        return repr(f"{self.folder.name.removeprefix(_FOLDER)}/{self.stem}")[1:-1]

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


async def ingest(run: Run, source: Path) -> Tally:
    """Takes in every published dialogue and recording that the run does not hold yet.

    A text is kept even where its recording is refused; two engines must have spoken the same text.

    Args:
        run: an opened run of a study whose vocabulary has the published names.
        source: a folder of engines' folders, or one engine's folder, which holds `data/`. The folder's name
            becomes the dataset config.

    Returns:
        What was done, counted in recordings: a dialogue that two engines spoke counts twice.

    Raises:
        SourceError: there is nothing to ingest.
        RunError: the run holds rehearsed data.
        OSError: a folder cannot be listed, or the run cannot be written; what is finished is kept.
    """
    items = _items(source)
    noted: set[str] = set()
    return Tally.sum([await _take_in(run, engine, found, noted) for engine, found in items.items()])


async def _take_in(run: Run, engine: str, items: list[_Item], noted: set[str]) -> Tally:
    vocabulary, recordings = run.study.vocabulary, run.recorded(engine)
    owed = [item for item in items if item.dialogue not in run.dialogues or item.dialogue not in recordings]
    before = len(items) - len(owed)
    if not owed:
        return Tally(skipped=before)
    run.pin_rehearsal("text", False)
    run.pin_rehearsal(engine, False)
    with Recorder(run.audio(engine), recordings) as recorder:

        async def take(item: _Item) -> None:
            dialogue = await asyncio.to_thread(_dialogue, item, vocabulary)
            if dialogue.id in run.dialogues:
                _agree(item, run.dialogues[dialogue.id], dialogue)
            else:
                run.dialogues.append(dialogue.id, dialogue)
            for note in _notes(dialogue, vocabulary):
                if note not in noted:
                    noted.add(note)
                    say(note)
            if dialogue.id not in recordings:
                await asyncio.to_thread(_record, recorder, item, dialogue, vocabulary)

        at_once = os.cpu_count() or 1
        return await run.work("ingest", owed, take, total=len(owed), at_once=at_once, done=before)


def _items(source: Path) -> dict[str, list[_Item]]:
    """Every dialogue of every engine, sorted; one without a text is among them, to be refused."""
    root = Path(os.path.realpath(source))
    folders = [root] if (root / "data").is_dir() else sorted(root.glob("*/data"))
    items = {}
    for folder in folders:
        engine = folder if folder == root else folder.parent
        if engine.name == TEXT_ONLY or not CONFIG_NAME.fullmatch(engine.name):
            raise SourceError(
                f"{str(engine)!r} is named like no engine: rename the folder to one like 'xtts'"
            )
        items[engine.name] = list(_spoken(root, engine))
    if not any(items.values()):
        raise SourceError(
            f"{source}: holds no published dialogue: expected a folder for each engine, such as xtts/, "
            f"with data/{_FOLDER}<pairing>/<id>.json in it"
        )
    return items


def _spoken(root: Path, engine: Path) -> Iterator[_Item]:
    for folder in sorted(_inside(engine / "data", root).glob(f"{_FOLDER}*")):
        if not _is_inside(folder, root):
            yield _Item(root, engine.name, folder, "")
        elif folder.is_dir():
            with os.scandir(folder) as entries:
                stems = {
                    entry.name.removesuffix(".json")
                    for entry in entries
                    if entry.name.endswith(".json") or entry.is_dir()
                }
            yield from (_Item(root, engine.name, folder, stem) for stem in sorted(stems))


def _is_inside(path: Path, root: Path) -> bool:
    # `Path.resolve` raises where links go in a circle; opening such a path says so itself.
    return Path(os.path.realpath(path)).is_relative_to(root)


def _inside(path: Path, root: Path) -> Path:
    if not _is_inside(path, root):
        raise SourceError(f"{str(path)!r} is a link out of the source: put what it leads to in its place")
    return path


def _dialogue(item: _Item, vocabulary: Vocabulary) -> Dialogue:
    """Reads a text and checks it against its name and the vocabulary."""
    item.inside(item.folder)
    try:
        name = parse_id(item.dialogue)
    except ValueError as error:
        raise SourceError(f"{error}: rename it") from None
    path = item.inside(item.folder / f"{item.stem}.json")
    published = _read(path)
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


def _read(path: Path) -> _Published:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file, and every recording needs its text: fetch it")
    try:
        return convert(msgspec.json.decode(path.read_bytes()), _Published, str(path))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}: fetch it again") from None
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
        cached = _CACHED.fullmatch(value)
        if not cached and not _HUB_ID.fullmatch(value):
            raise ValueError(f"key {key!r} is {value!r}, no model of the Hub: put its id there, as ORG/NAME")
        hub_id = f"{cached[1]}/{cached[2]}" if cached else value
        owners = [name for name, known in models.items() if known.hub_id == hub_id]
        if owners and model not in owners:
            raise ValueError(
                f"key {key!r} is {value!r}, that is {owners[0]!r}, but {model!r} speaks there: correct one"
            )
        spoke.append(hub_id)
        checkpoints.append(f"{hub_id}@{cached[3]}" if cached and cached[3] else hub_id)
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


def _record(recorder: Recorder, item: _Item, dialogue: Dialogue, vocabulary: Vocabulary) -> None:
    sound = _sound(item, dialogue, vocabulary)
    recorder.keep(
        dialogue.id,
        engine=f"{_ENGINES.get(item.engine, item.engine)} (published)",
        rehearsal=False,
        voices=("unknown", "unknown"),
        sampling_rate_hz=sound.sampling_rate_hz,
        takes=[*map(Take, sound.clips, sound.silences, sound.ravdess)],
    )


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
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".wav")
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}: fetch it again") from None
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
