"""The listening study of a run: its plan, what every listener answers, and what follows from the answers.

    RUN/listening/plan.json     what is compared, what may be chosen, and every listener's trials
    RUN/listening/NAME.jsonl    what this listener answered

A listener who comes later is given trials then; those of the others stay as they are, whatever the run has got since.

Law of the file: an answer is on the disk before `answer` returns; no number without the answers and dialogues behind it, and
none at all of fewer than ten dialogues.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Annotated, Literal, NamedTuple, Self

import msgspec
import numpy as np
from msgspec.structs import replace

from builder.core.agreement import FEWEST_DIALOGUES, Estimate, Item, Level, Resamples, alpha
from builder.core.attention import Attention, Share, counted
from builder.core.emotion import RAVDESS
from builder.core.interval import Interval, wilson
from builder.core.listening import (
    Answer,
    Configs,
    Reply,
    Spoken,
    Trial,
    draw_shared,
    draw_trials,
    effective,
    sign_test,
)
from builder.errors import ConfigError, RunError, nearest
from builder.files import hold, put
from builder.records import Record, encode
from builder.run.folder import Run
from builder.run.ledger import Ledger

Labels = Literal["ravdess", "emotions"]
What = Literal["recognition", "naturalness", "difference", "preference"]
Kind = Literal["all", "class", "emotion"]
CANNOT_TELL = "none of these / cannot tell"


class Wanted(Record):
    """What is asked for; None takes what the plan is pinned to, or the default."""

    configs: Configs | None = None
    """The first two of the study that have recordings."""
    labels: Labels | None = None
    """`ravdess`."""
    trials: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """200 for each listener, without the checks."""
    overlap: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """0.2: the share of them that all listeners hear, in [0, 1]."""
    min_checks: Share | None = None
    """0: the share of checks that a listener must pass to count."""


class Plan(Record):
    """What the study is pinned to."""

    configs: Configs
    labels: Labels
    choices: tuple[str, ...]
    """The labels to choose from, in order, beside `CANNOT_TELL`."""
    trials: int
    overlap: float
    shared: tuple[Spoken, ...]
    """What every listener hears."""
    listeners: dict[str, tuple[Trial, ...]]
    """By listener, what is heard, in order; the first trial has the number 1."""
    min_checks: Share = 0.0


class Listening:
    """An opened listening study, to be answered. One process at a time may.

    Args:
        run: what is listened to.
        listeners: who takes part; those who are new are given trials.
        wanted: what is asked for.

    Raises:
        ConfigError: a config is none of the run's, or named twice.
        RunError: the plan is pinned to something else, or there is nothing to hear, or another process has it open.
    """

    def __init__(self, run: Run, listeners: Iterable[str], wanted: Wanted) -> None:
        self._run, self._one_at_a_time = run, threading.Lock()
        self.folder = run.folder
        folder = run.folder / "listening"
        folder.mkdir(exist_ok=True)
        with ExitStack() as opening:
            try:
                hold(folder / ".lock", opening)
            except BlockingIOError:
                raise RunError(
                    f"another process serves the listening study of {run.folder}: stop that one first"
                ) from None
            self.plan = _pinned(run, tuple(listeners), wanted)
            self._ledgers = {
                name: opening.enter_context(Ledger(folder / f"{name}.jsonl", Answer, writable=True))
                for name in self.plan.listeners
            }
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def answered(self, listener: str) -> int:
        """How many trials the listener answered."""
        return len(self._ledgers[listener])

    def total(self, listener: str) -> int:
        """How many trials the listener is given, with the checks."""
        return len(self.plan.listeners[listener])

    def following(self, listener: str) -> int | None:
        """The number of the listener's next trial; None where all are answered."""
        numbers = range(1, self.total(listener) + 1)
        return next((number for number in numbers if str(number) not in self._ledgers[listener]), None)

    def answer(self, listener: str, reply: Reply) -> None:
        """Puts one answer on the disk. The first counts: a reply to a trial that was answered before changes nothing.

        Raises:
            ValueError: it is not the listener's next trial, a label is none of the choices, or not both clips were played.
        """
        id, ledger = str(reply.number), self._ledgers[listener]
        with self._one_at_a_time:
            if id in ledger:
                return
            if reply.number != self.following(listener):
                raise ValueError(f"trial {id} is not the next of {listener!r}")
            if not all(reply.played):
                raise ValueError("play A and B to their end first")
            for label in reply.heard:
                if label is not None and label not in self.plan.choices:
                    raise ValueError(
                        f"label {label!r} is none of the choices: {nearest(label, self.plan.choices)}"
                    )
            trial = self.plan.listeners[listener][reply.number - 1]
            ledger.append(id, Answer(id, trial, reply.heard, reply.naturalness, reply.prefers, reply.seconds))
            ledger.sync()

    def clip(self, listener: str, number: int, side: Literal["a", "b"]) -> bytes:
        """One clip of a listener's next trial, as FLAC.

        Raises:
            LookupError: it is not the listener's next trial.
            RunError: the run lost the clip.
            SourceError: it is damaged.
        """
        if number != self.following(listener):
            raise LookupError(number)
        trial = self.plan.listeners[listener][number - 1]
        config = trial.a if side == "a" else trial.b
        return self._run.audio(config).clip(self._run.recordings[config][trial.spoken.id], trial.spoken.turn)


def _pinned(run: Run, listeners: tuple[str, ...], wanted: Wanted) -> Plan:
    path = run.folder / "listening" / "plan.json"
    plan = _read(path) if path.exists() else None
    if plan is not None:
        for name, value in msgspec.structs.asdict(wanted).items():
            if value is not None and value != (held := getattr(plan, name)):
                raise RunError(
                    f"{path}: the study was begun with {name} {_said(held)}, now {_said(value)} is asked for: leave "
                    f"--{name.replace('_', '-')} out, or move {path.parent} away to begin another study"
                )
    if plan is not None and plan.listeners.keys() >= set(listeners):
        return plan
    configs = plan.configs if plan else _configs(run, wanted.configs)
    turns = _turns(run, configs)
    if plan is None:
        trials, overlap = wanted.trials or 200, 0.2 if wanted.overlap is None else wanted.overlap
        plan = Plan(
            configs=configs,
            labels=wanted.labels or "ravdess",
            choices=_choices(run, wanted.labels or "ravdess"),
            trials=trials,
            overlap=overlap,
            shared=draw_shared(turns, round(trials * overlap), run.study.seed),
            listeners={},
            min_checks=wanted.min_checks or 0.0,
        )
    for listener in sorted(set(listeners) - plan.listeners.keys()):
        plan.listeners[listener] = draw_trials(
            turns, plan.shared, plan.trials, plan.configs, run.study.seed, listener
        )
    put(path, [encode(plan)])
    return plan


def _read(path: Path) -> Plan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except ValueError as error:
        raise RunError(f"{path}: cannot be read by this version: {error}") from None


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _configs(run: Run, wanted: Configs | None) -> Configs:
    spoken = [config for config, ledger in run.recordings.items() if len(ledger)]
    for config in wanted or ():
        if config not in spoken:
            raise ConfigError(
                f"{run.folder} has no recordings of config {config!r}: {nearest(config, spoken)}"
            )
    chosen = wanted or tuple(spoken[:2])
    if len(chosen) < 2:
        raise RunError(
            f"{run.folder} has recordings of {len(spoken)} configs {spoken}, and two are compared: synthesize the other first"
        )
    if chosen[0] == chosen[1]:
        raise ConfigError(f"configs are {chosen[0]!r} twice: name two to compare")
    return chosen[0], chosen[1]


def _turns(run: Run, configs: Configs) -> list[Spoken]:
    ravdess = run.study.vocabulary.ravdess()
    first, second = (run.recordings[config] for config in configs)
    turns = [
        Spoken(id=id, turn=number, emotion=turn.emotion, ravdess=ravdess[turn.emotion])
        for id in first.ids()
        if id in second and id in run.dialogues
        for number, turn in enumerate(run.dialogues[id].turns, 1)
    ]
    if not turns:
        raise RunError(
            f"{run.folder}: no dialogue is spoken by both {configs[0]} and {configs[1]}: synthesize more first"
        )
    return turns


def _choices(run: Run, labels: Labels) -> tuple[str, ...]:
    ravdess = run.study.vocabulary.ravdess()
    return (
        tuple(sorted(ravdess)) if labels == "emotions" else tuple(c for c in RAVDESS if c in ravdess.values())
    )


class Result(Record):
    """One number that the answers give."""

    what: What
    """Recognition is the share of clips in which the intended label was heard; naturalness the mean, in 1..5; difference the
    mean of the first config's naturalness less the second's in one trial, in -4..4; preference the share for the first config
    among the answers that prefer either."""
    kind: Kind
    """What the turns are grouped by: not at all, by the acted class or by the emotion intended."""
    group: str
    """The class or the emotion; empty where the turns are not grouped."""
    config: str
    """Whose; empty where it is of both."""
    value: float | None
    low: float | None
    """Of the 95 % interval: of a share Wilson's, of a mean from a bootstrap over dialogues."""
    high: float | None
    answers: int
    dialogues: int
    chance: float | None = None
    """Of recognition: what it would be if listeners chose their labels as often as they did, whatever they heard."""
    p: float | None = None
    """Of preference: of the exact sign test, with a vote for each dialogue."""
    ties: int = 0
    """Of preference: how many more answers preferred neither."""
    reason: str = ""
    """Why there is no value."""

    @property
    def interval(self) -> Interval:
        """The value with its interval, and the answers it rests on."""
        return Interval(self.value, self.low, self.high, self.answers)


class Confusion(Record):
    """How often each label was heard where each was intended, in the clips of one config."""

    config: str
    intended: tuple[str, ...]
    """The rows."""
    heard: tuple[str, ...]
    """The columns; the last is `CANNOT_TELL`."""
    counts: tuple[tuple[int, ...], ...]


class Listener(Record):
    """How far one listener is, and how attentive."""

    name: str
    answered: int
    """With the checks."""
    trials: int
    """With the checks."""
    checks: int
    """Answered trials in which A and B were the same clip."""
    passed: int
    """Those in which neither was preferred."""
    seconds: float | None
    """The median time of an answer; None where there is none."""

    @property
    def attention(self) -> Attention:
        """How attentive this listener is."""
        return Attention(self.name, self.answered - self.checks, self.passed, self.checks)


class Results(Record):
    """What a listening study found."""

    configs: Configs
    labels: Labels
    rehearsal: bool
    """Whether stand-ins wrote or spoke."""
    listeners: tuple[Listener, ...]
    results: tuple[Result, ...]
    confusions: tuple[Confusion, ...]
    agreement: dict[str, Estimate]
    """Krippendorff's alpha of what was asked, on turns that more than one listener heard."""
    notes: tuple[str, ...] = ()
    """On whoever failed a check or is left out, a sentence each."""


_Interval = Callable[[Sequence[str], Sequence[float]], tuple[float, float]]
"""Of the dialogue and the value of every answer."""


class _Heard(NamedTuple):
    """An answer, by config in place of by side."""

    listener: str
    spoken: Spoken
    label: Mapping[str, str | None]
    naturalness: Mapping[str, int]
    prefers: str | None


def listeners(folder: Path) -> tuple[str, ...]:
    """Who listens to a run, by name; nobody where there is no listening study.

    Raises:
        RunError: its plan cannot be read.
    """
    path = folder / "listening" / "plan.json"
    return tuple(sorted(_read(path).listeners)) if path.exists() else ()


def results(run: Run, without: Iterable[str] = ()) -> Results:
    """What the listeners answered so far, all together.

    Args:
        run: whose listening study it is.
        without: listeners to leave out, such as those who do not attend.

    Raises:
        RunError: there is no listening study in this run.
        ConfigError: one to leave out does not take part.
    """
    folder = run.folder / "listening"
    if not (folder / "plan.json").exists():
        raise RunError(
            f"{run.folder} has no listening study yet: `deepdialogue listen {run.folder}` begins one"
        )
    plan = _read(folder / "plan.json")
    for name in without:
        if name not in plan.listeners:
            raise ConfigError(f"{name!r} is no listener of {run.folder}: {nearest(name, plan.listeners)}")
    answers = {}
    for name in sorted(plan.listeners):
        with Ledger(folder / f"{name}.jsonl", Answer, writable=False) as ledger:
            answers[name] = list(ledger)
    people = (_listener(name, given, len(plan.listeners[name])).attention for name, given in answers.items())
    names, notes = counted(people, plan.min_checks, tuple(without))
    kept = {name: answers[name] for name in names}
    return replace(found(plan, kept, run.study.seed, rehearsal=run.pin.rehearsal), notes=notes)


def found(plan: Plan, answers: Mapping[str, Sequence[Answer]], seed: int, *, rehearsal: bool) -> Results:
    """The same of answers in memory.

    Args:
        plan: what was asked.
        answers: by listener.
        seed: the study's.
        rehearsal: whether stand-ins wrote or spoke.
    """
    heard = [
        _by_config(listener, answer)
        for listener, given in sorted(answers.items())
        for answer in given
        if not answer.trial.is_check
    ]
    resamples = Resamples(seed)
    return Results(
        configs=plan.configs,
        labels=plan.labels,
        rehearsal=rehearsal,
        listeners=tuple(
            _listener(name, given, len(plan.listeners[name])) for name, given in sorted(answers.items())
        ),
        results=tuple(_results(heard, plan, resamples)),
        confusions=tuple(_confusion(heard, plan, config) for config in plan.configs),
        agreement=_agreement(heard, plan, resamples),
    )


def _by_config(listener: str, answer: Answer) -> _Heard:
    sides = answer.trial.a, answer.trial.b
    return _Heard(
        listener,
        answer.trial.spoken,
        dict(zip(sides, answer.heard, strict=True)),
        dict(zip(sides, answer.naturalness, strict=True)),
        {"a": sides[0], "b": sides[1], "none": None}[answer.prefers],
    )


def _listener(name: str, given: Sequence[Answer], trials: int) -> Listener:
    checks = [answer.prefers == "none" for answer in given if answer.trial.is_check]
    seconds = median(answer.seconds for answer in given) if given else None
    return Listener(name, len(given), trials, len(checks), sum(checks), seconds)


def _intended(spoken: Spoken, labels: Labels) -> str:
    return spoken.ravdess if labels == "ravdess" else spoken.emotion


def _results(heard: Sequence[_Heard], plan: Plan, resamples: Resamples) -> Iterator[Result]:
    named = {config: Counter(one.label[config] for one in heard) for config in plan.configs}
    groups: list[tuple[Kind, str, Sequence[_Heard]]] = [("all", "", heard)]
    groups += [("class", name, [one for one in heard if one.spoken.ravdess == name]) for name in RAVDESS]
    emotions = sorted({one.spoken.emotion for one in heard})
    groups += [("emotion", name, [one for one in heard if one.spoken.emotion == name]) for name in emotions]
    for kind, group, members in groups:
        if members or kind == "all":
            yield from _of_group(kind, group, members, plan, named, resamples)


def _of_group(
    kind: Kind,
    group: str,
    members: Sequence[_Heard],
    plan: Plan,
    named: Mapping[str, Counter[str | None]],
    resamples: Resamples,
) -> Iterator[Result]:
    """Everything that is found of one group of turns; `named` is how often each label was chosen in all of them."""

    def result(
        what: What, config: str, of: Sequence[_Heard], values: Sequence[float], interval: _Interval
    ) -> Result:
        sizes = Counter(one.spoken.id for one in of)
        enough = len(sizes) >= FEWEST_DIALOGUES
        low, high = interval([one.spoken.id for one in of], values) if enough else (None, None)
        return Result(
            what=what,
            kind=kind,
            group=group,
            config=config,
            value=fmean(values) if enough else None,
            low=low,
            high=high,
            answers=len(of),
            dialogues=len(sizes),
            reason=""
            if enough
            else f"too few: {len(sizes)} dialogues, and at least {FEWEST_DIALOGUES} are needed",
        )

    first, second = plan.configs
    of_means = partial(_bootstrap, resamples=resamples)
    intended = [_intended(one.spoken, plan.labels) for one in members]
    for config in plan.configs:
        right = [float(one.label[config] == label) for one, label in zip(members, intended, strict=True)]
        one = result("recognition", config, members, right, _of_share)
        by_chance = [named[config][label] / named[config].total() for label in intended]
        yield replace(one, chance=fmean(by_chance) if one.value is not None else None)
    for config in plan.configs:
        marks = [float(one.naturalness[config]) for one in members]
        yield result("naturalness", config, members, marks, of_means)
    apart = [float(one.naturalness[first] - one.naturalness[second]) for one in members]
    yield result("difference", "", members, apart, of_means)
    decided = [one for one in members if one.prefers is not None]
    one = result("preference", first, decided, [float(one.prefers == first) for one in decided], _of_share)
    votes = Counter[str]()
    for answer in decided:
        votes[answer.spoken.id] += 1 if answer.prefers == first else -1
    wins, losses = (sum(side * vote > 0 for vote in votes.values()) for side in (1, -1))
    p = sign_test(wins, losses) if one.value is not None else None
    yield replace(one, p=p, ties=len(members) - len(decided))


def _of_share(ids: Sequence[str], values: Sequence[float]) -> tuple[float, float]:
    return wilson(fmean(values), effective(Counter(ids).values()))


def _bootstrap(ids: Sequence[str], values: Sequence[float], resamples: Resamples) -> tuple[float, float]:
    """The interval of a mean: each resample draws as many dialogues as there are, each with all that was said of it."""
    names, place = np.unique(ids, return_inverse=True)
    drawn = resamples.counts(len(names))
    means = (np.bincount(place, values) @ drawn) / (np.bincount(place) @ drawn)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _confusion(heard: Sequence[_Heard], plan: Plan, config: str) -> Confusion:
    met = Counter((_intended(one.spoken, plan.labels), one.label[config]) for one in heard)
    rows = tuple(label for label in plan.choices if any(label == intended for intended, _ in met))
    counts = tuple(tuple(met[row, label] for label in (*plan.choices, None)) for row in rows)
    return Confusion(config=config, intended=rows, heard=(*plan.choices, CANNOT_TELL), counts=counts)


def _agreement(heard: Sequence[_Heard], plan: Plan, resamples: Resamples) -> dict[str, Estimate]:
    labels = (*plan.choices, None)
    asked: dict[str, tuple[Level, list[int]]] = {}
    for config in plan.configs:
        asked[f"label heard, {config}"] = "nominal", [labels.index(one.label[config]) for one in heard]
        asked[f"naturalness, {config}"] = "ordinal", [one.naturalness[config] for one in heard]
    asked["preference"] = "nominal", [(None, *plan.configs).index(one.prefers) for one in heard]
    found = {}
    for what, (level, values) in asked.items():
        ratings: dict[Item, dict[str, float]] = defaultdict(dict)
        for one, value in zip(heard, values, strict=True):
            ratings[one.spoken.id, one.spoken.turn][one.listener] = value
        found[what] = alpha(ratings, level, resamples)
    return found
