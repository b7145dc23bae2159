"""The cluster: the same stages by the same code, worked on part by part on Ray.

A run on a cluster is shared (`builder.run.share`): at a URL, or in the folder `shared` of a run folder that all nodes see. What
can be read of it here is its view, brought up to date after every stage.
Law of the file: which stage follows which, and nothing of how they are worked on. Every worker imports it: what takes seconds
to import is imported by whoever packages.
"""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from builder.config import Site, Study
from builder.core.part import Part
from builder.pipeline.ray._crew import Crew
from builder.pipeline.twins import find
from builder.run.folder import Run
from builder.run.pin import begun
from builder.run.share import Share, is_url
from builder.run.work import Tally

if TYPE_CHECKING:
    from builder.dataset.shards import Written
    from builder.stages.package import Cell

_PARTS_EACH = 4
"""So many parts for each worker make the last ones end at about the same time."""


class Cluster:
    """A run that is worked on by a cluster.

    Args:
        run: a URL, or a path that all nodes see.
        study: what is made; None for a run that is shared already.
        site: where it is made.
        out: where the packaged dataset goes.

    Raises:
        ConfigError: study, site or cluster cannot be used.
        RunError: the run is pinned to another study, or there is none.
        StorageError: the storage does not answer.
    """

    def __init__(self, run: str, study: Study | None, site: Site, out: Path) -> None:
        self._share = Share(run if is_url(run) else str(Path(run) / "shared"))
        self._folder = None if is_url(run) else Path(run)
        self._site, self._out = site, out
        self._crew: Crew | None = None
        self._open = ExitStack()
        self._view = self._open.enter_context(ExitStack())
        if study is not None:
            self._share.begin(begun(study))
        self.run = self._viewed(study)
        """Its view, as it was after the latest stage; to be read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def do(self, name: str) -> Tally:
        """Brings one stage up to date; raises as the stage does, and as `Crew.work` does."""
        if name == "package":
            from builder.stages.package import package

            return asyncio.run(package(self.run, self._press))
        # A part generates from its own scenarios; drawing them again gives the same ones.
        stages = ("plan", name) if name == "generate" else (name,)
        return self._work(stages, find(self._share, self.run) if name == "judge" else "")[-1]

    def together(self) -> tuple[Tally, Tally]:
        """Brings `generate` and `judge` up to date, each part's judge after its generate, and then for twins in others."""
        _, generated, judged = self._work(("plan", "generate", "judge"))
        again = self.do("judge")
        return generated, Tally.sum((judged, again))

    def _work(self, stages: tuple[str, ...], twins: str = "") -> list[Tally]:
        try:
            return self._crewed().work(self._parts(), stages, twins)
        finally:
            self.run = self._viewed(None)

    async def _press(self, _: Run, folder: Path, cells: "list[Cell]") -> "list[Written]":
        return self._crewed().press(self._share, folder, cells)

    def _crewed(self) -> Crew:
        if self._crew is None:
            self._crew = self._open.enter_context(Crew(self._site, self._share.url))
        return self._crew

    def _parts(self) -> list[Part]:
        """As many as the site says, else as the run was cut into before, else four for each worker."""
        before = {int(name.rpartition("-")[2]) for name in self._share.parts()}
        count = self._site.ray.parts or max(before, default=_PARTS_EACH * self._site.ray.workers)
        return [Part(index=index, count=count) for index in range(1, count + 1)]

    def _viewed(self, study: Study | None) -> Run:
        self._view.close()
        folder = self._folder or self._share.view()
        if self._folder:
            self._share.pull(folder)
        return self._view.enter_context(Run(folder, study, self._site, self._out, writable=False))
