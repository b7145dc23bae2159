"""Where a run is made: the plug-ins that its study and its site ask for, and the endpoints they open.

Law of the file: a plug-in is made when it is asked for, and every one is checked before any work is done.
"""

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from builder.config import Site, Study
from builder.core.part import Part
from builder.errors import ConfigError, nearest
from builder.plugins import make
from builder.plugins.checks import Check
from builder.plugins.judges import Judge
from builder.plugins.llm import Backend, Endpoint
from builder.plugins.measures import Measure, Weights
from builder.records import convert
from builder.remote import Remote
from builder.run.meter import Meter
from builder.run.replicas import open_replicas
from builder.run.served import Served, Voice, told
from builder.terminal import say

if TYPE_CHECKING:
    from builder.plugins.tts import Engine, Synthesizer
    from builder.run.folder import Run

P = TypeVar("P")


class Worker(Protocol):
    """Works on parts of runs, one after the other, beside others of its kind that ask the same endpoints."""

    place: Part
    """Which of them it is."""
    cores: int
    """That it may keep busy."""

    async def kept(self, config: str, engine: "Engine") -> "Synthesizer":
        """What speaks a dataset config, opened with the first part and kept open for those to come."""
        ...


class Plugins:
    """The plug-ins of one run.

    Args:
        run: what is made, and where.
        worker: which of several processes this one is; None for one that has the endpoints to itself.
        opened: closes what is kept open for as long as the run is.
    """

    def __init__(self, run: "Run", worker: Worker | None, opened: ExitStack) -> None:
        self._run, self._worker, self._opened = run, worker, opened
        self._metered: Meter | None = None
        self.served = Served(
            self._study.vocabulary.models,
            self.backends,
            self._site.name if self._site else "",
            strict=self._site is not None and self._site.strict,
        )
        """What really answers for the models of the study."""

    @property
    def _study(self) -> Study:
        return self._run.study

    @property
    def _site(self) -> Site | None:
        return self._run.site

    def check(self) -> None:
        """Makes every plug-in once, so that a misspelt setting is found before any work is done.

        Raises:
            ConfigError: one is misconfigured.
        """
        self.judges()
        for config in ("", *self._study.speech):
            self.checks(config)
        self.measures()
        if self._site is None:
            return
        for name in self._site.measures:
            if name not in self._study.measures:
                raise ConfigError(
                    f"site {self._site.name!r}, measures.{name}: the study does not measure it: "
                    f"{nearest(name, self._study.measures)}"
                )
            self.weights(name)
        for model in self._site.models:
            self.backends(model)
            if model not in {"*", *self._study.vocabulary.models}:
                hint = nearest(model, self._study.vocabulary.models)
                raise ConfigError(f"site {self._site.name!r}, models.{model}: no model of the study: {hint}")
        for config in self._site.speech:
            self.engine(config)

    def judges(self) -> dict[str, Judge]:
        """The judges of the study, by name, in its order."""
        judges = {
            name: make(Judge, table, f"study {self._study.name!r}, judges.{name}", default=name)
            for name, table in self._study.judges.items()
        }
        for name, judge in judges.items():
            for model in judge.models():
                if model not in self._study.vocabulary.models:
                    raise ConfigError(f"study {self._study.name!r}, judges.{name}: unknown model {model!r}")
        return judges

    def backends(self, model: str) -> list[Backend]:
        """Where the site serves a model: in one place, or in several, which are replicas."""
        tables, where = self._table("models", model)
        if isinstance(tables, dict):
            return [self._trusted(make(Backend, tables, where), where)]
        places = ((table, f"{where}[{place}]") for place, table in enumerate(tables))
        return [self._trusted(make(Backend, table, place), place) for table, place in places]

    def rehearses(self, model: str) -> bool:
        """Whether a stand-in answers for a model at the site."""
        return any(backend.rehearsal for backend in self.backends(model))

    def engine(self, config: str) -> "Engine":
        """What speaks a dataset config at the site."""
        from builder.plugins.tts import Engine

        table, where = self._table("speech", config)
        return self._trusted(make(Engine, cast("dict[str, Any]", table), where), where)

    async def synthesizer(self, config: str, opened: AsyncExitStack) -> "Synthesizer":
        """Opens what speaks a dataset config. It closes with `opened`, or is kept by the worker."""
        engine = self.engine(config)
        if self._worker:
            return await self._worker.kept(config, engine.among(self._worker.place))
        return await opened.enter_async_context(engine.open())

    @property
    def cores(self) -> int:
        """That may be kept busy here."""
        return self._worker.cores if self._worker else len(os.sched_getaffinity(0))

    def checks(self, config: str) -> dict[str, Check]:
        """The checks of a dataset config's clips, by name: the study's own for one that the study has no speech for."""
        speech = self._study.speech.get(config)
        tables, where = (speech.checks, f"speech.{config}.") if speech else (self._study.checks, "")
        return {
            name: make(Check, table, f"study {self._study.name!r}, {where}checks.{name}", default=name)
            for name, table in tables.items()
        }

    def measures(self) -> dict[str, Measure]:
        """What the study wants measured of every clip, by name."""
        return {
            name: make(Measure, table, f"study {self._study.name!r}, measures.{name}", default=name)
            for name, table in self._study.measures.items()
        }

    def weights(self, name: str) -> Weights | None:
        """Where the site has the model of a measure; None where it has none."""
        if self._site is None or name not in self._site.measures:
            return None
        return convert(self._site.measures[name], Weights, f"site {self._site.name!r}, measures.{name}")

    def _table(self, kind: str, name: str) -> tuple[dict[str, Any] | tuple[dict[str, Any], ...], str]:
        if self._site is None:
            raise ConfigError(
                "no site is named: --site says where models and engines are, such as --site rehearsal"
            )
        tables = getattr(self._site, kind)
        for key in (name, "*"):
            if key in tables:
                return tables[key], f"site {self._site.name!r}, {kind}.{key}"
        raise ConfigError(f"site {self._site.name!r} has no table [{kind}.{name!r}], nor one for '*'")

    def _trusted(self, plugin: P, where: str) -> P:
        """The plug-in, where the site lets it send what it sends."""
        if self._site and self._site.strict and isinstance(plugin, Remote) and plugin.exposes_token:
            raise ConfigError(
                f"{where}: the token of {plugin.token_env} would go over plain http to another machine, and the site is "
                "strict: serve it with https, or reach it through a tunnel that ends on this machine"
            )
        return plugin

    async def endpoints(self, models: Iterable[str], opened: AsyncExitStack) -> dict[str, Endpoint]:
        """Opens where these models are served, counts what they are asked, and stops at the budget.

        They close with `opened`. Where something else answers than the study asks for, or one for several models, that is said.

        Raises:
            ConfigError: something else answers than the study asks for, and the site is strict.
        """
        vocabulary = self._study.vocabulary.models
        endpoints: dict[str, Endpoint] = {}
        for model in sorted(set(models)):
            backends = self.backends(model)
            if self._worker:
                backends = [backend.among(self._worker.place) for backend in backends]
            together = await opened.enter_async_context(open_replicas(backends, vocabulary[model]))
            metered = self._meter().wrap(model, together)
            opened.callback(metered.close)
            endpoints[model] = self.served.watch(model, metered)
        voices = [Voice(model, endpoint.checkpoint) for model, endpoint in endpoints.items()]
        for names in self.served.shared(voices):
            say(told(names, endpoints[names[0]].checkpoint))
        return endpoints

    def _meter(self) -> Meter:
        if self._metered is None:
            site = self._site or Site(name="")
            meter = Meter(
                self._run.folder, site.prices, site.budget, part=self._run.part, writer=self._run.writer
            )
            self._metered = self._opened.enter_context(meter)
        return self._metered
