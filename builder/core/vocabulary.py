"""What dialogues are about and between whom: emotions, domains, models and pairings.

Law of the file: a vocabulary that exists refers to nothing unknown.
"""

import re
from typing import Annotated

import msgspec

from builder.core.emotion import Emotion, EmotionGraph, Ravdess
from builder.core.values import RESERVED, HubId, Name, Prose, Revision
from builder.errors import nearest
from builder.records import Record, brief

_SLUG = re.compile(RESERVED + r"(?=.{1,100}\Z)[a-z0-9]+(_[a-z0-9]+)*")
_NAME = re.compile(RESERVED + r"(?=.{1,200}\Z)[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9][A-Za-z0-9.-]*)*")


class Domain(Record):
    """A subject of conversation."""

    topics: Prose
    """What belongs to it, in a few words, as the prompts say it."""
    emotions: tuple[Name, ...]
    """The emotions a dialogue about it favours; the first turn expresses one of them."""


class Model(Record):
    """A language model that speaks or judges."""

    hub_id: HubId
    """Its repository on the Hugging Face Hub, `ORG/NAME`."""
    billion_parameters: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
    revision: Revision | None = None
    """A commit of that repository; None takes what the endpoint serves, which is recorded."""
    system_role: bool = True
    """Whether its chat template has a system role; without one the system text opens the first user message."""

    @property
    def checkpoint(self) -> str:
        """What the study asks for: `ORG/NAME`, or `ORG/NAME@REVISION`."""
        return f"{self.hub_id}@{self.revision}" if self.revision else self.hub_id


class Pairing(Record):
    """Two models that talk to each other; the first speaks the odd turns as LLM1, the second the even ones as LLM2."""

    first: Name
    second: Name


class Vocabulary(Record):
    """Everything a study may refer to by name. The keys of each table are the names."""

    emotions: dict[Name, Emotion]
    domains: dict[str, Domain]
    models: dict[Name, Model]
    pairings: dict[str, Pairing]

    def __post_init__(self) -> None:
        graph = self.graph()
        for name, domain in self.domains.items():
            if not _SLUG.fullmatch(name):
                raise ValueError(
                    f"domain {brief(name)} is not a name like 'social_media': lower case, digits and _ only"
                )
            if not domain.emotions:
                raise ValueError(f"domain {name!r} lists no emotion")
            for emotion in domain.emotions:
                if emotion not in graph:
                    raise ValueError(
                        f"domain {name!r} lists unknown emotion {emotion!r}: {nearest(emotion, self.emotions)}"
                    )
        for name, pairing in self.pairings.items():
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"pairing {brief(name)} is not a name like 'llama3-8B_gemma3-4B': letters, digits, . - _ only"
                )
            for model in (pairing.first, pairing.second):
                if model not in self.models:
                    raise ValueError(
                        f"pairing {name!r} is of unknown model {model!r}: {nearest(model, self.models)}"
                    )

    def ravdess(self) -> dict[str, Ravdess]:
        """The acted class of every emotion."""
        return {name: emotion.ravdess for name, emotion in self.emotions.items()}

    def graph(self) -> EmotionGraph:
        """The emotion graph as written."""
        return EmotionGraph({name: emotion.successors for name, emotion in self.emotions.items()})
