"""quality: what the panel of models scored, by place in the dialogue, by its length and by the size of the models.

Law of the file: a dialogue counts once wherever its turns are averaged, for they are not independent; what rules rejected was
never shown to the panel, and is not in these means.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from builder.core.interval import Interval, mean
from builder.evidence.findings import (
    Absent,
    Column,
    Evidence,
    Finding,
    Forest,
    Lines,
    Series,
    Table,
    cells,
    spread,
    told,
)

ORDER = 20
_TITLE = "How good the dialogues are"

_Groups = Mapping[tuple[str, float], Interval]
"""By criterion and what the dialogues are grouped by."""


def find(evidence: Evidence) -> Finding | Absent:
    """Averages."""
    held = evidence.held
    if not held.scores:
        reason = (
            "no model scored a dialogue: a study with a rubric judge and `deepdialogue judge` give scores"
            if evidence.judged.any()
            else evidence.unjudged
        )
        return Absent(title=_TITLE, reason=reason)
    by_turns = _grouped(held.scores, held.num_turns)
    smaller = _sizes(evidence).min(axis=1)[held.pairing]
    by_size = _grouped(held.scores, smaller)
    by_position = {
        (name, float(position + 1)): mean(values[held.position == position])
        for name, values in held.turn_scores.items()
        for position in np.unique(held.position)
    }
    by_model = _by_model(evidence)
    charts = [_lines("by_turns", "Scores by number of turns", "turns of the dialogue", by_turns)]
    tables = [
        _table("by_turns", "By number of turns", Column(name="turns", decimals=0), by_turns),
        _table(
            "by_size",
            "By the size of the smaller model of the two",
            Column(name="smaller model", unit="billion parameters", decimals=0),
            by_size,
        ),
    ]
    if len({size for _, size in by_size}) > 1:
        charts.append(
            _lines(
                "by_size",
                "Scores by the size of the smaller model of the two",
                "smaller model (billion parameters)",
                by_size,
            )
        )
    if held.turn_scores:
        charts.insert(0, _lines("by_position", "Scores by place in the dialogue", "turn", by_position))
        tables.insert(
            0, _table("by_position", "By place in the dialogue", Column(name="turn", decimals=0), by_position)
        )
        tables.append(_model_table(evidence, by_model))
    return Finding(
        title=_TITLE,
        says=_says(evidence, by_turns),
        tables=tuple(tables),
        charts=(*charts, *_model_chart(evidence, by_model)),
    )


def _grouped(scores: Mapping[str, NDArray[np.float32]], group: NDArray[np.generic]) -> _Groups:
    return {
        (name, float(value)): mean(values[group == value])
        for name, values in scores.items()
        for value in np.unique(group)
    }


def _sizes(evidence: Evidence) -> NDArray[np.float64]:
    """Of the first and the second model of every pairing, in billions of parameters: of shape (pairings, 2)."""
    models = evidence.vocabulary.models
    return np.array(
        [
            [models[pairing.first].billion_parameters, models[pairing.second].billion_parameters]
            for pairing in evidence.vocabulary.pairings.values()
        ]
    )


def _by_model(evidence: Evidence) -> dict[str, dict[str, Interval]]:
    """By criterion scored turn by turn, the mean of every model's own turns; models by size."""
    held, vocabulary = evidence.held, evidence.vocabulary
    models = sorted(vocabulary.models, key=lambda name: (vocabulary.models[name].billion_parameters, name))
    speakers = np.array(
        [(models.index(pair.first), models.index(pair.second)) for pair in vocabulary.pairings.values()]
    )
    speaker = speakers[np.repeat(held.pairing, held.num_turns), held.position % 2]
    means = {
        criterion: {
            name: mean(held.by_dialogue(values, speaker == place)) for place, name in enumerate(models)
        }
        for criterion, values in held.turn_scores.items()
    }
    return {
        criterion: {name: found for name, found in by_model.items() if found.items}
        for criterion, by_model in means.items()
    }


def _lines(name: str, title: str, x_axis: str, groups: _Groups) -> Lines:
    criteria, x = _axes(groups)
    return Lines(
        name=name,
        title=title,
        axis=_axis(criteria),
        x_axis=x_axis,
        x=x,
        series=tuple(
            Series.of(criterion, (groups[criterion, value] for value in x)) for criterion in criteria
        ),
    )


def _table(name: str, title: str, first: Column, groups: _Groups) -> Table:
    return Table(
        name=name,
        title=title,
        columns=(Column(name="criterion"), first, Column(name="dialogues"), *spread("mean", "1 to 5", 2)),
        rows=tuple(
            (criterion, value, found.items, *cells(found))
            for (criterion, value), found in groups.items()
            if found.items
        ),
    )


def _axis(criteria: Sequence[str]) -> str:
    """A single criterion has no legend, so the axis names it."""
    return f"mean score{f' for {criteria[0]}' if len(criteria) == 1 else ''} (1 to 5)"


def _axes(groups: _Groups) -> tuple[Sequence[str], tuple[float, ...]]:
    criteria = list(dict.fromkeys(criterion for criterion, _ in groups))
    return criteria, tuple(sorted({value for _, value in groups}))


def _model_table(evidence: Evidence, by_model: Mapping[str, Mapping[str, Interval]]) -> Table:
    models = evidence.vocabulary.models
    return Table(
        name="by_model",
        title="Of the turns that each model spoke itself",
        columns=(
            Column(name="criterion"),
            Column(name="model"),
            Column(name="size", unit="billion parameters", decimals=0),
            Column(name="dialogues"),
            *spread("mean", "1 to 5", 2),
        ),
        rows=tuple(
            (criterion, name, models[name].billion_parameters, found.items, *cells(found))
            for criterion, means in by_model.items()
            for name, found in means.items()
        ),
    )


def _model_chart(evidence: Evidence, by_model: Mapping[str, Mapping[str, Interval]]) -> tuple[Forest, ...]:
    models = evidence.vocabulary.models
    names = list(dict.fromkeys(name for means in by_model.values() for name in means))
    if not names:
        return ()
    nothing = Interval(None, None, None, 0)
    return (
        Forest(
            name="by_model",
            title="Scores of the turns each model spoke",
            axis=_axis(list(by_model)),
            labels=tuple(f"{name} ({models[name].billion_parameters:g} B)" for name in names),
            series=tuple(
                Series.of(criterion, (means.get(name, nothing) for name in names))
                for criterion, means in by_model.items()
            ),
        ),
    )


def _says(evidence: Evidence, by_turns: _Groups) -> str:
    held = evidence.held
    sentences = []
    for criterion, values in held.turn_scores.items():
        steps = values[held.start[1:] - 1] - values[held.start[:-1]]
        step = mean(steps[held.num_turns > 1])
        moved = told(step, "points", decimals=2)
        sentences.append(
            f"From a dialogue's first turn to its last the score for {criterion} moves by {moved}."
        )
    criteria, lengths = _axes(by_turns)
    if len(lengths) > 1:
        moves = [
            (
                (by_turns[name, lengths[-1]].value or 0) - (by_turns[name, lengths[0]].value or 0),
                name,
            )
            for name in criteria
            if by_turns[name, lengths[0]].items and by_turns[name, lengths[-1]].items
        ]
        if moves:
            fall, name = min(moves)
            sentences.append(
                f"Between dialogues of {lengths[0]:.0f} and of {lengths[-1]:.0f} turns, {name} changes most for the worse: from "
                f"{told(by_turns[name, lengths[0]], decimals=2)} to {told(by_turns[name, lengths[-1]], decimals=2)}."
                if fall < 0
                else f"No criterion scores lower in dialogues of {lengths[-1]:.0f} turns than of {lengths[0]:.0f}."
            )
    scored = max(int((~np.isnan(values)).sum()) for values in held.scores.values())
    sentences.append(
        f"The panel scored {scored:,} of {len(held.ids):,} dialogues; what rules rejected first was not shown to it."
    )
    return " ".join(sentences)
