"""The annotations of a run: what is asked of whom, and what they said.

    RUN/annotations/plan.json           what is asked: the sample, its deal, the criteria; pinned at the first start
    RUN/annotations/NAME.jsonl          what this annotator said, each time the whole opinion of a dialogue
    RUN/annotations/NAME.checks.jsonl   how this annotator did what the attention checks asked

The sample is of the judged dialogues, accepted and rejected alike, for of accepted ones alone nobody learns what a panel wrongly
rejects; where nothing was judged, of all that were held. Gold dialogues, whose right scores somebody knows, are asked of
everybody, and count as annotations only where the sample has them, too.

Law of the file: what was said is on the disk before `say` returns; what somebody has begun is never given to another.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from msgspec.structs import replace

from builder.config import resources
from builder.core.annotation import Annotation, Score
from builder.core.attention import Attention, Counted, Share, counted
from builder.core.criterion import Criterion
from builder.core.draw import Draw, seed_of
from builder.core.sample import deal, joined, sample
from builder.core.scenario import parse_id
from builder.errors import ConfigError, RunError, nearest
from builder.files import hold, put, read_text
from builder.records import Record, convert, encode
from builder.run.folder import Run
from builder.run.ledger import Ledger

_SIZE, _CHECK_EVERY, _OVERLAP = 500, 20, 5


class Gold(Record):
    """A dialogue whose right scores somebody knows."""

    id: str
    scores: dict[str, Score]
    """By criterion; one of which nothing is known is left out."""


class Wanted(Record):
    """What is asked for; None takes what the plan is pinned to, or the default."""

    sample: int | None = None
    """500 dialogues."""
    overlap: int | None = None
    """How many of them everybody annotates: a fifth."""
    check_every: int | None = None
    """20: so many dialogues have one attention check among them; 0 makes none."""
    spoken: bool | None = None
    """False; True samples only what every config has a recording of."""
    gold: dict[str, dict[str, Score]] | None = None
    """None are mixed in. By id, the right scores by criterion."""
    min_checks: Share | None = None
    """0: the share of attention checks, and of gold scores within 1, that an annotator must reach to count."""


class Plan(Record):
    """What is asked of whom."""

    seed: int
    sample: int
    overlap: int
    check_every: int
    spoken: bool
    gold: dict[str, dict[str, Score]]
    criteria: dict[str, Criterion | str]
    sampled: tuple[str, ...]
    """The sample, stratum by stratum."""
    shared: tuple[str, ...]
    """Those of them that everybody annotates."""
    dealt: dict[str, tuple[str, ...]]
    """By annotator the dialogues, in order."""
    checks: dict[str, tuple[str, ...]]
    """By annotator the dialogues that the attention checks hide in."""
    min_checks: Share = 0.0


class Check(Record):
    """An instructed response: one turn of a dialogue says what to answer.

    Source: Meade and Craig 2012, "Identifying careless responses in survey data".
    """

    turn: int
    """From 1."""
    expected: dict[str, Score]
    """Two different scores where there are two criteria, so that whoever always gives the same one fails."""

    @property
    def instruction(self) -> str:
        """What stands in place of the turn."""
        wanted = " and ".join(f"{score} for {name}" for name, score in self.expected.items())
        return f"This turn checks that dialogues are read: choose {wanted}, and what you like for the rest."


class Answer(Record):
    """What an annotator answered to an attention check."""

    id: str
    """`check-1` and so on."""
    dialogue: str
    check: Check
    scores: dict[str, Score]
    seconds: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is what was asked."""
        return all(self.scores.get(name) == score for name, score in self.check.expected.items())


class Item(NamedTuple):
    """One thing to annotate."""

    key: str
    """What it is called where ids would tell too much: the same for ever, and of this annotator alone."""
    dialogue: str
    number: int = 0
    """Of the attention check, from 1; 0 is a dialogue as it is."""
    check: Check | None = None


class Opinion(Record):
    """What an annotator thinks of one item."""

    scores: dict[str, Score] = {}
    reason: str = ""
    seconds: float = 0.0


class Standing(Record):
    """How far one annotator is."""

    annotator: str
    done: int
    """Dialogues with every criterion scored."""
    owed: int
    median_s: float | None
    """Seconds a dialogue; None where none is done."""
    passed: int
    checks: int
    """Attention checks answered; `passed` of them rightly."""
    near: int
    golden: int
    """Scores given where the right one is known; `near` of them within 1 of it."""
    last: float | None
    """When this annotator last said something, as POSIX time; None for never."""
    answers: int = 0
    """Dialogues of the sample with an opinion, if only in part."""

    @property
    def attention(self) -> Attention:
        """How attentive this annotator is."""
        return Attention(self.annotator, self.answers, self.passed, self.checks, self.near, self.golden)


class Annotations:
    """The annotations of a run, opened to be added to. One process at a time may; the run may be worked on meanwhile.

    Args:
        run: what is annotated.
        annotators: who takes part; those who are new are dealt in.
        wanted: what is asked for.

    Raises:
        ConfigError: the gold refers to what is not there.
        RunError: the plan is pinned to something else, or there is nothing to annotate, or another process has it open.
    """

    def __init__(self, run: Run, annotators: Iterable[str], wanted: Wanted) -> None:
        folder = _folder(run.folder)
        folder.mkdir(exist_ok=True)
        with ExitStack() as opening:
            try:
                hold(folder / ".lock", opening)
            except BlockingIOError:
                raise RunError(
                    f"another process serves the annotation of {run.folder}: stop that one first"
                ) from None
            self.plan = _pinned(run, sorted(set(annotators)), wanted)
            self._items = {
                name: {item.key: item for item in _items(self.plan, name)} for name in self.plan.dealt
            }
            self._said = {
                name: opening.enter_context(_said(run.folder, name, writable=True))
                for name in self.plan.dealt
            }
            self._answers = {
                name: opening.enter_context(_answers(run.folder, name, writable=True))
                for name in self.plan.dealt
            }
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def items(self, annotator: str) -> dict[str, Item]:
        """What an annotator is asked, by key, in order."""
        return self._items[annotator]

    def opinion(self, annotator: str, key: str) -> Opinion:
        """What an annotator said of an item, the last time."""
        item = self._items[annotator][key]
        said = (
            self._answers[annotator].get(_check_id(item))
            if item.check
            else self._said[annotator].get(item.dialogue)
        )
        if said is None:
            return Opinion()
        return Opinion(scores=said.scores, reason=said.reason, seconds=said.seconds or 0.0)

    def is_done(self, annotator: str, key: str) -> bool:
        """Whether every criterion is scored."""
        return _is_whole(self.opinion(annotator, key).scores, self.plan)

    def say(self, annotator: str, key: str, opinion: Opinion) -> None:
        """Keeps a whole opinion, in place of the one before. It is on the disk on return.

        Raises:
            KeyError: this annotator was not asked.
            ValueError: it has no score.
        """
        item = self._items[annotator][key]
        if item.check:
            answer = Answer(
                id=_check_id(item),
                dialogue=item.dialogue,
                check=item.check,
                **msgspec.structs.asdict(opinion),
            )
            self._answers[annotator].append(answer.id, answer)
            self._answers[annotator].sync()
        else:
            said = Annotation(id=item.dialogue, annotator=annotator, **msgspec.structs.asdict(opinion))
            self._said[annotator].append(said.id, said)
            self._said[annotator].sync()


def planned(folder: Path) -> Plan | None:
    """What is asked of whom; None where nobody was asked yet.

    Args:
        folder: the run's.

    Raises:
        RunError: it cannot be read.
    """
    path = _plan_of(folder)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan) if path.exists() else None
    except ValueError as error:
        raise RunError(f"{path}: cannot be read by this version: {error}") from None


def annotations(folder: Path, without: Collection[str] = ()) -> tuple[Annotation, ...]:
    """The latest annotation of each item by every annotator who counts; empty where the run has no sample.

    Args:
        folder: the run's.
        without: annotators to leave out, beside those whom the plan leaves out for their checks.

    Raises:
        ConfigError: one to leave out does not annotate.
        RunError: it cannot be read.
    """
    plan = planned(folder)
    return () if plan is None else _kept(folder, plan, heeded(folder, without).names)


def annotators(folder: Path) -> tuple[str, ...]:
    """The names of a run's annotators; empty where the run has no sample. Raises as `planned` does."""
    plan = planned(folder)
    return tuple(sorted(plan.dealt)) if plan else ()


def heeded(folder: Path, without: Collection[str] = ()) -> Counted:
    """The annotators who count, and what there is to say of the others; empty where the run has no sample.

    Args:
        folder: the run's.
        without: annotators to leave out.

    Raises:
        ConfigError: one to leave out does not annotate.
        RunError: it cannot be read.
    """
    plan, known = planned(folder), annotators(folder)
    for name in without:
        if name not in known:
            raise ConfigError(f"{name!r} is no annotator of {folder}: {nearest(name, known)}")
    if plan is None:
        return Counted((), ())
    people = (_standing(folder, plan, name).attention for name in known)
    return counted(people, plan.min_checks, without)


def _kept(folder: Path, plan: Plan, names: Iterable[str]) -> tuple[Annotation, ...]:
    kept, sampled = list[Annotation](), frozenset(plan.sampled)
    for name in names:
        with _said(folder, name) as said:
            kept += [one for one in said if one.id in sampled]
    return tuple(kept)


def standings(folder: Path, without: Collection[str] = ()) -> tuple[Standing, ...]:
    """How far every annotator of a run is, by name.

    Args:
        folder: the run's.
        without: annotators to leave out.

    Raises:
        RunError: nobody was asked yet, or it cannot be read.
    """
    plan = planned(folder)
    if plan is None:
        raise RunError(f"{folder}: nobody annotates it yet: `deepdialogue annotate {folder}` begins")
    return tuple(_standing(folder, plan, name) for name in sorted(plan.dealt) if name not in without)


def read_gold(path: Path) -> dict[str, dict[str, Score]]:
    """Reads what is known of some dialogues: one `{"id": ..., "scores": {...}}` a line.

    Raises:
        ConfigError: a line is something else; says which.
    """
    gold: dict[str, dict[str, Score]] = {}
    try:
        lines = read_text(path).split("\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                known = msgspec.json.decode(line, type=Gold)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f'{path}, line {number}: {error}: a line is {{"id": ..., "scores": {{"coherence": 4}}}}'
                ) from None
            gold[known.id] = known.scores
    return gold


def voices(run: Run, plan: Plan) -> tuple[str, ...]:
    """The configs in which an annotator may hear every dialogue that is asked about.

    One in which some cannot be heard is left out: only what a panel accepted is spoken, so silence would tell its decision.
    """
    asked = {*plan.sampled, *plan.gold}
    return tuple(config for config, spoken in run.recordings.items() if all(id in spoken for id in asked))


def _pinned(run: Run, annotators: Collection[str], wanted: Wanted) -> Plan:
    """The plan that the folder is pinned to, with whoever is new dealt in; it is on the disk."""
    old = planned(run.folder)
    if old is None:
        plan = _drawn(run, wanted)
        plan = replace(plan, dealt=dict(deal(plan.sampled, _everybodys(plan), annotators, plan.seed)))
    else:
        _check_unchanged(run.folder, old, wanted)
        plan, begun = old, {one.id for one in _kept(run.folder, old, old.dealt)}
        for name in annotators:
            if name not in plan.dealt:
                dealt = joined(plan.dealt, name, _everybodys(plan), begun, plan.seed)
                plan = replace(plan, dealt=dict(dealt))
    frame = _frame(run, spoken=plan.spoken)
    checks = {name: plan.checks.get(name) or _hidden(plan, name, frame) for name in plan.dealt}
    plan = replace(plan, checks=checks)
    if plan != old:
        put(_plan_of(run.folder), [encode(plan)])
    return plan


def _check_unchanged(folder: Path, plan: Plan, wanted: Wanted) -> None:
    for name in Wanted.__struct_fields__:
        asked, pinned = getattr(wanted, name), getattr(plan, name)
        if asked is not None and asked != pinned:
            option = f"--{name.replace('_', '-')}"
            change = f"another {option}" if name == "gold" else f"{option} {pinned}, not {asked}"
            raise RunError(
                f"{_plan_of(folder)} is pinned to {change}: leave the option out, or move {_folder(folder)} away, "
                "with all that was said, to begin anew"
            )


def _everybodys(plan: Plan) -> set[str]:
    """The dialogues that every annotator is asked about."""
    return {*plan.shared, *plan.gold}


def _frame(run: Run, *, spoken: bool) -> list[str]:
    """What the sample is drawn from."""
    held = run.dialogues.ids()
    ids = [id for id in held if id in run.reviews] or held
    if spoken:
        made = [ledger for ledger in run.recordings.values() if len(ledger)]
        ids = [id for id in ids if made and all(id in ledger for ledger in made)]
    if not ids:
        what = "dialogue with a recording in every config" if spoken else "dialogue"
        raise RunError(f"{run.folder} holds no {what}: there is nothing to annotate")
    return ids


def _drawn(run: Run, wanted: Wanted) -> Plan:
    """A plan that nobody was dealt anything of yet."""
    seed, criteria, gold = run.study.seed, _criteria(run), wanted.gold or {}
    for id, scores in gold.items():
        if id not in run.dialogues:
            raise ConfigError(f"the gold names the dialogue {id!r}: {run.folder} holds none of that id")
        for name in scores:
            if name not in criteria:
                raise ConfigError(f"the gold scores {id!r} on {name!r}: {nearest(name, criteria)}")
    size = wanted.sample or _SIZE
    sampled = sample(_frame(run, spoken=bool(wanted.spoken)), size, seed)
    overlap = len(sampled) // _OVERLAP if wanted.overlap is None else wanted.overlap
    return Plan(
        seed=seed,
        sample=size,
        overlap=overlap,
        check_every=_CHECK_EVERY if wanted.check_every is None else wanted.check_every,
        spoken=bool(wanted.spoken),
        gold=gold,
        criteria=criteria,
        sampled=sampled,
        shared=sample(sampled, overlap, seed, "overlap") if overlap else (),
        dealt={},
        checks={},
        min_checks=wanted.min_checks or 0.0,
    )


def _criteria(run: Run) -> dict[str, Criterion | str]:
    """What the study's judges score by criteria, so that people score the same; the first of a name counts."""
    criteria: dict[str, Criterion | str] = {}
    for judge in run.plugins.judges().values():
        criteria = {**getattr(judge, "criteria", {}), **criteria}
    shipped = resources("configs") / "prompts" / "criteria.toml"
    return criteria or convert(
        tomllib.loads(shipped.read_text("utf-8")), dict[str, Criterion | str], str(shipped)
    )


def _hidden(plan: Plan, name: str, frame: Collection[str]) -> tuple[str, ...]:
    """The dialogues that an annotator's checks hide in: others than are asked about, as long as there are some."""
    own = plan.dealt[name]
    pools = ({*plan.sampled, *plan.gold}, own, ())
    pool = next(left for pool in pools if (left := sorted(set(frame) - {*pool})))
    draw = Draw(plan.seed, "checks", name)
    return tuple(
        draw.choice(pool) for _ in range(round(len(own) / plan.check_every) if plan.check_every else 0)
    )


def _items(plan: Plan, name: str) -> list[Item]:
    """What an annotator is asked, in order: the dialogues, and in every so many of them a check."""
    items = [Item(_key(plan, name, id), id) for id in plan.dealt[name]]
    for number, id in enumerate(plan.checks[name], start=1):
        draw = Draw(plan.seed, "check", name, str(number))
        check = _drawn_check(draw, [*plan.criteria], parse_id(id).num_turns)
        place = (number - 1) * (plan.check_every + 1) + draw.index(plan.check_every)
        items.insert(place, Item(_key(plan, name, f"check {number}"), id, number, check))
    return items


def _drawn_check(draw: Draw, criteria: list[str], turns: int) -> Check:
    turn = min(turns, 2 + draw.index(max(1, turns - 1)))
    first, score = draw.index(len(criteria)), 1 + draw.index(5)
    expected = {criteria[first]: score}
    if len(criteria) > 1:
        second = (first + 1 + draw.index(len(criteria) - 1)) % len(criteria)
        expected[criteria[second]] = (score + draw.index(4)) % 5 + 1
    return Check(turn=turn, expected=expected)


def _key(plan: Plan, name: str, what: str) -> str:
    return f"{seed_of(plan.seed, 'item', name, what, bits=64):016x}"


def _check_id(item: Item) -> str:
    return f"check-{item.number}"


def _is_whole(scores: Mapping[str, int], plan: Plan) -> bool:
    return plan.criteria.keys() <= scores.keys()


def _standing(folder: Path, plan: Plan, name: str) -> Standing:
    with _said(folder, name) as said, _answers(folder, name) as answers:
        known = {one.id: one for one in said}
        whole = [known[id] for id in plan.dealt[name] if id in known and _is_whole(known[id].scores, plan)]
        checked = [one.passed for one in answers if _is_whole(one.scores, plan)]
    apart = [
        abs(known[id].scores[criterion] - right)
        for id, scores in plan.gold.items()
        if id in known
        for criterion, right in scores.items()
        if criterion in known[id].scores
    ]
    return Standing(
        annotator=name,
        done=len(whole),
        owed=len(plan.dealt[name]) - len(whole),
        median_s=median(one.seconds or 0.0 for one in whole) if whole else None,
        passed=sum(checked),
        checks=len(checked),
        near=sum(distance <= 1 for distance in apart),
        golden=len(apart),
        last=said.path.stat().st_mtime if known else None,
        answers=len(known.keys() & set(plan.sampled)),
    )


def _folder(run: Path) -> Path:
    return run / "annotations"


def _plan_of(run: Path) -> Path:
    return _folder(run) / "plan.json"


def _said(run: Path, name: str, *, writable: bool = False) -> Ledger[Annotation]:
    return Ledger(_folder(run) / f"{name}.jsonl", Annotation, writable=writable, latest=True)


def _answers(run: Path, name: str, *, writable: bool = False) -> Ledger[Answer]:
    return Ledger(_folder(run) / f"{name}.checks.jsonl", Answer, writable=writable, latest=True)
