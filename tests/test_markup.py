"""A chat as HTML: every word is text, every emotion has its colour, and nobody is named who shall not be."""

import re
from html.parser import HTMLParser

import pytest

from builder.core.dialogue import Turn
from builder.people.markup import COLOURS, chat, ink, text

RAVDESS = {"furious": "angry", "blue": "sad", '"><script>': "calm"}
TURNS = (
    Turn(speaker="LLM1", text="Why me?", emotion="furious"),
    Turn(speaker="LLM2", text="Alas.", emotion="blue"),
)


class Elements(HTMLParser):
    """The elements of a text, their attributes, and the words between them."""

    def __init__(self, html):
        super().__init__()
        self.names, self.attributes, self.words = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize(
    "said",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "</p></div><h1>",
        "&lt;b&gt; & \"'",
        "{{value}} ${1}",
    ],
)
def test_whatever_is_said_is_text(said):
    turn = Turn(speaker="LLM1", text=said, emotion='"><script>')
    seen = Elements(chat([turn], RAVDESS, clip=lambda _: f'"{said}'))
    assert seen.names == ["div", "div", "span", "span", "p", "audio"]
    assert seen.words == f'LLM1"><script>{said}'
    assert not any(name.startswith("on") for name, _ in seen.attributes)


def test_control_codes_are_shown_as_marks():
    assert text("a\x1b[2J\x00") == "a\ufffd[2J\ufffd"


def test_the_first_speaker_is_on_one_side_and_the_second_on_the_other_with_their_emotions_in_colour():
    html = chat(TURNS, RAVDESS)
    assert re.findall(r'class="turn( second)?"', html) == ["", " second"]
    assert re.findall(r'class="who">(\w+)<', html) == ["LLM1", "LLM2"]
    assert re.findall(r"background: (\S+); color: (\S+)\"", html) == [
        (COLOURS["angry"], "#000000"),
        (COLOURS["sad"], "#ffffff"),
    ]
    assert "<audio" not in html


def test_the_blind_see_only_a_and_b():
    assert re.findall(r'class="who">(\w+)<', chat(TURNS, RAVDESS, blind=True)) == ["A", "B"]
    assert "LLM" not in chat(TURNS, RAVDESS, blind=True)


def test_a_turn_without_sound_has_no_player():
    html = chat(TURNS, RAVDESS, clip=lambda turn: "" if turn == 1 else f"/clip/{turn}.flac")
    assert re.findall(r'<audio controls preload="none" src="([^"]*)">', html) == ["/clip/2.flac"]


@pytest.mark.parametrize("colour", COLOURS.values())
def test_what_is_written_on_a_colour_has_the_contrast_that_wcag_asks_of_text(colour):
    def luminance(written):
        channels = [int(written[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(colour), luminance(ink(colour))))
    assert (high + 0.05) / (low + 0.05) >= 4.5
