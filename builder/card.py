"""The card: what the dataset holds, in figures counted from its own rows.

Law of the file: no figure is written by hand; what was not measured is not on the card; words that come from elsewhere stay
words, whatever Markdown they hold.
"""

import re
from collections import Counter
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

import deepdialogue
from builder.config import TEXT_ONLY, resources
from builder.core.prosody import Effect, Heard, fullest
from builder.core.row import Row
from builder.core.statistics import Census
from builder.core.verdict import decide
from builder.dataset import Shard
from builder.progress import plain
from builder.run import Run

_TASKS = ["text-generation", "text-to-speech", "automatic-speech-recognition", "audio-classification"]
_CONTRASTS = {
    "angry over sad": ("emotion", "angry", "sad"),
    "excited over relaxed": ("emotion", "excited", "relaxed"),
    "acted angry over sad": ("ravdess", "angry", "sad"),
    "high over low arousal": ("arousal", "high", "low"),
}
_MARKUP = re.compile(r"[\\`<>\[\]|]")
_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class Sound:
    """What was heard in the clips of one config, and how often they had to be spoken.

    Args:
        run: whose clips they are.
        config: which of them.
    """

    def __init__(self, run: Run, config: str) -> None:
        self.heard = Heard(run.study.vocabulary.emotions)
        self.recordings = self.measured = self.clips = self.again = 0
        self.faults: Counter[str] = Counter()
        """Attempts that failed, by check."""
        self.not_run: Counter[tuple[str, str]] = Counter()
        """Recordings by measure that did not run and by reason."""
        self._recordings = run.recordings[config]
        self._measured = run.measured(config) if run.began(f"measures/{config}") else None

    def add(self, row: Row) -> None:
        """Counts one recording."""
        self.recordings += 1
        for clip in self._recordings[row["id"]].clips:
            self.clips += 1
            self.again += clip.attempts > 1
            self.faults.update(clip.faults)
        measured = fullest(self._measured.each(row["id"])) if self._measured else None
        if measured is None:
            return
        self.not_run.update(measured.not_run.items())
        self.measured += bool(measured.done)
        emotions, ravdess = ([turn[key] for turn in row["turns"]] for key in ("emotion", "ravdess"))
        self.heard.add(emotions, ravdess, measured.clips)


class Figures:
    """Counts the rows as they are written.

    Args:
        run: whose rows they are.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.census = Census(run.study.vocabulary.ravdess())
        self.rehearsal = False
        self.hours: Counter[str] = Counter()
        """By config."""
        self.rows: Counter[tuple[str, str]] = Counter()
        """By config and split."""
        self.sounds: dict[str, Sound] = {}
        """By config."""
        self.engines: dict[str, set[str]] = {}
        self.voices: dict[str, Counter[str]] = {}
        """Turns by voice, by config."""
        self.checkpoints: Counter[str] = Counter()
        """Dialogues by checkpoint; a dialogue of one checkpoint counts once."""

    @property
    def spoken_by(self) -> str:
        """Every engine of every config."""
        return ", ".join(sorted(set().union(*self.engines.values())))

    def add(self, config: str, row: Row) -> None:
        """Counts one row of one config."""
        self.rows[config, row["split"]] += 1
        self.rehearsal |= row["rehearsal"]
        if config == TEXT_ONLY:
            turns = row["turns"]
            emotions = tuple(turn["emotion"] for turn in turns)
            self.census.add(row["domain"], row["pairing"], emotions, (turn["text"] for turn in turns))
            self.checkpoints.update({row["first_checkpoint"], row["second_checkpoint"]})
            return
        self.hours[config] += row["duration"] / 3600
        if config not in self.sounds:
            self.sounds[config] = Sound(self._run, config)
        self.sounds[config].add(row)
        self.engines.setdefault(config, set()).add(row["engine"])
        self.voices.setdefault(config, Counter()).update(
            row["first_voice"] if turn["speaker"] == "LLM1" else row["second_voice"] for turn in row["turns"]
        )


def retention(run: Run) -> dict[str, Any]:
    """What became of every dialogue: planned, failed, held, accepted, undecided, rejected, by criterion and by pairing."""
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    pairings: dict[str, Counter[str]] = {name: Counter() for name in run.study.vocabulary.pairings}
    for scenario_id in run.scenarios.ids():
        pairings[scenario_id.partition("/")[0]]["planned"] += 1
    for id in run.dialogues.ids():
        pairing = pairings[id.partition("/")[0]]
        pairing["held"] += 1
        if not run.study.judges:
            outcome = "accepted"
        elif id not in run.reviews:
            outcome = "not judged"
        else:
            decision = decide(run.reviews[id], run.study.acceptance)
            outcome = decision.outcome
            reasons.update(f"{outcome}: {reason}" for reason in decision.reasons)
        outcomes[outcome] += 1
        pairing[outcome] += 1
    failures = Counter(
        failure.boundary for failure in run.unresolved("generate") if failure.id not in run.dialogues
    )
    return {
        "planned": len(run.scenarios),
        "held": len(run.dialogues),
        "failures": dict(sorted(failures.items())),
        "owed": len(run.scenarios) - len(run.dialogues) - failures.total(),
        "outcomes": outcomes,
        # By name where they are as many: the order of the ledger is nobody's business.
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "pairings": {name: counts for name, counts in pairings.items() if counts},
    }


def heard(run: Run, figures: Figures) -> dict[str, dict[str, Any]]:
    """By config what was measured and mended; without those of which there is nothing to say."""
    contrasts = {
        title: (kind, first, second)
        for title, (kind, first, second) in _CONTRASTS.items()
        if kind != "emotion" or {first, second} <= set(run.study.vocabulary.emotions)
    }
    sounds = {}
    for config, sound in figures.sounds.items():
        numbers = {
            name: (
                number,
                [_effect(number.contrasts[kind].effect(*pair)) for kind, *pair in contrasts.values()],
            )
            for name, number in sorted(sound.heard.numbers.items())
        }
        failures = Counter(
            failure.boundary
            for failure in run.unresolved(f"synthesize-{config}")
            if failure.id not in run.recordings[config]
        )
        if numbers or sound.not_run or sound.again or failures:
            sounds[config] = {
                "sound": sound,
                "contrasts": list(contrasts),
                "numbers": numbers,
                "not_run": sorted(sound.not_run.items()),
                "faults": sorted(sound.faults.items(), key=lambda item: (-item[1], item[0])),
                "failures": dict(sorted(failures.items())),
            }
    return sounds


def _effect(effect: Effect | None) -> str:
    if effect is None:
        return "–"
    return f"{effect.g:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}], {effect.first} and {effect.second}"


def render(run: Run, figures: Figures, shards: list[Shard]) -> str:
    """The whole card, with the YAML that makes `load_dataset` find the configs, splits and features.

    Args:
        run: whose dataset it is.
        figures: counted while the rows were written.
        shards: as they were written.
    """
    study, vocabulary = run.study, run.study.vocabulary
    configs = list(dict.fromkeys(shard.config for shard in shards))
    ordered = [config for config in configs if config != TEXT_ONLY] + [TEXT_ONLY]
    data = DatasetCardData(
        license=study.licence,
        language=study.language,
        pretty_name=study.title,
        task_categories=_TASKS,
        tags=["spoken-dialogue", "emotion", "synthetic", *(["rehearsal"] if figures.rehearsal else [])],
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated"],
        size_categories=[next((name for most, name in _SIZES if figures.census.dialogues < most), "n>1M")],
        configs=[_config(config, shards, default=config == ordered[0]) for config in ordered],
        dataset_info=[_info(run, config, shards) for config in ordered],
    )
    card = DatasetCard.from_template(
        data,
        template_path=str(resources("card") / "README.md.jinja"),
        study=study,
        figures=figures,
        census=figures.census,
        retention=retention(run),
        sounds=heard(run, figures),
        configs=ordered,
        splits=deepdialogue.SPLITS,
        emotions=vocabulary.emotions,
        models=vocabulary.models,
        thresholds=study.acceptance.thresholds,
        inline=_inline,
        code=_code,
        block=_block,
    )
    return str(card)


def _inline(text: object) -> str:
    """Words in a line or a cell of Markdown."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(plain(str(text)).split()))


def _code(text: object) -> str:
    """Words as code within a line."""
    return "`" + " ".join(plain(str(text)).split()).replace("`", "'") + "`"


def _block(text: str) -> str:
    """Text as a block of its own, fenced by more backticks than it has in a row."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{plain(text).strip()}\n{fence}"


def _config(config: str, shards: list[Shard], *, default: bool) -> dict[str, Any]:
    held = {shard.split for shard in shards if shard.config == config}
    splits = [split for split in deepdialogue.SPLITS if split in held]
    files = [{"split": split, "path": f"{config}/{split}/*.parquet"} for split in splits]
    return {"config_name": config, "data_files": files, **({"default": True} if default else {})}


def _info(run: Run, config: str, shards: list[Shard]) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for shard in shards:
        if shard.config == config:
            sizes[shard.split] += shard.num_bytes
            rows[shard.split] += shard.rows
    splits = [
        {"name": split, "num_bytes": sizes[split], "num_examples": rows[split]}
        for split in deepdialogue.SPLITS
        if split in rows
    ]
    size = sizes.total()
    return {
        "config_name": config,
        "features": deepdialogue.card_features(*contract_of(run, config)),
        "splits": splits,
        "download_size": size,
        "dataset_size": size,
    }


def contract_of(run: Run, config: str) -> tuple[str, deepdialogue.Labels, int]:
    """What fixes the columns of one config: what `deepdialogue.features` and its siblings take."""
    vocabulary = run.study.vocabulary
    labels = deepdialogue.Labels(
        domains=tuple(vocabulary.domains),
        pairings=tuple(vocabulary.pairings),
        models=tuple(vocabulary.models),
        emotions=tuple(vocabulary.emotions),
    )
    recordings = run.recordings.get(config)
    rate = next((recording.sampling_rate_hz for recording in recordings or ()), 24_000)
    return config, labels, rate
