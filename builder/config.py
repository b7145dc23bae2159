"""The two configuration files: the study says what is made and bears identity, the site says where and never does.

Moving a study to another site cannot change what it asks for; a run is pinned to its study and to nothing else.
Law of the file: what it returns is checked through and through; what it refuses is named by file, key and value.
"""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from builder.core.chat import Script
from builder.core.emotion import Transitions
from builder.core.estimate import Speed
from builder.core.scenario import Plan, Splits, scenarios
from builder.core.speech import Mastering, Sampling, Sex, Voice
from builder.core.usage import Budget, Price
from builder.core.verdict import Acceptance
from builder.core.vocabulary import Vocabulary
from builder.errors import ConfigError, nearest
from builder.files import listed, read_text
from builder.records import Record, convert

_SECRET_KEY = re.compile(r"(?<![a-z])(api_?key|token|password|secret|authorization)$", re.IGNORECASE)
_SECRET = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|Bearer\s+\S{8,})")
_CONFIG_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ON_A_CLUSTER = ("plan", "generate", "judge", "synthesize", "measure", "package")
"""The stages that several workers of a cluster may share."""
TEXT_ONLY = "text-only"
"""The dataset config without audio, which every study has."""
TURNS = "-turns"
"""What the name of a spoken config gains where a row is a turn."""


def is_spoken(config: str) -> bool:
    """Whether a dataset config may be one of spoken dialogues: not that of texts, and not of the turns of another."""
    return bool(_CONFIG_NAME.fullmatch(config)) and config != TEXT_ONLY and not config.endswith(TURNS)


Table = dict[str, Any]
"""The settings of one plug-in, which the plug-in's own record checks."""


class Speech(Record):
    """How one dataset config is spoken."""

    voices: dict[str, Sex]
    """At least two, by name; every dialogue draws two different ones."""
    sampling_rate_hz: Annotated[int, msgspec.Meta(ge=8000, le=192000)] = 24000
    attempts: Annotated[int, msgspec.Meta(ge=1)] = 3
    """How often a clip is made, each time with a new seed, before its recording is a failure."""
    checks: dict[str, Table] = {}
    mastering: Mastering | None = None
    """None keeps every clip as it was spoken."""
    sampling: Sampling | None = None
    """None leaves it to the engine."""
    tags: dict[str, str] = {}
    """By emotion: the emotive tag of an engine that has some, such as `<laugh>`; none is the paper's plain mode."""

    def __post_init__(self) -> None:
        if len(self.voices) < 2:
            raise ValueError(f"voices are {list(self.voices)}: two speakers need at least two")

    def cast(self) -> tuple[Voice, ...]:
        """The voices, sorted by name."""
        return tuple(Voice(name=name, sex=sex) for name, sex in sorted(self.voices.items()))


class Study(Record):
    """What is made."""

    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]+([-_][a-z0-9]+)*\Z")]
    title: str
    """What the card is headed with."""
    seed: int
    licence: str
    """The dataset's licence as the Hub names it, such as `cc-by-nc-4.0`."""
    vocabulary: Vocabulary
    language: str = "en"
    plan: Plan | None = None
    """None for dialogues that already exist and are only ingested."""
    script: Script | None = None
    judges: dict[str, Table] = {}
    acceptance: Acceptance = Acceptance()
    speech: dict[str, Speech] = {}
    """By dataset config."""
    measures: dict[str, Table] = {}
    """What is measured of every clip of every config."""
    checks: dict[str, Table] = {}
    """What is looked for in the clips that are ingested, of configs that are not in `speech`: found, it is recorded."""
    splits: Splits = Splits()

    @property
    def transitions(self) -> Transitions:
        """How emotions follow each other; as the paper has it where nothing is planned."""
        return self.plan.transitions if self.plan else Transitions()

    def __post_init__(self) -> None:
        for config in self.speech:
            if not is_spoken(config):
                raise ValueError(
                    f"speech.{config}: a config is named like 'xtts', {TEXT_ONLY!r} has no speech, and one ending in "
                    f"{TURNS!r} has the turns of another"
                )
            for emotion in self.speech[config].tags:
                if emotion not in self.vocabulary.emotions:
                    raise ValueError(
                        f"speech.{config}.tags names the emotion {emotion!r}: "
                        f"{nearest(emotion, self.vocabulary.emotions)}"
                    )
        for judge in self.acceptance.weights:
            if judge not in self.judges:
                raise ValueError(
                    f"acceptance.weights names the judge {judge!r}: {nearest(judge, self.judges)}"
                )
        if self.plan is not None:
            next(scenarios(self.plan, self.vocabulary, self.seed))


class Needs(Record):
    """What a worker of one stage needs of its node. Ray places it by that, and holds nobody to it."""

    num_cpus: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    num_gpus: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    resources: dict[str, float] = {}
    """Of the cluster's own, such as `{ a100 = 1 }`."""


class Ray(Record):
    """How a run is worked on by a cluster."""

    address: str = ""
    """Such as `10.0.0.1:6379`; empty starts a cluster on this machine, for as long as the verb runs."""
    workers: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Of a stage, at once. Each is sent its share of every endpoint's limit."""
    parts: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """That the dialogues are cut into; None for as many as the run was cut into before, or four for each worker."""
    needs: dict[str, Needs] = {}
    """By stage."""

    def __post_init__(self) -> None:
        for stage in self.needs:
            if stage not in _ON_A_CLUSTER:
                raise ValueError(
                    f"needs.{stage} is no stage that is worked on by parts: {nearest(stage, _ON_A_CLUSTER)}"
                )


class Site(Record):
    """Where it is made. The tables are by name, and `*` stands for every name that has no table of its own."""

    name: str
    models: dict[str, Table | tuple[Table, ...]] = {}
    """Where each model is served: `backend` and its settings. Several tables (`[[models.NAME]]`) are replicas."""
    speech: dict[str, Table] = {}
    """What speaks each dataset config: `engine` and its settings."""
    measures: dict[str, Table] = {}
    """Where the weights are of the measures that need some: `path` and `device`."""
    engine: Literal["process", "ray"] = "process"
    """What works: this process, or a cluster."""
    ray: Ray = Ray()
    strict: bool = False
    """Whether what `doctor` only warns of is refused: a model that is served as another checkpoint than the study asks for, a
    token that goes unencrypted to another machine."""
    overlap: bool = False
    """Whether `build` judges while it generates. Only where the judges' models have room to spare."""
    budget: Budget = Budget()
    """The most that a run may use before it stops."""
    prices: dict[str, Price] = {}
    """What each model costs."""
    speeds: dict[str, Speed] = {}
    """How fast each model is served, for `plan --estimate`."""
    endpoints: Table = {}
    """What `deepdialogue endpoints` starts; see docs/serving.md."""


def resources(kind: str) -> Path:
    """The folder of what is shipped with the project: `configs` or `card`, in a checkout or an installed package."""
    here = Path(__file__).parent
    return next(folder for folder in (here / "shipped" / kind, here.parent / kind) if folder.is_dir())


def load_study(reference: str) -> Study:
    """Reads a study.

    Args:
        reference: a TOML file, or the name of a study that is shipped, such as `quickstart`.

    Raises:
        ConfigError: names the file, the key, the value and the repair; a secret in the file is refused.
    """
    path = _find(reference, resources("configs"), "study")
    table = _read(path)
    _refuse_secrets(table, str(path))
    return convert(table, Study, str(path))


def load_site(reference: str) -> Site:
    """Reads a site.

    Args:
        reference: a TOML file, or the name of a site that is shipped, such as `rehearsal`.

    Raises:
        ConfigError: names the file, the key, the value and the repair; a secret in the file is refused.
    """
    path = _find(reference, resources("configs") / "sites", "site")
    table = _read(path)
    _refuse_secrets(table, str(path))
    return convert({"name": path.stem, **table}, Site, str(path))


def _find(reference: str, shipped: Path, what: str) -> Path:
    path = Path(reference)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise ConfigError(f"{reference}: there is no such {what} file")
    known = [file.stem for file in listed(shipped.glob("*.toml"))]
    if reference not in known:
        raise ConfigError(
            f"no {what} is called {reference!r}: {nearest(reference, known)}, or name a .toml file"
        )
    return shipped / f"{reference}.toml"


def _read(path: Path, within: tuple[Path, ...] = ()) -> Table:
    try:
        table = tomllib.loads(_text(path))
        return {key: _inlined(value, (*within, path), key) for key, value in table.items()}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not TOML: its values are nested too deeply") from None


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _inlined(value: Any, within: tuple[Path, ...], key: str) -> Any:
    """Puts the text (or, of a TOML file, the table) in place of every `{ file = "..." }`.

    Args:
        value: what stands at `key`.
        within: the file it stands in, last, and before it the files that named that one.
        key: the whole key.
    """
    path = within[-1]
    if isinstance(value, list):
        return [_inlined(part, within, f"{key}[{position}]") for position, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: key {key!r} is {value}: a finite number is needed")
    if not isinstance(value, dict):
        return value
    if set(value) != {"file"}:
        return {name: _inlined(part, within, f"{key}.{name}") for name, part in value.items()}
    file = path.parent / str(value["file"])
    if not file.is_file():
        raise ConfigError(
            f"{path}: key {key!r} names the file {value['file']!r}, which is not in {path.parent}"
        )
    if any(file.samefile(outer) for outer in within):
        raise ConfigError(f"{path}: key {key!r} names the file {value['file']!r}, which it is part of itself")
    return _read(file, within) if file.suffix == ".toml" else _text(file)


def _refuse_secrets(table: Table, where: str) -> None:
    for key, value in _strings(table, ""):
        if _SECRET.search(value) or (_SECRET_KEY.search(key) and value):
            raise ConfigError(
                f"{where}: key {key!r} holds a secret: put it into an environment variable and name that one: "
                f'token_env = "HF_TOKEN"'
            )
        if _has_password(value):
            raise ConfigError(f"{where}: key {key!r} holds a password: take it out of the address")


def _has_password(address: str) -> bool:
    try:
        return "://" in address and urlsplit(address).password is not None
    except ValueError:
        return False  # no address at all, as its backend will say


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for position, part in enumerate(value):
            yield from _strings(part, f"{key}[{position}]")
    elif isinstance(value, str):
        yield key, value
