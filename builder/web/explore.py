"""explore: a run or a packaged dataset on a page: what it holds, to be found, read and heard, and why it was not accepted.

Law of the file: it only looks. What is shown follows from what the browser sends and from the source as it was when it was
last opened; words of models are shown as text.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from builder.catalogue import ORDERS, Catalogue, Filters, Shown
from builder.core.annotation import Annotation
from builder.core.dialogue import Turn
from builder.errors import DeepDialogueError
from builder.markup import STYLE, chat, text
from builder.progress import say
from builder.web._accounts import passwords
from builder.web._gradio import gr
from builder.web._server import dressed, serve

PAGE = 50
"""Dialogues listed at once."""
_COLUMNS = {"id": "56%", "turns": "12%", "outcome": "18%", "score": "14%"}
"""Of the list, with their widths."""
_SELECTIONS = {
    "domains": "Domain",
    "pairings": "Pairing",
    "emotions": "Emotion",
    "outcomes": "Outcome",
    "splits": "Split",
    "configs": "Spoken in",
}
"""Of `Filters`, with their labels."""
_THERE = "(id) => { history.replaceState(null, '', '?id=' + encodeURIComponent(id)); explored(); }"
_KEPT = 16
"""Lists of hits that are remembered, so that turning a page does not read every text again."""


def explore(source: Path, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted.

    Args:
        source: a run folder, which may be worked on meanwhile, or a packaged dataset.
        host: the address to listen on.
        port: 0 takes a free one.
        ready: is told the page's address once it listens.

    Raises:
        ConfigError: a host that others can reach, and no accounts.
        RunError: the run cannot be read, or the port is taken.
        DatasetError: the source is neither run nor dataset, or is damaged.
    """
    accounts = passwords(required=False)
    shelf = _Shelf(source)
    serve(
        _page(shelf),
        title=f"Explore {source.name}",
        accounts=accounts,
        clips=shelf.clip,
        host=host,
        port=port,
        ready=ready,
        head=dressed("explore", STYLE),
    )


class _Shelf:
    """The source as it was when it was last opened, and what the page asks of it.

    `chosen` is what stands in the filters: the selections in their order, the fewest and most turns, the words, the order.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self.open()

    def open(self) -> None:
        """Opens the source as it is now; whoever reads the old one does so to the end."""
        self._catalogue = Catalogue(self._source)
        self._hits = lru_cache(_KEPT)(self._catalogue.find)

    def clip(self, _who: str, config: str, id: str, turn: int) -> bytes:
        """The FLAC of a turn; what is wrong with it is told where the server runs."""
        try:
            return self._catalogue.clip(config, id, turn)
        except DeepDialogueError as error:
            say(f"explore: {error}")
            raise LookupError(str(error)) from None

    def opened(self, id: str, config: str | None, *chosen: Any) -> tuple[Any, ...]:
        """A dialogue and what fits the filters, as `_at` gives them, and what may be chosen."""
        choices, configs = self._catalogue.choices(), list(self._catalogue.configs)
        offered = [
            gr.Dropdown([(f"{name} ({count:,})", name) for name, count in choices[kind].items()])
            for kind in _SELECTIONS
        ]
        config = config if config in configs else next(iter(configs), None)
        voices = gr.Radio(configs, value=config, visible=bool(configs))
        title = f"<h3>{text(self._catalogue.title)}: {text(str(self._source))}</h3>"
        return *self.shown(id, config), *self.listed(1, *chosen), title, voices, *offered

    def arrived(self, request: gr.Request, *chosen: Any) -> tuple[Any, ...]:
        """What a browser is shown first: the dialogue that the address names, or the first one."""
        id = request.query_params.get("id") or next(iter(self._found(chosen)), "")
        return self.opened(id, None, *chosen)

    def reloaded(self, id: str, config: str | None, *chosen: Any) -> tuple[Any, ...]:
        """The source as it is now."""
        try:
            self.open()
        except DeepDialogueError as error:
            raise gr.Error(text(str(error)), print_exception=False) from None
        return self.opened(id, config, *chosen)

    def listed(self, number: float | None, *chosen: Any) -> tuple[str, list[tuple[Any, ...]], int]:
        """How many dialogues fit, a page of them, and which page that is."""
        ids = self._found(chosen)
        pages = max(1, -(-len(ids) // PAGE))
        number = min(max(1, int(number or 1)), pages)
        lines = map(self._catalogue.line, ids[(number - 1) * PAGE : number * PAGE])
        rows = [
            (line.id, line.num_turns, line.outcome, "" if line.score is None else f"{line.score:.2f}")
            for line in lines
        ]
        return f"<p>{len(ids):,} of {len(self._catalogue):,}, page {number:,} of {pages:,}</p>", rows, number

    def beside(self, by: int, id: str, config: str | None, *chosen: Any) -> tuple[Any, ...]:
        """The dialogue so many places on in what fits."""
        ids = self._found(chosen)
        return self._at(ids.index(id) + by if id in ids else 0, ids, config, chosen)

    def anywhere(self, config: str | None, *chosen: Any) -> tuple[Any, ...]:
        """Any dialogue that fits."""
        ids = self._found(chosen)
        return self._at(random.randrange(len(ids) or 1), ids, config, chosen)

    def shown(self, wanted: str, config: str | None) -> tuple[str, str]:
        """The whole id of a dialogue, and all there is to see of it."""
        if not wanted:
            return "", "<p>No dialogue fits.</p>"
        try:
            id = self._catalogue.resolve(wanted.strip())
            return id, _dialogue(self._catalogue, id, config)
        except DeepDialogueError as error:
            return wanted, f'<p role="alert">{text(str(error))}</p>'

    def selected(self, config: str | None, event: gr.SelectData) -> tuple[str, str]:
        """The dialogue of a line of the list."""
        return self.shown(str(event.row_value[0]), config)

    def _at(self, at: int, ids: list[str], config: str | None, chosen: tuple[Any, ...]) -> tuple[Any, ...]:
        """The dialogue in one place of what fits, and the page that lists it."""
        at = max(0, min(at, len(ids) - 1))
        return *self.shown(ids[at] if ids else "", config), *self.listed(at // PAGE + 1, *chosen)

    def _found(self, chosen: tuple[Any, ...]) -> list[str]:
        *selected, least, most, words, order = chosen
        wanted = Filters(
            **{name: tuple(one or ()) for name, one in zip(_SELECTIONS, selected, strict=True)},
            min_turns=int(least or 1),
            max_turns=int(most or 0) or None,
            words=words or "",
            order=order,
        )
        try:
            return self._hits(wanted)
        except DeepDialogueError as error:
            raise gr.Error(text(str(error)), print_exception=False) from None


def _page(shelf: _Shelf) -> gr.Blocks:
    with gr.Blocks(fill_width=True) as page:
        title = gr.HTML(elem_id="title")
        filters = _filters()
        with gr.Row():
            with gr.Column(scale=2):
                count = gr.HTML(elem_id="count")
                table = gr.Dataframe(
                    headers=list(_COLUMNS),
                    column_widths=list(_COLUMNS.values()),
                    interactive=False,
                    elem_id="hits",
                    max_height=900,
                    buttons=[],
                )
                number = gr.Number(1, label="Page", precision=0, elem_id="page")
            with gr.Column(scale=3):
                with gr.Row():
                    buttons = [
                        gr.Button(label, elem_id=name, size="sm", min_width=80)
                        for name, label in (
                            ("previous", "Previous (k)"),
                            ("next", "Next (j)"),
                            ("random", "Random (r)"),
                            ("reload", "Reload the source"),
                        )
                    ]
                with gr.Row():
                    id = gr.Textbox(label="Dialogue", info="an id; Enter goes there", elem_id="id", scale=2)
                    voices = gr.Radio([], label="Heard in", elem_id="voices")
                dialogue = gr.HTML(elem_id="dialogue", padding=True)
        one, hits = [id, dialogue], [count, table, number]
        back, on, anywhere, reload = buttons
        quietly = {"show_progress": "minimal", "api_visibility": "private"}
        for event in (
            page.load(
                shelf.arrived, filters, [*one, *hits, title, voices, *filters[: len(_SELECTIONS)]], **quietly
            ),
            reload.click(
                shelf.reloaded,
                [id, voices, *filters],
                [*one, *hits, title, voices, *filters[: len(_SELECTIONS)]],
                **quietly,
            ),
            back.click(partial(shelf.beside, -1), [id, voices, *filters], [*one, *hits], **quietly),
            on.click(partial(shelf.beside, 1), [id, voices, *filters], [*one, *hits], **quietly),
            anywhere.click(shelf.anywhere, [voices, *filters], [*one, *hits], **quietly),
            table.select(shelf.selected, voices, one, **quietly),
            gr.on([id.submit, voices.input], shelf.shown, [id, voices], one, **quietly),
        ):
            event.then(None, id, js=_THERE, api_visibility="private")
        changed = [field.submit if isinstance(field, gr.Textbox) else field.input for field in filters]
        gr.on(changed, partial(shelf.listed, 1), filters, hits, **quietly)
        number.input(shelf.listed, [number, *filters], hits, **quietly)
    return page


def _filters() -> list[Any]:
    """The fields in the order of `chosen`."""
    with gr.Row():
        selections = [
            gr.Dropdown([], label=label, multiselect=True, elem_id=name)
            for name, label in _SELECTIONS.items()
        ]
    with gr.Row():
        return [
            *selections,
            gr.Number(1, label="Turns, at least", precision=0, elem_id="least"),
            gr.Number(0, label="Turns, at most (0: any)", precision=0, elem_id="most"),
            gr.Textbox(
                label="Words", info="each stands in the text; Enter searches", elem_id="words", scale=2
            ),
            gr.Dropdown(list(ORDERS), value=ORDERS[0], label="Order", elem_id="order"),
        ]


def _dialogue(catalogue: Catalogue, id: str, config: str | None) -> str:
    """Everything there is to see of a dialogue, as HTML."""
    heard = config if config in catalogue.spoken(id) else None
    one = catalogue.show(id, heard)
    clips = f"/clip/{heard}/{quote(id)}/"
    parts = ['<div class="about">', _about(one, config, heard)]
    if heard:
        parts.append(f'<audio id="whole" controls preload="none" src="{clips}0.flac"></audio>')
    parts.append("</div>")
    if one.row:
        turns = [
            Turn(speaker=turn["speaker"], text=turn["text"], emotion=turn["emotion"])
            for turn in one.row["turns"]
        ]
        ravdess = {turn["emotion"]: turn["ravdess"] for turn in one.row["turns"]}
        parts.append(chat(turns, ravdess, clip=(lambda number: f"{clips}{number}.flac") if heard else None))
    parts += ['<div class="about" id="why">', *_why(one), "</div>"]
    return "".join(parts)


def _about(one: Shown, config: str | None, heard: str | None) -> str:
    row = one.row
    facts = [("id", one.id)]
    if row is None:
        facts.append(("planned", " → ".join(one.emotions) or "nothing is known of its turns"))
    else:
        for speaker, place in (("LLM1", "first"), ("LLM2", "second")):
            voice = f", voice {row[f'{place}_voice']}" if heard else ""
            facts.append((speaker, f"{row[f'{place}_model']}: {row[f'{place}_checkpoint']}{voice}"))
        rehearsal = ", a rehearsal: not training data" if row["rehearsal"] else ""
        facts.append(("about", f"{row['domain'].replace('_', ' ')}, split {row['split']}{rehearsal}"))
    if row and heard:
        facts.append(("spoken", f"{row['duration']:.1f} s by {row['engine']}"))
    elif config:
        facts.append(("spoken", f"not in {config}"))
    facts.append(("outcome", ": ".join(filter(None, (one.outcome, ", ".join(one.reasons))))))
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text(said)}</dd>" for name, said in facts) + "</dl>"


def _why(one: Shown) -> list[str]:
    """What became of a dialogue, and what was said for and against it."""
    parts = [
        f"<p>{text(f'{work} failed ({failure.boundary}): {failure.message}')}</p>"
        for work, failure in one.failures
    ]
    parts += [_people(one.annotations), _scores(one)]
    for verdict in one.review.verdicts if one.review else ():
        said = [verdict.reason] if verdict.reason else []
        said += [f"{name} by turn: {' '.join(map(str, scores))}" for name, scores in verdict.turns.items()]
        if said:
            parts.append(f"<p><b>{text(verdict.judge)}</b> {text('; '.join(said))}</p>")
    return parts + [
        f"<p><b>{text(abstention.judge)}</b> abstained: {text(abstention.reason)}</p>"
        for abstention in (one.review.abstentions if one.review else ())
    ]


def _people(annotations: tuple[Annotation, ...]) -> str:
    """How many people said what, and what lies in the middle of it."""
    scores: defaultdict[str, list[int]] = defaultdict(list)
    for annotation in annotations:
        for criterion, score in annotation.scores.items():
            scores[criterion].append(score)
    said = (
        f"{criterion} {median(given):g} (of {', '.join(map(str, sorted(given)))})"
        for criterion, given in sorted(scores.items())
    )
    people = f"{len(annotations)} people, the median" if len(annotations) > 1 else "one person"
    told = f"{people}: {'; '.join(said)}"
    return f'<p id="people">{text(told)}</p>' if scores else ""


def _scores(one: Shown) -> str:
    """Every judge's scores, a criterion a line; a rule's criterion, which has its name, stands alone."""
    verdicts = one.review.verdicts if one.review else ()
    rules = [verdict for verdict in verdicts if set(verdict.scores) == {verdict.judge}]
    panel = [verdict for verdict in verdicts if verdict not in rules]
    parts = [
        f"<p>rules {'kept' if kept else 'broken'}: {text(', '.join(verdict.judge for verdict in group))}</p>"
        for kept, group in groupby(
            sorted(rules, key=lambda verdict: verdict.scores[verdict.judge]),
            lambda verdict: verdict.scores[verdict.judge] >= 1,
        )
    ]
    thresholds = one.acceptance.thresholds if one.acceptance else {}
    criteria = sorted(
        {name for verdict in panel for name in verdict.scores} | (set(thresholds) if panel else set())
    )
    if criteria:
        rule = one.acceptance.rule if thresholds and one.acceptance else ""
        head = ["", *(verdict.judge for verdict in panel), *([f"threshold ({rule})"] if rule else ())]
        parts.append(f"<table><tr>{''.join(f'<th>{text(name)}</th>' for name in head)}</tr>")
        for name in criteria:
            cells = [f"{verdict.scores[name]:.3g}" if name in verdict.scores else "–" for verdict in panel]
            cells += [f"{thresholds[name]:g}" if name in thresholds else ""] if rule else []
            fault = ' class="failed"' if name in one.reasons else ""
            parts.append(
                f"<tr><th{fault}>{text(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
            )
        parts.append("</table>")
    return "".join(parts)
