"""speech: whether an emotion can be heard in the clips, by config, and how often they had to be spoken.

Law of the file: clips are compared within a speaker of a dialogue (`builder.core.effect`); what was not measured is said.
"""

from collections.abc import Mapping

from builder.core.effect import Effect
from builder.core.emotion import RAVDESS
from builder.core.interval import Interval, share
from builder.evidence.findings import (
    Absent,
    Column,
    Evidence,
    Finding,
    Forest,
    Heat,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.evidence.sounds import Sound, by_count
from builder.terminal import bar

ORDER = 70
_TITLE = "Does the emotion reach the sound?"
_EFFECT = "Hedges' g, in standard deviations within a speaker"


def find(evidence: Evidence) -> Finding | Absent:
    """Reads every recording and what was measured of it."""
    run = evidence.run
    spoken = {config: ledger for config, ledger in run.recordings.items() if len(ledger)}
    if not spoken:
        return Absent(
            title=_TITLE,
            reason=f"nothing is spoken: `deepdialogue synthesize --run {run.folder}` with a site speaks what was accepted",
        )
    sounds = {}
    with bar("hear", sum(map(len, spoken.values()))) as progress:
        for config, recordings in spoken.items():
            sounds[config] = sound = Sound(run, config)
            for id in sorted(id for id in recordings.ids() if id in run.dialogues):
                sound.add(id, [turn.emotion for turn in run.dialogues[id].turns])
                progress.advance()
    return Finding(
        title=_TITLE,
        says=" ".join(_says(config, sound) for config, sound in sounds.items()),
        tables=tuple(table for table in _tables(sounds) if table.rows),
        charts=tuple(
            chart for place, pair in enumerate(sounds.items(), 1) for chart in _charts(place, *pair)
        ),
    )


def _interval(effect: Effect | None) -> Interval:
    if effect is None:
        return Interval(None, None, None, 0)
    return Interval(effect.g, effect.low, effect.high, effect.first + effect.second)


def _says(config: str, sound: Sound) -> str:
    engines = ", ".join(sorted(sound.engines))
    spoken = f"{config} ({engines}) has {sound.recordings:,} recordings of {sound.clips:,} clips"
    again = f"{told(share(sound.again, sound.clips), '%', 100)} of the clips were spoken more than once"
    if not sound.heard.numbers:
        return f"{spoken}; {again}. None is measured: `deepdialogue measure` does."
    effects = {
        (number, title): effect
        for number in sound.heard.numbers
        for title, effect in zip(sound.contrasts, sound.effects(number), strict=True)
        if effect is not None
    }
    heard = f"{spoken}, {sound.measured:,} of them measured; {again}."
    if not effects:
        return f"{heard} There is too little to compare emotions."
    clear = [key for key, one in effects.items() if not one.low <= 0 <= one.high]
    number, title = most = max(effects, key=lambda key: abs(effects[key].g))
    return (
        f"{heard} Of {len(effects)} contrasts between emotions {len(clear)} have an interval without 0, and "
        f"{len(effects) / 20:.1f} would by chance; the largest is {title} in {number}, "
        f"{told(_interval(effects[most]), decimals=2)}."
    )


def _tables(sounds: Mapping[str, Sound]) -> list[Table]:
    config, number = Column(name="config"), Column(name="number")
    return [
        Table(
            name="clips",
            title="Clips and how often they were spoken",
            columns=(
                config,
                Column(name="engine"),
                Column(name="recordings"),
                Column(name="measured"),
                Column(name="clips"),
                *spread("spoken again", "%"),
            ),
            rows=tuple(
                (
                    name,
                    ", ".join(sorted(sound.engines)),
                    sound.recordings,
                    sound.measured,
                    sound.clips,
                    *cells(share(sound.again, sound.clips), 100),
                )
                for name, sound in sounds.items()
            ),
        ),
        Table(
            name="faults",
            title="What attempts failed, what published clips fail, and dialogues that could not be spoken",
            columns=(config, Column(name="what"), Column(name="why"), Column(name="count")),
            rows=tuple(
                (name, what, why, count)
                for name, sound in sounds.items()
                for what, counts in (
                    ("attempt", sound.faults),
                    ("clip as published", sound.found),
                    ("dialogue", sound.failures),
                )
                for why, count in by_count(counts)
            ),
        ),
        Table(
            name="numbers",
            title="What was measured",
            columns=(
                config,
                number,
                Column(name="clips"),
                Column(name="mean", decimals=2),
                Column(name="standard deviation", decimals=2),
            ),
            rows=tuple(
                (name, heard, one.clips, one.mean, one.sd)
                for name, sound in sounds.items()
                for heard, one in sorted(sound.heard.numbers.items())
            ),
        ),
        Table(
            name="contrasts",
            title="Emotion against emotion, and every acted class against the most frequent",
            columns=(
                config,
                number,
                Column(name="contrast"),
                Column(name="clips of the first"),
                Column(name="of the second"),
                *spread("Hedges' g", "standard deviations within a speaker", 2),
            ),
            rows=tuple(
                (name, heard, title, effect.first, effect.second, *cells(_interval(effect)))
                for name, sound in sounds.items()
                for heard in sorted(sound.heard.numbers)
                for title, effect in (
                    *zip(sound.contrasts, sound.effects(heard), strict=True),
                    *_acted(sound, heard),
                )
                if effect is not None
            ),
        ),
        Table(
            name="not_run",
            title="Measures that did not run",
            columns=(config, Column(name="measure"), Column(name="reason"), Column(name="recordings")),
            rows=tuple(
                (name, measure, reason, count)
                for name, sound in sounds.items()
                for (measure, reason), count in sorted(sound.not_run.items())
            ),
        ),
    ]


def _acted(sound: Sound, number: str) -> list[tuple[str, Effect | None]]:
    """Every acted class over the most frequent one; neutral speech, the usual yardstick, hardly occurs in these dialogues."""
    of, usual = sound.heard.numbers[number].contrasts["ravdess"], sound.usual
    return [(f"acted {acted} over {usual}", of.effect(acted, usual)) for acted in RAVDESS if acted != usual]


def _charts(place: int, config: str, sound: Sound) -> list[Forest | Heat]:
    numbers = sorted(sound.heard.numbers)
    charts: list[Forest | Heat] = []
    effects = [[_interval(effect) for effect in sound.effects(number)] for number in numbers]
    if any(one.value is not None for row in effects for one in row):
        charts.append(
            Forest(
                name=f"contrasts_{place}",
                reference=0,
                title=f"Emotion against emotion in {config}",
                axis=_EFFECT,
                labels=tuple(numbers),
                series=tuple(
                    Series.of(title, (row[column] for row in effects))
                    for column, title in enumerate(sound.contrasts)
                ),
            )
        )
    acted = {number: dict(_acted(sound, number)) for number in numbers}
    classes = [
        title
        for title in (next(iter(acted.values())) if acted else {})
        if any(by_class[title] is not None for by_class in acted.values())
    ]
    if classes:
        charts.append(
            Heat(
                name=f"acted_{place}",
                title=f"Acted classes over {sound.usual}, the most frequent, in {config}",
                axis=_EFFECT,
                rows=tuple(numbers),
                columns=tuple(title.split()[1] for title in classes),
                row_axis="number",
                column_axis="acted class",
                values=tuple(
                    tuple(effect.g if (effect := acted[number][title]) else None for title in classes)
                    for number in numbers
                ),
                decimals=1,
            )
        )
    return charts
