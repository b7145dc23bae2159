"""explore: a run or a packaged dataset on a page: what it holds, to be found, read and heard, and why it was not accepted.

Law of the file: it only looks. What is shown follows from what the browser sends and from the source as it was when it was
last opened; words of models are shown as text.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from builder.core.annotation import Annotation
from builder.core.dialogue import Turn
from builder.errors import DeepDialogueError
from builder.people.catalogue import ORDERS, Catalogue, Filters, Shown
from builder.people.markup import STYLE, chat, text
from builder.people.pages._accounts import passwords
from builder.people.pages._server import Plain, dressed, said, serve
from builder.records import Record, encode
from builder.terminal import say

PAGE = 50
"""Dialogues listed at once."""
_SELECTIONS = {
    "domains": "Domain",
    "pairings": "Pairing",
    "emotions": "Emotion",
    "outcomes": "Outcome",
    "splits": "Split",
    "configs": "Spoken in",
}
"""Of `Filters`, with their labels."""
_KEPT = 16
"""Lists of hits that are remembered, so that turning a page does not read every text again."""

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}</head>
<body><header id="title"></header>
<div class="fields">{selections}</div>
<div class="fields">
<div id="least"><label>Turns, at least <input type="number" min="1" value="1"></label></div>
<div id="most"><label>Turns, at most (0: any) <input type="number" min="0" value="0"></label></div>
<div id="words"><label>Words that stand in the text <input></label></div>
<div id="order"><label>Order <select>{orders}</select></label></div></div>
<p id="fault" role="alert"></p>
<main><div><div id="count"></div>
<table id="hits"><thead><tr><th>id</th><th>turns</th><th>outcome</th><th>score</th></tr></thead><tbody></tbody></table>
<div id="page"><label>Page <input type="number" min="1" value="1"></label></div></div>
<div><p><button id="previous">Previous (k)</button> <button id="next">Next (j)</button> <button id="random">Random (r)</button>
<button id="reload">Reload the source</button></p>
<div id="id"><label>Dialogue: an id, and Enter goes there <input></label></div>
<div id="voices"></div><div id="dialogue"></div></div></main>
</body></html>
"""


class Asked(Record):
    """What a browser says."""

    wish: Literal["open", "reload", "list", "page", "previous", "next", "random", "show"]
    id: str = ""
    """Of the dialogue that is to be seen, or was."""
    config: str | None = None
    """Where it is to be heard."""
    page: int = 1
    """Of the list, from 1."""
    filters: Filters = Filters()


class Told(Record):
    """What is to be seen now; None is what it was. `title` and `dialogue` are HTML."""

    id: str | None = None
    dialogue: str | None = None
    count: str | None = None
    lines: list[tuple[str, ...]] | None = None
    page: int | None = None
    title: str | None = None
    configs: list[str] | None = None
    config: str | None = None
    choices: dict[str, dict[str, int]] | None = None


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
    shelf = Shelf(source)
    title = f"Explore {source.name}"
    selections = "".join(
        f'<div class="selection" id="{name}"><label>{label} <input readonly placeholder="any"></label>'
        f'<ul role="listbox"></ul></div>'
        for name, label in _SELECTIONS.items()
    )
    html = _PAGE.format(
        title=text(title),
        head=dressed("explore", STYLE),
        selections=selections,
        orders="".join(f"<option>{order}</option>" for order in ORDERS),
    )
    serve(
        Plain(html, shelf.answer, apart=True),
        title=title,
        accounts=accounts,
        clips=shelf.clip,
        host=host,
        port=port,
        ready=ready,
    )


class Shelf:
    """The source as it was when it was last opened, and what the page asks of it."""

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

    def answer(self, _who: str, body: bytes) -> bytes:
        """What is to be seen, `Told`, for what a browser asks, `Asked`, both as JSON.

        Raises:
            ValueError: it is none, or the source cannot be read.
        """
        asked = said(body, Asked)
        try:
            return encode(self._told(asked))
        except DeepDialogueError as error:
            raise ValueError(str(error)) from None

    def _told(self, asked: Asked) -> Told:
        if asked.wish == "show":
            return self._shown(asked.id, asked.config)
        if asked.wish in {"list", "page"}:
            return self._listed(asked.page if asked.wish == "page" else 1, asked.filters)
        if asked.wish == "reload":
            self.open()
        ids = self._hits(asked.filters)
        if asked.wish in {"open", "reload"}:
            configs = list(self._catalogue.configs)
            config = asked.config if asked.config in configs else next(iter(configs), None)
            return _both(
                Told(
                    title=f"<h3>{text(self._catalogue.title)}: {text(str(self._source))}</h3>",
                    configs=configs,
                    config=config,
                    choices=self._catalogue.choices(),
                ),
                self._shown(asked.id or next(iter(ids), ""), config),
                self._listed(1, asked.filters),
            )
        if asked.wish == "random":
            at = random.randrange(len(ids) or 1)
        else:
            by = 1 if asked.wish == "next" else -1
            at = ids.index(asked.id) + by if asked.id in ids else 0
        at = max(0, min(at, len(ids) - 1))
        shown = self._shown(ids[at] if ids else "", asked.config)
        return _both(shown, self._listed(at // PAGE + 1, asked.filters))

    def _listed(self, number: int, filters: Filters) -> Told:
        """How many dialogues fit, a page of them, and which page that is."""
        ids = self._hits(filters)
        pages = max(1, -(-len(ids) // PAGE))
        number = min(max(1, number), pages)
        lines = map(self._catalogue.line, ids[(number - 1) * PAGE : number * PAGE])
        return Told(
            count=f"{len(ids):,} of {len(self._catalogue):,}, page {number:,} of {pages:,}",
            lines=[
                (
                    line.id,
                    str(line.num_turns),
                    line.outcome,
                    "" if line.score is None else f"{line.score:.2f}",
                )
                for line in lines
            ],
            page=number,
        )

    def _shown(self, wanted: str, config: str | None) -> Told:
        """The whole id of a dialogue, and all there is to see of it."""
        if not wanted:
            return Told(id="", dialogue="<p>No dialogue fits.</p>")
        try:
            id = self._catalogue.resolve(wanted.strip())
            return Told(id=id, dialogue=_dialogue(self._catalogue, id, config))
        except DeepDialogueError as error:
            return Told(id=wanted, dialogue=f'<p role="alert">{text(str(error))}</p>')


def _both(*parts: Told) -> Told:
    """What any of them says."""
    found: dict[str, Any] = {}
    for part in parts:
        found |= {name: value for name, value in msgspec.structs.asdict(part).items() if value is not None}
    return Told(**found)


def _dialogue(catalogue: Catalogue, id: str, config: str | None) -> str:
    """Everything there is to see of a dialogue, as HTML."""
    heard = config if config in catalogue.spoken(id) else None
    one = catalogue.show(id, heard)
    clips = f"/clip/{quote(heard or '', safe='')}/{quote(id)}/"
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
