"""Words of others in Markdown: in a line, as code, as a block. They stay words, whatever Markdown or HTML they hold.

    line     in a paragraph, a heading, an item or a cell
    code     the same as code
    block    a text of many lines, fenced
    python   a string within a block of Python

Law of the file: CommonMark, GitHub's dialect and the Hub's read here what was written, character for character; but for a block
it is one line, in which a run of blanks is one blank, and a control code is a mark.
"""

import re
from collections.abc import Callable, Iterable

_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ud800-\udfff]")
"""Control codes, what turns the direction of the text around it, what is no character, and half of one."""
_MEANS_SOMETHING = re.compile(
    r"""[\\`*\[\]<>|~$@\#]      # code, emphasis, links, HTML, tables, formulas, mentions, headings
    | (?<![^\W_])_ | _(?![^\W_])    # emphasis; within a word it is none
    | &(?=\#?\w+;)              # an entity
    | :(?=\S) | /(?=/)          # an address, :smile:
    | (?<!\d)\.(?=\w) | \.(?=[^\W\d])    # a host's name; 2.5 is none
    """,
    re.VERBOSE,
)
_BEGINS_SOMETHING = re.compile(r"\A(?:[0-9]{1,9}(?=[.)](?:\s|\Z))|(?=([-+=])\1*(?:\s|\Z)))")
"""A list, a rule or an underlined heading, up to where it is escaped."""
_PIPE = "\ufdd0"
"""Stands for a pipe within code, which only in a row of a table is written otherwise."""


class Markdown(str):
    """Text that is Markdown already, and is not to be escaped once more."""

    __slots__ = ()


def markdown(value: object) -> Markdown:
    """Anything as it stands in a line: Markdown as it is, all else by its words."""
    return value if isinstance(value, Markdown) else line(str(value))


def line(words: str) -> Markdown:
    """Words within a line."""
    escaped = _MEANS_SOMETHING.sub(r"\\\g<0>", _flat(words))
    return Markdown(_BEGINS_SOMETHING.sub(r"\g<0>\\", escaped))


def code(words: object) -> Markdown:
    """Words as code within a line; a dash where there are none."""
    said = _flat(str(words))
    if not said:
        return Markdown("–")
    fence = _fence(said, 1)
    # Within its fence one blank at either end is dropped.
    apart = " " if said[0] == "`" or said[-1] == "`" else ""
    return Markdown(f"{fence}{apart}{said.replace('|', _PIPE)}{apart}{fence}")


def block(text: str) -> Markdown:
    """A text as a block of its own, which begins at the beginning of a line."""
    lines = [_UNREADABLE.sub("\ufffd", one) for one in _LINE_END.split(text.strip())]
    fence = _fence("\n".join(lines), 3)
    # With the blank that every line begins with, and which is not read, none of them is a line of the document's own.
    return Markdown("\n".join(f" {one}" for one in (f"{fence}text", *lines, fence)))


def python(text: str) -> Markdown:
    """A string as Python writes it, on one line and between double quotation marks."""
    written = (
        one if one.isprintable() and one not in '\\"' else f"\\{one}" if one == '"' else repr(one)[1:-1]
        for one in text
    )
    return Markdown(f'"{"".join(written)}"')


def listed(
    values: Iterable[object], between: str = ", ", each: Callable[[object], Markdown] = markdown
) -> Markdown:
    """Several things in a line.

    Args:
        values: what they are.
        between: Markdown that parts one from the next.
        each: how one of them is written.
    """
    return Markdown(between.join(map(each, values)))


def settled(document: str) -> str:
    """The whole document, once it is known which of its lines are rows of tables: those that begin with a pipe."""
    lines = (one.replace(_PIPE, r"\|" if one.startswith("|") else "|") for one in document.split("\n"))
    return "\n".join(lines)


def _flat(words: str) -> str:
    """On one line, without what cannot be read."""
    return _UNREADABLE.sub("\ufffd", " ".join(words.split()))


def _fence(text: str, least: int) -> str:
    """More backticks than the text has in a row."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
