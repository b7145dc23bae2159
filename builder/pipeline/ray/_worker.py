"""The worker: a long-lived actor that brings one part after the other up to date.

What it has to say it says when it is asked, and an error is an answer like any other: Ray starts a worker again that dies,
not one that says no.
Law of the file: nothing comes in but names and settings, and nothing goes out but counts and lines.
"""

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import Literal

from builder.config import Site
from builder.core.part import Part
from builder.errors import BusyError, ConfigError, DeepDialogueError, OvertakenError, in_one_line
from builder.files import put
from builder.pipeline import STAGES, stage
from builder.plugins.tts import Engine, Synthesizer
from builder.records import Record
from builder.run.folder import Run
from builder.run.share import Share
from builder.run.work import Tally
from builder.stages.judge import TWINS
from builder.terminal import relay

Ending = Literal["done", "stopped", "lost", "failed", "refused"]
"""`lost`: another process has the part, or had it; `refused`: every other part would be, for the same reason."""


class Outcome(Record):
    """How the work on a part ended."""

    part: str
    ending: Ending
    tallies: tuple[Tally, ...] = ()
    """Of each stage."""
    message: str = ""


class Told(Record):
    """What a worker has to show since it was last asked."""

    lines: tuple[str, ...]
    done: int
    """Items, failed ones among them."""
    failed: int
    total: int
    """Items that it began to work through."""


class Worker:
    """One of several actors that work on a run.

    Args:
        url: of the share.
        site: where the endpoints and engines are; secrets come from this process's own environment.
        place: which of them it is.
        cores: that it may keep busy.
    """

    def __init__(self, url: str, site: Site, place: Part, cores: int) -> None:
        gc.set_threshold(50_000)  # as in `__main__`
        self.place, self.cores = place, cores
        self._site, self._url = site, url
        self._shown = relay()
        self._engines: dict[str, Synthesizer] = {}
        self._kept = AsyncExitStack()
        self._work: asyncio.Task[Outcome] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def work(self, part: Part, stages: tuple[str, ...], twins: str) -> Outcome:
        """Brings stages of a part up to date, and publishes what is new.

        Args:
            part: of the run.
            stages: in order.
            twins: the object that holds the twins of all dialogues; empty where each part looks for its own.
        """
        try:
            # Ray may take a worker for lost and find it again, while it still works on what others have by then.
            async with self._one_at_a_time:
                self._work = asyncio.create_task(self._brought(part, stages, twins))
                return await self._work
        except asyncio.CancelledError:
            return Outcome(part.name, "stopped")
        except Exception as error:  # noqa: BLE001 - as in `__main__`, for whoever looks at all parts
            kinds: dict[type[Exception], Ending] = {
                ConfigError: "refused",
                BusyError: "lost",
                OvertakenError: "lost",
            }
            ending: Ending = next((kinds[kind] for kind in kinds if isinstance(error, kind)), "failed")
            return Outcome(part.name, ending, message=in_one_line(error))

    async def _brought(self, part: Part, stages: tuple[str, ...], twins: str) -> Outcome:
        share = Share(self._url)
        try:
            # What waits for the storage may wait here: meanwhile nothing else is to be done.
            with share.working(part) as desk:
                (desk.folder / TWINS).unlink(missing_ok=True)
                if twins and (found := share.read(twins)):
                    put(desk.folder / TWINS, [found])
                with Run(desk.folder, None, self._site, part=part, desk=desk, worker=self) as run:
                    tallies = tuple([await stage(name)(run) for name in stages])
                    if "generate" in stages:
                        run.failures.end(run.takes)
        except DeepDialogueError:
            raise
        except BaseException:
            await self.close()  # what is kept may be what went wrong
            raise
        return Outcome(part.name, "done", tallies)

    async def kept(self, config: str, engine: Engine) -> Synthesizer:
        """As the contract says."""
        if config not in self._engines:
            self._engines[config] = await self._kept.enter_async_context(engine.open())
        return self._engines[config]

    async def told(self) -> Told:
        """What is to be shown."""
        lines, bars = self._shown.fetched()
        counts = [bars[what] for what in bars if what.partition("-")[0] in STAGES]
        return Told(tuple(lines), *(sum(column) for column in zip((0, 0, 0), *counts, strict=True)))

    async def stop(self) -> None:
        """Ends the work on a part as an interruption would: what is finished is published."""
        if self._work is not None:
            self._work.cancel()

    async def close(self) -> None:
        """Lets go of what was kept open."""
        self._engines.clear()
        await self._kept.aclose()
        self._kept = AsyncExitStack()
