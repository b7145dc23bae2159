"""export: dialogues as full recordings, for tools that read sound files: mono, or one speaker a channel.

    export.json             what was asked for, and of which data
    PAIRING/NAME.flac       one whole dialogue; NAME is its id's part after the slash
    PAIRING/NAME.rttm       who speaks when, as diarisation tools read it
    metadata.jsonl          every dialogue with its file, and who says what when; written when all the rest is there

The folder is what `load_dataset("audiofolder", data_dir=...)` opens. Its times are those of its own samples.
Law of the file: a file appears whole and on the disk before the ledger names it, one row group and a few dialogues are in
memory, and nothing but a checked id becomes a path.
"""

import io
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import soundfile
import soxr

from builder.core.dialogue import SPEAKERS, Speaker
from builder.core.emotion import Ravdess
from builder.core.row import Row
from builder.core.scenario import parse_id
from builder.core.speech import Samples, join
from builder.dataset.destination import writable
from builder.dataset.rows import Source, opened
from builder.errors import ConfigError, DatasetError, SourceError, nearest
from builder.files import hold, listed, put
from builder.records import Record, convert, encode
from builder.run.audio import decode
from builder.run.ledger import Ledger
from builder.run.work import Tally
from builder.terminal import bar, say

OPTIONS = "export.json"
METADATA = "metadata.jsonl"
_LEDGER = ".exported.jsonl"
_LONGEST_S = 3600
"""A dialogue that says it lasts longer is damaged, and is not given the memory it asks for."""
_MOST_WORKERS = 8
_MOST_HINT = 1000
"""Characters of known names that a message may list."""


class Options(Record):
    """What is wanted. Of domains, pairings, splits and ids an empty selection takes all."""

    config: str
    """The dataset config whose voices are heard."""
    domains: tuple[str, ...] = ()
    pairings: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """Whole ids, or their parts after the slash; such a part takes that dialogue of every pairing."""
    channels: Literal[1, 2] = 1
    """2 puts LLM1 on the first (left) and LLM2 on the second (right), each silent while the other speaks."""
    format: Literal["flac", "wav"] = "flac"
    """Both in 16 bits."""
    sampling_rate_hz: Annotated[int, msgspec.Meta(ge=8_000, le=192_000)] | None = None
    """None keeps the recordings' own, and with it every sample."""


class ExportedTurn(Record):
    """One turn in `metadata.jsonl`."""

    speaker: Speaker
    text: str
    emotion: str
    ravdess: Ravdess
    start: float
    """In seconds from the beginning of the file."""
    end: float


class Exported(Record):
    """One dialogue in `metadata.jsonl`."""

    file_name: str
    """Relative to the folder; the key by which `audiofolder` finds the sound."""
    id: str
    """The file id in the RTTM, too."""
    split: str
    domain: str
    pairing: str
    rehearsal: bool
    """Whether a stand-in wrote or spoke it: not training data."""
    first_voice: str
    second_voice: str
    duration: float
    """In seconds, with the silence at the end."""
    turns: tuple[ExportedTurn, ...]


class _Pin(Record):
    source: str
    options: Options


class _Sound(NamedTuple):
    sampling_rate_hz: int
    clips: list[Samples]
    silences: list[int]
    """The samples after each clip."""

    def edges(self) -> Iterator[tuple[int, int]]:
        """The first sample of every clip, and the first after it."""
        at = 0
        for clip, silence in zip(self.clips, self.silences, strict=True):
            yield at, at + len(clip)
            at += len(clip) + silence


def export(source: Path, out: Path, options: Options) -> Tally:
    """Writes every selected dialogue that the folder does not hold yet.

    A dialogue whose clips are damaged is named and left out, and is owed again. What is written depends on the source
    and the options alone: an export that was interrupted ends in the same bytes.

    Args:
        source: a run folder, of which the accepted dialogues are taken, or a packaged dataset.
        out: the folder; made if need be.
        options: what is wanted; the folder keeps to it.

    Returns:
        What was done, counted in dialogues.

    Raises:
        ConfigError: an option is out of its range, or selects what the source does not have.
        RunError: the run cannot be read.
        DatasetError: the source is neither run nor dataset or is damaged; or the folder holds something else, an
            export of other data or with other options, or is being exported to.
        OSError: the folder cannot be written, as on a full disk; what is finished is kept.
    """
    wanted = msgspec.structs.asdict(options).items()
    options = convert(
        {key: sorted(set(value)) if isinstance(value, tuple) else value for key, value in wanted},
        Options,
        "export",
    )
    writable(out, "--out", kind=DatasetError)
    _refuse_other(out)
    with opened(source, options.config) as held:
        chosen = _chosen(held.splits, options, source)
        with _pinned(out, _Pin(source=held.identity, options=options)) as ledger:
            owed = {id for id in chosen if not _is_done(id, out, options, ledger)}
            failed = _work(held, owed, out, options, ledger)
            done = (ledger[id] for id in chosen if _is_done(id, out, options, ledger))
            put(out / METADATA, (encode(record) + b"\n" for record in done))
    return Tally(done=len(owed) - failed, failed=failed, skipped=len(chosen) - len(owed))


def _chosen(splits: dict[str, str], options: Options, source: Path) -> list[str]:
    """The ids that every selection has, sorted."""
    chosen = set(splits)
    selections: dict[str, tuple[tuple[str, ...], Callable[[str], tuple[str, ...]]]] = {
        "domain": (options.domains, lambda id: (parse_id(id).domain,)),
        "pairing": (options.pairings, lambda id: (parse_id(id).pairing,)),
        "split": (options.splits, lambda id: (splits[id],)),
        "id": (options.ids, lambda id: (id, id.rpartition("/")[2])),
    }
    for what, (wanted, names) in selections.items():
        if not wanted:
            continue
        by_name: defaultdict[str, set[str]] = defaultdict(set)
        for id in splits:
            for name in names(id):
                by_name[name].add(id)
        for name in wanted:
            if name not in by_name:
                raise ConfigError(
                    f"{source}: no accepted dialogue spoken in {options.config!r} is of {what} {name!r}: "
                    f"{_hint(name, by_name)}"
                )
        chosen &= set().union(*(by_name[name] for name in wanted))
    if not chosen:
        raise ConfigError(
            f"{source}: none of the {len(splits)} accepted dialogues spoken in {options.config!r} is of every "
            "domain, pairing, split and id asked for: leave one of them out"
        )
    return sorted(chosen)


def _hint(name: str, known: Iterable[str]) -> str:
    hint = nearest(name, known)
    return hint if len(hint) < _MOST_HINT else f"names are such as {min(known)!r}"


_REPAIR = "name another folder with --out, or move this one away"


def _refuse_other(out: Path) -> None:
    if (
        out.is_dir()
        and not (out / OPTIONS).exists()
        and any(path.name[0] != "." for path in listed(out.iterdir()))
    ):
        raise DatasetError(f"{out} exists and is no export: {_REPAIR}")


@contextmanager
def _pinned(out: Path, pin: _Pin) -> Iterator[Ledger[Exported]]:
    """Keeps a folder to one source and one set of options, and other processes from it."""
    path, repair = out / OPTIONS, _REPAIR
    _refuse_other(out)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locked:
        try:
            hold(out / ".lock", locked)
        except BlockingIOError:
            raise DatasetError(f"another process exports into {out}: wait for it, or {repair}") from None
        if path.exists():
            try:
                before = msgspec.json.decode(path.read_bytes(), type=_Pin)
            except ValueError as error:
                raise DatasetError(f"{path}: not the options of an export: {error}: {repair}") from None
            if before != pin:
                raise DatasetError(f"{out} was exported otherwise: {_difference(before, pin)}: {repair}")
        else:
            put(path, [msgspec.json.format(encode(pin), indent=2), b"\n"])
        with Ledger(out / _LEDGER, Exported, writable=True) as ledger:
            yield ledger


def _difference(before: _Pin, now: _Pin) -> str:
    """The first key that differs, with both values."""
    old, new = ({"source": pin.source} | msgspec.structs.asdict(pin.options) for pin in (before, now))
    key = next(key for key in old if old[key] != new[key])
    return f"{key} was {old[key]!r} and is now {new[key]!r}"


def _is_done(id: str, out: Path, options: Options, ledger: Ledger[Exported]) -> bool:
    return id in ledger and all(path.is_file() for path in _places(id, out, options))


def _places(id: str, out: Path, options: Options) -> tuple[Path, Path]:
    """Where the sound and the RTTM of a dialogue go."""
    name = parse_id(id)
    folder = out / name.pairing
    stem = id.removeprefix(f"{name.pairing}/")
    return folder / f"{stem}.{options.format}", folder / f"{stem}.rttm"


def _work(
    source: Source, owed: AbstractSet[str], out: Path, options: Options, ledger: Ledger[Exported]
) -> int:
    """Writes the dialogues that are owed, a few at once; how many were left out."""
    failed = 0
    flying: deque[tuple[str, Future[Exported]]] = deque()
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    with bar("export", len(owed)) as progress, ThreadPoolExecutor(workers) as pool:

        def land() -> None:
            nonlocal failed
            id, made = flying.popleft()
            try:
                ledger.append(id, made.result())
            except SourceError as error:
                failed += 1
                say(f"export: {id}: {error}")
                progress.advance(failed=True)
            else:
                progress.advance()

        try:
            for id, load in source.rows(owed):
                flying.append((id, pool.submit(_make, id, source.splits[id], load, out, options)))
                if len(flying) > 2 * workers:
                    land()
            while flying:
                land()
        finally:
            pool.shutdown(cancel_futures=True)
    return failed


def _make(id: str, split: str, load: Callable[[], Row], out: Path, options: Options) -> Exported:
    """Writes the sound and the RTTM of one dialogue."""
    audio, rttm = _places(id, out, options)
    try:
        row = load()
        sound = _sound(row)
        if options.sampling_rate_hz not in {None, sound.sampling_rate_hz}:
            sound = _resampled(sound, options.sampling_rate_hz)
        record = _record(row, sound, id, split, audio.relative_to(out).as_posix())
        samples = _mixed(sound, [turn.speaker for turn in record.turns], options.channels)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"its row is damaged ({error}): fetch or package it again") from None
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sound.sampling_rate_hz, format=options.format.upper(), subtype="PCM_16")
    audio.parent.mkdir(exist_ok=True)
    put(audio, [encoded.getvalue()])
    put(rttm, (_line(id, turn, options.channels) for turn in record.turns))
    return record


def _sound(row: Row) -> _Sound:
    """What a row lets hear, checked against its own times.

    Raises:
        SourceError: a clip does not decode, or does not fit its turn.
        KeyError, TypeError, ValueError, OverflowError: the row is none.
    """
    clips, rates = [], set()
    for position, clip in enumerate(row["audio"], start=1):
        try:
            samples, rate = decode(clip["bytes"])
        except SourceError as error:
            raise SourceError(f"clip {position}: {error}") from None
        clips.append(samples)
        rates.add(rate)
    if len(rates) != 1:
        raise ValueError(f"its {len(clips)} clips are at {sorted(rates)} Hz, one rate is needed")
    if not row["duration"] <= _LONGEST_S:
        raise ValueError(f"it says it lasts {row['duration']} s")
    times = [turn[key] for turn in row["turns"] for key in ("start", "end")]
    edges = [0, *(round(time * rate) for time in (*times, row["duration"]))]
    lead, *lengths = [end - begin for begin, end in pairwise(edges)]
    if lead:
        raise ValueError(f"its first turn begins at {lead / rate:.3f} s")
    turns = zip(clips, lengths[::2], lengths[1::2], strict=True)
    for position, (clip, length, silence) in enumerate(turns, start=1):
        if len(clip) != length or silence < 0:
            raise SourceError(
                f"clip {position} lasts {len(clip) / rate:.3f} s, its turn {length / rate:.3f} s and the silence after it "
                f"{silence / rate:.3f} s: fetch or package it again"
            )
    return _Sound(rate, clips, lengths[1::2])


def _resampled(sound: _Sound, rate: int) -> _Sound:
    """At another rate. Each clip alone, so that the silences stay digital and nothing is heard on the other channel."""
    own = sound.sampling_rate_hz
    clips = [np.rint(soxr.resample(clip.astype(np.float32), own, rate)) for clip in sound.clips]
    return _Sound(
        rate,
        [np.clip(clip, -32768, 32767).astype(np.int16) for clip in clips],
        [round(silence * rate / own) for silence in sound.silences],
    )


def _mixed(sound: _Sound, speakers: Sequence[Speaker], channels: int) -> Samples:
    """The dialogue, of shape (samples, channels)."""
    tracks = [
        join(
            [
                clip if channels == 1 or speaker == own else np.zeros_like(clip)
                for clip, speaker in zip(sound.clips, speakers, strict=True)
            ],
            sound.silences,
        )
        for own in SPEAKERS[:channels]
    ]
    return np.stack(tracks, axis=1)


def _record(row: Row, sound: _Sound, id: str, split: str, file_name: str) -> Exported:
    rate = sound.sampling_rate_hz
    edges = list(sound.edges())
    return msgspec.convert(
        {
            "file_name": file_name,
            "id": id,
            "split": split,
            **{key: row[key] for key in ("domain", "pairing", "rehearsal", "first_voice", "second_voice")},
            "duration": (edges[-1][1] + sound.silences[-1]) / rate,
            "turns": [
                {key: turn[key] for key in ("speaker", "text", "emotion", "ravdess")}
                | {"start": begin / rate, "end": end / rate}
                for turn, (begin, end) in zip(row["turns"], edges, strict=True)
            ],
        },
        Exported,
    )


def _line(id: str, turn: ExportedTurn, channels: int) -> bytes:
    """One line of RTTM (NIST, Rich Transcription 2009): file, channel from 1, onset and duration in seconds, speaker.

    Six decimals name every sample. The file is the whole id: the part after the slash is unique within a pairing only.
    """
    channel = 1 + SPEAKERS.index(turn.speaker) % channels
    times = f"{turn.start:.6f} {turn.end - turn.start:.6f}"
    return f"SPEAKER {id} {channel} {times} <NA> <NA> {turn.speaker} <NA> <NA>\n".encode()
