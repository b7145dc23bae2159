"""Colours: one for each acted class, and what is written on it.

Law of the file: Okabe and Ito's palette, which colour-blind readers can tell apart; a name never stands on its colour unreadably.
"""

from collections.abc import Mapping

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
