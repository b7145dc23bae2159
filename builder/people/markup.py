"""A dialogue as HTML: a chat that reads on light and on dark, on a page that is served and in a file on its own.

Every word of a dialogue is escaped; nothing is named that is not asked for, least of all a model. The colours are Okabe and
Ito's, which colour-blind readers can tell apart; a name never stands on its colour unreadably.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from builder.core.dialogue import SPEAKERS, Turn
from builder.core.emotion import Ravdess
from builder.terminal import plain

# Grey that lets the page's own background through is readable on any.
STYLE = """\
.dialogue { display: flex; flex-direction: column; gap: 0.6rem; max-width: 50rem; line-height: 1.45; }
.dialogue .turn { width: fit-content; max-width: 85%; padding: 0.5rem 0.8rem; border-radius: 0.8rem;
  background: rgba(128, 128, 128, 0.14); }
.dialogue .second { align-self: flex-end; background: rgba(128, 128, 128, 0.26); }
.dialogue .who { font-weight: 600; }
.dialogue .emotion { margin-left: 0.5rem; padding: 0.05rem 0.5rem; border-radius: 1rem; font-size: 0.85em; }
.dialogue .said { margin: 0.25rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.dialogue audio { display: block; margin-top: 0.4rem; height: 2rem; width: 18rem; max-width: 100%; }
"""
"""What a page with a chat on it needs, as CSS."""


def chat(
    turns: Sequence[Turn],
    ravdess: Mapping[str, Ravdess],
    *,
    blind: bool = False,
    clip: Callable[[int], str] | None = None,
) -> str:
    """A dialogue as HTML, LLM1 on the left and LLM2 on the right, every turn with its emotion on its colour.

    Args:
        turns: in order.
        ravdess: the acted class of every emotion.
        blind: whether the speakers are only A and B.
        clip: gives the address of a turn's sound, from turn 1: a path of the server or a `data:` URI; empty where it has none.
    """
    shown = []
    for number, turn in enumerate(turns, start=1):
        second = turn.speaker == SPEAKERS[1]
        who = "AB"[second] if blind else turn.speaker
        acted = ravdess[turn.emotion]
        colours = f"background: {COLOURS[acted]}; color: {ink(COLOURS[acted])}"
        source = clip(number) if clip else ""
        sound = f'<audio controls preload="none" src="{escape(source)}"></audio>' if source else ""
        shown.append(
            f'<div class="turn{" second" if second else ""}"><span class="who">{who}</span>'
            f'<span class="emotion" style="{colours}" title="{acted}">{text(turn.emotion)}</span>'
            f'<p class="said" dir="auto">{text(turn.text)}</p>{sound}</div>'
        )
    return f'<div class="dialogue">{"".join(shown)}</div>'


def text(words: str) -> str:
    """Words of others as HTML text, also fit to stand between quotation marks, with a mark in place of control codes."""
    return escape(plain(words))


COLOURS: Mapping[str, str] = {
    "neutral": "#999999",
    "calm": "#56b4e9",
    "happy": "#e69f00",
    "sad": "#0072b2",
    "angry": "#d55e00",
    "fearful": "#cc79a7",
    "disgust": "#009e73",
    "surprised": "#f0e442",
}
"""By RAVDESS class, as `#rrggbb`. Source: Okabe and Ito 2008, "Color Universal Design"."""

_EVEN = 0.179
"""The relative luminance on which black and white are equally easy to read."""


def ink(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour such as `#0072b2`.

    Source: the relative luminance of WCAG 2.2.
    """
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _EVEN else "#ffffff"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
