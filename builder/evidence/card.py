"""The card: what the dataset holds, in figures counted from its own rows.

Law of the file: no figure is written by hand; what was not measured is not on the card; whatever its template shows is escaped
unless it is Markdown already, and its YAML is a library's.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jinja2
import yaml

import deepdialogue
from builder.config import TEXT_ONLY, TURNS, resources
from builder.core.agreement import agreement
from builder.core.bias import bias
from builder.core.census import Census
from builder.core.checkpoint import Answered, answered, several
from builder.core.effect import Effect
from builder.core.licence import non_commercial
from builder.core.markdown import Markdown, block, code, line, listed, markdown, python, settled
from builder.core.row import Row
from builder.core.word import count_words
from builder.dataset.manifest import Shard
from builder.dataset.shards import Contract
from builder.evidence.findings import not_held
from builder.evidence.panel import Panel, answered_judges, asked, calibration, panel, told, toml
from builder.evidence.sounds import Loudness, Sound, by_count
from builder.people.annotations import annotations, heeded
from builder.run.folder import Run

_TASKS = ["text-generation", "text-to-speech", "automatic-speech-recognition", "audio-classification"]
_SHORT_WORDS = 3
CITATION = """@article{koudounas2025deepdialogue,
  title   = {DeepDialogue: A Multi-Turn Emotionally-Rich Spoken Dialogue Dataset},
  author  = {Koudounas, Alkis and La Quatra, Moreno and Baralis, Elena},
  journal = {arXiv preprint arXiv:2505.19978},
  year    = {2025}
}"""
_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


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
        self.hours_by_pairing: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        """By config."""
        self.checkpoints: Counter[tuple[str, str]] = Counter()
        """Dialogues by model and checkpoint; a dialogue that a model holds with itself counts once."""
        self.short = 0
        """Turns of fewer than three words."""
        self.alike = 0
        """Dialogues that say word for word what another says."""
        self._said: set[bytes] = set()

    @property
    def spoken_by(self) -> str:
        """Every engine of every config."""
        return ", ".join(sorted(set().union(*self.engines.values())))

    @property
    def emotions(self) -> tuple[str, ...]:
        """Of the vocabulary."""
        return tuple(self._run.study.vocabulary.emotions)

    @property
    def unreached(self) -> list[str]:
        """Emotions that no turn has."""
        return [name for name in self.emotions if not self.census.by_emotion[name]]

    @cached_property
    def followed(self) -> Counter[str]:
        """Turns that another follows, by emotion."""
        counts: Counter[str] = Counter()
        for (one, _), count in self.census.transitions.items():
            counts[one] += count
        return counts

    @cached_property
    def edges(self) -> set[tuple[str, str]]:
        """Every transition that the emotion graph allows, as (from, to)."""
        return self._run.study.transitions.along(self._run.study.vocabulary.graph()).edges()

    @property
    def astray(self) -> int:
        """Transitions that follow no edge of the emotion graph."""
        return sum(count for pair, count in self.census.transitions.items() if pair not in self.edges)

    @cached_property
    def answered(self) -> tuple[Answered, ...]:
        """What spoke as every model, held against what the study asks for."""
        models = self._run.study.vocabulary.models
        return answered({name: model.checkpoint for name, model in models.items()}, self.checkpoints)

    @cached_property
    def judges(self) -> tuple[Answered, ...]:
        """What judged as every model that is asked to, likewise."""
        return answered_judges(self._run, self.panel)

    @cached_property
    def panel(self) -> Panel:
        """What the judges did that ask models."""
        return panel(self._run.reviews, asked(self._run), self._run.study.seed)

    @property
    def doubts(self) -> list[str]:
        """Where something else spoke than the study asks for, or one for several models, in sentences."""
        told = (one.told("dialogues") for one in self.answered)
        return [*filter(None, told), *several((*self.answered, *self.judges))]

    @property
    def loudness(self) -> dict[str, Loudness]:
        """By config that has clips whose loudness is known."""
        return {config: sound.loudness for config, sound in self.sounds.items() if sound.loudness.clips}

    @cached_property
    def retention(self) -> dict[str, Any]:
        """What became of every dialogue of the run."""
        return retention(self._run)

    @property
    def judged(self) -> bool:
        """Whether any dialogue was marked, so that a share that was accepted says something."""
        return (
            bool(self._run.study.judges)
            and self.retention["outcomes"].total() > self.retention["outcomes"]["not judged"]
        )

    @property
    def accepted_by_pairing(self) -> list[tuple[float, str]]:
        """Shares of those held, in [0, 1], the smallest first."""
        return sorted(
            (counts["accepted"] / counts["held"], name)
            for name, counts in self.retention["pairings"].items()
            if counts["held"]
        )

    @property
    def non_commercial(self) -> list[str]:
        """What speaks that may not be used commercially, with its licence."""
        engines = [engine for engines in self.engines.values() for engine in engines]
        return non_commercial(engines, [voice for voices in self.voices.values() for voice in voices])

    @property
    def limits(self) -> list[str]:
        """What a user has to know, counted, in sentences without markup."""
        census, outcomes, ravdess = self.census, self.retention["outcomes"], self.census.by_ravdess
        acted, most = min(ravdess.items(), key=lambda item: (-item[1], item[0]))
        found = [f"{100 * most / census.turns:.1f} % of the turns are of the acted class {acted}."]
        if self.rehearsal:
            found.insert(0, "Stand-ins took part: this is a rehearsal, not training data.")
        found += self.doubts
        if self.unreached:
            found.append(
                f"{len(self.unreached)} of {len(self.emotions)} emotions never occur: {', '.join(self.unreached)}."
            )
        if self.alike:
            found.append(f"{self.alike} dialogues say word for word what another says.")
        if self.short:
            found.append(f"{self.short} of {census.turns} turns have fewer than three words.")
        for outcome, why in (
            ("undecided", "judges abstained"),
            ("not judged", "nobody has judged them yet"),
        ):
            if count := outcomes[outcome]:
                found.append(f"{count} dialogues are left out because {why}.")
        if self.judged and len(shares := self.accepted_by_pairing) > 1:
            (low, least), (high, best) = shares[0], shares[-1]
            found.append(
                f"Judges accepted {100 * high:.0f} % of the dialogues of {best} and {100 * low:.0f} % of those of {least}."
            )
        return [*found, *self._speech_limits]

    @property
    def _speech_limits(self) -> list[str]:
        found = []
        total = self.census.dialogues
        for config, sound in self.sounds.items():
            if missing := total - sound.recordings:
                found.append(f"{missing} of {total} dialogues have no recording in {config}.")
            if sound.again:
                found.append(f"{sound.again} of {sound.clips} clips of {config} took more than one attempt.")
            if sound.flagged:
                found.append(
                    f"{sound.flagged} of {sound.clips} clips of {config} fail a check and are kept as published."
                )
            if unknown := sound.clips - sound.loudness.clips:
                found.append(f"The loudness of {unknown} of {sound.clips} clips of {config} is not known.")
        return found

    def add(self, config: str, row: Row) -> None:
        """Counts one row of one config."""
        self.rows[config, row["split"]] += 1
        self.rehearsal |= row["rehearsal"]
        if config == TEXT_ONLY:
            turns = row["turns"]
            words = "\n".join(turn["text"] for turn in turns).encode("utf-8", "surrogatepass")
            said = hashlib.blake2b(words, digest_size=16).digest()
            self.alike += said in self._said
            self._said.add(said)
            self.short += sum(count_words(turn["text"]) < _SHORT_WORDS for turn in turns)
            emotions = tuple(turn["emotion"] for turn in turns)
            self.census.add(row["domain"], row["pairing"], emotions, (turn["text"] for turn in turns))
            self.checkpoints.update(
                {
                    (row["first_model"], row["first_checkpoint"]),
                    (row["second_model"], row["second_checkpoint"]),
                }
            )
            return
        self.hours[config] += row["duration"] / 3600
        self.hours_by_pairing[config][row["pairing"]] += row["duration"] / 3600
        if config not in self.sounds:
            self.sounds[config] = Sound(self._run, config)
        self.sounds[config].add(row["id"], [turn["emotion"] for turn in row["turns"]])
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
        decision = run.decision(run.reviews.get(id))
        outcome = decision.outcome if decision else "not judged"
        reasons.update(f"{outcome}: {reason}" for reason in (decision.reasons if decision else ()))
        outcomes[outcome] += 1
        pairing[outcome] += 1
    failures = not_held(run)
    return {
        "planned": len(run.scenarios),
        "held": len(run.dialogues),
        "failures": failures,
        "owed": len(run.scenarios) - len(run.dialogues) - sum(failures.values()),
        "outcomes": outcomes,
        # By name where they are as many: the order of the ledger is nobody's business.
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "pairings": {name: counts for name, counts in pairings.items() if counts},
    }


def heard(figures: Figures) -> dict[str, dict[str, Any]]:
    """By config what was measured and mended; without those of which there is nothing to say."""
    return {
        config: {
            "sound": sound,
            "contrasts": list(sound.contrasts),
            "numbers": {
                name: (number, [_effect(effect) for effect in sound.effects(name)])
                for name, number in sorted(sound.heard.numbers.items())
            },
            "not_run": sorted(sound.not_run.items()),
            "faults": by_count(sound.faults),
            "found": by_count(sound.found),
            "failures": dict(sorted(sound.failures.items())),
        }
        for config, sound in figures.sounds.items()
        if sound.heard.numbers or sound.not_run or sound.again or sound.flagged or sound.failures
    }


def judging(run: Run, found: Panel) -> dict[str, Any]:
    """What the judges that ask models did, how far they agree with each other and with people, and how they lean.

    Empty where none of them voted; without people where nobody annotated.
    """
    seed = run.study.seed
    if not found.judges:
        return {}
    said = annotations(run.folder)
    people, leanings = calibration(run, said), bias(run.reviews)
    among = {name: one.alpha for name, one in agreement(said, seed).items()}
    differences = (one.told("votes") for one in answered_judges(run, found))
    return {
        "panel": found,
        "doubts": [*filter(None, differences), *found.told],
        "people": people,
        "notes": heeded(run.folder).notes,
        "among": among,
        "criteria": sorted(found.alphas.keys() | among.keys()),
        "leanings": [one for one in leanings if one.is_seen],
        "compared": len(leanings),
    }


def _effect(effect: Effect | None) -> Markdown:
    if effect is None:
        return Markdown("–")
    return Markdown(
        f"{effect.g:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}], {effect.first} and {effect.second}"
    )


def render(
    run: Run, figures: Figures, shards: list[Shard], pictures: Mapping[str, tuple[str, str]] = {}
) -> str:
    """The whole card, with the YAML that makes `load_dataset` find the configs, splits and features.

    Args:
        run: whose dataset it is.
        figures: counted while the rows were written.
        shards: as they were written.
        pictures: path and alternative text of every figure there is, by name.
    """
    study, vocabulary = run.study, run.study.vocabulary
    configs = list(dict.fromkeys(shard.config for shard in shards))
    ordered = [config for config in configs if config != TEXT_ONLY] + [TEXT_ONLY]
    head = {
        "license": study.licence,
        "language": study.language,
        "pretty_name": study.title,
        "task_categories": _TASKS,
        "tags": ["spoken-dialogue", "emotion", "synthetic", *(["rehearsal"] if figures.rehearsal else [])],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "size_categories": [next((name for most, name in _SIZES if figures.census.dialogues < most), "n>1M")],
        "configs": [_config(config, shards, default=config == ordered[0]) for config in ordered],
        "dataset_info": [_info(run, config, shards) for config in ordered],
    }

    def picture(name: str) -> Markdown:
        path, alt = pictures.get(name, ("", ""))
        return Markdown(f"\n![{line(alt)}]({path})\n" if path else "")

    card = _ENVIRONMENT.get_template("README.md.jinja").render(
        head=Markdown(front_matter(head)),
        study=study,
        figures=figures,
        census=figures.census,
        retention=figures.retention,
        picture=picture,
        citation=CITATION,
        sounds=heard(figures),
        judging=judging(run, figures.panel),
        told=lambda estimate: Markdown(told(estimate)),
        rule=toml(study.acceptance),
        configs=[config for config in ordered if not config.endswith(TURNS)],
        splits=deepdialogue.SPLITS,
        emotions=vocabulary.emotions,
        models=vocabulary.models,
        thresholds=study.acceptance.thresholds,
    )
    return settled(card)


def front_matter(head: Mapping[str, Any]) -> str:
    """What stands between the lines `---` of a card, as YAML."""
    return str(yaml.dump(head, Dumper=_Yaml, sort_keys=False, allow_unicode=True, width=math.inf))


class _Yaml(yaml.SafeDumper):  # type: ignore[misc] # yaml has no types
    """YAML in which a string is on one line, and in quotation marks unless it is words: no reader takes it for anything else."""

    def ignore_aliases(self, _: Any) -> bool:
        """Whether something is written anew where it stands again."""
        return True


_WORDS = re.compile(r"[A-Za-z]+(?:[ _/.-][A-Za-z0-9]+)*")
_Yaml.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if _WORDS.fullmatch(text) else '"'
    ),
)
# Whatever the template shows is escaped, unless it is Markdown already.
_ENVIRONMENT = jinja2.Environment(  # noqa: S701 - it is no HTML
    loader=jinja2.FunctionLoader(lambda name: (resources("card") / name).read_text(encoding="utf-8")),
    undefined=jinja2.StrictUndefined,
    finalize=markdown,
)
_ENVIRONMENT.filters |= {"own": Markdown, "python": python}
_ENVIRONMENT.globals |= {"block": block, "code": code, "listed": listed}


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


def contract_of(run: Run, config: str) -> Contract:
    """What fixes the columns of one config of a run."""
    vocabulary = run.study.vocabulary
    labels = deepdialogue.Labels(
        domains=tuple(vocabulary.domains),
        pairings=tuple(vocabulary.pairings),
        models=tuple(vocabulary.models),
        emotions=tuple(vocabulary.emotions),
    )
    recordings = run.recordings.get(config.removesuffix(TURNS))
    rate = next((recording.sampling_rate_hz for recording in recordings or ()), 24_000)
    return config, labels, rate
