"""Scale: the real scheduler against up to a thousand simulated endpoints, in virtual time.

    python -m benchmarks.scale                        up to 256 endpoints, some three minutes
    python -m benchmarks.scale --endpoints 1000       some ten to twenty more, and 1.3 GB

What runs is the product: `generate`, `Run.work`, `Replicas`, `Room` and `Pace`, the retries, the meter, the ledgers. Simulated
are the servers (`fleet.py`, asked by `plugins/simulated.py`) and the clock (`clock.py`). Its tables:

1. What one process can drive. Its CPU passes as time, so that one which is asked for too much falls behind.
2. What is lost, and whether it is fair, where W processes have a W-th of every endpoint each and know nothing of each other.
   Their clock stands while they compute, as though each had a core of its own and to spare.
3. The same where endpoints refuse, die and come back.
4. As many endpoints as are asked for, and as many processes as hold two dialogues for each of their slots; calm and not.

Law of the file: utilisation is of slots that were up; the bound is the least time in which the busiest model's endpoints could
have done what was asked of them. CPU is the case's own process's, and what the simulation takes of it is measured and told.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import builder.plugins.llm
from benchmarks import clock
from benchmarks.cost import ROOT
from benchmarks.fleet import GPUS, SERVERS, Server, Service, Troubles, shared_out
from benchmarks.study import site, study
from builder.config import Study, load_site, load_study
from builder.core.part import Part
from builder.core.prompt import Decoding, Message, Prompt
from builder.plugins.tts import Engine, Synthesizer
from builder.remote.room import Place, Room
from builder.run.folder import Run
from builder.stages.generate import generate
from builder.stages.plan import plan
from builder.terminal import bar

_ROUGH = Troubles(refused=0.005, lives_s=600.0, away_s=60.0)
"""An endpoint dies every ten minutes and is away for one: far more often than it should, so that a short run sees it."""
_CELLS = 41 * 16
"""Domains times pairings: dialogues of a plan that has one of each."""
_HTTP_MS = 0.15
"""CPU of HTTP and JSON a call: what a call costs in W1 past the start, 0.28 ms, less what it costs here."""
_READ, _WRITTEN = 112, 27.5
"""Tokens of a turn, as `deepdialogue plan --estimate` has them of the paper's study."""
_EVERY_S = 0.25
_TAIL = 0.95
"""The tail begins when so much of the calls is answered."""


@dataclass(frozen=True)
class Case:
    """What is simulated."""

    endpoints: int
    per_cell: int
    """Dialogues for each domain of each pairing."""
    processes: int = 1
    charged: bool = False
    """Whether CPU passes as time, that of HTTP included."""
    rough: bool = False


@dataclass(frozen=True)
class Outcome:
    """How it went. Times are virtual but for the CPU's."""

    dialogues: int
    calls: int
    span_s: float
    bound_s: float
    used: float
    """Share of the slots that were up, from the first question to the last answer."""
    used_before_tail: float
    tail_s: float
    jain: float
    """Of the processes' speeds, which are dialogues over time."""
    most_over_mean: float
    """Of the processes' times."""
    cpu_ms: float
    """A call."""
    rss_mb: float
    failed: dict[str, int]
    """Tries, by kind."""


class _Moment(NamedTuple):
    """What was so far, of all endpoints together."""

    at_s: float
    answered: int
    busy_s: float
    """Of their slots."""
    up_s: float
    """Of the same."""


def simulate(case: Case, folder: Path) -> Outcome:
    """Holds the dialogues of a case in this process, and says now and then on stdout how far it is.

    Raises:
        RuntimeError: not every dialogue was held.
    """
    plugins = str(Path(__file__).parent / "plugins")
    if plugins not in builder.plugins.llm.__path__:
        builder.plugins.llm.__path__.append(plugins)
    what = load_study(str(study(folder, dialogues_per_cell=case.per_cell, domains=_domains())))
    services = {
        name: Service.of(model.billion_parameters, GPUS[name])
        for name, model in what.vocabulary.models.items()
    }
    replicas = shared_out(_work(what, services), case.endpoints)
    names = {model: [f"{model}/{place}" for place in range(count)] for model, count in replicas.items()}
    settings = {"backend": "simulated", "http_ms": _HTTP_MS if case.charged else 0.0}
    where = load_site(
        str(
            site(
                folder,
                {model: [{**settings, "server": one} for one in some] for model, some in names.items()},
            )
        )
    )
    with Run(folder / "run", what, where) as whole:
        asyncio.run(plan(whole))
        planned = len(whole.scenarios)
    parts = [Part(index=place, count=case.processes) for place in range(1, case.processes + 1)]
    runs = [Run(folder / "run", what, where, part=part, worker=_Process(part)) for part in parts]

    ends_s = [0.0] * len(runs)
    timeline: list[_Moment] = []
    servers: dict[str, list[Server]] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for model, some in names.items():
            servers[model] = [
                Server(services[model], _ROUGH if case.rough else Troubles(), loop, one) for one in some
            ]
            SERVERS.update(zip(some, servers[model], strict=True))
        watching = asyncio.create_task(_watch(list(SERVERS.values()), timeline, 6.5 * case.per_cell * _CELLS))

        async def work(place: int, run: Run) -> None:
            while (await generate(run)).failed:
                pass  # it is owed again
            ends_s[place] = loop.time()

        await asyncio.gather(*(work(place, run) for place, run in enumerate(runs)))
        watching.cancel()
        _note(list(SERVERS.values()), timeline)

    random.seed(case.endpoints)
    began_s = time.process_time()
    clock.run(main(), charged=case.charged)
    cpu_s = time.process_time() - began_s
    held = [len(run.dialogues) for run in runs]
    for run in runs:
        with run:
            pass
    if sum(held) < planned:
        raise RuntimeError(f"{case}: {planned - sum(held)} dialogues were not held")
    every = [one for some in servers.values() for one in some]
    span_s = max(ends_s)
    calls = sum(one.answered for one in every)
    end = timeline[-1]
    tail = next(moment for moment in timeline if moment.answered >= _TAIL * calls)
    speeds = [count / seconds for count, seconds in zip(held, ends_s, strict=True)]
    return Outcome(
        dialogues=sum(held),
        calls=calls,
        span_s=span_s,
        bound_s=max(
            sum(one.work_s for one in some) / sum(1 - one.down_s / span_s for one in some)
            for some in servers.values()
        ),
        used=end.busy_s / end.up_s,
        used_before_tail=tail.busy_s / tail.up_s,
        tail_s=span_s - tail.at_s,
        jain=sum(speeds) ** 2 / (len(speeds) * sum(speed**2 for speed in speeds)),
        most_over_mean=span_s * len(ends_s) / sum(ends_s),
        cpu_ms=1000 * cpu_s / calls,
        rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        failed=dict(sum((one.failed for one in every), Counter[str]())),
    )


@dataclass
class _Process:
    """One of the processes that share the run and the endpoints; it speaks nothing."""

    place: Part
    cores: int = 1

    async def kept(self, config: str, engine: Engine) -> Synthesizer:
        raise NotImplementedError


def bare(endpoints: int, calls: int) -> float:
    """What the simulation itself costs: the same servers, asked by loops that do nothing else. CPU ms a call."""
    service = Service.of(8, 1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = [Server(service, Troubles(), loop, str(place)) for place in range(endpoints)]
        room = Room(1)
        text = "word " * 60
        at_once = endpoints * service.slots

        async def ask(number: int) -> None:
            for turn in range(calls // at_once):
                prompt = Prompt(
                    model="",
                    messages=tuple(Message(role="user", content=text) for _ in range(turn % 6 + 2)),
                    decoding=Decoding(),
                    seed=number + turn,
                    thread=str(number),
                )
                await servers[number % endpoints].answer(prompt, Place(room))

        await asyncio.gather(*map(ask, range(at_once)))
        assert sum(one.answered for one in servers) == calls // at_once * at_once

    began_s = time.process_time()
    clock.run(main())
    return 1000 * (time.process_time() - began_s) / calls


def _domains() -> list[str]:
    return list(load_study("deepdialogue").vocabulary.domains)


def _work(what: Study, services: Mapping[str, Service]) -> dict[str, float]:
    """What each model is asked for, in a dialogue of every pairing."""
    work = dict.fromkeys(services, 0.0)
    for pairing in what.vocabulary.pairings.values():
        for model in (pairing.first, pairing.second):
            work[model] += services[model].work_s(_READ, _WRITTEN)
    return work


async def _watch(servers: Sequence[Server], timeline: list[_Moment], expected: float) -> None:
    said_s = time.monotonic()
    while True:
        _note(servers, timeline)
        if time.monotonic() - said_s > 1:
            said_s = time.monotonic()
            print(min(0.99, timeline[-1].answered / expected), flush=True)
        await asyncio.sleep(_EVERY_S)


def _note(servers: Sequence[Server], timeline: list[_Moment]) -> None:
    for one in servers:
        one.settle()
    at_s = asyncio.get_running_loop().time()
    timeline.append(
        _Moment(
            at_s,
            sum(one.answered for one in servers),
            sum(one.busy_s for one in servers),
            sum(one.service.slots * (at_s - one.down_s) for one in servers),
        )
    )


def main() -> None:
    """Prints the three tables; with `--case` one case, for this file alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--endpoints", type=int, default=64, help="of the whole (%(default)s: no whole)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(simulate(Case(**json.loads(options.case)), Path(folder)))))
        return
    most = options.endpoints
    print(
        f"the simulation itself takes {bare(16, 40_000):.3f} CPU ms a call; HTTP is charged with {_HTTP_MS} where CPU is"
    )
    _table(
        "1  one process, whose CPU passes as time",
        [Case(size, min(24, size // 2), charged=True) for size in sorted({16, 64, 256, most})],
    )
    _table(
        "2  W processes, each with a W-th of every endpoint",
        [Case(64, 24, processes) for processes in (1, 4, 16)],
    )
    _table("3  and where endpoints refuse, die and come back", [Case(64, 24, 4, rough=True)])
    if most > 64:
        per_cell, processes = most // 5, max(1, most * Service.slots // 2048)
        _table(
            "4  whole",
            [Case(most, per_cell, processes), Case(most, per_cell, processes, rough=True)],
        )


def _table(title: str, cases: Sequence[Case]) -> None:
    print(f"\n{title}")
    print(
        f"{'endpoints':>9}{'W':>4}{'dialogues':>11}{'calls':>11}{'calls/s':>9}{'span s':>8}{'of bound':>10}{'used':>7}"
        f"{'before tail':>13}{'tail s':>8}{'Jain':>7}{'most/mean':>11}{'CPU ms':>8}{'MB':>6}  failed tries"
    )
    for case in cases:
        one = _apart(case)
        failed = ", ".join(f"{count} {kind}" for kind, count in sorted(one.failed.items()))
        print(
            f"{case.endpoints:9,}{case.processes:4}{one.dialogues:11,}{one.calls:11,}{one.calls / one.span_s:9,.0f}"
            f"{one.span_s:8.1f}{one.span_s / one.bound_s:10.3f}{one.used:7.1%}{one.used_before_tail:13.1%}"
            f"{one.tail_s:8.1f}{one.jain:7.4f}{one.most_over_mean:11.3f}{one.cpu_ms:8.3f}{one.rss_mb:6.0f}  {failed}",
            flush=True,
        )


def _apart(case: Case) -> Outcome:
    """Simulates a case in a process of its own, and shows how far it is."""
    command = [sys.executable, "-m", "benchmarks.scale", "--case", json.dumps(asdict(case))]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True) as process,
        bar(f"{case.endpoints} endpoints", 100) as progress,
    ):
        assert process.stdout is not None, "it is a pipe"
        shown, line = 0, ""
        for line in process.stdout:
            if not line.startswith("{") and (done := int(100 * float(line))) > shown:
                progress.advance(done - shown)
                shown = done
        if process.wait():
            said.seek(0)
            raise RuntimeError(f"{case} ended with {process.returncode}: {said.read()[-2000:].decode()}")
    return Outcome(**json.loads(line))


if __name__ == "__main__":
    main()
