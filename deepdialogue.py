"""What readers of a DeepDialogue dataset import: its labels, its features, and three ways to load it.

    load_dataset("deepdialogue", "xtts")          where ./deepdialogue is a packaged folder: nothing to import
    import deepdialogue                           the same call anywhere, with data_dir= or DEEPDIALOGUE_DATA
    deepdialogue.load("xtts", split="train")      decoded with soundfile: no torchcodec, no FFmpeg, no PyTorch

One row is one dialogue, or one turn in a config named `...-turns`. `features` is the contract between the packager, which
writes `schema` and `card_features`, and everyone who reads. `datasets` 3 can also run this file as a loading script.

Law of the file: it stands alone on `datasets` and pyarrow, imports one module a line (the script scanner of
`datasets` 3 reads no more), and works alike on `datasets` 3.6, 4.8 and 5.2.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import datasets.exceptions
import datasets.inspect
import datasets.load
import pyarrow as pa
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.formatting import PythonFormatter, _register_formatter
from datasets.packaged_modules.parquet.parquet import Parquet, ParquetConfig

__all__ = [
    "CONFIGS",
    "DOMAINS",
    "EMOTIONS",
    "LABELS",
    "MODELS",
    "PAIRINGS",
    "RAVDESS",
    "SPEAKERS",
    "SPLITS",
    "DeepDialogue",
    "DeepDialogueConfig",
    "Labels",
    "SoundfileFormatter",
    "card_features",
    "decoded",
    "features",
    "load",
    "messages",
    "register",
    "schema",
]

CONFIGS = ("xtts", "orpheus", "text-only", "xtts-turns", "orpheus-turns")
"""The same dialogues spoken by one engine, by another, and not at all; then the spoken ones with one turn a row."""

SPLITS = ("train", "validation", "test")

SPEAKERS = ("LLM1", "LLM2")
"""LLM1 speaks the odd turns, LLM2 the even ones."""

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight classes of RAVDESS speech, in the order of their codes 01..08."""

# fmt: off
EMOTIONS = (
    "amused", "angry", "anxious", "bored", "confused", "curious", "disappointed", "embarrassed",
    "enthusiastic", "excited", "frustrated", "grateful", "happy", "hopeful", "nostalgic", "proud",
    "relaxed", "sad", "surprised", "worried",
)

DOMAINS = (
    "art", "books", "cars", "celebrities", "coding", "cooking", "education", "events", "fashion",
    "finance", "fitness", "food", "gaming", "gardening", "health", "history", "hobbies", "holidays",
    "home", "languages", "makeup", "movies", "music", "nature", "news", "pets", "philosophy",
    "photography", "podcasts", "politics", "relationships", "science", "shopping", "social_media",
    "spirituality", "sports", "technology", "traditions", "travel", "weather", "work",
)
# fmt: on

MODELS = (
    "cohere7B",
    "gemma3-27B",
    "gemma3-4B",
    "llama3-70B",
    "llama3-8B",
    "phi4-14B",
    "phi4-mini",
    "qwen2.5-32B",
    "qwen2.5-72B",
)

PAIRINGS = (
    "cohere7B",
    "phi4-mini",
    "cohere7B_gemma3-4B",
    "gemma3-4B",
    "llama3-8B",
    "llama3-8B_cohere7B",
    "phi4-14B",
    "llama3-8B_gemma3-4B",
    "qwen2.5-32B",
    "qwen2.5-32B_phi4-14B",
    "gemma3-27B",
    "qwen2.5-32B_gemma3-27B",
    "phi4-14B_gemma3-27B",
    "llama3-70B",
    "qwen2.5-72B",
    "llama3-70B_qwen2.5-72B",
)
"""Who talks to whom, `FIRST_SECOND`; a single name talks to itself."""


class Labels(NamedTuple):
    """The names behind the label numbers of one vocabulary."""

    domains: tuple[str, ...] = DOMAINS
    pairings: tuple[str, ...] = PAIRINGS
    models: tuple[str, ...] = MODELS
    emotions: tuple[str, ...] = EMOTIONS


LABELS = Labels()
"""DeepDialogue's own."""

_patched_for_streaming = (
    True  # `datasets` would put a Path and an os of its own in place of these, which read "::" in a name
)

_HOUSE = Path(__file__).parent / "builder"
if (_HOUSE / "dataset/reader").is_dir():
    # The same files by a name that no script of a reader's own can take: `deepdialogue.dataset.reader`, in every process.
    __path__ = [str(_HOUSE)]


def features(config: str = "xtts", labels: Labels = LABELS, sampling_rate: int = 24_000) -> datasets.Features:
    """The columns of one config: the one contract between packager and readers.

    Args:
        config: a config's name. Every config but `text-only` has audio; one that ends in `-turns` has one turn a row.
        labels: the names behind the label numbers.
        sampling_rate: of the audio, in hertz.

    Returns:
        The features of one row. Of a dialogue, `duration` is in seconds, with the pauses between turns; `start`
        and `end` of a turn are seconds from the dialogue's beginning; `audio` has one clip a turn, in the
        turns' order. Of a turn, `id` is the dialogue's with the number of the turn, `.../01`; `duration` is the
        clip's, and `audio` the clip.
    """
    string = datasets.Value("string")
    seconds = datasets.Value("float64")
    model = _classes(labels.models)
    audio = datasets.Audio(sampling_rate=sampling_rate)
    turn = {
        "speaker": _classes(SPEAKERS),
        "text": string,
        "emotion": _classes(labels.emotions),
        "ravdess": _classes(RAVDESS),
    }
    place = {
        "split": _classes(SPLITS),
        "domain": _classes(labels.domains),
        "pairing": _classes(labels.pairings),
    }
    if config.endswith("-turns"):
        columns: dict[str, Any] = {
            "id": string,
            "dialogue": string,
            "turn": datasets.Value("int32"),
            "num_turns": datasets.Value("int32"),
            **place,
            "rehearsal": datasets.Value("bool"),
            "model": model,
            "checkpoint": string,
            "engine": string,
            "voice": string,
            **turn,
            "start": seconds,
            "duration": seconds,
            "audio": audio,
        }
        return datasets.Features(columns)
    columns = {
        "id": string,
        **place,
        "first_model": model,
        "second_model": model,
        "first_checkpoint": string,
        "second_checkpoint": string,
        "rehearsal": datasets.Value("bool"),
        "num_turns": datasets.Value("int32"),
    }
    spoken = config != "text-only"
    if spoken:
        columns |= {"engine": string, "first_voice": string, "second_voice": string, "duration": seconds}
        turn |= {"start": seconds, "end": seconds}
    columns["scores"] = [{"judge": string, "criterion": string, "score": datasets.Value("float32")}]
    columns["turns"] = [turn]
    if spoken:
        # Beside the turns, not in them: text alone is then read without touching the audio.
        columns["audio"] = [audio]
    return datasets.Features(columns)


def schema(config: str = "xtts", labels: Labels = LABELS, sampling_rate: int = 24_000) -> pa.Schema:
    """The Arrow schema of a shard, with the features in a notation that `datasets` 3, 4 and 5 all read.

    Args:
        config: as for `features`.
        labels: as for `features`.
        sampling_rate: as for `features`.
    """
    contract = features(config, labels, sampling_rate)
    metadata = {"info": {"features": _legacy(contract.to_dict())}}
    return contract.arrow_schema.with_metadata({"huggingface": json.dumps(metadata)})


def card_features(
    config: str = "xtts", labels: Labels = LABELS, sampling_rate: int = 24_000
) -> list[dict[str, Any]]:
    """The features as plain data for `dataset_info` in a card's YAML, read alike by `datasets` 3, 4 and 5.

    Args:
        config: as for `features`.
        labels: as for `features`.
        sampling_rate: as for `features`.
    """
    listed: list[dict[str, Any]] = features(config, labels, sampling_rate)._to_yaml_list()  # noqa: SLF001
    return listed


@dataclasses.dataclass
class DeepDialogueConfig(ParquetConfig):  # type: ignore[misc]
    """What Parquet takes (`columns`, `filters`, `batch_size`), and the rate to decode audio at."""

    sampling_rate: int | None = None
    """In hertz; None keeps the dataset's own."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """Names the cache: one copy of the data serves every sampling rate."""
        stored = {name: value for name, value in config_kwargs.items() if name != "sampling_rate"}
        name: str = super().create_config_id(stored, custom_features)
        return name


class DeepDialogue(Parquet):  # type: ignore[misc]
    """Builds a config from the shards `<root>/<config>/<split>/*.parquet` of a packaged dataset.

    The root is `data_dir`; or else what DEEPDIALOGUE_DATA names, a folder or `hf://datasets/ORG/NAME[@REVISION]`; or
    else `./deepdialogue` or `./dist/deepdialogue`, whichever is a packaged folder. A folder may have any name and any config;
    the shards say which vocabulary they are written with; a split they lack is left out. Building needs no audio library.

    Raises:
        FileNotFoundError: there is no such dataset, or it lacks the config.
        ValueError: neither DeepDialogue nor the folder has a config of that name.
    """

    BUILDER_CONFIG_CLASS = DeepDialogueConfig
    BUILDER_CONFIGS = [DeepDialogueConfig(name=name) for name in CONFIGS]
    DEFAULT_CONFIG_NAME = CONFIGS[0]

    def __init__(
        self,
        *,
        config_name: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        data_files: Any = None,
        **options: Any,
    ) -> None:
        name = config_name or self.DEFAULT_CONFIG_NAME
        if data_files is None:
            # As data files the shards are part of the cache's name: what was repackaged is read again.
            download = datasets.DownloadConfig(
                token=options.get("token"), storage_options=options.get("storage_options") or {}
            )
            with _no_folder(data_dir):
                data_files = _shards(_root(data_dir), name, download)
            if name not in CONFIGS:
                self.BUILDER_CONFIGS = []  # then `datasets` takes a config as the shards have it
        super().__init__(config_name=name, data_files=data_files, **options)

    def as_dataset(self, *args: Any, **options: Any) -> Any:
        """As in `datasets`, at the config's sampling rate."""
        return self._finished(super().as_dataset(*args, **options))

    def as_streaming_dataset(self, *args: Any, **options: Any) -> Any:
        """As in `datasets`, at the config's sampling rate."""
        return self._finished(super().as_streaming_dataset(*args, **options))

    def _finished(self, loaded: Any) -> Any:
        if "audio" in self.info.features:
            _warn_without_torchcodec()
        if self.config.sampling_rate is None:
            return loaded
        audio = datasets.Audio(sampling_rate=self.config.sampling_rate)
        return _each(loaded, functools.partial(_with_audio, audio=audio))


def _discreet(load: Callable[..., Any]) -> Callable[..., Any]:
    """Takes care that no error of a call repeats a token, whatever a server makes of it, and that a login page is called one."""

    @functools.wraps(load)
    def loaded(*args: Any, **options: Any) -> Any:
        try:
            secret = importlib.import_module(f"{_house()}.secret")
        except ImportError:
            return load(*args, **options)
        token = options.get("token")
        with secret.kept(token if isinstance(token, str) else None):
            try:
                return load(*args, **options)
            except json.JSONDecodeError as error:
                endpoint = os.environ.get("HF_ENDPOINT")
                raise ConnectionError(
                    f"{f'HF_ENDPOINT, {endpoint},' if endpoint else 'what stands before the Hub'} answers what no Hub does "
                    f"({error}): the login page of a network, a proxy or a mirror: open it in a browser"
                ) from None

    return loaded


@_discreet
def load(  # noqa: PLR0913 - each is one thing that can be asked for
    config: str = "xtts",
    split: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    streaming: bool = False,
    domain: str | Iterable[str] | None = None,
    pairing: str | Iterable[str] | None = None,
    emotion: str | Iterable[str] | None = None,
    ravdess: str | Iterable[str] | None = None,
    speaker: str | Iterable[str] | None = None,
    voice: str | Iterable[str] | None = None,
    turns: int | Iterable[int] | None = None,
    level: str | None = None,
    memory_mb: int | None = None,
    decode: bool = True,
    sampling_rate: int | None = None,
    **options: Any,
) -> Any:
    """Loads a config and decodes its audio with soundfile: no torchcodec, no FFmpeg, no PyTorch.

    Nothing is rewritten: a clip is decoded when its row is read. `filter` and `map` read whole rows unless given
    `input_columns`; `with_format(None)` ends the decoding, as before `save_to_disk`. A decoded stream of all rows has
    no `features`: number 3 of its column `domain` is `DOMAINS[3]`.

    A subset (`domain` to `level`, each one name or several) is streamed, and nothing else is read: see docs/train.md.

    Args:
        config: one of `CONFIGS`, or another that the dataset has.
        split: a split, or a slice such as `train[:10]` unless streaming; None loads them all.
        data_dir: the dataset's root, as `DeepDialogue` says; also `ORG/NAME` of a repository of the Hub, or an address of
            fsspec such as `s3://BUCKET/FOLDER`, whose credentials are the environment's.
        revision: of a repository of the Hub: a tag such as `v1.0.0`, a branch or a commit.
        streaming: whether to read rows as they are asked for, without a copy in the cache.
        domain: of the dialogue.
        pairing: of the dialogue.
        emotion: of a turn.
        ravdess: the acted class of a turn.
        speaker: of a turn, `LLM1` or `LLM2`.
        voice: both voices of the dialogue are among these.
        turns: how many turns a dialogue has: a number, or several such as `range(3, 7)`.
        level: `turn` for one turn a row, those of that emotion, RAVDESS class and speaker; `dialogue` for one dialogue a
            row, those that have such a turn. None is what the config says.
        memory_mb: what a subset may hold in memory, in each process; None is 256.
        decode: whether to decode; else `audio` holds the encoded `bytes` and the `path`, a bare file name.
        sampling_rate: to decode audio at, in hertz; None keeps the dataset's own. Unused unless decoding.
        options: what a builder takes, such as `columns`, `filters`, `cache_dir` or `token`; of a subset, `columns` and
            `token`.

    Returns:
        What `datasets.load_dataset` returns: a Dataset, or an IterableDataset when streaming, or a dict of
        them. Each item of `audio`, or `audio` itself where a row is a turn, is `{"array": ..., "sampling_rate":
        hertz, "path": file name}`, the array float32 of shape (samples,) in -1..1. A subset is a
        `builder.dataset.reader.stream.Stream`, an IterableDataset with a length that shuffles and resumes exactly.

    Raises:
        FileNotFoundError: there is no such dataset, or it lacks the config.
        ImportError: soundfile is missing, or soxr where audio must be resampled, or deepdialogue where a subset is wanted.
        ConnectionError: what answers for the Hub is something else, such as the login page of a network.
        ValueError: an unknown config, split or name; a subset that is not streamed.
    """
    asked = {
        "domain": domain, "pairing": pairing, "emotion": emotion, "ravdess": ravdess, "speaker": speaker,
        "voice": voice, "turns": turns, "level": level, "memory_mb": memory_mb,
    }  # fmt: skip
    if asked := {name: value for name, value in asked.items() if value is not None}:
        if not streaming:
            raise ValueError(f"{', '.join(asked)}: a subset is streamed: say streaming=True")
        with _no_folder(data_dir):
            return _subset(
                _root(data_dir, revision),
                config,
                split,
                decode=decode,
                sampling_rate=sampling_rate,
                **asked,
                **options,
            )
    with _no_folder(data_dir):
        root = _root(data_dir, revision) if revision or data_dir else None
        builder = DeepDialogue(config_name=config, data_dir=root, hash=_fingerprint(), **options)
    # The parent's methods: what they return is decoded here, so nothing needs saying about torchcodec.
    if streaming:
        loaded = Parquet.as_streaming_dataset(builder, split=split)
    else:
        builder.download_and_prepare()
        loaded = Parquet.as_dataset(builder, split=split)
    if decode:
        return decoded(loaded, sampling_rate)
    return _each(loaded, functools.partial(_with_audio, audio=datasets.Audio(decode=False)))


def messages(
    split: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    streaming: bool = False,
    assistant: str = "LLM2",
    emotion_tags: bool = True,
    **subset: Any,
) -> Any:
    """The dialogues as chats, as TRL and chat templates take them.

    A chat begins with the user, alternates and ends with the assistant; with tags, what the user says ends in the emotion
    that the assistant is to express. A last turn without an answer is left out and, where LLM1 is the assistant, its opening.

    Args:
        split: a split; None for each of them.
        data_dir: as for `load`.
        revision: as for `load`.
        streaming: whether to read chats as they are asked for; else all of them are read into memory.
        assistant: whom a model learns to be, `LLM1` or `LLM2`.
        emotion_tags: whether the assistant is told what it feels.
        subset: `domain`, `pairing`, `emotion` and `turns`, as for `load`, and `token`.

    Returns:
        Rows of `messages`, a list of `{"role": "user" or "assistant", "content": text}`: a Dataset, or a stream as `load`
        gives for a subset; without a split, a dict of them.

    Raises:
        FileNotFoundError: there is no such dataset.
        ImportError: deepdialogue is not installed.
        ValueError: an unknown name.
    """
    chats = {"assistant": assistant, "emotion_tags": emotion_tags}
    with _no_folder(data_dir):
        loaded = _subset(_root(data_dir, revision), "text-only", split, chats=chats, **subset)
    if streaming:
        return loaded
    if split is None:
        return datasets.DatasetDict({name: _in_memory(stream) for name, stream in loaded.items()})
    return _in_memory(loaded)


def decoded(loaded: Any, sampling_rate: int | None = None) -> Any:
    """Has soundfile decode the audio of a dataset that was loaded in another way.

    Args:
        loaded: a Dataset or IterableDataset, or a dict or list of them.
        sampling_rate: to decode audio at, in hertz; None keeps the dataset's own.

    Returns:
        The same data, nothing copied, its audio as `load` gives it.
    """
    return _each(loaded, functools.partial(_decoded, sampling_rate=sampling_rate))


class SoundfileFormatter(PythonFormatter):  # type: ignore[misc]
    """Rows as plain Python objects, their audio decoded by soundfile: a Dataset's format `soundfile`.

    A transform would decode the audio to read any other column, too.
    """

    def __init__(
        self,
        features: datasets.Features | None = None,
        lazy: bool = False,  # noqa: FBT001, FBT002 - as the parent has it
        token_per_repo_id: Any = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        if features and "audio" in features:
            features = _with_clips(features, datasets.Audio(decode=False))
        super().__init__(features, lazy, token_per_repo_id)
        self.decode = decode or _decode

    def format_row(self, pa_table: pa.Table) -> dict[str, Any]:
        """One row, its clips decoded."""
        row: dict[str, Any] = super().format_row(pa_table)
        return row | {"audio": self.decode(row["audio"])} if "audio" in row else row

    def format_column(self, pa_table: pa.Table) -> list[Any]:
        """One column, its clips decoded if it is `audio`."""
        column: list[Any] = super().format_column(pa_table)
        return list(map(self.decode, column)) if pa_table.column_names == ["audio"] else column

    def format_batch(self, pa_table: pa.Table) -> dict[str, list[Any]]:
        """Some rows as a dict of columns, their clips decoded."""
        batch: dict[str, list[Any]] = super().format_batch(pa_table)
        return batch | {"audio": list(map(self.decode, batch["audio"]))} if "audio" in batch else batch


def register() -> None:
    """Makes `load_dataset("deepdialogue", config)` build `DeepDialogue`, and adds the format `soundfile`.

    Importing this module does it; calling it again changes nothing. A packaged folder `./deepdialogue` still
    comes first where no `data_dir` is given. The working folder is not searched for data files and the Hub is
    not asked. `load_dataset(FOLDER, config)` builds it, too, where the folder's path has a `*`, `?` or `[` in it, which
    `datasets` would take for a pattern.
    """
    found = datasets.load.dataset_module_factory
    if hasattr(found, "deepdialogue"):
        return

    @functools.wraps(found)
    def dataset_module_factory(path: str, *args: Any, **options: Any) -> Any:
        own = {"dataset_name": "deepdialogue"}
        if path == "deepdialogue" and (options.get("data_dir") or not _is_packaged(Path(path))):
            return datasets.load.DatasetModule(__name__, _fingerprint(), own)
        if not options.get("data_dir") and not options.get("data_files") and _is_misread(path):
            own["data_dir"] = str(Path(path).absolute())
            return datasets.load.DatasetModule(__name__, _fingerprint(), own)
        return found(path, *args, **options)

    dataset_module_factory.deepdialogue = True  # type: ignore[attr-defined]
    datasets.load.dataset_module_factory = dataset_module_factory
    datasets.inspect.dataset_module_factory = dataset_module_factory
    _register_formatter(SoundfileFormatter, "soundfile")


def _classes(names: tuple[str, ...]) -> datasets.ClassLabel:
    return datasets.ClassLabel(names=list(names))


def _legacy(feature: Any) -> Any:
    """A feature's dict with every list written `[item]`: `datasets` 3 does not know `List`."""
    if isinstance(feature, list):
        return [_legacy(item) for item in feature]
    if feature.get("_type") == "List":
        return [_legacy(feature["feature"])]
    if isinstance(feature.get("_type"), str):
        return feature
    return {name: _legacy(part) for name, part in feature.items()}


@functools.cache
def _fingerprint() -> str:
    """Of this file: another version of it builds another cache."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _is_packaged(folder: Path) -> bool:
    """Whether it is a dataset; a checkout of this project has a README too, but with this file beside it."""
    return (folder / "README.md").is_file() and not (folder / "deepdialogue.py").exists()


def _is_misread(path: str) -> bool:
    """Whether it is a packaged folder whose name `datasets` takes for a pattern, which may match other folders, or for a home."""
    folder = Path(path).absolute()
    odd = re.search(r"[*?[]", str(folder)) or str(Path(path)).startswith("~")
    return bool(odd) and _is_packaged(folder) and "text-only" in _configs(folder)


def _root(data_dir: str | os.PathLike[str] | None, revision: str | None = None) -> str:
    if named := os.fspath(data_dir or os.environ.get("DEEPDIALOGUE_DATA", "")):
        if _is_of_the_hub(named):
            named = f"hf://datasets/{named}"
        if revision is not None:
            if not named.startswith("hf://") or "@" in named:
                raise ValueError(
                    f"revision={revision!r}: {named} is no repository without a revision: leave it out"
                )
            named = f"{named.rstrip('/')}@{revision}"
        return named.rstrip("/") if "://" in named else _folder(named)
    for folder in (Path("deepdialogue"), Path("dist", "deepdialogue")):
        if _is_packaged(folder):
            return str(folder.absolute())
    raise FileNotFoundError(
        "no DeepDialogue dataset here: pass data_dir=, or set DEEPDIALOGUE_DATA to a packaged folder or to "
        "hf://datasets/ORG/NAME, or work where ./deepdialogue or ./dist/deepdialogue is a packaged folder"
    )


def _is_of_the_hub(named: str) -> bool:
    """Whether a name is `ORG/NAME` of a repository: what is a folder here, or would be in one that is here, is none."""
    return bool(re.fullmatch(r"[\w-]+[\w.-]*/[\w.-]+", named)) and not Path(named).parent.exists()


def _folder(named: str) -> str:
    """The whole path of the packaged folder of that name.

    Raises:
        FileNotFoundError: there is none; says which of its neighbours may be meant.
    """
    path = named if os.path.exists(named) else os.path.expanduser(named)  # noqa: PTH110, PTH111 - Path's raise for some names
    folder = Path(path).absolute()
    if not os.path.exists(folder):  # noqa: PTH110
        raise FileNotFoundError(
            f"{named}: there is no such folder; a dataset of the Hub is hf://datasets/ORG/NAME"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"{named} is a file: name the folder of a packaged dataset")
    if not _configs(folder):
        near = [above for above in folder.parents[:2] if _configs(above)]
        near += sorted(below for below in folder.iterdir() if below.is_dir() and _configs(below))
        meant = (
            f": do you mean {near[0]}?" if near else ": name the folder that has CONFIG/SPLIT/*.parquet in it"
        )
        raise FileNotFoundError(f"{named} is no packaged dataset{meant}")
    return str(folder)


def _configs(folder: Path) -> list[str]:
    """The configs that a folder has shards of, DeepDialogue's own first."""
    found = {shard.parents[1].name for split in SPLITS for shard in folder.glob(f"*/{split}/*.parquet")}
    return [name for name in CONFIGS if name in found] + sorted(found.difference(CONFIGS))


@contextlib.contextmanager
def _no_folder(data_dir: str | os.PathLike[str] | None) -> Iterator[None]:
    """Says of `ORG/NAME` that it is no folder either, where the Hub cannot be asked for it."""
    try:
        yield
    except (ImportError, ValueError):
        raise
    except Exception as error:
        bare = data_dir is not None and _is_of_the_hub(os.fspath(data_dir))
        if not bare or type(error) is FileNotFoundError:
            raise
        said = str(error).strip().split("\n")[0]
        raise FileNotFoundError(
            f"{data_dir}: there is no such folder, nor can it be read as a dataset of the Hub: {said}"
        ) from None


def _subset(root: str, config: str, split: str | None, **asked: Any) -> Any:
    _refuse_unknown(root, config)
    try:
        reader = importlib.import_module(f"{_house()}.dataset.reader.subset")
    except ImportError as error:
        raise ImportError(
            f"a subset needs deepdialogue installed ({error}): pip install deepdialogue"
        ) from None
    return reader.subset(root, config, split, **asked)


def _refuse_unknown(root: str, config: str) -> None:
    known = list(CONFIGS) if "://" in root else _configs(Path(root))
    named = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", config)
    if config not in CONFIGS and (not named or ("://" not in root and config not in known)):
        raise ValueError(f"config {config!r} not found. Available: {known}")


def _house() -> str:
    """The name by which the project's modules are imported: another `builder` may come before ours, such as a script's own."""
    if "__path__" not in globals():
        return "builder"
    try:
        found = importlib.util.find_spec("builder")
    except ValueError:  # it was put into `sys.modules` by hand
        return __name__
    places = (found and found.submodule_search_locations) or ()
    return "builder" if os.path.realpath(_HOUSE) in map(os.path.realpath, places) else __name__


def _in_memory(stream: Any) -> datasets.Dataset:
    return datasets.Dataset.from_list(list(stream), features=stream.features, split=stream.split)


def _shards(root: str, config: str, download: datasets.DownloadConfig) -> DataFilesDict:
    _refuse_unknown(root, config)
    if "://" not in root and ("::" in root or os.path.expandvars(root) != root):
        raise FileNotFoundError(
            f"{root}: `datasets` takes '::' and '$NAME' in a path for something else: rename the folder, or ask for a subset"
        )
    shards = DataFilesDict()
    for split in SPLITS:
        found = _of_address if "://" in root else _of_folder
        # On the Hub a pattern without a match is an empty list.
        if files := found(root, f"{config}/{split}", download):
            shards[split] = files
    if not shards:
        has = "" if "://" in root else f", but {', '.join(_configs(Path(root)))}"
        raise FileNotFoundError(
            f"{root} has no {config}/<split>/*.parquet{has}: name a packaged dataset with the config {config!r}"
        )
    return shards


def _of_folder(root: str, place: str, _: datasets.DownloadConfig) -> DataFilesList:
    """The shards in a folder of any name: `datasets` takes `[`, `?` and `*` of the name itself for a pattern."""
    shards = sorted(path for path in Path(root, place).glob("*.parquet") if path.name[0] not in "._")
    told = [path.stat() for path in shards]
    return DataFilesList(
        [str(path) for path in shards], [(f"{one.st_mtime_ns} {one.st_size}",) for one in told]
    )


def _of_address(root: str, place: str, download: datasets.DownloadConfig) -> DataFilesList:
    escaped = root if root.startswith("hf://") else re.sub(r"[*?[]", r"[\g<0>]", root)
    try:
        return DataFilesList.from_patterns([f"{escaped}/{place}/*.parquet"], download_config=download)
    except datasets.exceptions.DatasetNotFoundError:
        raise
    except FileNotFoundError:
        return DataFilesList([], [])


def _each(loaded: Any, change: Callable[[Any], Any]) -> Any:
    """Changes a dataset that has audio, or each one of a dict or list of them."""
    if isinstance(loaded, dict):
        return type(loaded)({split: _each(dataset, change) for split, dataset in loaded.items()})
    if isinstance(loaded, list):
        return [_each(dataset, change) for dataset in loaded]
    return change(loaded) if "audio" in (loaded.features or ()) else loaded


def _decoded(dataset: Any, sampling_rate: int | None) -> Any:
    clips = dataset.features["audio"]
    own = clips[0] if isinstance(clips, list) else getattr(clips, "feature", clips)
    decode = functools.partial(_decode, sampling_rate=sampling_rate or own.sampling_rate)
    if isinstance(dataset, datasets.IterableDataset):
        return _with_audio(dataset, datasets.Audio(decode=False)).map(
            functools.partial(_decode_row, decode=decode)
        )
    # A function of this module, not a number: a process that unpickles the dataset then knows the format.
    return dataset.with_format("soundfile", decode=decode)


def _decode_row(row: dict[str, Any], decode: Callable[[Any], Any]) -> dict[str, Any]:
    return {"audio": decode(row["audio"])}


def _decode(audio: Any, sampling_rate: int | None = None) -> Any:
    """Decodes an encoded clip, or a list of them, and resamples one of another rate."""
    if isinstance(audio, list):
        return [_decode(clip, sampling_rate) for clip in audio]
    samples, rate = _needed("soundfile").read(io.BytesIO(audio["bytes"]), dtype="float32")
    if samples.ndim > 1:
        samples = samples.mean(axis=1)
    if sampling_rate not in {None, rate}:
        samples, rate = _needed("soxr").resample(samples, rate, sampling_rate), sampling_rate
    return {"array": samples, "sampling_rate": rate, "path": audio["path"]}


def _with_clips(features: Any, audio: datasets.Audio) -> datasets.Features:
    """The same features with another audio, one or a list of them as before."""
    one = isinstance(features["audio"], datasets.Audio)
    return datasets.Features({**features, "audio": audio if one else [audio]})


def _with_audio(dataset: Any, audio: datasets.Audio) -> Any:
    """The same data with another audio feature, nothing copied: `Dataset.cast` would write it all anew."""
    contract = _with_clips(dataset.features, audio)
    if isinstance(dataset, datasets.IterableDataset):
        return dataset.cast(contract)
    info = dataset.info.copy()
    info.features = contract
    return datasets.Dataset(dataset.data, info=info, split=dataset.split)


def _needed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"decoding audio needs {module} ({error}): pip install {module}") from None


@functools.cache
def _warn_without_torchcodec() -> None:
    """Says, once, what to do where `datasets` could not decode what it has just loaded."""
    if int(datasets.__version__.split(".")[0]) < 4:
        return
    try:
        importlib.import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        logging.getLogger(__name__).warning(
            "plain load_dataset decodes audio with torchcodec and FFmpeg's libraries, not found here (%s): "
            "use deepdialogue.load(...), which needs neither, or install deepdialogue[torchcodec] and "
            "FFmpeg. Text columns and Audio(decode=False) work without",
            reason,
        )


if not __name__.startswith("datasets_modules"):  # where `datasets` 3 runs this file as a script
    register()
