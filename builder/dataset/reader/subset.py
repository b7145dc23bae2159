"""A subset in plain names: what a user asks for, checked against what there is, as a stream.

Law of the file: every name is checked before a row is read, and an unknown one is a ValueError of one line with the nearest.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import deepdialogue

from ...errors import nearest
from ..index import path_of, refuse_other
from .chats import SPEAKERS, chat, fewest
from .chats import features as messages
from .plan import Rows, pick
from .rows import Reader, Wanted
from .source import Source, open_source
from .stream import Part, Stream
from .table import Tables

TEXT_ONLY = "text-only"
_TURNS = "-turns"
_LEVELS = ("dialogue", "turn")
_OF_DIALOGUE = ("domain", "pairing")
_OF_TURN = ("emotion", "ravdess", "speaker")
Names = str | Iterable[str] | None


def subset(  # noqa: PLR0913 - each is one thing that can be asked for
    root: str,
    config: str,
    split: str | None,
    *,
    domain: Names = None,
    pairing: Names = None,
    emotion: Names = None,
    ravdess: Names = None,
    speaker: Names = None,
    voice: Names = None,
    turns: int | Iterable[int] | None = None,
    level: str | None = None,
    columns: Iterable[str] | None = None,
    decode: bool = True,
    sampling_rate: int | None = None,
    token: str | None = None,
    memory_mb: int = 256,
    chats: dict[str, Any] | None = None,
) -> Any:
    """The rows of a packaged dataset that have all the names asked for.

    Args:
        root: a folder, `hf://datasets/ORG/NAME[@REVISION]`, or another address.
        config: of dialogues or, with `-turns`, of turns.
        split: a split; None for each of them.
        domain: of the dialogue; one name or several, as all that follow.
        pairing: of the dialogue.
        emotion: of a turn.
        ravdess: of a turn; not in `text-only`.
        speaker: of a turn.
        voice: both voices of the dialogue are among these.
        turns: how many turns the dialogue has, a number or several.
        level: `turn` for one turn a row; `dialogue` for one dialogue a row, those with a turn of that emotion, RAVDESS class and
            speaker. None is what the config says.
        columns: those wanted, of the level; None for all.
        decode: whether audio is decoded; else it is `bytes` and `path`.
        sampling_rate: to decode at, in hertz; None keeps the recording's own.
        token: for the Hub.
        memory_mb: for what is read ahead, shuffled and decoded ahead, in each process.
        chats: for dialogues as chats, whose `assistant` is `LLM1` or `LLM2`, with `emotion_tags` or without.

    Returns:
        A Stream; without a split, a `datasets.IterableDatasetDict` of one for each split.

    Raises:
        ValueError: an unknown or empty name.
        FileNotFoundError: there is no such dataset, or it lacks the config or its index.
        DatasetError: it is not what its index says.
        ConfigError: what opens such an address is not installed.
    """
    by_turn = _level(config, level) == "turn"
    config = config.removesuffix(_TURNS)
    source = open_source(root, token)
    tables = Tables(source)
    index = _index(source, tables, config)
    features = _features(tables, index)
    given = {"domain": domain, "pairing": pairing, "emotion": emotion, "ravdess": ravdess, "speaker": speaker}
    asked = {name: _names(name, value) for name, value in given.items() if value is not None}
    for name, values in asked.items():
        if name not in index.column_names:
            raise ValueError(
                f"{name}: {config} does not say in which class a turn was spoken: ask a spoken config"
            )
        _known(name, values, (features if name in _OF_DIALOGUE else _turn(features))[name].names)
    if voice is not None and "first_voice" not in features:
        raise ValueError(f"voice: in {config} nobody speaks: ask a spoken config")
    splits = sorted(pc.unique(index["split"]).to_pylist(), key=deepdialogue.SPLITS.index)
    if split is not None:
        _known("split", [split], splits)
    offered = _of_turns(features) if by_turn else features
    chosen = ("turns",) if chats else tuple(offered) if columns is None else _names("columns", columns)
    for name in chosen:
        _known("columns", [name], offered)
    change, shown = None, _shown({name: offered[name] for name in chosen}, by_turn=by_turn, decode=decode)
    if chats:
        _known("assistant", [chats["assistant"]], SPEAKERS)
        emotions = _turn(features)["emotion"].names if chats["emotion_tags"] else None
        change, shown = partial(chat, assistant=chats["assistant"], emotions=emotions), messages()
    wanted = Wanted(chosen, by_turn, decode, sampling_rate, max(1, memory_mb) * 2**20, change)
    streams = {}
    for name in splits if split is None else [split]:
        rows = pick(
            index,
            dialogues={"split": (name,), **{key: asked[key] for key in _OF_DIALOGUE if key in asked}},
            spoken={key: asked[key] for key in _OF_TURN if key in asked},
            num_turns=None if turns is None else [turns] if isinstance(turns, int) else list(turns),
            by_turn=by_turn,
        )
        if chats:
            rows = rows.keep(rows.turns >= fewest(chats["assistant"]))
        if voice is not None:
            rows = _with_voices(tables, rows, _names("voice", voice))
        part = Part(Reader(source, tables, rows, wanted), rows, shown, wanted.memory_bytes)
        streams[name] = Stream(part, name)
    return datasets.IterableDatasetDict(streams) if split is None else streams[split]


def _level(config: str, level: str | None) -> str:
    if level is not None:
        _known("level", [level], _LEVELS)
    own = "turn" if config.endswith(_TURNS) else None
    if own and level not in {None, own}:
        raise ValueError(f"level={level!r}: {config} has one turn a row: say {config.removesuffix(_TURNS)!r}")
    return own or level or "dialogue"


def _index(source: Source, tables: Tables, config: str) -> pa.Table:
    """The offset index, but its digests; that of `text-only` with one row a turn, like the others."""
    path = path_of(config)
    try:
        footer = tables.footer(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{source} has no {path}: check the address, name one of its configs, or package it again, for then it is written"
        ) from None
    refuse_other(footer.schema.to_arrow_schema(), f"{source}/{path}")
    if config != TEXT_ONLY:
        return tables.whole(
            path, ("id", "turn", "split", *_OF_DIALOGUE, *_OF_TURN, "file", "offset", "length")
        )
    dialogues = tables.whole(path, ("id", "split", *_OF_DIALOGUE, "emotions", "file"))
    emotions = dialogues["emotions"].combine_chunks()
    own = pc.list_parent_indices(emotions)
    turn = np.arange(len(own)) - emotions.offsets.to_numpy()[own.to_numpy()] + 1
    speakers = pa.array(SPEAKERS).take(pa.array((turn - 1) % 2))
    return (
        dialogues.drop_columns(["emotions"])
        .take(own)
        .append_column("turn", pa.array(turn, pa.int32()))
        .append_column("emotion", pc.list_flatten(emotions))
        .append_column("speaker", speakers)
    )


def _features(tables: Tables, index: pa.Table) -> datasets.Features:
    """The columns of a dialogue, as one of the files says them."""
    schema = tables.footer(index["file"][0].as_py()).schema.to_arrow_schema()
    return datasets.Features.from_arrow_schema(schema)


def _turn(features: datasets.Features) -> Any:
    """What a dialogue's turns hold: `datasets` 3 writes a list of it otherwise than 4 and 5."""
    turns = features["turns"]
    return turns[0] if isinstance(turns, list) else turns.feature


def _of_turns(features: datasets.Features) -> datasets.Features:
    """The columns of a turn, for the vocabulary of the dataset."""
    labels = deepdialogue.Labels(
        domains=tuple(features["domain"].names),
        pairings=tuple(features["pairing"].names),
        models=tuple(features["first_model"].names),
        emotions=tuple(_turn(features)["emotion"].names),
    )
    of_turns = deepdialogue.features("any-turns", labels)
    if "audio" not in features:
        for name in ("engine", "voice", "start", "duration", "audio"):
            of_turns.pop(name)
    return of_turns


def _shown(columns: dict[str, Any], *, by_turn: bool, decode: bool) -> datasets.Features:
    """The features of what is given out."""
    if "audio" in columns:
        clip: Any = datasets.Audio(decode=False)
        if decode:
            clip = {
                "array": [datasets.Value("float32")],
                "sampling_rate": datasets.Value("int32"),
                "path": datasets.Value("string"),
            }
        columns = columns | {"audio": clip if by_turn else [clip]}
    return datasets.Features(columns)


def _with_voices(tables: Tables, rows: Rows, voices: tuple[str, ...]) -> Rows:
    """The rows of dialogues in which nobody else speaks."""
    columns = ["first_voice", "second_voice"]
    kept = np.zeros(len(rows), bool)
    known: set[str] = set()
    for place in np.unique(rows.file):
        held = tables.whole(rows.files[place], columns)
        known.update(*(pc.unique(held[name]).to_pylist() for name in columns))
        among = [pc.is_in(held[name], value_set=pa.array(voices)).to_numpy() for name in columns]
        own = rows.file == place
        kept[own] = (among[0] & among[1])[rows.number[own]]
    if len(rows):
        _known("voice", voices, known)
    return rows.keep(kept)


def _names(option: str, value: Names) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value or ())
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{option}={value!r}: name one or several, or leave it out")
    return names


def _known(option: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in (offered := list(known)):
            raise ValueError(f"{option}={name!r}: {nearest(name, offered)}")
