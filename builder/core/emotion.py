"""Emotions, the directed graph a dialogue moves along, and the two rules of moving.

The 20 emotions and 105 edges are DeepDialogue's (arXiv 2505.19978, appendix); RAVDESS is Livingstone and Russo (2018).
Law of the file: a graph that exists is sound; a walk along it uses edges only.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from builder.core.draw import Draw
from builder.core.values import Name
from builder.errors import nearest
from builder.records import Record

Ravdess = Literal["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
RAVDESS: tuple[Ravdess, ...] = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight classes of RAVDESS speech, in the order of their codes 01..08."""

Intensity = Literal["normal", "strong"]
"""The two intensities of RAVDESS, in the order of their codes 01 and 02; neutral is acted normally only."""

Axis = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Emotion(Record):
    """One emotion of the vocabulary."""

    ravdess: Ravdess
    """The acted class that stands for it in speech."""
    valence: Axis
    """From unpleasant (-1) to pleasant (1), after Russell's circumplex."""
    arousal: Axis
    """From drowsy (-1) to activated (1), after Russell's circumplex."""
    successors: tuple[Name, ...]
    """The emotions a next turn may express."""
    intensity: Intensity = "normal"
    """How strongly the class is acted: which of RAVDESS's two intensities speech takes after."""


class EmotionGraph:
    """Which emotion may follow which.

    Args:
        successors: for every emotion, the emotions that may come next.

    Raises:
        ValueError: an unknown emotion, an emotion without a successor, or one that follows itself.
    """

    def __init__(self, successors: Mapping[str, tuple[str, ...]]) -> None:
        for emotion, following in successors.items():
            if not following:
                raise ValueError(
                    f"emotion {emotion!r} has no successor: a dialogue that reaches it could not go on"
                )
            if emotion in following:
                raise ValueError(f"emotion {emotion!r} follows itself: remove it from its own successors")
            for other in following:
                if other not in successors:
                    raise ValueError(
                        f"emotion {emotion!r} leads to unknown emotion {other!r}: {nearest(other, successors)}"
                    )
        self._successors = {
            emotion: tuple(sorted(set(following))) for emotion, following in successors.items()
        }

    def __getitem__(self, emotion: str) -> tuple[str, ...]:
        return self._successors[emotion]

    def __contains__(self, emotion: object) -> bool:
        return emotion in self._successors

    def edges(self) -> set[tuple[str, str]]:
        """Every allowed transition as (from, to)."""
        return {(emotion, other) for emotion, following in self._successors.items() for other in following}

    def without_entry(self) -> tuple[str, ...]:
        """The emotions no edge leads to, sorted: `bored` and `embarrassed` in the paper's graph."""
        entered = {other for _, other in self.edges()}
        return tuple(sorted(set(self._successors) - entered))

    def opened(self) -> "EmotionGraph":
        """The same graph in which an emotion with no way in may be entered from the emotions it leads to."""
        closed = self.without_entry()
        return EmotionGraph(
            {
                emotion: following + tuple(entry for entry in closed if emotion in self[entry])
                for emotion, following in self._successors.items()
            }
        )


class Transitions(Record):
    """How the emotion of the next turn is drawn."""

    rule: Literal["paper", "reachable"] = "paper"
    """`paper`: along the graph as it is, so `bored` and `embarrassed` never occur. `reachable`: along the graph with
    a way into every emotion (`EmotionGraph.opened`), so that all of them can occur."""
    in_domain: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.8
    """Probability of drawing among the successors in the domain's list only (inferred from the published data)."""

    def along(self, graph: EmotionGraph) -> EmotionGraph:
        """The graph that is walked."""
        return graph.opened() if self.rule == "reachable" else graph


def walk(
    graph: EmotionGraph, favoured: tuple[str, ...], length: int, in_domain: float, draw: Draw
) -> tuple[str, ...]:
    """Draws the emotions of one dialogue, one a turn.

    The first is uniform over `favoured`. Each next one is, with probability `in_domain`, uniform over the successors
    that are favoured, else over all successors; where no successor is favoured, over all successors.
    Source: arXiv 2505.19978, appendix; the probability is inferred from the published data.

    Args:
        graph: the transitions allowed.
        favoured: the domain's own emotions, at least one.
        length: number of turns, at least 1.
        in_domain: a probability in [0, 1].
        draw: the dialogue's own draws.
    """
    emotions = [draw.choice(sorted(favoured))]
    while len(emotions) < length:
        following = graph[emotions[-1]]
        inside = [emotion for emotion in following if emotion in favoured]
        stay = draw.uniform() < in_domain
        emotions.append(draw.choice(inside if inside and stay else following))
    return tuple(emotions)
