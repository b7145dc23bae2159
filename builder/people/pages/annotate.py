"""The page on which people annotate: a dialogue as a chat, a scale for every criterion, and a keyboard's way through both.

Annotators are blind: speakers are A and B, voices are numbers, and a dialogue is known to the browser by a key that says
nothing; for its id names the models. Nothing of what judges said is read here.

Law of the file: what a browser says names the dialogue it is about and changes that one alone, so that tabs and browsers never
mix; and it says one thing at a time, again until it hears that it is kept, so that no key is lost or overtaken on a slow way.
"""

import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from builder.core.annotation import Score
from builder.core.criterion import Criterion
from builder.errors import nearest
from builder.people.annotations import Annotations, Item, Opinion, Wanted, voices
from builder.people.markup import STYLE, chat, text
from builder.people.pages._accounts import ENDED, passwords
from builder.people.pages._server import Plain, clip_of, dressed, said, serve
from builder.records import Record, encode
from builder.run.folder import Run

IDLE_S = 180.0
"""Somebody who does nothing for longer than this is not annotating: the rest of the pause is not counted."""

_NOTE_CHARACTERS = 2000
_TABS = 10_000
"""Of so many it is remembered what they said last."""
_SCALE = (1, 2, 3, 4, 5)

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Annotate</title>
{head}</head>
<body><header id="top"></header>
<details id="keys"><summary>keys: <kbd>?</kbd></summary>
<p><kbd>1</kbd>–<kbd>5</kbd> score the criterion that is marked, and go to the next one;
<kbd>↑</kbd> <kbd>↓</kbd> or <kbd>k</kbd> <kbd>j</kbd> go to another criterion;
<kbd>Enter</kbd> or <kbd>→</kbd> the next dialogue, <kbd>←</kbd> the one before;
<kbd>n</kbd> writes a note, <kbd>Esc</kbd> leaves it; <kbd>p</kbd> plays the dialogue, or pauses.</p>
<p>Every score is kept at once. <a href="/logout">Log out</a></p></details>
<main><div><p id="voices">{voices}</p><div id="item"></div></div>
<div id="sheet" inert><div id="scored" hidden>{rows}
<label>note (n)<textarea id="note" rows="2" maxlength="{characters}"
  placeholder="optional: what decided it, or what the scales do not ask"></textarea></label></div>
<p><button id="previous">← previous</button> <button id="next">next →</button></p>
<p id="said" role="status"></p></div></main>
</body></html>
"""


class Asked(Record):
    """What a browser says: something of one item, and where it wants to go."""

    tab: Annotated[str, msgspec.Meta(max_length=64)]
    """Any name that no other tab has."""
    number: int
    """Of what this tab says, rising."""
    key: str
    """Of the item that was seen; empty where there was none."""
    scores: dict[str, Score] = {}
    note: str | None = None
    """None is no news."""
    go: Literal["", "next", "previous"] = ""


class Sheet(Record):
    """All that the page shows of one item, or at the end; `top` and `dialogue` are HTML."""

    key: str
    top: str
    dialogue: str
    scores: dict[str, Score] = {}
    note: str = ""


class Told(Record):
    """What became of it, in words, and what is to be seen now where that is something else."""

    said: str
    item: Sheet | None = None


def annotate(run: Run, wanted: Wanted, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted.

    Args:
        run: what is annotated; it may be worked on meanwhile.
        wanted: what is asked for.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: is told one line about the page once it listens.

    Raises:
        ConfigError: nobody may log in, or the gold refers to what is not there.
        RunError: the plan is pinned to something else, there is nothing to annotate, or the port is taken.
    """
    accounts = passwords()
    with Annotations(run, accounts, wanted) as annotations:
        page = Page(run, annotations)
        told = f"{len(annotations.plan.sampled)} dialogues, {len(accounts)} annotators, {page.heard}"
        serve(
            Plain(page.html(), page.answer),
            title="Annotate",
            accounts=accounts,
            clips=page.clip,
            host=host,
            port=port,
            ended=run.folder / ENDED,
            ready=lambda address: ready(f"annotate: {address} ({told})"),
        )


class Page:
    """What the page shows, and what it does with what is answered.

    Args:
        run: what is annotated.
        annotations: what is asked, and where the answers go.
    """

    def __init__(self, run: Run, annotations: Annotations) -> None:
        self._run, self._annotations = run, annotations
        self._criteria = annotations.plan.criteria
        self._ravdess = run.study.vocabulary.ravdess()
        self._voices = voices(run, annotations.plan)
        self._last: dict[str, float] = {}
        self._newest: dict[tuple[str, str], int] = {}

    @property
    def heard(self) -> str:
        """What there is to hear, for a person who serves the page."""
        if self._voices:
            return "heard as " + ", ".join(f"voice {n} = {name}" for n, name in enumerate(self._voices, 1))
        if any(map(len, self._run.recordings.values())):
            return "text only, for some are not spoken and that would tell the panel's decision: see --spoken"
        return "text only"

    def html(self) -> str:
        """The page, before anything is on it."""
        rows = "".join(_row(name, criterion) for name, criterion in self._criteria.items())
        choices = "".join(
            f'<label><input type="radio" name="voice" value="{number}"{" checked" * (number == 1)}> voice {number}</label>'
            for number in range(1, len(self._voices) + 1)
        )
        return _PAGE.format(
            head=dressed("annotate", STYLE),
            voices=f"listen to {choices}" if len(self._voices) > 1 else "",
            rows=rows,
            characters=_NOTE_CHARACTERS,
        )

    def answer(self, name: str, body: bytes) -> bytes:
        """What `take` says of an `Asked`, both as JSON.

        Raises:
            ValueError: it is none, or an old one.
            OSError: it could not be written.
        """
        return encode(self.take(name, said(body, Asked)))

    def take(self, name: str, asked: Asked) -> Told:
        """Keeps what somebody says of one item, and goes where they want to; the same once more changes nothing.

        Raises:
            ValueError: it names what is no criterion, or a tab has said something newer already.
            OSError: it could not be written.
        """
        for criterion in asked.scores:
            if criterion not in self._criteria:
                raise ValueError(f"{criterion!r} is no criterion: {nearest(criterion, self._criteria)}")
        # A request that hung on its way may arrive after the one that was sent in its place.
        if asked.number < self._newest.get((name, asked.tab), 0):
            raise ValueError("something newer was kept already")
        kept = self._kept(name, asked.key, asked.scores, asked.note) if asked.key else ""
        self._newest[name, asked.tab] = asked.number
        if len(self._newest) > _TABS:
            del self._newest[next(iter(self._newest))]
        to = self._goal(name, asked.key, asked.go)
        return Told(said=kept) if to is None else Told(said="", item=self._shown(name, to))

    def clip(self, who: str, config: str, id: str, turn: int) -> bytes:
        """The sound of one turn; `config` is the voice's number, `id` the item's key.

        Raises:
            LookupError: there is none, or it is not this annotator's.
        """
        item = self._annotations.items(who)[id]
        voice = {str(number): voice for number, voice in enumerate(self._voices, 1)}[config]
        if item.check and turn == item.check.turn:
            raise LookupError(f"turn {turn} of {id} is a check: it is only to be read")
        return clip_of(self._run, voice, item.dialogue, turn)

    def _owed(self, name: str) -> str:
        """The key of the first item that is; empty where nothing is."""
        items = self._annotations.items(name)
        return next((key for key in items if not self._annotations.is_done(name, key)), "")

    def _goal(self, name: str, key: str, go: str) -> str | None:
        """The key of the item to be shown: empty behind the last one, None where the page is to stay as it is."""
        keys = [*self._annotations.items(name)]
        if go == "previous":
            return keys[max(0, (keys.index(key) if key in keys else len(keys)) - 1)] if keys else ""
        if go == "next" and key in keys:
            following = keys.index(key) + 1
            return (
                (keys[following:] or [self._owed(name)])[0] if self._annotations.is_done(name, key) else None
            )
        return self._owed(name) if go else None

    def _kept(self, name: str, key: str, scores: dict[str, int], note: str | None) -> str:
        """Puts into an annotator's opinion what is new in it; what is said of that on the page. A `note` of None is no news."""
        if key not in self._annotations.items(name):
            return "this dialogue is somebody else's by now: go on with →"
        old = self._annotations.opinion(name, key)
        merged = {**old.scores, **scores}
        # No file holds half a character.
        reason = old.reason if note is None else note[:_NOTE_CHARACTERS].encode(errors="replace").decode()
        new = Opinion(
            scores={criterion: merged[criterion] for criterion in self._criteria if criterion in merged},
            reason=reason,
            seconds=round(old.seconds + self._passed(name), 3),
        )
        if not new.scores:
            return "nothing is scored yet" + (", and the note is kept with the first score" if reason else "")
        if replace(new, seconds=old.seconds) != old:
            self._annotations.say(name, key, new)
        missing = [criterion for criterion in self._criteria if criterion not in merged]
        return f"✓ kept; not scored yet: {', '.join(missing)}" if missing else "✓ kept"

    def _passed(self, name: str) -> float:
        """How long somebody was at it since the last event of theirs, in whichever tab, in seconds."""
        now = time.monotonic()
        passed = now - self._last.get(name, now)
        self._last[name] = now
        return min(passed, IDLE_S)

    def _shown(self, name: str, key: str) -> Sheet:
        """What the page shows of one item, or at the end where the key is empty."""
        self._passed(name)
        items = self._annotations.items(name)
        done = sum(self._annotations.is_done(name, one) for one in items)
        share = 100 * done / max(1, len(items))
        bar = f'<div class="bar"><div style="width: {share:.1f}%"></div></div>'
        if not key:
            thanks = f"<h2>Thank you, {text(name)}.</h2><p>All {len(items)} dialogues are annotated. ← shows them again.</p>"
            return Sheet(key="", top=bar, dialogue=thanks)
        place = [*items].index(key) + 1
        top = f'<div class="top"><span>dialogue {place} of {len(items)}</span><span>{done} done, {text(name)}</span></div>{bar}'
        opinion = self._annotations.opinion(name, key)
        return Sheet(
            key=key, top=top, dialogue=self._chat(items[key]), scores=opinion.scores, note=opinion.reason
        )

    def _chat(self, item: Item) -> str:
        dialogue = self._run.dialogues[item.dialogue]
        turns, check = [*dialogue.turns], item.check
        if check:
            turns[check.turn - 1] = replace(turns[check.turn - 1], text=check.instruction)

        def clip(turn: int) -> str:
            return "" if check and turn == check.turn else f"/clip/1/{item.key}/{turn}.flac"

        topics = self._run.study.vocabulary.domains[dialogue.domain].topics
        about = f"<p><b>{text(dialogue.domain.replace('_', ' '))}</b>: {text(topics)}</p>"
        return about + chat(turns, self._ravdess, blind=True, clip=clip if self._voices else None)


def _row(name: str, criterion: Criterion | str) -> str:
    """A criterion and its scale."""
    scale = "".join(
        f'<label><input type="radio" name="{text(name)}" value="{score}"> {score}</label>' for score in _SCALE
    )
    return f'<div class="criterion" data-name="{text(name)}">{_told(name, criterion)}<div>{scale}</div></div>'


def _told(name: str, criterion: Criterion | str) -> str:
    """A criterion as an annotator reads it."""
    if isinstance(criterion, str):
        return f"<b>{text(name)}</b> {text(criterion)}"
    every = " (all turns together)" if criterion.each_turn else ""
    anchors = zip((1, 3, 5), (criterion.one, criterion.three, criterion.five), strict=True)
    told = "".join(f"<dt>{score}</dt><dd>{text(anchor)}</dd>" for score, anchor in anchors)
    return f"<b>{text(name)}</b>{every} {text(criterion.question)}<dl>{told}</dl>"
