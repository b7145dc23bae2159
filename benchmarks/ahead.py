"""Ahead: the arithmetic of docs/scale.md, from what one item costs to what a run of any size takes, and what gives way first.

    python -m benchmarks.ahead [--run DIALOGUES ENDPOINTS ...]

Law of the file: every figure is measured (then the benchmark that gave it is named), published, or assumed and said so; all else
is multiplication. docs/scale.md holds what this prints, and a test holds it to that.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from benchmarks.fleet import GPUS, Service, shared_out
from builder.config import Study, load_study
from builder.core.dialogue import Dialogue
from builder.core.estimate import Estimate, Load, Speed, estimate
from builder.core.prompt import Prompt
from builder.core.scenario import scenarios
from builder.plugins import make
from builder.plugins.judges import Context, Judge

# Measured: by W1, W4, S3 and P1 as benchmarks/README.md has them, and by `python -m benchmarks.weight`.
CALL_MS = 0.28
"""CPU of a call to a model, past the start (W1)."""
PLAN_MS, JUDGE_MS, PACKAGE_MS = 0.03, 3.89, 0.14
"""CPU of a dialogue, text only, in rehearsal (W4); `judge` with the stand-ins' own answers."""
TWINS_MS = 0.14
"""CPU of a dialogue, of finding near-duplicates alone (weight)."""
CLIP_MS_A_SECOND = (8.9 + 13.2 + 1.6) / 5.1
"""CPU of a second of speech: every check, mastering, FLAC (S3)."""
PACKAGE_S_A_BYTE = 2.24 / 388e6
"""CPU of a byte of FLAC, in both views (P1)."""
GENERATE_BYTES, JUDGE_BYTES, PACKAGE_BYTES = 380, 3_130, 1_090
"""Peak memory of a dialogue more, between 8,000 and 65,600 (W4)."""
PLANNED, HELD, JUDGED = 179, 2_818, 1_352
"""Bytes of a dialogue in the ledgers: scenarios; turns and dialogues; reviews (weight)."""
TEXT = 1_642
"""Bytes of a dialogue as text in the packaged folder, its index included (weight)."""
RECORDED = 285
"""Bytes of a clip in the ledger of its config (weight)."""
INDEXED = 34
"""Bytes of a clip in the index of its config (weight)."""
SPOKEN = {"XTTS": (7.58, 27_146), "Orpheus": (8.51, 22_974)}
"""Seconds of a turn, and bytes of a second as FLAC at 24 kHz: 46 published turns of each engine (weight)."""
CALLS_PER_S, DIALOGUES_AT_ONCE = 3_000, 4_096
"""What one process drives, and what it holds at once (scale)."""

# Published, arXiv 2505.19978: what the judges left, of dialogues and of turns.
KEPT_DIALOGUES, KEPT_TURNS = 40_150 / 65_600, 243_295 / 426_909

# Assumed.
SPEECH_A_GPU_SECOND = 20.0
"""Seconds of speech that one GPU speaks in a second, of either engine."""
GPU_HOUR, GB_MONTH, THOUSAND_PUTS = 2.50, 0.023, 0.005
"""US dollars."""
NODE = 8
"""GPUs."""
MEMORY, DAY_S = 64e9, 86_400
"""What one process is given before it is too much: bytes, seconds."""
ROUND_TRIP_S = 0.040
"""Of a request to shared storage."""

# Decided elsewhere in this project.
SHARD = 400 * 2**20
"""Bytes (builder.dataset.shards)."""
COMMIT_AUDIO = 16 * 2**20
"""Bytes of audio in a commit on shared storage, at most (builder.run.share)."""
FIRST_PAUSE_S, PAUSE_SHARE, LAST_PAUSE_S = 5.0, 0.01, 60.0
"""Between two commits of a part: at first, of the time it is worked on, and at last (builder.run.share)."""
AT_ONCE = 16
"""Requests of one reader (builder.run.share)."""
PARTS_A_WORKER = 4
"""(builder.pipeline.ray)"""

RUNS = ((65_600, 9), (10**6, 100), (10**8, 1000))
"""Of the page: dialogues and endpoints. With nine, each of the paper's models has one."""


@cache
def _study() -> Study:
    return load_study("deepdialogue")


@cache
def paper() -> Estimate:
    """What the shipped study asks of its models."""
    study = _study()
    assert study.plan is not None, "the shipped study has one"
    assert study.script is not None, "and this"

    def ask(judge: Judge, context: Context) -> Callable[[Dialogue], Prompt]:
        return lambda dialogue: next(judge.judge(dialogue, context))

    judges = {name: make(Judge, table, name, default=name) for name, table in study.judges.items()}
    asks = [
        ask(judge, Context(name=name, seed=study.seed, vocabulary=study.vocabulary, twins={}))
        for name, judge in judges.items()
        if judge.models()
    ]
    plan = scenarios(study.plan, study.vocabulary, study.seed)
    return estimate(plan, study.vocabulary, study.script, asks)


class Ahead:
    """What a run takes.

    Args:
        dialogues: how many are held, with the paper's mean of turns, pairings and judges.
        endpoints: how many there are, at least one a model, shared out to the models by their work.
    """

    def __init__(self, dialogues: int, endpoints: int) -> None:
        whole = paper()
        share = dialogues / whole.dialogues
        self.endpoints = endpoints
        self.dialogues, self.turns = dialogues, whole.turns * share
        loads = {
            model: Load(*(round(amount * share) for amount in msgspec.structs.astuple(load)))
            for model, load in whole.loads.items()
        }
        asked = Estimate(dialogues=dialogues, turns=round(self.turns), loads=loads)
        alone = asked.hours({model: _speed(model, 1) for model in loads})
        self.replicas = shared_out(alone, endpoints)
        self.calls = sum(load.turn_calls + load.judge_calls for load in loads.values())
        self.read = sum(load.prompt_tokens - load.cached_tokens for load in loads.values())
        self.written = sum(load.completion_tokens for load in loads.values())
        self.text_gpu_hours = sum(hours * GPUS[model] for model, hours in alone.items())
        self.gpus = sum(count * GPUS[model] for model, count in self.replicas.items())
        together = asked.hours({model: _speed(model, count) for model, count in self.replicas.items()})
        self.text_hours = max(together.values())
        self.clips = self.turns * KEPT_TURNS
        """Of one engine."""
        self.speech_hours = {name: self.clips * seconds / 3600 for name, (seconds, _) in SPOKEN.items()}
        self.speech_gpu_hours = sum(self.speech_hours.values()) / SPEECH_A_GPU_SECOND
        self.audio = {name: self.clips * seconds * rate for name, (seconds, rate) in SPOKEN.items()}
        self.calls_per_s = self.calls / self.text_hours / 3600
        slots = sum(_service(model).slots * count for model, count in self.replicas.items())
        self.processes = math.ceil(max(self.calls_per_s / CALLS_PER_S, 2 * slots / DIALOGUES_AT_ONCE))
        self.parts = PARTS_A_WORKER * max(self.gpus, self.processes)
        self.text_commits = self.parts * commits(self.text_hours * 3600 * self.processes / self.parts)
        self.speech_commits = self.parts * commits(
            self.speech_gpu_hours * 3600 / self.parts, sum(self.audio.values()) / self.parts
        )
        self.puts_per_s = 2 * self.processes / FIRST_PAUSE_S + 3 * self.gpus / FIRST_PAUSE_S
        self.objects = 2 * self.text_commits + 3 * self.speech_commits
        self.ledgers = dialogues * (PLANNED + HELD + JUDGED) + self.clips * RECORDED * len(SPOKEN)
        self.text = dialogues * KEPT_DIALOGUES * TEXT
        self.index = self.clips * INDEXED * len(SPOKEN)


def commits(worked_s: float, audio: float = 0.0) -> float:
    """How often a part is published that is worked on for so long, and gives so many bytes of audio."""
    begun_s, ended_s = FIRST_PAUSE_S / PAUSE_SHARE, LAST_PAUSE_S / PAUSE_SHARE
    due = min(worked_s, begun_s) / FIRST_PAUSE_S
    due += math.log(max(1.0, min(worked_s, ended_s) / begun_s)) / PAUSE_SHARE
    due += max(0.0, worked_s - ended_s) / LAST_PAUSE_S
    return max(1.0, due, audio / COMMIT_AUDIO)


def rows(runs: Sequence[Ahead]) -> Iterator[tuple[str, list[float]]]:
    """What is told of every run, with its unit."""
    told: dict[str, Callable[[Ahead], float]] = {
        "endpoints": lambda run: run.endpoints,
        "their GPUs": lambda run: run.gpus,
        "nodes of eight GPUs": lambda run: math.ceil(run.gpus / NODE),
        "turns": lambda run: run.turns,
        "calls to models, judges' included": lambda run: run.calls,
        "tokens read, 10⁹": lambda run: run.read / 1e9,
        "tokens written, 10⁹": lambda run: run.written / 1e9,
        "GPU hours of text *": lambda run: run.text_gpu_hours,
        "**hours of text, at least** *": lambda run: run.text_hours,
        "calls a second *": lambda run: run.calls_per_s,
        "processes of `generate` *": lambda run: run.processes,
        "CPU hours of `plan`": lambda run: run.dialogues * PLAN_MS / 3.6e6,
        "CPU hours of calls": lambda run: run.calls * CALL_MS / 3.6e6,
        "CPU hours of `judge`": lambda run: run.dialogues * JUDGE_MS / 3.6e6,
        "clips of each engine": lambda run: run.clips,
        "hours of speech, XTTS": lambda run: run.speech_hours["XTTS"],
        "hours of speech, Orpheus": lambda run: run.speech_hours["Orpheus"],
        "GPU hours of speech *": lambda run: run.speech_gpu_hours,
        "**hours of speaking, on those GPUs** *": lambda run: run.speech_gpu_hours / run.gpus,
        "CPU hours of checks, mastering, FLAC": lambda run: (
            sum(run.speech_hours.values()) * CLIP_MS_A_SECOND / 1000
        ),
        "CPU hours of `package`": lambda run: (
            run.dialogues * PACKAGE_MS / 3.6e6 + sum(run.audio.values()) * PACKAGE_S_A_BYTE / 3600
        ),
        "ledgers, GB": lambda run: run.ledgers / 1e9,
        "text as packaged, GB": lambda run: run.text / 1e9,
        "audio, XTTS, GB": lambda run: run.audio["XTTS"] / 1e9,
        "audio, Orpheus, GB": lambda run: run.audio["Orpheus"] / 1e9,
        "index, GB": lambda run: run.index / 1e9,
        "shards of the larger config": lambda run: max(run.audio.values()) / SHARD,
        "parts": lambda run: run.parts,
        "objects on shared storage *": lambda run: run.objects,
        "PUT a second, at most": lambda run: run.puts_per_s,
        "dollars of GPUs, waiting included *": lambda run: (
            (run.text_hours * run.gpus + run.speech_gpu_hours) * GPU_HOUR
        ),
        "dollars of storage a month *": lambda run: (
            (run.ledgers + run.text + run.index + sum(run.audio.values())) / 1e9 * GB_MONTH
        ),
        "dollars of PUT *": lambda run: run.objects / 1000 * THOUSAND_PUTS,
    }
    for name, of in told.items():
        yield name, [of(run) for run in runs]


class Limit(NamedTuple):
    """Something of which there is only so much."""

    what: str
    a_dialogue: float
    at_most: float
    unit: str

    @property
    def dialogues(self) -> float:
        """How many are too many."""
        return self.at_most / self.a_dialogue


def limits() -> list[Limit]:
    """What gives way where a run is worked on, read or published as one; the first to do so first."""
    run = Ahead(10**6, 100)
    each = {
        "audio": sum(run.audio.values()) / run.dialogues,
        "shards": 0.9 * max(run.audio.values()) / SHARD / run.dialogues,
        "read": 2 * (run.text_commits + run.speech_commits) * ROUND_TRIP_S / AT_ONCE / run.dialogues,
    }
    found = (
        Limit("near-duplicates, in memory", JUDGE_BYTES, MEMORY, "bytes"),
        Limit("near-duplicates, on one core", TWINS_MS / 1000, DAY_S, "s"),
        Limit("`package`, in memory, without clips", PACKAGE_BYTES, MEMORY, "bytes"),
        Limit(
            "`package`, in one process",
            PACKAGE_MS / 1000 + each["audio"] * PACKAGE_S_A_BYTE,
            DAY_S,
            "s",
        ),
        Limit("`generate`, ids in memory", GENERATE_BYTES, MEMORY, "bytes"),
        Limit("`generate`, in one process", run.calls / run.dialogues / CALLS_PER_S, DAY_S, "s"),
        Limit("`plan`, in one process", PLAN_MS / 1000, 3_600, "s"),
        Limit("ledgers, in a view on one disk", run.ledgers / run.dialogues, 1e12, "bytes"),
        Limit("commits, read by one reader", each["read"], 3_600, "s"),
        Limit("public storage of one account on the Hub", each["audio"], 5e12, "bytes"),
        Limit("files of one folder on the Hub", each["shards"], 10_000, "files"),
    )
    return sorted(found, key=lambda limit: limit.dialogues)


def costs() -> Iterator[tuple[str, str, str]]:
    """What an item costs, and which benchmark tells."""
    yield "a dialogue planned", f"{PLAN_MS} CPU ms, {PLANNED:,} bytes", "`w4`, `weight`"
    yield "a call to a model", f"{CALL_MS} CPU ms", "`w1`"
    yield "a dialogue held", f"{HELD:,} bytes, {GENERATE_BYTES:,} of memory", "`weight`, `w4`"
    yield (
        "a dialogue judged",
        f"{JUDGE_MS} CPU ms, {JUDGED:,} bytes, {JUDGE_BYTES:,} of memory",
        "`w4`, `weight`",
    )
    yield "of that, near-duplicates", f"{TWINS_MS} CPU ms", "`weight`"
    for name, (seconds, rate) in SPOKEN.items():
        yield (
            f"a turn spoken by {name}",
            f"{seconds} s, {rate:,} bytes a second",
            "`weight --recorded FOLDER`",
        )
    yield "a second of speech checked, mastered, encoded", f"{CLIP_MS_A_SECOND:.2f} CPU ms", "`s3`"
    yield "a clip in its ledger", f"{RECORDED:,} bytes", "`weight`"
    yield "a clip in the index", f"{INDEXED:,} bytes", "`weight`"
    yield (
        "a dialogue packaged as text",
        f"{PACKAGE_MS} CPU ms, {TEXT:,} bytes, {PACKAGE_BYTES:,} of memory",
        "`w4`, `weight`",
    )
    yield "a megabyte of FLAC packaged", f"{1e9 * PACKAGE_S_A_BYTE:.1f} CPU ms", "`p1`"
    yield "one process", f"{CALLS_PER_S:,} calls a second, {DIALOGUES_AT_ONCE:,} dialogues at once", "`scale`"


def tables(runs: Sequence[tuple[int, int]]) -> Iterator[str]:
    """The page's tables, line by line, in Markdown.

    Args:
        runs: dialogues and endpoints of each.
    """
    found = [Ahead(*run) for run in runs]
    yield "| dialogues | " + " | ".join(f"{run.dialogues:,}" for run in found) + " |"
    yield "|---|" + "---:|" * len(found)
    for name, values in rows(found):
        yield f"| {name} | " + " | ".join(map(told, values)) + " |"
    yield ""
    yield "| what gives way | a dialogue | there is | at dialogues |"
    yield "|---|---:|---:|---:|"
    for limit in limits():
        amounts = (
            _amount(limit.a_dialogue, limit.unit),
            _amount(limit.at_most, limit.unit),
            told(limit.dialogues),
        )
        yield f"| {limit.what} | " + " | ".join(amounts) + " |"
    yield ""
    yield "| item | costs | `python -m benchmarks.` |"
    yield "|---|---|---|"
    for cost in costs():
        yield f"| {' | '.join(cost)} |"


def told(value: float) -> str:
    """Three digits that count, and thousands apart; a small whole number as it is."""
    if value == int(value) and value < 1000:
        return str(int(value))
    places = 2 - math.floor(math.log10(value))
    return f"{round(value, places):,.{max(0, min(places, 6))}f}"


def _amount(value: float, unit: str) -> str:
    """With its unit; bytes by the thousand, millions and so on."""
    if unit != "bytes":
        return f"{told(value)} {unit}"
    power = min(4, math.floor(math.log10(value) / 3))
    return f"{told(value / 1000**power)} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def _service(model: str) -> Service:
    return Service.of(_study().vocabulary.models[model].billion_parameters, GPUS[model])


def _speed(model: str, replicas: int) -> Speed:
    service = _service(model)
    return Speed(
        prompt_tokens_per_s=replicas / service.read_s,
        completion_tokens_per_s=1 / service.step(service.slots),
        parallel=service.slots * replicas,
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ahead")
    parser.add_argument(
        "--run",
        type=int,
        nargs=2,
        action="append",
        metavar=("DIALOGUES", "ENDPOINTS"),
        help="a column; may be given again (the page's three)",
    )
    for line in tables(parser.parse_args().run or RUNS):
        print(line)


if __name__ == "__main__":
    main()
