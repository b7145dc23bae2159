"""A run folder as a source, also one that is worked on.

Law of the file: it shows the ledgers as they were when it was opened, and writes nothing.
"""

import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builder.core.annotation import Annotation
from builder.core.row import Row, spoken_row, text_row
from builder.core.scenario import parse_id, split_of
from builder.core.verdict import Acceptance, Review, decide
from builder.files import listed
from builder.people.annotations import annotations
from builder.people.catalogue._source import Entry, Outcome, mean
from builder.run.failures import Failure
from builder.run.folder import Run


class RunSource:
    """The dialogues of a run, and those that were lost."""

    def __init__(self, folder: Path) -> None:
        run = self._run = Run(folder, writable=False)
        weakref.finalize(self, run.__exit__, None, None, None)
        rehearsal = ", a rehearsal" if run.pin.rehearsal else ""
        self.title = f"Run of study {run.study.name!r}{rehearsal}"
        self.acceptance: Acceptance | None = run.study.acceptance
        self.configs = tuple(config for config, ledger in run.recordings.items() if len(ledger))
        self._ravdess = run.study.vocabulary.ravdess()
        self._failures: defaultdict[str, list[tuple[str, Failure]]] = defaultdict(list)
        for work in dict.fromkeys(
            path.name.partition(".")[0] for path in listed((folder / "failures").glob("*.jsonl"))
        ):
            for failure in run.failures.unresolved(work):
                # What ingest could not take in is named after its engine, too.
                self._failures[failure.id.rpartition(":")[2]].append((work, failure))
        self._annotations = annotations(folder)
        self._lost = [id for id in self._failures if id not in run.dialogues and _is_id(id)]
        self.total = len(run.dialogues) + len(self._lost)

    def entries(self) -> Iterator[Entry]:
        run = self._run
        for id in (*run.dialogues.ids(), *self._lost):
            review = run.reviews.get(id)
            yield Entry(
                id,
                split_of(id, run.study.splits, run.study.seed),
                self.emotions(id, None),
                self._outcome(id, review),
                mean((one.judge, *given) for one in review.verdicts for given in one.scores.items())
                if review
                else np.nan,
            )

    def _outcome(self, id: str, review: Review | None) -> Outcome:
        if id not in self._run.dialogues:
            return "failed"
        if not self._run.study.judges:
            return "accepted"
        return decide(review, self._run.study.acceptance).outcome if review else "not judged"

    def spoken(self, config: str, positions: Mapping[str, int]) -> NDArray[np.bool_]:
        recordings = self._run.recordings[config]
        return np.fromiter((id in recordings for id in positions), np.bool_, len(positions))

    def row(self, id: str, position: int, config: str | None) -> Row | None:  # noqa: ARG002
        run = self._run
        if id not in run.dialogues:
            return None
        dialogue, study = run.dialogues[id], run.study
        pairing, split = study.vocabulary.pairings[dialogue.pairing], split_of(id, study.splits, study.seed)
        row = text_row(dialogue, pairing, split, run.reviews.get(id), self._ravdess)
        if config is not None:
            row = spoken_row(row, run.recordings[config][id], [])
            del row["audio"]
        return row

    def emotions(self, id: str, row: Row | None) -> tuple[str, ...]:  # noqa: ARG002
        if id in self._run.dialogues:
            return tuple(turn.emotion for turn in self._run.dialogues[id].turns)
        scenario = self._run.scenarios.get(id)
        return scenario.emotions if scenario else ()

    def review(self, id: str, row: Row | None) -> Review | None:  # noqa: ARG002
        return self._run.reviews.get(id)

    def failures(self, id: str) -> tuple[tuple[str, Failure], ...]:
        return tuple(self._failures.get(id, ()))

    def annotations(self, id: str) -> tuple[Annotation, ...]:
        return tuple(one for one in self._annotations if one.id == id)

    def clip(self, id: str, position: int, config: str, turn: int) -> bytes:  # noqa: ARG002
        return self._run.audio(config).clip(self._run.recordings[config][id], turn)

    def texts(self, positions: NDArray[np.int64]) -> Iterator[tuple[int, list[str]]]:
        ids = self._run.dialogues.ids()
        for position in positions.tolist():
            if position < len(ids):
                yield position, [turn.text for turn in self._run.dialogues[ids[position]].turns]


def _is_id(id: str) -> bool:
    try:
        parse_id(id)
    except ValueError:
        return False
    return True
