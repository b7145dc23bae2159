"""Checkpoints by name: what a study asks for, what a server says that it serves, and whether they are the same.

    ORG/NAME                a repository of the Hub, at a revision that is not told
    ORG/NAME@REVISION       at that commit
    /models/x@DIGEST        a folder, with a digest of its weights
    my-llama                a server's own name for what it serves, where it tells no other
    A, B                    several, one after the other

Law of the file: a name is all there is to compare. What cannot be told apart is the same; what cannot be told is not what was
asked for.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from builder.records import Record

STAND_IN = "rehearsal"
"""What a stand-in is called, whatever it stands in for."""
NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[A-Za-z0-9._-])*"
"""One half of `ORG/NAME`, as a pattern."""

_CACHED = re.compile(rf"(?:.*/)?models--({NAME})--({NAME})(?:/snapshots/([0-9a-f]{{7,40}}))?/?")
_SEVERAL = ", "
_SHORTEST = 7
"""So many digits of a commit name it."""
_PLACES = frozenset({"", "/repository"})
"""Names of a place and not of what lies there: every Inference Endpoint calls its model `/repository`."""


class Answered(Record):
    """What answered for a model of the study."""

    model: str
    """Its name in the vocabulary."""
    asked: str
    """What the study asks for."""
    served: str
    """The checkpoint that answered; empty where that was not recorded."""
    count: int
    """Dialogues that it spoke in, or votes that it gave."""
    differs: bool
    """Whether the two differ."""

    def told(self, what: str) -> str:
        """The difference in words, such as of `dialogues`; empty where there is none, and of a stand-in, which is told as one."""
        if not self.differs or self.served == STAND_IN:
            return ""
        return f"The study asks for {self.asked} as {self.model}, and {self.served} answered ({self.count:,} {what})."


def answered(asked: Mapping[str, str], counts: Mapping[tuple[str, str], int]) -> tuple[Answered, ...]:
    """Holds what answered against what was asked for, in the order of models and checkpoints.

    Args:
        asked: by model.
        counts: by model and checkpoint.
    """
    return tuple(
        Answered(
            model=model,
            asked=asked.get(model, ""),
            served=served,
            count=count,
            differs=bool(served) and model in asked and differs(asked[model], served),
        )
        for (model, served), count in sorted(counts.items())
    )


def several(found: Iterable[Answered]) -> list[str]:
    """That one checkpoint answered for several models, in words; that a stand-in did is told elsewhere."""
    by_model: dict[str, set[str]] = {}
    for one in found:
        if one.served not in {"", STAND_IN}:
            by_model.setdefault(one.model, set()).add(one.served)
    together = groups(
        by_model, lambda one, other: any(alike(a, b) for a in by_model[one] for b in by_model[other])
    )
    return [
        f"One and the same answered for {len(names)} models of the study: {', '.join(names)} are "
        f"{joined(sorted(set().union(*(by_model[name] for name in names))))}."
        for names in together
        if len(names) > 1
    ]


def named(name: str) -> str:
    """The checkpoint that a server's name tells: the path of a cached model is `ORG/NAME@REVISION`, all else is as it is."""
    cached = _CACHED.fullmatch(name)
    if not cached:
        return name
    hub_id = f"{cached[1]}/{cached[2]}"
    return f"{hub_id}@{cached[3]}" if cached[3] else hub_id


def joined(checkpoints: Iterable[str]) -> str:
    """Several checkpoints as one text, each once, in their order; of one it is that one."""
    return _SEVERAL.join(dict.fromkeys(checkpoints))


def differs(asked: str, served: str) -> bool:
    """Whether what is served is known by another name or revision than what the study asks for.

    Case does not count, since it does not on the Hub. A revision counts where both tell one; a short one is the beginning of
    the long one. Whatever else has another name is another checkpoint: a quantised one, an adapter, a folder, an alias.

    Args:
        asked: `ORG/NAME` or `ORG/NAME@REVISION`.
        served: a checkpoint, or several.
    """
    return any(_differs(asked, one) for one in served.split(_SEVERAL))


def _differs(asked: str, served: str) -> bool:
    (name, revision), (told, its) = _parts(asked), _parts(served)
    if name != told:
        return True
    if not revision or not its or revision == its:
        return False
    short, long = sorted((revision, its), key=len)
    return len(short) < _SHORTEST or not long.startswith(short)


def alike(one: str, other: str) -> bool:
    """Whether two that were served have something in common, as far as names tell; a name that says nothing is like no other."""
    return any(
        first not in _PLACES and not _differs(first, second)
        for first in one.split(_SEVERAL)
        for second in other.split(_SEVERAL)
    )


def groups(names: Iterable[str], same: Callable[[str, str], bool]) -> list[tuple[str, ...]]:
    """Puts together what is the same, in the order of the names; most groups hold one name."""
    found: list[list[str]] = []
    for name in names:
        home = next((group for group in found if any(same(name, other) for other in group)), None)
        if home is None:
            found.append([name])
        else:
            home.append(name)
    return [tuple(group) for group in found]


def _parts(checkpoint: str) -> tuple[str, str]:
    """Name and revision, folded; the revision is empty where none is told."""
    name, _, revision = checkpoint.casefold().partition("@")
    return name, revision
