"""The panel of judges: what they did, how far they agree with each other and with people, and the rule by which they agree best.

One half of the annotated dialogues chooses weights and thresholds, the other says how good they are (`is_fitted_on`).
Law of the file: it looks at recorded votes and annotations only; what it suggests it never applies.
"""

import heapq
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from builder.core.agreement import (
    Calibration,
    Estimate,
    Item,
    Resamples,
    alpha,
    calibrate,
    cohen,
    consensus,
    is_fitted_on,
    weights,
)
from builder.core.annotation import Annotation
from builder.core.checkpoint import Answered, alike, answered, groups, joined
from builder.core.draw import seed_of
from builder.core.interval import Interval
from builder.core.verdict import Acceptance, Heard, Review, Verdict, decide, heard, panel_score
from builder.records import Record
from builder.run.folder import Run

MOST_DIALOGUES = 2000
"""Agreement among judges is measured on so many dialogues, drawn by a hash of seed and id: of 65,600 the bootstrap would hold a
gigabyte, and of two thousand an alpha of 0.5 has an interval 0.05 wide."""
PASSING = 3.0
"""People accept a dialogue that they score so on every criterion: on their scale 1 is unusable, 5 without a flaw."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Judged(Record):
    """What one checkpoint did as a judge."""

    checkpoint: str
    """Empty where that was not recorded."""
    rehearsal: bool
    """Whether it is a stand-in."""
    verdicts: int
    abstentions: int
    own: int
    """Of both together, those on dialogues in which it also spoke."""

    @property
    def abstained(self) -> float:
        """The share, in 0..1."""
        return self.abstentions / (self.verdicts + self.abstentions)


class Votes(Record):
    """What one judge did."""

    verdicts: int
    abstentions: int
    rubrics: tuple[str, ...]
    """The versions it judged by."""
    judged: tuple[Judged, ...] = ()
    """The same by what judged."""

    @property
    def abstained(self) -> float:
        """The share, in 0..1."""
        return self.abstentions / (self.verdicts + self.abstentions)

    @property
    def own(self) -> int:
        """Votes and abstentions on dialogues in which what judged also spoke."""
        return sum(one.own for one in self.judged)


class Bench(Record):
    """What the judges did, each by itself."""

    judges: dict[str, Votes]
    """Of those who were asked."""

    @property
    def own(self) -> int:
        """Votes and abstentions on dialogues in which what judged also spoke."""
        return sum(votes.own for votes in self.judges.values())

    @property
    def same(self) -> list[tuple[str, ...]]:
        """The judges that are one in different words, since one checkpoint judged as all of them."""
        served = {name: [one.checkpoint for one in votes.judged] for name, votes in self.judges.items()}
        together = groups(
            served, lambda one, other: any(alike(a, b) for a in served[one] for b in served[other])
        )
        return [names for names in together if len(names) > 1]

    @property
    def told(self) -> list[str]:
        """What of the judges is not as it seems, in sentences."""
        found = [
            f"The judges {', '.join(names)} are one judge in different words, and count once: "
            f"{joined(one.checkpoint for name in names for one in self.judges[name].judged)} judged as all of them."
            for names in self.same
        ]
        stand_ins = [
            name for name, votes in self.judges.items() if any(one.rehearsal for one in votes.judged)
        ]
        if stand_ins:
            found.insert(0, f"A stand-in judged as {', '.join(stand_ins)}: what it says is no judgement.")
        own = {name: votes for name, votes in self.judges.items() if votes.own}
        if own:
            which = ", ".join(
                f"{name} {votes.own:,} of {votes.verdicts + votes.abstentions:,}"
                for name, votes in own.items()
            )
            found.append(f"Judges judged dialogues in which they also spoke: {which}.")
        return found


class Panel(Bench):
    """What the judges did, and how far they agree."""

    alphas: dict[str, Estimate]
    """By criterion: Krippendorff's alpha of the judges' scores, ordinal. Of turns where turns are scored, else of dialogues.
    Judges that are one count once."""
    shared: int
    """Dialogues with the verdicts of two judges or more that are not one."""
    drawn: int
    """Those of them that the alphas are of."""


def asked(run: Run) -> tuple[str, ...]:
    """The judges of a run that ask a model, in the study's order."""
    return tuple(name for name, judge in run.plugins.judges().items() if judge.models())


def answered_judges(run: Run, found: Bench) -> tuple[Answered, ...]:
    """What judged as every model that is asked to, held against what the study asks for."""
    counts = Counter[tuple[str, str]]()
    for name, judge in run.plugins.judges().items():
        for model in judge.models() if name in found.judges else ():
            for one in found.judges[name].judged:
                counts[model, one.checkpoint] += one.verdicts + one.abstentions
    return answered({name: model.checkpoint for name, model in run.study.vocabulary.models.items()}, counts)


class _Counts:
    """Counts what these judges did, review by review."""

    def __init__(self, judges: Collection[str]) -> None:
        self._judges = judges
        self._verdicts, self._abstentions, self._own = (Counter[tuple[str, str, bool]]() for _ in range(3))
        self._rubrics: dict[str, set[str]] = defaultdict(set)

    def add(self, review: Review) -> list[Verdict]:
        """Counts a review, and gives the verdicts of these judges."""
        verdicts = [verdict for verdict in review.verdicts if verdict.judge in self._judges]
        for counts, votes in ((self._verdicts, verdicts), (self._abstentions, review.abstentions)):
            for vote in votes:
                key = vote.judge, vote.checkpoint, vote.rehearsal
                counts[key] += 1
                self._own[key] += vote.own
        for verdict in verdicts:
            self._rubrics[verdict.judge].add(verdict.rubric)
        return verdicts

    def votes(self) -> dict[str, Votes]:
        """By judge, of those who were asked."""
        found = {}
        for name in self._judges:
            keys = sorted(key for key in self._verdicts.keys() | self._abstentions.keys() if key[0] == name)
            if keys:
                found[name] = Votes(
                    verdicts=sum(self._verdicts[key] for key in keys),
                    abstentions=sum(self._abstentions[key] for key in keys),
                    rubrics=tuple(sorted(filter(None, self._rubrics[name]))),
                    judged=tuple(
                        Judged(
                            checkpoint=key[1],
                            rehearsal=key[2],
                            verdicts=self._verdicts[key],
                            abstentions=self._abstentions[key],
                            own=self._own[key],
                        )
                        for key in keys
                    ),
                )
        return found


def bench(reviews: Iterable[Review], judges: Collection[str]) -> Bench:
    """What the judges that ask a model did, without how far they agree; every review is looked at once."""
    counts = _Counts(judges)
    for review in reviews:
        counts.add(review)
    return Bench(judges=counts.votes())


def panel(reviews: Iterable[Review], judges: Collection[str], seed: int) -> Panel:
    """Looks at every review once.

    Args:
        reviews: in any order; one at a time is in memory, and the verdicts of `MOST_DIALOGUES`.
        judges: those that ask a model.
        seed: the study's.
    """
    counts = _Counts(judges)
    drawn: list[tuple[int, str, list[Heard]]] = []
    shared = 0
    for review in reviews:
        given = heard(counts.add(review))
        if len(given) > 1:
            shared += 1
            keep = heapq.heappush if len(drawn) < MOST_DIALOGUES else heapq.heappushpop
            keep(drawn, (-seed_of(seed, "judges", review.id, bits=64), review.id, given))

    ratings: dict[str, dict[Item, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for _, id, given in drawn:
        for voice in given:
            for criterion, score in voice.scores.items():
                turns = voice.turns.get(criterion)
                for place, one in enumerate(turns, 1) if turns else [(0, score)]:
                    ratings[criterion][id, place][joined(voice.judges)] = one
    resamples = Resamples(seed)
    return Panel(
        judges=counts.votes(),
        alphas={name: alpha(ratings[name], "ordinal", resamples) for name in sorted(ratings)},
        shared=shared,
        drawn=len(drawn),
    )


class Calibrated(Record):
    """The panel held against people."""

    dialogues: int
    """Annotated and judged."""
    annotators: int
    accepted_only: bool
    """Whether the rule in force accepts all of them: then nothing is known of what it wrongly rejects."""
    judges: dict[str, dict[str, Calibration]]
    """By criterion and judge."""
    panel: dict[str, Calibration]
    """By criterion: the panel's mean score by the suggested weights, in tenths."""
    suggested: Acceptance
    """The rule `mean` with weights and thresholds by criterion, as chosen on one half."""
    left: dict[str, str]
    """Criteria for which nothing else can be suggested, and why."""
    in_force: Estimate
    """Cohen's kappa of the decisions by the rule in force with the people's, in the half that is reported on."""
    by_suggested: Estimate
    """The same by the suggested rule."""


def calibrated(
    reviews: Mapping[str, Review],
    annotations: Iterable[Annotation],
    judges: Collection[str],
    acceptance: Acceptance,
    seed: int,
    passing: float = PASSING,
) -> Calibrated:
    """Holds every judge against people on every criterion, and suggests a rule by which they agree best.

    Judges use the scale differently, each with a best threshold of its own, and a criterion has but one. So what is suggested
    is the rule `mean`: the panel's mean score, each judge weighted by its agreement with people on the criterion, against the
    threshold at which that mean agrees with people best. Scores count in tenths, for a finer threshold would only fit the sample.

    Args:
        reviews: of the annotated dialogues, by id.
        annotations: in the order they were given; those of dialogues without a review do not count.
        judges: those that ask a model.
        acceptance: the rule in force.
        seed: the study's.
        passing: people accept a dialogue of at least this score on every criterion.
    """
    given = [one for one in annotations if one.scores and one.id in reviews]
    people = consensus(given)
    reviews = {id: reviews[id] for id in sorted({one.id for one in given})}
    scores: dict[str, dict[str, dict[str, float]]] = {criterion: defaultdict(dict) for criterion in people}
    for id, review in reviews.items():
        for verdict in review.verdicts:
            for criterion in people.keys() & verdict.scores if verdict.judge in judges else ():
                scores[criterion][verdict.judge][id] = _tenths(verdict.scores[criterion])

    earned: dict[str, dict[str, float]] = {}
    means: dict[str, Calibration] = {}
    for criterion in [name for name in people if name in (acceptance.thresholds or people)]:
        kappas = {judge: _fitted(scores[criterion][judge], people[criterion], seed) for judge in judges}
        earned[criterion] = {judge: round(weight, 2) for judge, weight in weights(kappas).items()}
        weighed = Acceptance(
            thresholds={criterion: passing},
            weights={judge: {criterion: weight} for judge, weight in earned[criterion].items()},
            own=acceptance.own,
        )
        marks = {id: panel_score(review, criterion, weighed) for id, review in reviews.items()}
        tenths = {id: _tenths(mark) for id, mark in marks.items() if mark is not None}
        means[criterion] = calibrate(tenths, people[criterion], passing, seed)
    suggested = _suggested(acceptance, judges, earned, means)
    decided = {id: min(held[id] for held in people.values() if id in held) >= passing for id in reviews}
    return Calibrated(
        dialogues=len(reviews),
        annotators=len({one.annotator for one in given}),
        accepted_only=all(decide(one, acceptance).outcome == "accepted" for one in reviews.values()),
        judges={
            criterion: {
                judge: calibrate(by_id, people[criterion], passing, seed)
                for judge, by_id in sorted(by_judge.items())
            }
            for criterion, by_judge in scores.items()
        },
        panel=means,
        suggested=suggested,
        left={
            criterion: "people did not score it"
            if criterion not in means
            else "no judge agrees with people beyond chance"
            if not any(earned[criterion].values())
            else means[criterion].held_out.reason
            for criterion in acceptance.thresholds
            if criterion not in means or means[criterion].threshold is None
        },
        in_force=_decisions(reviews, decided, acceptance, seed),
        by_suggested=_decisions(reviews, decided, suggested, seed),
    )


def calibration(run: Run, annotations: Iterable[Annotation], passing: float = PASSING) -> Calibrated | None:
    """The same of a run; None where nobody annotated a dialogue that is judged."""
    given = list(annotations)
    reviews = {id: review for id in sorted({one.id for one in given}) if (review := run.reviews.get(id))}
    study = run.study
    found = calibrated(reviews, given, asked(run), study.acceptance, study.seed, passing)
    return found if found.dialogues else None


def _fitted(judge: Mapping[str, float], people: Mapping[str, float], seed: int) -> float | None:
    """A judge's agreement with people in the half to choose on."""
    shared = [id for id in judge.keys() & people if is_fitted_on(id, seed)]
    ratings = {(id, 0): {"judge": judge[id], "people": people[id]} for id in shared}
    return cohen(ratings, ("judge", "people"), "ordinal", Resamples(seed)).value


def _tenths(score: float) -> float:
    """Rounded down, so that it reaches a threshold in tenths if and only if the score does."""
    return math.floor(score * 10 + 1e-9) / 10


def _suggested(
    acceptance: Acceptance,
    judges: Collection[str],
    earned: Mapping[str, Mapping[str, float]],
    means: Mapping[str, Calibration],
) -> Acceptance:
    thresholds = {name: one.threshold for name, one in means.items() if one.threshold is not None}
    weighed: dict[str, dict[str, float] | float] = {}
    for judge in judges:
        by_criterion = {
            criterion: earned[criterion][judge]
            if criterion in thresholds
            else acceptance.weight(judge, criterion)
            for criterion in acceptance.thresholds | thresholds
        }
        if table := {criterion: weight for criterion, weight in by_criterion.items() if weight != 1}:
            weighed[judge] = table
    votes = (sum(map(bool, earned[criterion].values())) for criterion in thresholds)
    return Acceptance(
        thresholds=acceptance.thresholds | thresholds,
        rule="mean",
        quorum=min([acceptance.quorum, *votes]),
        weights=weighed,
        own=acceptance.own,
    )


def _decisions(
    reviews: Mapping[str, Review], people: Mapping[str, bool], acceptance: Acceptance, seed: int
) -> Estimate:
    outcomes = {
        id: decide(one, acceptance).outcome for id, one in reviews.items() if not is_fitted_on(id, seed)
    }
    ratings = {
        (id, 0): {"panel": float(outcome == "accepted"), "people": float(people[id])}
        for id, outcome in outcomes.items()
        if outcome != "undecided"
    }
    return cohen(ratings, ("panel", "people"), "nominal", Resamples(seed))


def told(estimate: Estimate) -> str:
    """A coefficient with its interval, as it is printed."""
    if estimate.value is None:
        return "–"
    if estimate.interval is None:
        return f"{estimate.value:.2f}"
    low, high = estimate.interval
    return f"{estimate.value:.2f} [{low:.2f}, {high:.2f}]"


def toml(acceptance: Acceptance) -> str:
    """A rule as it stands in a study."""
    lines = [
        "[acceptance]",
        f'rule = "{acceptance.rule}"',
        f"quorum = {acceptance.quorum}",
        *([f'own = "{acceptance.own}"'] if acceptance.own != "count" else []),
        f"thresholds = {_inline(acceptance.thresholds)}",
    ]
    if acceptance.weights:
        weights = {
            judge: _inline(one) if isinstance(one, dict) else one for judge, one in acceptance.weights.items()
        }
        lines += ["", "[acceptance.weights]", *(f"{_key(judge)} = {one}" for judge, one in weights.items())]
    return "\n".join(lines)


def _inline(numbers: Mapping[str, float]) -> str:
    return "{ " + ", ".join(f"{_key(name)} = {number!r}" for name, number in numbers.items()) + " }"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def interval(estimate: Estimate) -> Interval:
    """A coefficient as other numbers with an interval are."""
    low, high = estimate.interval or (None, None)
    return Interval(estimate.value, low, high, estimate.items)
