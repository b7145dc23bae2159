"""What a version is called, and which number the next one gets: patch, minor or major, decided from what changed.

Semantic Versioning 2.0.0 (https://semver.org), read for data: a major version can break what a reader built on the last one
or make its figures incomparable, a minor one adds or betters, a patch leaves every text and every sample as they were.
Law of the file: a number follows from counts alone; the same difference gives the same number and the same words.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from builder.core.markdown import line
from builder.records import Record

Step = Literal["none", "patch", "minor", "major"]

_NUMBER = re.compile(r"v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class Version(NamedTuple):
    """A version's number; the greater one is the later one."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """What the version is tagged with, such as `v1.2.0`."""
        return f"v{self}"

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Reads `1.2.0` or `v1.2.0`.

        Raises:
            ValueError: it is neither.
        """
        if not (match := _NUMBER.fullmatch(text)):
            raise ValueError(f"{text!r} is no version: write it as 1.2.0")
        return cls(*map(int, match.groups()))

    def after(self, step: Step) -> "Version":
        """The next version, when so much has changed."""
        if step == "major":
            return Version(self.major + 1, 0, 0)
        if step == "minor":
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + (step == "patch"))


FIRST = Version(1, 0, 0)


class Release(Record):
    """A version that was published, as its manifest and card tell of it. When it was, its commit says."""

    version: str
    step: Step
    changes: tuple[str, ...]
    """One phrase each."""
    source: str
    """SHA-256 of the manifest as it was packaged, before versions were written into it: the same is the same content."""


class Counts(Record):
    """What changed between two versions, in dialogues."""

    added: int = 0
    removed: int = 0
    moved: int = 0
    """To another split."""
    text: int = 0
    """Another text, speaker or emotion in a turn."""
    audio: int = 0
    """The same dialogue, some of it spoken anew."""
    clips: int = 0
    """How many clips that are."""
    rest: int = 0
    """Nothing but other columns: scores, checkpoints, acted classes."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Column(NamedTuple):
    """A column that is not what it was."""

    config: str
    name: str
    what: str
    breaks: bool
    """Whether what reads the old version may fail at the new one."""

    def __str__(self) -> str:
        return f"{self.config}: column {self.name} {self.what}"


def columns(features: Sequence[Mapping[str, Any]], prefix: str = "") -> dict[str, Any]:
    """Every column of `dataset_info.features` in a card, by its whole name.

    Args:
        features: as `datasets` writes them into YAML.
        prefix: the column they are part of, with a dot.

    Returns:
        For a label its names in the order of their numbers, as a tuple; else the type as text.
    """
    found: dict[str, Any] = {}
    for feature in features:
        name = f"{prefix}{feature['name']}"
        kind = {key: value for key, value in feature.items() if key != "name"}
        inner = next((part for part in kind.values() if isinstance(part, list)), None)
        if inner is not None:
            found |= columns(inner, f"{name}.")
            continue
        dtype = kind.get("dtype")
        labels = dtype.get("class_label", {}).get("names") if isinstance(dtype, Mapping) else None
        if labels is None:
            found[name] = json.dumps(kind, sort_keys=True)
        else:
            numbered = labels.items() if isinstance(labels, Mapping) else enumerate(labels)
            found[name] = tuple(label for _, label in sorted(numbered, key=lambda item: int(item[0])))
    return found


def compare(config: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Column]:
    """How the columns of one config changed, each given as `columns` gives them."""
    found = [Column(config, name, "is gone", breaks=True) for name in old if name not in new]
    found += [Column(config, name, "is new", breaks=False) for name in new if name not in old]
    for name in old:
        if name not in new or old[name] == new[name]:
            continue
        if not (isinstance(old[name], tuple) and isinstance(new[name], tuple)):
            found.append(Column(config, name, "is of another type", breaks=True))
        elif new[name][: len(old[name])] == old[name]:
            more = ", ".join(new[name][len(old[name]) :])
            found.append(Column(config, name, f"has new labels at the end: {more}", breaks=False))
        else:
            found.append(Column(config, name, "numbers its labels differently", breaks=True))
    return found


def judged(
    counts: Mapping[str, Counts],
    gone: Sequence[str],
    new: Sequence[str],
    schema: Sequence[Column],
    files: int,
) -> tuple[Step, tuple[str, ...]]:
    """How large a step it is from one version to the next, and why.

    Args:
        counts: by config that both have.
        gone: configs that the new one lacks.
        new: configs that the old one lacks.
        schema: columns that changed.
        files: how many files changed, came or went.

    Returns:
        The step, and every change in words, what weighs most first.
    """
    total = sum(counts.values(), Counts())
    breaking, growing = (
        [str(one) for one in schema if one.breaks],
        [str(one) for one in schema if not one.breaks],
    )
    major = [
        *(f"config {config} is gone" for config in gone),
        *_told(counts, "removed", "dialogues removed"),
        *_told(counts, "text", "dialogues with another text or emotion"),
        *_told(counts, "moved", "dialogues moved to another split"),
        *breaking,
    ]
    minor = [
        *(f"config {config} is new" for config in new),
        *_told(counts, "added", "dialogues added"),
        *_told(counts, "audio", "dialogues spoken anew"),
        *growing,
    ]
    patch = _told(counts, "rest", "dialogues with other scores or metadata")
    if files and not (major or minor or patch):
        patch = [f"card or metadata only: {files} files changed, no text and no clip"]
    step: Step = "major" if major else "minor" if minor else "patch" if patch else "none"
    if total.clips:
        minor.append(f"{total.clips:,} clips are other than before")
    return step, (*major, *minor, *patch)


def _told(counts: Mapping[str, Counts], name: str, what: str) -> list[str]:
    each = {config: getattr(count, name) for config, count in counts.items() if getattr(count, name)}
    return (
        [f"{what}: " + ", ".join(f"{number:,} in {config}" for config, number in each.items())]
        if each
        else []
    )


def with_versions(card: str, releases: Sequence[Release], how_to_pin: str) -> str:
    """The card with a section on its versions, the newest first, before the citation where it has one.

    Args:
        card: as it was packaged, or published before.
        releases: every version, the oldest first.
        how_to_pin: a Python expression that loads the newest.
    """
    told = [
        f"{_VERSIONS}\nA version never changes. To load this one, and no later one:\n\n```python\n{how_to_pin}\n```"
    ]
    told += [
        "\n".join(
            (f"### {Version.parse(one.version).tag}", "", *(f"- {line(change)}" for change in one.changes))
        )
        for one in reversed(releases)
    ]
    before, cite, after = without_versions(card).partition(_CITE)
    return before + "\n\n".join(told) + "\n" + cite + after


def without_versions(card: str) -> str:
    """The card as it was packaged."""
    before, _, rest = card.partition(_VERSIONS)
    _, cite, after = rest.partition(_CITE)
    return before + cite + after


_VERSIONS, _CITE = "\n## Versions\n", "\n## Cite\n"
