"""measure: what can be heard in every clip of every recording, as numbers.

A measure by a model runs in a thread of its own; one that needs no weights runs in as many processes as there are cores.
Law of the file: what was measured is not measured again; what could not run is said, and runs as soon as it can.
"""

import asyncio
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from builder.core.speech import Measured, Recording, Voice
from builder.errors import NotRunError, RunError
from builder.plugins.measures import Gauge, Measure, Spoken
from builder.run.audio import decode
from builder.run.folder import Run
from builder.run.work import Tally, work

_DIGITS = 3  # further ones differ from machine to machine
_AHEAD = 2  # recordings for each core, so that none waits for its next

Numbers = list[dict[str, float]]
"""By name, of each clip of a recording."""


@dataclass(frozen=True)
class _Job:
    """What it takes to measure a recording, fit to be sent to another process."""

    recording: Recording
    flacs: tuple[bytes, ...]
    texts: tuple[str, ...]
    voices: tuple[Voice | None, Voice | None]
    """Of the two speakers; None where the study does not know the voice."""


@dataclass(frozen=True)
class _Bench:
    """The measures that some recording is owed, opened."""

    places: dict[str, tuple[Executor, Callable[[_Job], Numbers]]]
    """Where each runs, and what runs there."""
    not_run: dict[str, str]
    """Those that cannot run here, with the reason."""

    def owed(self, so_far: Measured) -> list[str]:
        """The measures that are to run on a recording."""
        return [name for name in self.places if name not in so_far.done]

    def unsaid(self, so_far: Measured) -> dict[str, str]:
        """The measures of which the record does not say yet that, or why, they did not run."""
        return {
            name: reason
            for name, reason in self.not_run.items()
            if name not in so_far.done and so_far.not_run.get(name) != reason
        }

    async def run(self, name: str, job: _Job) -> Numbers:
        """Runs one measure on one recording.

        Raises:
            RunError: the process that measured it died.
        """
        place, measured = self.places[name]
        try:
            return await asyncio.get_running_loop().run_in_executor(place, measured, job)
        except BrokenProcessPool:
            raise RunError(
                f"a process that ran the measure {name!r} died, perhaps for want of memory: run measure again"
            ) from None


async def measure(run: Run) -> Tally:
    """Measures every recording that a measure of the study is owed for.

    Raises:
        ConfigError: the weights that the site names cannot be loaded, or do not fit.
        RunError: an audio file is missing, or a process that measures died.
    """
    held = {
        config: [id for id in ledger.ids() if run.takes(id) and id in run.dialogues]
        for config, ledger in run.recordings.items()
    }
    wanted = run.plugins.measures()
    lacking = {
        name
        for config, ids in held.items()
        for id in ids
        for name in wanted.keys() - set(_so_far(run, config, id).done)
    }
    tallies = []
    with ExitStack() as opened:
        bench = _open(run, {name: one for name, one in wanted.items() if name in lacking}, opened)
        for config, ids in held.items():
            records = ((id, _so_far(run, config, id)) for id in ids)
            owed = [id for id, so_far in records if bench.owed(so_far) or bench.unsaid(so_far)]
            before = len(ids) - len(owed)
            tallies.append(
                await _measure_all(run, config, owed, before, bench) if owed else Tally(skipped=before)
            )
    return Tally.sum(tallies)


def _so_far(run: Run, config: str, id: str) -> Measured:
    return run.measured(config).get(id) or Measured(id=id, clips=(), done=())


def _open(run: Run, measures: dict[str, Measure], opened: ExitStack) -> _Bench:
    """Opens measures; they close with `opened`."""
    places: dict[str, tuple[Executor, Callable[[_Job], Numbers]]] = {}
    not_run, alone = {}, {}
    for name, one in measures.items():
        weights = run.plugins.weights(name)
        try:
            gauge = opened.enter_context(one.open(weights))
        except NotRunError as error:
            not_run[name] = str(error)
            continue
        if weights is None:
            alone[name] = one
        else:
            thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"measure {name}")
            places[name] = opened.enter_context(thread), partial(_numbers, gauge)
    if alone:
        # Spawned, since a process with threads in it must not be forked.
        pool = ProcessPoolExecutor(run.plugins.cores, multiprocessing.get_context("spawn"), _begin, (alone,))
        opened.callback(pool.shutdown, cancel_futures=True)
        places |= {name: (pool, partial(_numbers_here, name)) for name in alone}
    return _Bench(places, not_run)


async def _measure_all(run: Run, config: str, owed: list[str], before: int, bench: _Bench) -> Tally:
    audio, measured = run.audio(config), run.measured(config)
    known = (
        {voice.name: voice for voice in run.study.speech[config].cast()} if config in run.study.speech else {}
    )

    def job(id: str) -> _Job:
        recording = run.recordings[config][id]
        return _Job(
            recording=recording,
            flacs=tuple(audio.clips(recording)),
            texts=tuple(turn.text for turn in run.dialogues[id].turns),
            voices=(known.get(recording.first_voice), known.get(recording.second_voice)),
        )

    async def record(id: str) -> None:
        so_far = _so_far(run, config, id)
        names = bench.owed(so_far)
        ready = await asyncio.to_thread(job, id)
        found = await asyncio.gather(*(bench.run(name, ready) for name in names))
        clips = [so_far.clips or ({},) * len(ready.flacs), *found]
        done = {*so_far.done, *names}
        not_run = so_far.not_run | bench.unsaid(so_far)
        measured.append(
            id,
            Measured(
                id=id,
                # In one order, whichever ran first.
                clips=tuple(
                    dict(sorted(pair for part in parts for pair in part.items()))
                    for parts in zip(*clips, strict=True)
                ),
                done=tuple(sorted(done)),
                not_run={name: reason for name, reason in sorted(not_run.items()) if name not in done},
            ),
        )

    at_once = _AHEAD * run.plugins.cores
    return await work(run, f"measure-{config}", owed, record, total=len(owed), at_once=at_once, done=before)


def _numbers(gauge: Gauge, job: _Job) -> Numbers:
    """Runs a gauge on the clips of a recording."""
    return [
        {name: round(float(value), _DIGITS) + 0.0 for name, value in clip.items() if math.isfinite(value)}
        for clip in gauge.measure([_spoken(job, position) for position in range(len(job.flacs))])
    ]


def _spoken(job: _Job, position: int) -> Spoken:
    samples, sampling_rate_hz = decode(job.flacs[position])
    return Spoken(
        samples=samples,
        sampling_rate_hz=sampling_rate_hz,
        text=job.texts[position],
        voice=job.voices[position % 2],
    )


# What follows runs in the processes of the pool.

_OPENED = ExitStack()
_GAUGES: dict[str, Gauge] = {}


def _begin(measures: dict[str, Measure]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # The process that started this one hears it, too, and ends it.
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _GAUGES.update({name: _OPENED.enter_context(one.open(None)) for name, one in measures.items()})


def _end_with_parent() -> None:
    """Ends this process with the one that started it, even if that one was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)


def _numbers_here(name: str, job: _Job) -> Numbers:
    return _numbers(_GAUGES[name], job)
