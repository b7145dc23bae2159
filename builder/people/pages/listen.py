"""The page of the listening study: a turn twice, as A and as B, and five questions about it.

    /clip/a/NAME/17.flac    what listener NAME hears as A in the 17th trial

Law of the file: nothing that reaches the browser tells which config, emotion or models a trial is of; an answer counts once both
clips were played to their end, which only the browser can know, and is on the disk before the next trial is shown.
"""

from collections.abc import Callable, Sequence
from itertools import chain, repeat

from builder.core.listening import NATURALNESS, Reply
from builder.people.listening import CANNOT_TELL, Listening
from builder.people.markup import text
from builder.people.pages._accounts import ENDED, passwords
from builder.people.pages._server import Plain, dressed, said, serve
from builder.records import Record, encode

TITLE = "Listening study"
# The keys of labels, in order; A and B play, and 0 is none of them.
_KEYS = "123456789cdefghijklmnopqrstuvwxyz"

_INTRODUCTION = """\
<p>Put on headphones. Listen to A and to B: the same words, spoken twice. Judge the voice, not the words.
Play each to its end at least once, and as often as you like.</p>
<p><kbd>A</kbd> <kbd>B</kbd> play · <kbd>Space</kbd> plays what is not heard yet · the keys beside the options answer the framed
question · <kbd>↑</kbd> <kbd>↓</kbd> go to another · <kbd>Enter</kbd> goes on</p>
"""
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}</head>
<body><div id="shown"></div><p id="said" role="alert"></p><button id="send" hidden></button></body></html>
"""


class Asked(Record):
    """What a browser says."""

    reply: Reply | None = None
    """None wants to see the next trial."""


class Told(Record):
    """What is to be seen now."""

    trial: str
    """As HTML."""


def listen(study: Listening, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves the study to its listeners until it is interrupted.

    Args:
        study: what is answered.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: is told the page's address once it listens.

    Raises:
        ConfigError: nobody may log in.
        RunError: the port is taken.
    """

    def clip(listener: str, side: str, name: str, number: int) -> bytes:
        if name != listener or side not in {"a", "b"}:
            raise LookupError(side)
        return study.clip(listener, number, "a" if side == "a" else "b")

    def answer(listener: str, body: bytes) -> bytes:
        asked = said(body, Asked)
        if asked.reply is not None:
            study.answer(listener, asked.reply)
        return encode(Told(_shown(study, listener)))

    serve(
        Plain(_PAGE.format(title=TITLE, head=dressed("listen")), answer),
        title=TITLE,
        accounts=passwords(),
        clips=clip,
        host=host,
        port=port,
        ready=ready,
        ended=study.folder / ENDED,
    )


def _shown(study: Listening, listener: str) -> str:
    number, total = study.following(listener), study.total(listener)
    if number is None:
        return f"<h2>Thank you</h2><p>All {total} trials are answered, and every answer is kept. You may close the page.</p>"
    done = study.answered(listener)
    labels = [(label, label) for label in study.plan.choices]
    keyed = [*zip(chain(_KEYS, repeat("")), labels, strict=False), ("0", (CANNOT_TELL, ""))]
    marks = [(str(mark), (word, str(mark))) for mark, word in enumerate(NATURALNESS, 1)]
    prefers = [("1", ("A", "a")), ("2", ("B", "b")), ("0", ("no preference", "none"))]
    sides = "".join(
        f'<section><button class="play" data-side="{side}">Play {side.upper()}</button><span class="state"></span>'
        f'<audio data-side="{side}" preload="auto" src="/clip/{side}/{text(listener)}/{number}.flac"></audio>'
        f"{_question(f'Which emotion do you hear in {side.upper()}?', f'heard-{side}', keyed)}"
        f"{_question(f'How natural does {side.upper()} sound?', f'natural-{side}', marks)}</section>"
        for side in ("a", "b")
    )
    return (
        f'<div id="trial" data-number="{number}"><h2>{TITLE}</h2>{_INTRODUCTION}'
        f'<p>{text(listener)}: {done} of {total} answered · <a href="/logout">log out</a></p>'
        f'<div class="bar"><div style="width: {100 * done // total}%"></div></div><div class="sides">{sides}</div>'
        f"{_question('Which do you prefer?', 'prefers', prefers)}"
        f'<p><button class="next" disabled>Next</button></p></div>'
    )


def _question(asked: str, name: str, options: Sequence[tuple[str, tuple[str, str]]]) -> str:
    """One question; an option is its key, what it says and its value."""
    inputs = "".join(
        f'<label><input type="radio" name="{name}" data-key="{key}" value="{text(value)}"><kbd>{key}</kbd> {text(said)}</label>'
        for key, (said, value) in options
    )
    return f"<fieldset><legend>{asked}</legend>{inputs}</fieldset>"
