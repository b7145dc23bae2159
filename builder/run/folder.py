"""A run: one folder that holds everything made of one study, and the engine that works through its items.

    run.json                what the folder is pinned to: the study, its rules before, and whether stand-ins take part
    scenarios.jsonl         plan        what is to be held
    turns.jsonl             generate    the journal: every reply of a model, kept or rejected
    rounds.jsonl            generate    dialogues that were given up, and are to be tried anew
    usage.jsonl             generate, judge     what the models were asked so far
    dialogues.jsonl         generate, ingest
    votes.jsonl             judge       the journal: every answer of a judge's model
    reviews.jsonl           judge
    recordings/CONFIG.jsonl synthesize, ingest
    audio/CONFIG/           their clips, in few large files
    sources/CONFIG/         ingest      which commit of a repository they come from, and what it holds
    measures/CONFIG.jsonl   measure     what can be heard in them, as numbers
    failures/WORK.jsonl     what failed, where and why; owed again

Who works on a part writes ledgers of its own beside these, such as `turns.3-of-16.jsonl`, and reads them all.

Law of the file: kill it at any moment, run it again, and nothing finished is lost or done twice.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import msgspec
from filelock import FileLock

from builder.config import Site, Study
from builder.core.dialogue import Dialogue
from builder.core.effect import fullest
from builder.core.part import Part
from builder.core.scenario import Scenario, parse_id
from builder.core.speech import Measured, Recording
from builder.core.verdict import Acceptance, Decision, Review, decide
from builder.errors import ConfigError, EndpointError, ItemError, ReplyError, RunError, SourceError, nearest
from builder.files import hold, is_held, listed, put, read_text
from builder.plugins import make
from builder.plugins.checks import Check
from builder.plugins.judges import Judge, Twin
from builder.plugins.llm import Backend, Endpoint
from builder.plugins.measures import Measure, Weights
from builder.plugins.tts import Engine, Synthesizer
from builder.records import Record, convert, encode
from builder.remote import Remote
from builder.run.audio import AudioFiles
from builder.run.journal import Answered, Journal
from builder.run.ledger import SYNC_S, Ledger, Ledgers
from builder.run.meter import Meter
from builder.run.replicas import open_replicas
from builder.run.served import Served, Voice, told
from builder.run.share import Share, pulled_from
from builder.terminal import bar, say

R = TypeVar("R", bound=Record)
T = TypeVar("T")
P = TypeVar("P")
N = TypeVar("N", Review, Recording)

TWINS = "twins.json"
"""Twins found over all dialogues, by judge, in a folder that holds only a part of them."""

_READERS = ("package", "measure")
"""The work that reads recordings, and finds what is damaged."""

_HOPELESS = 20
"""So many items in a row failing at an endpoint mean that the endpoint is gone, not that the items are hard."""


class Failure(Record):
    """An item that failed, for the time being."""

    id: str
    boundary: str
    """Where it failed; `resolved` once it did not any more."""
    message: str
    number: int = 0
    """Of all that is said of the item, by whichever part: the highest is the latest."""


class _Rounds(Record):
    """How many commands gave a dialogue up and went to their end; each time it got new attempts."""

    id: str
    rounds: int


class Tally(Record):
    """What a stage did."""

    done: int = 0
    failed: int = 0
    """Items that failed for a reason that lies outside the models' replies: an endpoint, an engine, a source."""
    given_up: int = 0
    """Dialogues whose models broke the rules of a reply too often."""
    skipped: int = 0
    """Items that were done before."""

    @classmethod
    def sum(cls, tallies: Iterable["Tally"]) -> "Tally":
        """All of them together."""
        rows = [msgspec.structs.astuple(tally) for tally in tallies]
        return cls(*(sum(column) for column in zip(*rows, strict=True))) if rows else cls()

    @property
    def status(self) -> int:
        """The exit status: 3 where items failed and are owed again."""
        return 3 if self.failed else 0

    def told(self, name: str, seconds: float) -> str:
        """One line for a person, with how long it took."""
        given_up = f", {self.given_up} given up" if self.given_up else ""
        return f"{name}: {self.done} done, {self.skipped} done before, {self.failed} failed{given_up}, {seconds:.1f} s"


class Desk(Protocol):
    """Lends a folder out for one attempt at a part, and publishes what is made there."""

    writer: str
    """The attempt's name, which ledgers and audio files bear, such as `3-of-16.000007`."""

    def publish_if_due(self) -> None:
        """Publishes what is new, now and then; called once a second, in a thread.

        Raises:
            RunError: another process has taken the part over.
        """

    def pin_rehearsal(self, part: str, rehearsal: bool) -> bool:  # noqa: FBT001
        """Pins for all who work on the run whether stand-ins make one part of it; gives what is pinned."""


class Worker(Protocol):
    """Works on parts of runs, one after the other, beside others of its kind that ask the same endpoints."""

    place: Part
    """Which of them it is."""
    cores: int
    """That it may keep busy."""

    async def kept(self, config: str, engine: Engine) -> Synthesizer:
        """What speaks a dataset config, opened with the first part and kept open for those to come."""
        ...


class FormerRule(Record):
    """A rule that decided before another took its place."""

    acceptance: Acceptance
    until: str
    """When that was: ISO 8601, in UTC."""


class _Pin(Record):
    study: Study
    rehearsal: dict[str, bool] = {}
    """By part (`text`, `judges`, a dataset config): whether stand-ins make it."""
    formerly: tuple[FormerRule, ...] = ()
    """The rules of acceptance before the study's, oldest first."""


def begun(study: Study) -> bytes:
    """The `run.json` of a run that begins with this study."""
    return encode(_Pin(study=study))


class Run:
    """An opened run folder.

    Args:
        folder: where it is; made if need be when writable.
        study: what is made; None takes the study that the folder is pinned to.
        site: where it is made; None for what needs none.
        out: where the packaged dataset goes.
        writable: whether to work on it; then no other process may, unless each has a part of its own.
        part: the dialogues to work on; None for all of them.
        desk: what lends the folder out for one attempt at a part; None for a folder that is the run itself.
        worker: which of several processes this one is; None for one that has the endpoints to itself.

    Raises:
        RunError: the folder is pinned to another study, is worked on by another process, or cannot be read.
        ConfigError: a plug-in of the study or the site is misconfigured.
    """

    def __init__(
        self,
        folder: Path,
        study: Study | None = None,
        site: Site | None = None,
        out: Path = Path("dist/deepdialogue"),
        *,
        writable: bool = True,
        part: Part | None = None,
        desk: Desk | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.folder, self.out, self.part = folder, out, part
        self.verify = False
        """Whether packaging reads every byte of the dataset that is there before it calls it up to date."""
        self._desk, self._worker = desk, worker
        self._writer = desk.writer if desk else part.name if part else ""
        self._writable = writable
        self._written: list[Ledger[Any]] = []
        self._open = ExitStack()
        pin = folder / "run.json"
        if not pin.exists() and (study is None or not writable or part is not None):
            raise RunError(f"{folder} is no run folder: it has no run.json")
        with self._open as opening:
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock(opening)
            self._pin = self._pinned(pin, study)
            self.study = self._pin.study
            self.site = site
            self.served = Served(
                self.study.vocabulary.models,
                self.backends,
                site.name if site else "",
                strict=site is not None and site.strict,
            )
            self._check_plugins()
            if not pin.exists():
                put(pin, [encode(self._pin)])
            self.scenarios = self._ledgers("scenarios", Scenario, named=parse_id)
            self.turns = self._ledgers("turns", Answered)
            self.dialogues = self._ledgers("dialogues", Dialogue, named=parse_id)
            self._votes = self._ledgers("votes", Answered)
            self.reviews = self._ledgers("reviews", Review, best=_last)
            kept = {path.name.partition(".")[0] for path in listed((folder / "recordings").glob("*.jsonl"))}
            self.recordings = {
                config: self._ledgers(f"recordings/{config}", Recording, best=_last)
                for config in dict.fromkeys([*self.study.speech, *sorted(kept)])
            }
            self._failures: dict[str, Ledgers[Failure]] = {}
            self._measured: dict[str, Ledgers[Measured]] = {}
            self._metered: Meter | None = None
            resting: list[Ledgers[Any]] = [self.reviews, *self.recordings.values()]
            for ledgers in resting:
                if alone := [id for id in ledgers.ids() if id not in self.dialogues]:
                    _tell_alone(ledgers.own.path, len(alone), alone[0])
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _lock(self, opened: ExitStack) -> None:
        """Keeps others out: everyone where this process works on the whole, whoever is not a sibling where it has a part."""
        try:
            hold(self.folder / ".lock", opened, shared=self.part is not None)
            if self.part is not None:
                hold(self.folder / f".lock.{self.part.name}", opened)
        except BlockingIOError:
            what = f"part {self.part.name} of {self.folder}, or on the whole" if self.part else self.folder
            raise RunError(f"another process works on {what}: wait for it, or use another --run") from None
        if self.part is not None:
            for path in self.folder.glob(".lock.*-of-*"):
                if not path.name.endswith(f"-of-{self.part.count}") and is_held(path):
                    raise RunError(
                        f"{self.folder}: another process works on {path.name.removeprefix('.lock.')}, which overlaps "
                        f"with {self.part.name}: cut the run into as many parts everywhere"
                    )

    def _pinned(self, path: Path, study: Study | None) -> _Pin:
        if study is not None and not path.exists():
            return _Pin(study=study)
        try:
            pin = msgspec.json.decode(read_text(path), type=_Pin)
        except ValueError as error:
            raise RunError(
                f"{path}: cannot be read by this version: {error}: bring it back as it was, or use another --run"
            ) from None
        if study is not None:
            self._refuse_another(msgspec.to_builtins(pin.study), msgspec.to_builtins(study))
        return pin

    def _refuse_another(self, pinned: dict[str, Any], study: dict[str, Any]) -> None:
        if pinned != study:
            change = _difference(pinned, study, "")
            repair = "use another --run for the changed one"
            if change.startswith("acceptance"):
                repair += f", or `deepdialogue decide {self.folder} STUDY` for another rule on what is judged"
            raise RunError(f"{self.folder} is pinned to another study: {change}: {repair}")

    def rule_of(self, study: Study) -> Acceptance:
        """The rule of a study that is the pinned one in all else.

        Raises:
            RunError: it differs in something else, which is named.
        """
        pinned = msgspec.to_builtins(self.study)
        self._refuse_another(pinned, msgspec.to_builtins(study) | {"acceptance": pinned["acceptance"]})
        return study.acceptance

    @property
    def former_rules(self) -> tuple[FormerRule, ...]:
        """Those that decided before, oldest first."""
        return self._pin.formerly

    def pin_acceptance(self, acceptance: Acceptance) -> None:
        """Lets another rule decide from now on; the one before is kept with the date.

        What it decides on stays as it is: votes are recorded, decisions are not. The run must be open to be written as a
        whole, so that no other process works on it by the old rule.
        """
        until = datetime.now(UTC).isoformat(timespec="seconds")
        former = FormerRule(acceptance=self.study.acceptance, until=until)
        self.study = msgspec.structs.replace(self.study, acceptance=acceptance)
        self._pin = msgspec.structs.replace(
            self._pin, study=self.study, formerly=(*self._pin.formerly, former)
        )
        put(self.folder / "run.json", [encode(self._pin)])

    def pin_rehearsal(self, part: str, rehearsal: bool) -> None:  # noqa: FBT001
        """Pins whether stand-ins make one part (`text`, `judges`, a dataset config), so that real and rehearsed never mix.

        Raises:
            RunError: the part was begun the other way.
        """
        path = self.folder / "run.json"
        with FileLock(self.folder / ".lock.pin"):
            self._pin = self._pinned(path, None)  # a sibling may have pinned it meanwhile
            pinned = self._pin.rehearsal.setdefault(part, rehearsal)
            if self._desk:
                pinned = self._desk.pin_rehearsal(part, pinned)
            put(path, [encode(self._pin)])
        if pinned != rehearsal:
            held, asked = ("rehearsed", "really made") if pinned else ("really made", "rehearsed")
            raise RunError(
                f"{self.folder}: its {part} was {held} so far, and with this site would be {asked}: use another --run"
            )

    @property
    def rehearsal(self) -> bool:
        """Whether stand-ins take part, as far as it is made."""
        return any(self._pin.rehearsal.values())

    def _ledgers(
        self,
        name: str,
        kind: type[R],
        *,
        best: Callable[[list[R]], R] | None = None,
        named: Callable[[str], object] | None = None,
    ) -> Ledgers[R]:
        """What all parts wrote under one name, open for as long as the run is.

        Where a later record of an item counts and not the first, `best` says which does of those of several parts.
        """
        path = self.folder / f"{name}.jsonl"
        own = Ledger(
            path.with_suffix(f".{self._writer}.jsonl") if self._writer else path,
            kind,
            writable=self._writable,
            latest=best is not None,
            named=named,
        )
        self._open.enter_context(own)
        if self._writable:
            self._written.append(own)
        others = [
            self._open.enter_context(
                Ledger(other, kind, writable=False, latest=best is not None, named=named)
            )
            for other in listed(path.parent.glob(f"{path.stem}.*jsonl"))
            if other != own.path
        ]
        return Ledgers(own, others, best)

    @cached_property
    def votes(self) -> Journal:
        """What judges answered about dialogues that have no review; one for all the times that this run is judged."""
        return Journal(self._votes, lambda id: id not in self.reviews and self.takes(id), self.served.refuses)

    def failures(self, work: str) -> Ledgers[Failure]:
        """What failed in one piece of work, by item; the latest counts."""
        if work not in self._failures:
            self._failures[work] = self._ledgers(f"failures/{work}", Failure, best=_latest)
        return self._failures[work]

    def recorded(self, config: str) -> Ledgers[Recording]:
        """The recordings of one dataset config, which need not be one that the study has speech for."""
        if config not in self.recordings:
            self.recordings[config] = self._ledgers(f"recordings/{config}", Recording, best=_last)
        return self.recordings[config]

    def measured(self, config: str) -> Ledgers[Measured]:
        """What was measured of the recordings of one dataset config; the latest counts."""
        if config not in self._measured:
            self._measured[config] = self._ledgers(f"measures/{config}", Measured, best=fullest)
        return self._measured[config]

    def unresolved(self, work: str) -> list[Failure]:
        """What failed in one piece of work and was not done since, by whichever part."""
        return [failure for failure in self.failures(work) if failure.boundary != "resolved"]

    def refuse_nothing(self, verb: str) -> None:
        """Makes sure that a stage that is run by itself has something to work on, in whichever part.

        Raises:
            RunError: what it works on is not there at all; says what makes it.
        """
        study, dialogues = self.study, self.dialogues.ids()
        made = "plan" if study.plan is not None else "ingest"
        lacking = ""
        if verb == "generate" and study.script is not None and not len(self.scenarios):
            lacking = f"nothing is planned to be held: `deepdialogue {made}` comes first"
        elif verb in {"judge", "synthesize"} and not dialogues:
            lacking = f"no dialogue is held yet: `deepdialogue {'generate' if study.plan else 'ingest'}` comes first"
        elif verb == "synthesize" and study.speech:
            decisions = (self.decision(self.reviews.get(id)) for id in dialogues)
            if not any(decision and decision.outcome == "accepted" for decision in decisions):
                lacking = f"none of its {len(dialogues)} dialogues is accepted: `deepdialogue status` shows what is owed"
        elif verb == "measure" and study.measures and not any(map(len, self.recordings.values())):
            lacking = "nothing is recorded yet: `deepdialogue synthesize` or `ingest` comes first"
        if lacking:
            raise RunError(f"{self.folder}: {lacking}")

    def end(self) -> None:
        """Says that a command which holds dialogues went to its end: what it gave up gets new attempts from the next one.

        Without it, as after an interruption, what was given up stays so, and is not asked for again.
        """
        if self._writable:
            for failure in self.unresolved("generate"):
                if failure.boundary == ReplyError.boundary and self.takes(failure.id):
                    rounds = 1 + self.rounds_of(failure.id)
                    self._rounds.append(failure.id, _Rounds(id=failure.id, rounds=rounds))

    def rounds_of(self, id: str) -> int:
        """How many commands that went to their end gave a dialogue up."""
        said = self._rounds.get(id)
        return said.rounds if said else 0

    @cached_property
    def _rounds(self) -> Ledgers[_Rounds]:
        return self._ledgers("rounds", _Rounds, best=_most)

    def damaged(self, config: str) -> set[str]:
        """The dialogues whose recordings were found damaged when a stage read them, and were not made again since."""
        found = (failure for work in _READERS for failure in self.unresolved(f"{work}-{config}"))
        return {failure.id for failure in found if failure.boundary == SourceError.boundary}

    def mended(self, config: str, id: str) -> None:
        """Notes that a dialogue has a recording that is whole."""
        for work in _READERS:
            self.note(f"{work}-{config}", id)

    def note(self, work: str, id: str, boundary: str = "resolved", message: str = "") -> None:
        """Records that an item failed; or, by default, that it does no longer, if it did."""
        said = self.failures(work).get(id)
        if boundary == "resolved" and (said is None or said.boundary == boundary):
            return
        number = 1 + said.number if said else 0
        # A file's name may hold bytes that are no text; they stand escaped.
        message = message.encode(errors="backslashreplace").decode()
        self.failures(work).append(id, Failure(id=id, boundary=boundary, message=message, number=number))

    def accepted(self) -> Iterator[str]:
        """The dialogues of the part that the study's rule accepts, in the order they were finished.

        Without judges every dialogue is. With judges one that was not judged yet is not.
        """
        for id in self.dialogues.ids():
            if self.takes(id):
                decision = self.decision(self.reviews.get(id))
                if decision and decision.outcome == "accepted":
                    yield id

    def decision(self, review: Review | None) -> Decision | None:
        """What the study's rule makes of a dialogue with this review; None of one that was not judged yet.

        Without judges every dialogue is accepted.
        """
        if not self.study.judges:
            return Decision("accepted", ())
        return decide(review, self.study.acceptance) if review else None

    @property
    def writable(self) -> bool:
        """Whether it was opened to be worked on."""
        return self._writable

    def takes(self, id: str) -> bool:
        """Whether a dialogue falls into the part that is worked on."""
        return self.part is None or id in self.part

    def audio(self, config: str) -> AudioFiles:
        """The clips of one dataset config; in a folder that was pulled, those that are not there are read where they are."""
        share = self._pulled_from
        elsewhere = partial(_clip, share, config) if share else None
        return AudioFiles(self.folder / "audio" / config, part=self._writer, elsewhere=elsewhere)

    @cached_property
    def _pulled_from(self) -> Share | None:
        """One for all that is read, since it learns where every clip is."""
        return pulled_from(self.folder)

    def twins(self, name: str, judge: Judge) -> Mapping[str, Twin]:
        """What a judge must know of all dialogues together; found beforehand where the folder holds only a part of them.

        Raises:
            RunError: what was found cannot be read.
        """
        path = self.folder / TWINS
        if not path.exists():
            return judge.twins(self.dialogues.ids(), self.dialogues.__getitem__)
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Twin]]).get(name, {})
        except ValueError as error:
            raise RunError(
                f"{path}: not the twins of a run: {error}: take it out, and run judge again"
            ) from None

    def _check_plugins(self) -> None:
        """Makes every plug-in once, so that a misspelt setting is found before any work is done."""
        self.judges()
        for config in ("", *self.study.speech):
            self.checks(config)
        self.measures()
        if self.site is None:
            return
        for name in self.site.measures:
            if name not in self.study.measures:
                raise ConfigError(
                    f"site {self.site.name!r}, measures.{name}: the study does not measure it: "
                    f"{nearest(name, self.study.measures)}"
                )
            self.weights(name)
        for model in self.site.models:
            self.backends(model)
            if model not in {"*", *self.study.vocabulary.models}:
                hint = nearest(model, self.study.vocabulary.models)
                raise ConfigError(f"site {self.site.name!r}, models.{model}: no model of the study: {hint}")
        for config in self.site.speech:
            self.engine(config)

    def judges(self) -> dict[str, Judge]:
        """The judges of the study, by name, in its order."""
        judges = {
            name: make(Judge, table, f"study {self.study.name!r}, judges.{name}", default=name)
            for name, table in self.study.judges.items()
        }
        for name, judge in judges.items():
            for model in judge.models():
                if model not in self.study.vocabulary.models:
                    raise ConfigError(f"study {self.study.name!r}, judges.{name}: unknown model {model!r}")
        return judges

    def backends(self, model: str) -> list[Backend]:
        """Where the site serves a model: in one place, or in several, which are replicas."""
        tables, where = self._table("models", model)
        if isinstance(tables, dict):
            return [self._trusted(make(Backend, tables, where), where)]
        places = ((table, f"{where}[{place}]") for place, table in enumerate(tables))
        return [self._trusted(make(Backend, table, place), place) for table, place in places]

    def rehearses(self, model: str) -> bool:
        """Whether a stand-in answers for a model at the site."""
        return any(backend.rehearsal for backend in self.backends(model))

    def engine(self, config: str) -> Engine:
        """What speaks a dataset config at the site."""
        table, where = self._table("speech", config)
        return self._trusted(make(Engine, cast("dict[str, Any]", table), where), where)

    async def synthesizer(self, config: str, opened: AsyncExitStack) -> Synthesizer:
        """Opens what speaks a dataset config. It closes with `opened`, or is kept by the worker."""
        engine = self.engine(config)
        if self._worker:
            return await self._worker.kept(config, engine.among(self._worker.place))
        return await opened.enter_async_context(engine.open())

    @property
    def cores(self) -> int:
        """That may be kept busy here."""
        return self._worker.cores if self._worker else len(os.sched_getaffinity(0))

    def checks(self, config: str) -> dict[str, Check]:
        """The checks of a dataset config's clips, by name: the study's own for one that the study has no speech for."""
        speech = self.study.speech.get(config)
        tables, where = (speech.checks, f"speech.{config}.") if speech else (self.study.checks, "")
        return {
            name: make(Check, table, f"study {self.study.name!r}, {where}checks.{name}", default=name)
            for name, table in tables.items()
        }

    def measures(self) -> dict[str, Measure]:
        """What the study wants measured of every clip, by name."""
        return {
            name: make(Measure, table, f"study {self.study.name!r}, measures.{name}", default=name)
            for name, table in self.study.measures.items()
        }

    def weights(self, name: str) -> Weights | None:
        """Where the site has the model of a measure; None where it has none."""
        if self.site is None or name not in self.site.measures:
            return None
        return convert(self.site.measures[name], Weights, f"site {self.site.name!r}, measures.{name}")

    def _table(self, kind: str, name: str) -> tuple[dict[str, Any] | tuple[dict[str, Any], ...], str]:
        if self.site is None:
            raise ConfigError(
                "no site is named: --site says where models and engines are, such as --site rehearsal"
            )
        tables = getattr(self.site, kind)
        for key in (name, "*"):
            if key in tables:
                return tables[key], f"site {self.site.name!r}, {kind}.{key}"
        raise ConfigError(f"site {self.site.name!r} has no table [{kind}.{name!r}], nor one for '*'")

    def _trusted(self, plugin: P, where: str) -> P:
        """The plug-in, where the site lets it send what it sends."""
        if self.site and self.site.strict and isinstance(plugin, Remote) and plugin.exposes_token:
            raise ConfigError(
                f"{where}: the token of {plugin.token_env} would go over plain http to another machine, and the site is "
                "strict: serve it with https, or reach it through a tunnel that ends on this machine"
            )
        return plugin

    async def endpoints(self, models: Iterable[str], opened: AsyncExitStack) -> dict[str, Endpoint]:
        """Opens where these models are served, counts what they are asked, and stops at the budget.

        They close with `opened`. Where something else answers than the study asks for, or one for several models, that is said.

        Raises:
            ConfigError: something else answers than the study asks for, and the site is strict.
        """
        vocabulary = self.study.vocabulary.models
        endpoints: dict[str, Endpoint] = {}
        for model in sorted(set(models)):
            backends = self.backends(model)
            if self._worker:
                backends = [backend.among(self._worker.place) for backend in backends]
            together = await opened.enter_async_context(open_replicas(backends, vocabulary[model]))
            metered = self._meter().wrap(model, together)
            opened.callback(metered.close)
            endpoints[model] = self.served.watch(model, metered)
        voices = [Voice(model, endpoint.checkpoint) for model, endpoint in endpoints.items()]
        for names in self.served.shared(voices):
            say(told(names, endpoints[names[0]].checkpoint))
        return endpoints

    def _meter(self) -> Meter:
        if self._metered is None:
            site = self.site or Site(name="")
            meter = Meter(self.folder, site.prices, site.budget, part=self.part, writer=self._writer)
            self._metered = self._open.enter_context(meter)
        return self._metered

    async def work(
        self,
        name: str,
        items: Iterable[T],
        do: Callable[[T], Awaitable[None]],
        *,
        total: int,
        at_once: int,
        done: int,
        aside: Callable[[], str] | None = None,
    ) -> Tally:
        """Works through items, so many at once, each from beginning to end before another takes its place.

        An item that fails is recorded and the rest goes on.

        Args:
            name: of the work; its failures are kept under it.
            items: each has an id, or is one.
            do: brings one item up to date.
            total: how many items there are.
            at_once: how many are worked on at once.
            done: how many were done before.
            aside: says more of how far the work is.

        Raises:
            EndpointError: so many in a row failed at an endpoint that it must be gone.
            OSError: a ledger cannot be written; what is finished is kept.
        """
        queue = iter(items)
        counts = {"done": 0, "failed": 0, "given_up": 0}
        hopeless = 0

        with bar(name, total, aside) as progress:

            async def worker() -> None:
                nonlocal hopeless
                for item in queue:
                    try:
                        await do(item)
                    except ItemError as error:
                        self.note(name, _id_of(item), error.boundary, str(error))
                        counts["given_up" if error.boundary == "reply" else "failed"] += 1
                        hopeless = hopeless + 1 if isinstance(error, EndpointError) else 0
                        progress.advance(failed=True)
                        if hopeless >= _HOPELESS:
                            raise EndpointError(
                                f"{_HOPELESS} items in a row failed, the last with: {error}"
                            ) from None
                    else:
                        self.note(name, _id_of(item))
                        counts["done"] += 1
                        hopeless = 0
                        progress.advance()
                    # An interruption is heard even where no item ever waits.
                    await asyncio.sleep(0)

            try:
                async with asyncio.TaskGroup() as tasks:
                    syncing = tasks.create_task(self._keep_synced())
                    workers = [tasks.create_task(worker()) for _ in range(max(1, min(at_once, total)))]
                    await asyncio.wait(workers)
                    syncing.cancel()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
        return Tally(skipped=done, **counts)

    async def _keep_synced(self) -> None:
        """Brings to the disk what a ledger wrote last, however long nothing follows: a power cut costs a second."""
        while True:
            await asyncio.sleep(SYNC_S)
            for ledger in self._written:
                ledger.sync()
            if self._desk:
                await asyncio.to_thread(self._desk.publish_if_due)


@cache
def _tell_alone(path: Path, count: int, id: str) -> None:
    """Once in the life of a process, however often it looks at the run."""
    say(
        f"{path}: what it says of {count} dialogue{'s' * (count > 1)}, such as {id}, is left out until `generate` or `ingest` "
        f"brings the text back"
    )


def _clip(share: Share, config: str, file: str, offset: int, num_bytes: int) -> bytes:
    return share.clip(f"audio/{config}/{file}", offset, num_bytes)


def _id_of(item: object) -> str:
    return item if isinstance(item, str) else str(getattr(item, "id", item))


def _last(made: list[N]) -> N:
    return max(made, key=lambda one: one.number)


def _most(said: list[_Rounds]) -> _Rounds:
    return max(said, key=lambda one: one.rounds)


def _latest(said: list[Failure]) -> Failure:
    """Of what several parts said of one item what counts; to have done it counts where no number decides."""
    return max(said, key=lambda failure: (failure.number, failure.boundary == "resolved"))


def _difference(old: object, new: object, key: str) -> str:
    """The first key in which two studies differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *new]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    return f"{key} was {_short(old)} and is now {_short(new)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]} … ({len(text)} characters)"
