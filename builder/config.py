"""The two configuration files: the study says what is made and bears identity, the site says where and never does.

Moving a study to another site cannot change what it asks for; a run is pinned to its study and to nothing else.
Law of the file: what it returns is checked through and through; what it refuses is named by file, key and value.
"""

import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from builder.core.chat import Script
from builder.core.emotion import Transitions
from builder.core.estimate import Speed
from builder.core.scenario import Plan, Splits, scenarios
from builder.core.speech import Mastering, Sampling, Sex, Voice
from builder.core.usage import Budget, Price
from builder.core.values import Attempts, Count, Label, Language, Line, Name, Seed, Weight
from builder.core.verdict import Acceptance
from builder.core.vocabulary import Vocabulary
from builder.errors import ConfigError, first_line, nearest
from builder.files import listed, read_text
from builder.records import SHOWN, Place, Record, brief, convert

if TYPE_CHECKING:
    from builder.plugins.judges import Judge

_SECRET_KEY = re.compile(r"(?<![a-z])(api_?key|token|password|secret|authorization)$", re.IGNORECASE)
_SECRET = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|Bearer\s+\S{8,})")
_CONFIG_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ON_A_CLUSTER = ("plan", "generate", "judge", "synthesize", "measure", "package")
"""The stages that several workers of a cluster may share."""
_MOST_BYTES = 4 * 2**20
"""Of a file that a study or a site names: the largest shipped has 20 kB."""
TEXT_ONLY = "text-only"
"""The dataset config without audio, which every study has."""
TURNS = "-turns"
"""What the name of a spoken config gains where a row is a turn."""


def is_spoken(config: str) -> bool:
    """Whether a dataset config may be one of spoken dialogues: not that of texts, and not of the turns of another."""
    return bool(_CONFIG_NAME.fullmatch(config)) and config != TEXT_ONLY and not config.endswith(TURNS)


P = TypeVar("P", bound=Record)

Table = dict[str, Any]
"""The settings of one plug-in, which the plug-in's own record checks."""


Tables = Annotated[tuple[Table, ...], msgspec.Meta(min_length=1, description="tables, at least one")]


class Speech(Record):
    """How one dataset config is spoken."""

    voices: dict[Name, Sex]
    """At least two, by name; every dialogue draws two different ones."""
    sampling_rate_hz: Annotated[int, msgspec.Meta(ge=8000, le=192000)] = 24000
    attempts: Attempts = 3
    """How often a clip is made, each time with a new seed, before its recording is a failure."""
    checks: dict[Name, Table] = {}
    mastering: Mastering | None = None
    """None keeps every clip as it was spoken."""
    sampling: Sampling | None = None
    """None leaves it to the engine."""
    tags: dict[Name, Line] = {}
    """By emotion: the emotive tag of an engine that has some, such as `<laugh>`; none is the paper's plain mode."""

    def __post_init__(self) -> None:
        if len(self.voices) < 2:
            raise ValueError(f"voices are {list(self.voices)}: two speakers need at least two")

    def cast(self) -> tuple[Voice, ...]:
        """The voices, sorted by name."""
        return tuple(Voice(name=name, sex=sex) for name, sex in sorted(self.voices.items()))


class Study(Record):
    """What is made."""

    name: Annotated[
        str,
        msgspec.Meta(
            pattern=r"\A[a-z0-9]+([-_][a-z0-9]+)*\Z",
            max_length=100,
            description="a name like my-study_2, of at most 100 characters",
        ),
    ]
    title: Line
    """What the card is headed with."""
    seed: Seed
    licence: Label
    """The dataset's licence as the Hub names it, such as `cc-by-nc-4.0`."""
    vocabulary: Vocabulary
    language: Language = "en"
    plan: Plan | None = None
    """None for dialogues that already exist and are only ingested."""
    script: Script | None = None
    judges: dict[Name, Table] = {}
    acceptance: Acceptance = Acceptance()
    speech: dict[str, Speech] = {}
    """By dataset config."""
    measures: dict[Name, Table] = {}
    """What is measured of every clip of every config."""
    checks: dict[Name, Table] = {}
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

    num_cpus: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 1.0
    num_gpus: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0.0
    resources: dict[Line, Weight] = {}
    """Of the cluster's own, such as `{ a100 = 1 }`."""


class Ray(Record):
    """How a run is worked on by a cluster."""

    address: str = ""
    """Such as `10.0.0.1:6379`; empty starts a cluster on this machine, for as long as the verb runs."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 2
    """Of a stage, at once. Each is sent its share of every endpoint's limit."""
    parts: Count | None = None
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

    name: Line
    models: dict[Line, Table | Tables] = {}
    """Where each model is served: `backend` and its settings. Several tables (`[[models.NAME]]`) are replicas."""
    speech: dict[Line, Table] = {}
    """What speaks each dataset config: `engine` and its settings."""
    measures: dict[Line, Table] = {}
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
    prices: dict[Line, Price] = {}
    """What each model costs."""
    speeds: dict[Line, Speed] = {}
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
    from builder.plugins.checks import Check
    from builder.plugins.measures import Measure

    read = _Read(_find(reference, resources("configs"), "study"))
    study = convert(read.table, Study, read.place)
    _refuse_unreachable(study, _judges(study, read.place), read.place)
    for config, speech in study.speech.items():
        _made(Check, speech.checks, f"speech.{config}.checks", read.place)
    _made(Check, study.checks, "checks", read.place)
    _made(Measure, study.measures, "measures", read.place)
    return study


def load_site(reference: str) -> Site:
    """Reads a site.

    Args:
        reference: a TOML file, or the name of a site that is shipped, such as `rehearsal`.

    Raises:
        ConfigError: names the file, the key, the value and the repair; a secret in the file is refused.
    """
    from builder.plugins import make
    from builder.plugins.llm import Backend
    from builder.plugins.tts import Engine

    read = _Read(_find(reference, resources("configs") / "sites", "site"))
    site = convert({"name": read.path.stem, **read.table}, Site, read.place)
    for name, tables in site.models.items():
        several = (
            {f"models.{name}": tables} if isinstance(tables, dict) else _numbered(f"models.{name}", tables)
        )
        for key, table in several.items():
            make(Backend, table, _in(read.place, key))
    for config, table in site.speech.items():
        make(Engine, table, _in(read.place, f"speech.{config}"))
    return site


def _numbered(key: str, tables: Sequence[Table]) -> dict[str, Table]:
    return {f"{key}[{position}]": table for position, table in enumerate(tables)}


def _in(place: Place, table: str) -> Place:
    """Tells of a key within a table."""
    return lambda key: place(f"{table}.{key}" if key else table)


def _told(place: Place, key: str) -> str:
    """The file and the key of a plug-in's table, as its own message begins."""
    return ": ".join(filter(None, place(key)))


def _made(contract: type[P], tables: dict[str, Table], key: str, place: Place) -> dict[str, P]:
    from builder.plugins import make

    return {
        name: make(contract, table, _in(place, f"{key}.{name}"), default=name)
        for name, table in tables.items()
    }


def _judges(study: Study, place: Place) -> "dict[str, Judge]":
    from builder.plugins.judges import Judge

    judges = _made(Judge, study.judges, "judges", place)
    for name, judge in judges.items():
        for model in judge.models():
            if model not in study.vocabulary.models:
                raise ConfigError(
                    f"{_told(place, f'judges.{name}')}: unknown model {brief(model)}: "
                    f"{nearest(model, study.vocabulary.models)}"
                )
    return judges


def _refuse_unreachable(study: Study, judges: "dict[str, Judge]", place: Place) -> None:
    """Refuses a rule of acceptance that no dialogue could pass, or none could fail, whatever the judges say."""
    rule = study.acceptance
    scales = {name: judge.scales(name) for name, judge in judges.items()}
    scored = {criterion: scale for of_judge in scales.values() for criterion, scale in of_judge.items()}
    for criterion, threshold in rule.thresholds.items():
        where = _told(place, f"acceptance.thresholds.{criterion}")
        if criterion not in scored:
            raise ConfigError(
                f"{where}: no judge of the study scores {criterion!r}: {nearest(criterion, scored)}"
            )
        low, high = scored[criterion]
        if not low <= threshold <= high:
            raise ConfigError(f"{where} is {threshold:g}: {criterion!r} is scored from {low:g} to {high:g}")
        voting = [name for name in judges if criterion in scales[name] and rule.weight(name, criterion)]
        if len(voting) < max(rule.quorum, 1):
            raise ConfigError(
                f"{_told(place, 'acceptance.quorum')} is {rule.quorum}: {len(voting)} of the study's judges have a vote on "
                f"{criterion!r}{': ' if voting else ''}{', '.join(voting)}: lower it, or give more judges "
                "a vote (weights of 0 take it)"
            )


def _find(reference: str, shipped: Path, what: str) -> Path:
    path = Path(reference)
    if path.suffix == ".toml":
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for a name that is too long
            return path
        raise ConfigError(f"{_cut(reference)}: there is no such {what} file")
    known = [file.stem for file in listed(shipped.glob("*.toml"))]
    if reference not in known:
        raise ConfigError(
            f"no {what} is called {brief(reference)}: {nearest(reference, known)}, or name a .toml file"
        )
    return shipped / f"{reference}.toml"


class _Read:
    """A file with the files it names in place of their names, and which key came from which of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = {"": path}
        self.table = self._table(path, (), "")
        for key, value in _strings(self.table, ""):
            _refuse_secret(self.place, key, value)

    def place(self, key: str) -> tuple[str, str]:
        """The file that a whole key stands in, and the key as it stands there."""
        inside = [
            whole
            for whole in self._files
            if not whole or key == whole or key.startswith((f"{whole}.", f"{whole}["))
        ]
        whole = max(inside, key=len)
        return str(self._files[whole]), key[len(whole) :].removeprefix(".")

    def _table(self, path: Path, within: tuple[Path, ...], whole: str) -> Table:
        try:
            table = tomllib.loads(_text(path))
            inner = (*within, path)
            return {
                key: self._inlined(value, inner, key, f"{whole}.{key}" if whole else key)
                for key, value in table.items()
            }
        except RecursionError:
            raise ConfigError(f"{path}: not TOML: its values are nested too deeply") from None
        except ValueError as error:  # a number of thousands of digits is one, too
            raise ConfigError(f"{path}: not TOML: {_cut(first_line(error))}") from None

    def _inlined(self, value: Any, within: tuple[Path, ...], key: str, whole: str) -> Any:
        """Puts the text (or, of a TOML file, the table) in place of every `{ file = "..." }`.

        Args:
            value: what stands at `key`.
            within: the file it stands in, last, and before it the files that named that one.
            key: in that file.
            whole: in the outermost.
        """
        if isinstance(value, list):
            return [
                self._inlined(part, within, f"{key}[{place}]", f"{whole}[{place}]")
                for place, part in enumerate(value)
            ]
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{within[-1]}: key {_cut(key)!r} is {value}: a finite number is needed")
        if not isinstance(value, dict):
            return value
        if set(value) != {"file"}:
            return {
                name: self._inlined(part, within, f"{key}.{name}", f"{whole}.{name}")
                for name, part in value.items()
            }
        file = _named(value["file"], within, key)
        self._files[whole] = file
        return self._table(file, within, whole) if file.suffix == ".toml" else _text(file)


def _named(name: Any, within: tuple[Path, ...], key: str) -> Path:
    """The file that a key names: from the folder of the file the key stands in, or by a whole path."""
    said = f"{within[-1]}: key {_cut(key)!r} names the file {brief(name)}"
    if not isinstance(name, str):
        raise ConfigError(f"{said}: its path, as text, is needed")
    file = within[-1].parent / name
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        raise ConfigError(f"{said}, which is not in {within[-1].parent}") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(
            f"{said}, which is a {'folder' if stat.S_ISDIR(mode) else 'device or a pipe'}: a text file is needed"
        )
    if any(file.samefile(outer) for outer in within):
        raise ConfigError(f"{said}, which it is part of itself")
    return file


def _text(path: Path) -> str:
    try:
        return read_text(path, _MOST_BYTES)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _cut(text: str) -> str:
    return text if len(text) <= 2 * SHOWN else f"{text[: 2 * SHOWN - 1]}…"


def _refuse_secret(place: Place, whole: str, value: str) -> None:
    """Refuses the value of a whole key. Whose it is, of hundreds, is only looked up where it matters."""
    named = _SECRET_KEY.search(whole) and value
    if not (named or _SECRET.search(value) or "://" in value):
        return
    file, key = place(whole)
    if _SECRET.search(value) or (_SECRET_KEY.search(key) and value):
        raise ConfigError(
            f"{file}: key {_cut(key)!r} holds a secret: put it into an environment variable and name that one: "
            f'token_env = "HF_TOKEN"'
        )
    if _has_password(value):
        raise ConfigError(f"{file}: key {_cut(key)!r} holds a password: take it out of the address")


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
