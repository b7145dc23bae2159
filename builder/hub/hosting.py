"""Inference Endpoints for the models of a study: started, waited for, priced, paused and deleted.

    [endpoints]                         # in a site
    namespace = "my-org"                # who owns them, and pays
    vendor = "aws"
    region = "us-east-1"

    [endpoints.models."llama3-8B"]      # one for each model that is to be hosted
    instance_type = "nvidia-l40s"
    instance_size = "x1"

Law of the file: it touches only what it made, which it knows by its tag; it starts nothing without a price; and it never
ends, however it ends, without saying what runs and costs money. The token is HF_TOKEN's, and is repeated nowhere.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import huggingface_hub
import msgspec
from huggingface_hub.errors import (  # type: ignore[attr-defined] # the root of whichever HTTP library it uses
    HfHubHTTPError,
    HTTPError,
    InferenceEndpointError,
)
from rich.console import Console
from rich.table import Table

from builder.config import Study
from builder.errors import ConfigError, EndpointError, ItemError, ProtocolError, nearest
from builder.records import Record, convert
from builder.remote.fault import excerpt
from builder.secret import is_sendable
from builder.terminal import say

_TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name
_TGI = {
    "url": "ghcr.io/huggingface/text-generation-inference:3.3.7",
    "healthRoute": "/health",
    "port": 80,
}
_TGI_ENV = {
    "MODEL_ID": "/repository",
    "MAX_CONCURRENT_REQUESTS": "128",
    "MAX_INPUT_TOKENS": "3584",
    "MAX_TOTAL_TOKENS": "4096",
}
_FREE = {"paused", "scaledToZero", "failed"}
"""States that are not billed. Any other, also one that is new to us, is taken to cost money."""
_FAILED = {"failed", "updateFailed"}


class Host(Record):
    """What hosts one model."""

    instance_type: str
    """As the service names it, such as `nvidia-l40s`."""
    instance_size: str
    """Such as `x4`: four of its accelerators."""
    min_replica: Annotated[int, msgspec.Meta(ge=0)] = 1
    max_replica: Annotated[int, msgspec.Meta(ge=1)] = 1
    scale_to_zero_minutes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Idle minutes after which it stops costing; needs `min_replica = 0`."""
    price_per_hour: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Of one replica, in US dollars; None takes what the service says."""
    image: dict[str, Any] | None = None
    """The container, as `create_inference_endpoint` takes it; None is Text Generation Inference."""
    env: dict[str, str] = {}
    """The container's environment; beside TGI it adds to what keeps its prompts short and its queue small."""

    def __post_init__(self) -> None:
        if self.min_replica > self.max_replica:
            raise ValueError(f"min_replica is {self.min_replica}, more than max_replica, {self.max_replica}")
        if self.scale_to_zero_minutes is not None and self.min_replica:
            raise ValueError(f"scale_to_zero_minutes needs min_replica = 0, it is {self.min_replica}")


class Hosting(Record):
    """Where the endpoints of a study are, and on what."""

    namespace: str
    """The user or organisation that owns and pays them."""
    vendor: str
    region: str
    models: dict[str, Host]
    """By the model's name in the study; a model that is served elsewhere is left out."""
    accelerator: str = "gpu"
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 3600.0
    """How long to wait until all of them answer."""

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("endpoints.models is empty: one table for each model that is to be hosted")


class Row(NamedTuple):
    """One endpoint as the service has it."""

    name: str
    model: str
    """The study's name for it, or the repository where the site does not host it any more."""
    state: str
    url: str | None
    per_hour: float | None
    """What it costs now, all replicas, in US dollars; 0 in a state that is not billed, None where no price is known."""


def read_hosting(table: dict[str, Any], site: str) -> Hosting:
    """Reads the table `[endpoints]` of a site.

    Raises:
        ConfigError: it is missing, or names the key that is wrong.
    """
    if not table:
        raise ConfigError(f"site {site!r} has no table [endpoints]: it says where endpoints are to be hosted")
    return convert(table, Hosting, f"site {site!r}, endpoints")


def endpoints(
    verb: Literal["up", "down", "list"],
    study: Study,
    hosting: Hosting,
    console: Console,
    *,
    yes: bool = False,
    delete: bool = False,
) -> int:
    """Carries out one verb and shows what is there afterwards.

    Args:
        verb: `up` tells the price and, with `yes`, starts and waits, then prints the site's tables for them; `down`
            pauses or deletes; `list` only looks.
        study: whose models.
        hosting: where.
        console: what is shown goes here; what happens on the way goes to stderr.
        yes: whether the price is agreed to.
        delete: whether `down` deletes them, rather than pausing.

    Returns:
        The exit status: 1 where `up` was not agreed to.

    Raises:
        ConfigError: no token, no price, an unknown model, or a name that is taken by another's endpoint.
        EndpointError: the service refuses, fails or takes too long; what runs has been said.
    """
    fleet = Fleet(study, hosting)
    if verb == "list":
        _show(fleet.rows(), console)
        return 0
    if verb == "down":
        fleet.down(delete=delete)
        return 0
    most = fleet.quote()
    if not yes:
        say(f"nothing was started: add --yes to start them for at most ${most:.2f} an hour")
        return 1
    console.print(_tables(fleet.up(), hosting), markup=False, highlight=False, soft_wrap=True)
    return 0


class Fleet:
    """The endpoints of one study in one namespace.

    Args:
        study: whose models.
        hosting: where.
        refresh_s: how often a state is asked for while waiting.

    Raises:
        ConfigError: no token in the environment, or a model that the study does not have.
    """

    def __init__(self, study: Study, hosting: Hosting, refresh_s: float = 5.0) -> None:
        self._token = os.environ.get(_TOKEN, "").strip()
        if not self._token:
            raise ConfigError(f"{_TOKEN} is not set: export a token that may manage Inference Endpoints")
        if not is_sendable(self._token):
            raise ConfigError(
                f"{_TOKEN} does not hold a token: export one that may manage Inference Endpoints"
            )
        known = study.vocabulary.models
        for model in hosting.models:
            if model not in known:
                raise ConfigError(f"endpoints.models.{model}: no model of the study: {nearest(model, known)}")
        self._study, self._hosting, self._refresh_s = study, hosting, refresh_s
        self._api = huggingface_hub.HfApi(token=self._token)
        self._tag = f"deepdialogue-{study.name}"
        self._names = {_name(study.name, model): model for model in hosting.models}
        if len(self._names) < len(hosting.models):
            raise ConfigError(f"endpoints.models are {', '.join(hosting.models)}: two would have one name")

    def rows(self) -> list[Row]:
        """Every endpoint that was made for the study, also one that the site does not name any more."""
        return [self._row(endpoint) for endpoint in self._mine()]

    def quote(self) -> float:
        """Says what `up` would do and what each endpoint costs.

        Returns:
            The most that all of them cost, in US dollars an hour.

        Raises:
            ConfigError: a price is not known, a name is taken, or an endpoint is not what the site says.
        """
        there = {endpoint.name: endpoint for endpoint in self._mine()}
        most = 0.0
        for name, model in self._names.items():
            host, repository = self._hosting.models[model], self._study.vocabulary.models[model].hub_id
            if name in there:
                stands = (there[name].repository, *_hardware(there[name].raw))
                if stands != (wanted := (repository, *self._wanted(host))):
                    raise ConfigError(
                        f"{name} is {' '.join(stands)}, the site says {' '.join(wanted)}: "
                        "`endpoints down --delete` makes way for it"
                    )
            if (price := self._price(self._wanted(host), host)) is None:
                raise ConfigError(
                    f"endpoints.models.{model}: the service tells no price for {host.instance_type!r} "
                    f"{host.instance_size!r} in {self._hosting.vendor} {self._hosting.region}: set price_per_hour"
                )
            most += price * host.max_replica
            say(
                f"{name}: {repository} on {host.instance_type} "
                f"{host.instance_size}, {host.min_replica} to {host.max_replica} replicas at ${price:.2f} an hour: "
                f"{there[name].status if name in there else 'to be created'}"
            )
        say(f"all together: at most ${most:.2f} an hour, until `endpoints down`")
        return most

    def up(self) -> list[Row]:
        """Creates what is missing, wakes what rests, and waits until all of them answer.

        Returns:
            The endpoints of the site's models, every one of them ready.

        Raises:
            EndpointError: one cannot be started, or is not ready in time. What runs has been said.
        """
        there = {endpoint.name: endpoint for endpoint in self._mine()}
        with self._honest():
            for name, model in self._names.items():
                if name not in there:
                    say(f"{name}: creating")
                    self._create(name, model)
                elif there[name].status in {"paused", "scaledToZero"}:
                    say(f"{name}: resuming")
                    with self._asking(f"resume {name}"):
                        there[name].resume()
            self._wait()
        rows = [row for row in self.rows() if row.name in self._names]
        say(f"ready: {_costing(rows)}")
        return rows

    def down(self, *, delete: bool) -> None:
        """Pauses or deletes every endpoint that was made for the study, and makes sure that none costs any more.

        Raises:
            EndpointError: some could not be stopped; names them and what they cost.
        """
        refused = ""
        with self._honest():
            for endpoint in self._mine():
                try:
                    self._stop(endpoint, delete=delete)
                except ItemError as error:
                    # One that cannot be stopped is no reason to leave the next one running.
                    refused = refused or str(error)
            tries = 12
            while (running := [row for row in self.rows() if row.per_hour != 0]) and tries and not refused:
                tries -= 1
                time.sleep(self._refresh_s)
        if running:
            said = f"{refused}; " if refused else ""
            raise EndpointError(f"{said}still running: {_costing(running)}: run `endpoints down` once more")
        if refused:
            raise EndpointError(refused)
        say("none of the study's endpoints runs or costs money")

    def _stop(self, endpoint: huggingface_hub.InferenceEndpoint, *, delete: bool) -> None:
        if delete:
            with self._asking(f"delete {endpoint.name}"):
                endpoint.delete()
            say(f"{endpoint.name}: deleted")
        elif endpoint.status not in {"paused", "failed"}:
            with self._asking(f"pause {endpoint.name}"):
                endpoint.pause()
            say(f"{endpoint.name}: paused")

    def _mine(self) -> list[huggingface_hub.InferenceEndpoint]:
        """What carries the study's tag.

        Raises:
            ConfigError: one has a name that we would give, and no tag.
        """
        namespace = self._hosting.namespace
        with self._asking(f"list the endpoints of {namespace}"):
            there = self._api.list_inference_endpoints(namespace=namespace, token=self._token)
        mine = [endpoint for endpoint in there if self._tag in (endpoint.raw.get("tags") or ())]
        for endpoint in there:
            if endpoint.name in self._names and endpoint not in mine:
                raise ConfigError(
                    f"{namespace} has an endpoint {endpoint.name!r} without the tag {self._tag!r}: it is not of this "
                    "study and is left alone: rename the study, or delete it by hand"
                )
        return mine

    def _create(self, name: str, model: str) -> None:
        host, hosting, known = (
            self._hosting.models[model],
            self._hosting,
            self._study.vocabulary.models[model],
        )
        with self._asking(f"create {name}"):
            self._api.create_inference_endpoint(
                name,
                repository=known.hub_id,
                revision=known.revision,
                framework="pytorch",
                task="text-generation",
                accelerator=hosting.accelerator,
                vendor=hosting.vendor,
                region=hosting.region,
                instance_type=host.instance_type,
                instance_size=host.instance_size,
                min_replica=host.min_replica,
                max_replica=host.max_replica,
                scale_to_zero_timeout=host.scale_to_zero_minutes,
                custom_image=host.image or _TGI,
                env=host.env if host.image else _TGI_ENV | host.env,
                tags=[self._tag],
                namespace=hosting.namespace,
                token=self._token,
            )

    def _wait(self) -> None:
        """Until every endpoint of the site's models runs and answers."""
        end = time.monotonic() + self._hosting.timeout_s
        there: dict[str, huggingface_hub.InferenceEndpoint] = {}
        states: dict[str, str] = {}
        while not there or not all(there[name].url and states[name] == "running" for name in self._names):
            if states and time.monotonic() > end:
                late = ", ".join(f"{name} is {state}" for name, state in states.items() if state != "running")
                raise EndpointError(f"not ready in {self._hosting.timeout_s:g} s: {late}")
            if there:
                time.sleep(self._refresh_s)
            try:
                there = self._look(states)
            except EndpointError as error:
                if time.monotonic() > end:
                    raise
                say(f"{error}: asking again")
                time.sleep(self._refresh_s)
        for name in self._names:
            with self._asking(f"reach {name}"):
                left = max(0.0, end - time.monotonic())
                there[name].wait(timeout=left, refresh_every=self._refresh_s)  # type: ignore[arg-type] # seconds

    def _look(self, states: dict[str, str]) -> dict[str, huggingface_hub.InferenceEndpoint]:
        """The study's endpoints by name; says and keeps each state that changed.

        Raises:
            ProtocolError: one of the site's models failed or is gone, so that waiting is no use.
        """
        there = {endpoint.name: endpoint for endpoint in self._mine()}
        for name in self._names:
            if name not in there:
                raise ProtocolError(f"{name} is gone, somebody deleted it: run `endpoints up` again")
            state = str(there[name].status)
            if state in _FAILED:
                reason = excerpt(str(there[name].raw["status"].get("message", "")), self._token)
                raise ProtocolError(f"{name} {state}: {reason or 'its log on the service says why'}")
            if states.get(name) != state:
                states[name] = state
                say(f"{name}: {state}")
        return there

    def _row(self, endpoint: huggingface_hub.InferenceEndpoint) -> Row:
        with self._asking(f"read {endpoint.name}"):
            return self._read(endpoint)

    def _read(self, endpoint: huggingface_hub.InferenceEndpoint) -> Row:
        model, raw = self._names.get(endpoint.name), endpoint.raw
        status = raw["status"]
        price: float | None = 0.0
        if status["state"] not in _FREE:
            replicas = status.get("targetReplica")
            # What it does not say is counted as the most it may be.
            replicas = raw["compute"]["scaling"]["maxReplica"] if replicas is None else replicas
            price = self._price(_hardware(raw), self._hosting.models[model] if model else None)
            price = None if price is None else price * max(1, replicas)
        return Row(endpoint.name, model or endpoint.repository, str(endpoint.status), endpoint.url, price)

    def _wanted(self, host: Host) -> "_Hardware":
        hosting = self._hosting
        return _Hardware(
            hosting.vendor, hosting.region, hosting.accelerator, host.instance_type, host.instance_size
        )

    def _price(self, hardware: "_Hardware", host: Host | None) -> float | None:
        """Of one replica on this hardware: what the site says of it, else what the service says; None if neither does."""
        if host is not None and host.price_per_hour is not None and self._wanted(host) == hardware:
            return host.price_per_hour
        return self._prices.get(hardware)

    @cached_property
    def _prices(self) -> dict["_Hardware", float]:
        ask = getattr(self._api, "list_inference_endpoints_hardware", None)
        if ask is None:  # a huggingface_hub from before the service told its prices
            return {}
        with self._asking("list the prices"):
            offers = ask(namespace=self._hosting.namespace, token=self._token)
        return {
            _Hardware(one.vendor, one.region, one.accelerator, one.instance_type, one.instance_size): float(
                one.price_per_hour
            )
            for one in offers
        }

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except (HfHubHTTPError, HTTPError, InferenceEndpointError, OSError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            hint = f" ({_TOKEN} must hold a token that may)" if status in {401, 403} else ""
            message = f"{what}: {excerpt(str(error), self._token, 400) or type(error).__name__}{hint}"
            refused = status is not None and 400 <= status < 500 and status != 429
            raise (ProtocolError if refused else EndpointError)(message) from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            said = excerpt(f"{type(error).__name__} {error}", self._token)
            raise ProtocolError(f"{what}: the service answered what cannot be read: {said}") from None

    @contextmanager
    def _honest(self) -> Iterator[None]:
        """However it is left but well, what may run is said at once, and then what does run."""
        try:
            yield
        except BaseException:
            names = ", ".join(self._names)
            say(
                f"deepdialogue: {names} may be running and cost money: `deepdialogue endpoints down` stops them"
            )
            try:
                running = [row for row in self.rows() if row.per_hour != 0]
            except (ItemError, ConfigError, KeyboardInterrupt) as error:
                namespace = self._hosting.namespace
                say(
                    "deepdialogue: the service does not say which of them do "
                    f"({str(error) or type(error).__name__}): look at https://endpoints.huggingface.co/{namespace}"
                )
            else:
                said = f"still running: {_costing(running)}" if running else "none of them runs"
                say(f"deepdialogue: {said}")
            raise


class _Hardware(NamedTuple):
    vendor: str
    region: str
    accelerator: str
    instance_type: str
    instance_size: str


def _hardware(raw: dict[str, Any]) -> _Hardware:
    """What an endpoint stands on, from the service's own words."""
    provider, compute = raw["provider"], raw["compute"]
    return _Hardware(
        provider["vendor"],
        provider["region"],
        compute["accelerator"],
        compute["instanceType"],
        compute["instanceSize"],
    )


def _name(study: str, model: str) -> str:
    """An endpoint's name: lower case, digits and `-`, at most 32 characters."""
    own = _slug(model)
    if len(own) > 17:
        own = f"{own[:10].strip('-')}-{hashlib.blake2b(model.encode(), digest_size=3).hexdigest()}"
    return f"{_slug(study)[:14].strip('-')}-{own}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _costing(rows: list[Row]) -> str:
    """Who runs, and for how much together."""
    costing = [row for row in rows if row.per_hour != 0]
    known = sum(row.per_hour or 0 for row in costing)
    unpriced = " and what the unpriced cost" if any(row.per_hour is None for row in costing) else ""
    each = ", ".join(
        f"{row.name} ({row.state}, {'no price known' if row.per_hour is None else f'${row.per_hour:.2f}'})"
        for row in costing
    )
    return f"{each or 'nothing'}: ${known:.2f} an hour{unpriced}"


def _show(rows: list[Row], console: Console) -> None:
    table = Table("endpoint", "model", "state", "url", "$ an hour")
    for row in rows:
        price = "?" if row.per_hour is None else f"{row.per_hour:.2f}"
        table.add_row(row.name, row.model, row.state, row.url or "", price)
    console.print(table)
    console.print(f"costs now: {_costing(rows)}", highlight=False, markup=False, soft_wrap=True)


def _tables(rows: list[Row], hosting: Hosting) -> str:
    """What the site says of them, in TOML."""
    lines: list[str] = []
    for row in rows:
        lines += [
            f"[models.{json.dumps(row.model)}]",
            'backend = "hub"',
            f"url = {json.dumps(row.url)}",
            f'token_env = "{_TOKEN}"',
        ]
        if hosting.models[row.model].image is None:
            lines.append(f'served_as = "{_TGI_ENV["MODEL_ID"]}"')
        lines.append("")
    return "\n".join(lines).rstrip()
