"""Places: where a run is worked on: in this process, at a desk of a shared run, or on a cluster.

Law of the file: a place does what it is told, a stage at a time; what the stages do is theirs.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from builder.config import Site, Study
from builder.core.part import Part
from builder.errors import ConfigError, RunError
from builder.files import put
from builder.pipeline import stage
from builder.pipeline.twins import find
from builder.run.folder import Run
from builder.run.pin import begun
from builder.run.share import Share, is_url, pulled_from
from builder.run.work import Tally
from builder.stages.judge import TWINS

_JUDGE_EVERY_S = 5.0


class Place(Protocol):
    """Where a run is worked on: in this process, or on a cluster."""

    @property
    def run(self) -> Run:
        """What is worked on."""
        ...

    def do(self, name: str) -> Tally:
        """Does one stage."""
        ...

    def together(self) -> tuple[Tally, Tally]:
        """Does `generate` and `judge`, at once where that goes."""
        ...


class Here(NamedTuple):
    """This process."""

    run: Run

    def do(self, name: str) -> Tally:
        """As `Place` says."""
        return asyncio.run(stage(name)(self.run))

    def together(self) -> tuple[Tally, Tally]:
        """As `Place` says."""
        return asyncio.run(_generate_and_judge(self.run))


class AtDesk(NamedTuple):
    """One part of a shared run, on a copy of what it needs."""

    run: Run
    share: Share

    def do(self, name: str) -> Tally:
        """As `Place` says."""
        # A part generates from its own scenarios; drawing them again gives the same ones.
        if name == "generate":
            asyncio.run(stage("plan")(self.run))
        if name == "judge" and self.run.study.judges:
            with Run(self.share.view(), writable=False) as whole:
                found = self.share.read(find(self.share, whole))
            put(self.run.folder / TWINS, [found or b"{}"])
        return asyncio.run(stage(name)(self.run))

    def together(self) -> tuple[Tally, Tally]:
        """As `Place` says."""
        return self.do("generate"), self.do("judge")


@contextmanager
def _at_desk(share: Share, study: Study | None, site: Site | None, part: Part) -> Iterator[Place]:
    if study is not None:
        share.begin(begun(study))
    with share.working(part) as desk, Run(desk.folder, study, site, part=part, desk=desk) as run:
        yield AtDesk(run, share)


@contextmanager
def opened(
    verb: str, study: Study | None, site: Site | None, folder: str, out: Path, part: Part | None
) -> Iterator[Place]:
    """Opens a run where it is to be worked on.

    Args:
        verb: what is to be done: a stage, or `build` for all of them.
        study: what is made; None takes the study that the run is pinned to.
        site: where it is made; None for what needs none.
        folder: of the run: a path, or the URL of a shared one.
        out: where the packaged dataset goes.
        part: the dialogues to work on; None for all of them.

    Raises:
        ConfigError: the verb cannot work there in this way.
        RunError: as `Run` does.
    """
    if is_url(folder) and part is not None:
        with _at_desk(Share(folder), study, site, part) as desk:
            yield desk
    elif site is not None and site.engine == "ray" and part is None:
        from builder.pipeline.ray import Cluster

        with Cluster(folder, study, site, out) as cluster:
            yield cluster
    elif is_url(folder):
        if verb != "package":
            raise ConfigError(
                f"{verb} works on a shared run by parts: --part K/N, --part 1/1 for all of it, or a site with "
                f'engine = "ray"'
            )
        # Every clip is read, and one by one from afar takes long.
        with Run(Share(folder).view(audio=True), study, site, out, writable=False) as run:
            yield Here(run)
    else:
        shared = pulled_from(Path(folder))
        if shared is not None and verb != "package":
            raise ConfigError(
                f"{folder} is a view of what is shared at {shared.url}, and {verb} works there: name a site with "
                f'engine = "ray", or that URL and --part K/N'
            )
        with Run(Path(folder), study, site, out, part=part) as run:
            yield Here(run)


async def _generate_and_judge(run: Run) -> tuple[Tally, Tally]:
    """Both at once: what is held is judged while the rest is held."""
    judge = stage("judge")
    generating = asyncio.create_task(stage("generate")(run))
    done = 0
    try:
        while True:
            finished, _ = await asyncio.wait([generating], timeout=_JUDGE_EVERY_S)
            judged = await judge(run)
            done += judged.done
            if finished:
                return generating.result(), msgspec.structs.replace(judged, done=done)
    finally:
        generating.cancel()
        await asyncio.gather(generating, return_exceptions=True)


def refuse_nothing(run: Run, verb: str) -> None:
    """Makes sure that a stage that is run by itself has something to work on, in whichever part.

    Args:
        run: that it works on.
        verb: the stage.

    Raises:
        RunError: what it works on is not there at all; says what makes it.
    """
    study, dialogues = run.study, run.dialogues.ids()
    made = "plan" if study.plan is not None else "ingest"
    lacking = ""
    if verb == "generate" and study.script is not None and not len(run.scenarios):
        lacking = f"nothing is planned to be held: `deepdialogue {made}` comes first"
    elif verb in {"judge", "synthesize"} and not dialogues:
        lacking = (
            f"no dialogue is held yet: `deepdialogue {'generate' if study.plan else 'ingest'}` comes first"
        )
    elif verb == "synthesize" and study.speech:
        decisions = (run.decision(run.reviews.get(id)) for id in dialogues)
        if not any(decision and decision.outcome == "accepted" for decision in decisions):
            lacking = f"none of its {len(dialogues)} dialogues is accepted: `deepdialogue status` shows what is owed"
    elif verb == "measure" and study.measures and not any(map(len, run.recordings.values())):
        lacking = "nothing is recorded yet: `deepdialogue synthesize` or `ingest` comes first"
    if lacking:
        raise RunError(f"{run.folder}: {lacking}")
