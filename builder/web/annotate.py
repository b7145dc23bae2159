"""The page on which people annotate: a dialogue as a chat, a scale for every criterion, and a keyboard's way through both.

Annotators are blind: speakers are A and B, voices are numbers, and a dialogue is known to the browser by a key that says
nothing; for its id names the models. Nothing of what judges said is read here.

Law of the file: an event says which dialogue it is about and changes that one alone, so that tabs and browsers never mix.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from msgspec.structs import replace

from builder.annotations import Annotations, Item, Opinion, Wanted, voices
from builder.core.criterion import Criterion
from builder.markup import STYLE, chat, text
from builder.run import Run
from builder.web._accounts import passwords
from builder.web._server import clip_of, serve

IDLE_S = 180.0
"""Somebody who does nothing for longer than this is not annotating: the rest of the pause is not counted."""

_NOTE_CHARACTERS = 2000
_SCALE = (1, 2, 3, 4, 5)

_KEYS = """\
<details id="keys"><summary>keys: <kbd>?</kbd></summary>
<p><kbd>1</kbd>–<kbd>5</kbd> score the criterion that is marked, and go to the next one;
<kbd>↑</kbd> <kbd>↓</kbd> or <kbd>k</kbd> <kbd>j</kbd> go to another criterion;
<kbd>Enter</kbd> or <kbd>→</kbd> the next dialogue, <kbd>←</kbd> the one before;
<kbd>n</kbd> writes a note, <kbd>Esc</kbd> leaves it; <kbd>p</kbd> plays the dialogue, or pauses.</p>
<p>Every score is kept at once. <a href="/logout">Log out</a></p></details>
"""


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
            page.blocks(),
            title="Annotate",
            accounts=accounts,
            clips=page.clip,
            host=host,
            port=port,
            ready=lambda address: ready(f"annotate: {address} ({told})"),
            head=f"<style>{STYLE}{_beside('css')}</style><script>{_beside('js')}</script>",
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

    @property
    def heard(self) -> str:
        """What there is to hear, for a person who serves the page."""
        if self._voices:
            return "heard as " + ", ".join(f"voice {n} = {name}" for n, name in enumerate(self._voices, 1))
        if any(map(len, self._run.recordings.values())):
            return "text only, for some are not spoken and that would tell the panel's decision: see --spoken"
        return "text only"

    def blocks(self) -> gr.Blocks:
        """The page."""
        # One queue for all events: else the answer to an earlier key could come after that to a later one, and stay.
        hidden = {"show_progress": "hidden", "api_visibility": "private", "concurrency_id": "events"}
        choices = [(f"voice {number}", number) for number in range(1, len(self._voices) + 1)]
        with gr.Blocks(analytics_enabled=False) as page:
            key, top = gr.Textbox(visible=False), gr.HTML()
            gr.HTML(_KEYS)
            with gr.Row():
                with gr.Column(scale=5):
                    voice = gr.Radio(
                        choices, value=1 if choices else None, label="listen to", visible=len(choices) > 1
                    )
                    shown = gr.HTML(elem_id="item")
                with gr.Column(scale=4, elem_classes="sheet"):
                    with gr.Column() as scored:
                        scales = [self._scale(name) for name in self._criteria]
                        note = gr.Textbox(
                            label="note (n)",
                            lines=2,
                            max_length=_NOTE_CHARACTERS,
                            elem_id="note",
                            placeholder="optional: what decided it, or what the scales do not ask",
                        )
                    with gr.Row():
                        previous = gr.Button("← previous", elem_id="previous")
                        following = gr.Button("next →", variant="primary", elem_id="next")
                    said = gr.HTML(elem_id="said")
            everything = [key, top, shown, scored, *scales, note, said]
            answered = [key, voice, note, *scales]
            page.load(self.begin, [voice], everything, **hidden).then(None, js="() => shown()")
            for name, scale in zip(self._criteria, scales, strict=True):
                scale.input(
                    self.scoring(name), [key, scale, note], said, trigger_mode="always_last", **hidden
                )
            note.blur(self.note, [key, note], said, **hidden)
            following.click(self.forward, answered, everything, **hidden).then(None, js="() => shown()")
            previous.click(self.back, answered, everything, **hidden).then(None, js="() => shown()")
            voice.input(self.listen, [key, voice], shown, **hidden)
        return page

    def _scale(self, name: str) -> gr.Radio:
        criterion = self._criteria[name]
        with gr.Column(elem_classes="criterion"):
            gr.HTML(_told(name, criterion))
            return gr.Radio(_SCALE, label=name, show_label=False, container=False, interactive=True)

    async def begin(self, request: gr.Request, voice: int | None) -> list[Any]:
        """Shows the first item that is owed."""
        return self._shown(request.username, self._owed(request.username), voice)

    def scoring(self, criterion: str) -> Callable[..., Any]:
        """What keeps a score of this criterion."""

        async def score(request: gr.Request, key: str, score: int, note: str) -> str:
            return self._kept(request.username, key, {criterion: score}, note or None)

        return score

    async def note(self, request: gr.Request, key: str, note: str) -> str:
        """Keeps a note."""
        return self._kept(request.username, key, {}, note)

    async def listen(self, request: gr.Request, key: str, voice: int) -> Any:
        """Shows the item with another voice."""
        item = self._annotations.items(request.username).get(key)
        return self._chat(item, voice) if item else gr.skip()

    async def forward(
        self, request: gr.Request, key: str, voice: int | None, note: str, *scores: int | None
    ) -> list[Any]:
        """Keeps what is to be seen, and shows the next item; says which criterion is not scored where one is not."""
        name, said = request.username, self._kept_all(request.username, key, note, scores)
        keys = [*self._annotations.items(name)]
        if key not in keys:
            return self._shown(name, self._owed(name), voice)
        if not self._annotations.is_done(name, key):
            return [*[gr.skip()] * (5 + len(scores)), said]
        place = keys.index(key) + 1
        return self._shown(name, keys[place] if place < len(keys) else self._owed(name), voice)

    async def back(
        self, request: gr.Request, key: str, voice: int | None, note: str, *scores: int | None
    ) -> list[Any]:
        """Keeps what is to be seen, and shows the item before; from behind the last one, the last."""
        name = request.username
        self._kept_all(name, key, note, scores)
        keys = [*self._annotations.items(name)]
        place = keys.index(key) if key in keys else len(keys)
        return self._shown(name, keys[max(0, place - 1)] if keys else "", voice)

    def clip(self, who: str, config: str, id: str, turn: int) -> bytes:
        """The sound of one turn; `config` is the voice's number, `id` the item's key.

        Raises:
            LookupError: there is none, or it is not this annotator's.
        """
        item = self._annotations.items(who)[id]
        voice = dict(enumerate(self._voices, 1))[int(config) if config.isdecimal() else 0]
        if item.check and turn == item.check.turn:
            raise LookupError(f"turn {turn} of {id} is a check: it is only to be read")
        return clip_of(self._run, voice, item.dialogue, turn)

    def _owed(self, name: str) -> str:
        """The key of the first item that is; empty where nothing is."""
        items = self._annotations.items(name)
        return next((key for key in items if not self._annotations.is_done(name, key)), "")

    def _kept_all(self, name: str, key: str, note: str, scores: tuple[int | None, ...]) -> str:
        """Keeps what is to be seen on a sheet and is not kept yet; where something is, another tab may know better."""
        known = key in self._annotations.items(name)
        old = self._annotations.opinion(name, key) if known else Opinion()
        given = {
            criterion: score
            for criterion, score in zip(self._criteria, scores, strict=True)
            if score is not None and criterion not in old.scores
        }
        return self._kept(name, key, given, None if old.reason else note)

    def _kept(self, name: str, key: str, scores: dict[str, int], note: str | None) -> str:
        """Puts into an annotator's opinion what is new in it; what is said of that on the page. A `note` of None is no news."""
        if key not in self._annotations.items(name):
            return "this dialogue is somebody else's by now: go on with →"
        old = self._annotations.opinion(name, key)
        merged = {**old.scores, **scores}
        # A browser may send half a character, which no file holds.
        reason = old.reason if note is None else note[:_NOTE_CHARACTERS].encode(errors="replace").decode()
        new = Opinion(
            scores={criterion: merged[criterion] for criterion in self._criteria if criterion in merged},
            reason=reason,
            seconds=round(old.seconds + self._passed(name), 1),
        )
        if not new.scores:
            return "nothing is scored yet" + (", and the note is kept with the first score" if reason else "")
        if replace(new, seconds=old.seconds) != old:
            try:
                self._annotations.say(name, key, new)
            except OSError as error:
                raise gr.Error(f"not kept: {error.strerror}: tell whoever runs this page") from None
        missing = [criterion for criterion in self._criteria if criterion not in merged]
        return f"✓ kept; not scored yet: {text(', '.join(missing))}" if missing else "✓ kept"

    def _passed(self, name: str) -> float:
        """How long somebody was at it since the last event of theirs, in whichever tab, in seconds."""
        now = time.monotonic()
        passed = now - self._last.get(name, now)
        self._last[name] = now
        return min(passed, IDLE_S)

    def _shown(self, name: str, key: str, voice: int | None) -> list[Any]:
        """Everything on the page for one item, or for the end where the key is empty."""
        self._passed(name)
        items = self._annotations.items(name)
        done = sum(self._annotations.is_done(name, one) for one in items)
        share = 100 * done / max(1, len(items))
        bar = f'<div class="bar"><div style="width: {share:.1f}%"></div></div>'
        if not key:
            thanks = f"<h2>Thank you, {text(name)}.</h2><p>All {len(items)} dialogues are annotated. ← shows them again.</p>"
            return ["", bar, thanks, gr.Column(visible=False), *[None] * len(self._criteria), "", ""]
        place = [*items].index(key) + 1
        top = f'<div class="top"><span>dialogue {place} of {len(items)}</span><span>{done} done, {text(name)}</span></div>{bar}'
        opinion = self._annotations.opinion(name, key)
        scores = [opinion.scores.get(criterion) for criterion in self._criteria]
        return [key, top, self._chat(items[key], voice), gr.Column(visible=True), *scores, opinion.reason, ""]

    def _chat(self, item: Item, voice: int | None) -> str:
        dialogue = self._run.dialogues[item.dialogue]
        turns, check = [*dialogue.turns], item.check
        if check:
            turns[check.turn - 1] = replace(turns[check.turn - 1], text=check.instruction)

        def clip(turn: int) -> str:
            return "" if check and turn == check.turn else f"/clip/{voice}/{item.key}/{turn}.flac"

        heard = clip if voice in range(1, len(self._voices) + 1) else None
        topics = self._run.study.vocabulary.domains[dialogue.domain].topics
        about = f"<p><b>{text(dialogue.domain.replace('_', ' '))}</b>: {text(topics)}</p>"
        return about + chat(turns, self._ravdess, blind=True, clip=heard)


def _told(name: str, criterion: Criterion | str) -> str:
    """A criterion as an annotator reads it."""
    if isinstance(criterion, str):
        return f"<b>{text(name)}</b> {text(criterion)}"
    every = " (all turns together)" if criterion.each_turn else ""
    anchors = zip((1, 3, 5), (criterion.one, criterion.three, criterion.five), strict=True)
    told = "".join(f"<dt>{score}</dt><dd>{text(anchor)}</dd>" for score, anchor in anchors)
    return f"<b>{text(name)}</b>{every} {text(criterion.question)}<dl>{told}</dl>"


def _beside(suffix: str) -> str:
    return Path(__file__).with_name(f"_annotate.{suffix}").read_text(encoding="utf-8")
