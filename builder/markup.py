"""A dialogue as HTML: a chat that reads on light and on dark, on a page that is served and in a file on its own.

Law of the file: every word of a dialogue is escaped; nothing is named that is not asked for, least of all a model.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from builder.core.dialogue import SPEAKERS, Turn
from builder.core.emotion import Ravdess
from builder.palette import COLOURS, ink
from builder.progress import plain

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
