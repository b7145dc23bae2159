"""Is all that a study needs there, and fit for it? Every endpoint and every engine is asked, all at once, before a run is.

Law of the file: it asks what the run will ask: the last turn of the longest dialogue, and the judge's own question about
such a dialogue. It writes nothing that stays, and repeats no token.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.text import Text

from builder.config import Site, Study
from builder.core.chat import Actor, conversation
from builder.core.checkpoint import groups, joined
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.draw import seed_of
from builder.core.prompt import Completion, Decoding, Message, Prompt
from builder.core.scenario import Scenario, TurnRange, scenarios
from builder.core.speech import Line
from builder.core.verdict import Abstention
from builder.core.vocabulary import Model
from builder.errors import DeepDialogueError, ReplyError
from builder.plugins.judges import Context, Judge
from builder.plugins.llm import About, Backend, Endpoint
from builder.plugins.tts import Engine
from builder.remote import Remote
from builder.remote.body import decode
from builder.run.folder import Run
from builder.run.served import Voice, Watched, told
from builder.terminal import bar, plain

_CLOCK_S = 5.0
"""Two clocks further apart than this are worth a word."""
_ATTEMPTS = 2
"""A doctor says what is and does not wait until it has passed: a busy server is forgiven once."""
_SMALL_TALK = (
    "Well, I kept thinking about it on the way home, and the longer I did, the more I wanted to hear what you "
    "would say, because you know how these things go when nobody asks and nobody tells."
)
_SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["calm", "glad", "sad"]}},
    "required": ["mood"],
    "additionalProperties": False,
}
_COLOURS = {"well": "green", "doubtful": "yellow", "fails": "red"}


class _Mood(msgspec.Struct, forbid_unknown_fields=True):
    mood: Literal["calm", "glad", "sad"]


@dataclass
class Finding:
    """How one endpoint or engine was found."""

    name: str
    """The model's, or the dataset config's."""
    where: str = ""
    """The plug-in and its address."""
    serves: str = ""
    """The checkpoint, or the engine with its version; empty where it was not reached."""
    facts: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What a run may live with."""
    faults: list[str] = field(default_factory=list)
    """What a run would fail at."""
    thought: Completion | None = None
    """The latest answer that the model thought about."""

    @property
    def verdict(self) -> Literal["well", "doubtful", "fails"]:
        """`fails` with any fault, `doubtful` with any doubt."""
        if self.faults:
            return "fails"
        return "doubtful" if self.doubts else "well"

    def hear(self, voice: Voice) -> None:
        """Hears of an answer that came from something else than it told before."""
        self.serves = joined(filter(None, (self.serves, voice.checkpoint)))

    @contextmanager
    def noting(self) -> Iterator[None]:
        """What goes wrong inside becomes a fault; what comes after goes on."""
        try:
            yield
        except DeepDialogueError as error:
            self.faults.append(str(error))


async def doctor(study: Study, site: Site) -> list[Finding]:
    """Examines every model that speaks or judges in the study, and every engine that speaks it.

    Args:
        study: what is to be made.
        site: where.

    Returns:
        First the models, then the engines, each in the study's order.

    Raises:
        ConfigError: the study or the site has a table that makes no plug-in.
    """
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder), study, site) as run:
        judges = run.plugins.judges()
        models = _models(study, judges)
        # What is loaded into this machine is loaded alone: there may be room for one at a time.
        alone = asyncio.Lock()
        with bar("doctor", len(models) + len(study.speech)) as progress:

            async def noted(examination: Coroutine[None, None, list[Finding]]) -> list[Finding]:
                findings = await examination
                progress.advance(failed=any(finding.faults for finding in findings))
                return findings

            found = await asyncio.gather(
                *(noted(_examine_model(run, name, judges, alone)) for name in models),
                *(noted(_examine_engine(run, config, alone)) for config in study.speech),
            )
        _compare(run, [finding for findings in found[: len(models)] for finding in findings], judges)
        return [finding for findings in found for finding in findings]


def show_findings(findings: list[Finding], console: Console) -> None:
    """One line each: the verdict, who and where, what serves it, and all that was found."""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        who = "  ".join(filter(None, (finding.where, finding.serves)))
        said = (who, *finding.faults, *finding.doubts, *finding.facts)
        line = Text.assemble(
            (f"{finding.verdict:<9}", f"bold {_COLOURS[finding.verdict]}"),
            (f"{finding.name:<{width}}  ", "bold"),
            plain("; ".join(filter(None, said))),
        )
        console.print(line, soft_wrap=True)
    failing = sum(bool(finding.faults) for finding in findings)
    console.print(
        f"{failing} of {len(findings)} fail: mend them, then ask again"
        if failing
        else f"all {len(findings)} are fit for the run"
    )


def _models(study: Study, judges: dict[str, Judge]) -> list[str]:
    """Every model that is asked for something, once."""
    pairings = study.vocabulary.pairings
    speaking = (model for name in _pairings(study) for model in (pairings[name].first, pairings[name].second))
    judging = (model for judge in judges.values() for model in judge.models())
    return list(dict.fromkeys([*speaking, *judging]))


def _pairings(study: Study) -> tuple[str, ...]:
    """Those that are to hold dialogues."""
    return () if study.plan is None else study.plan.pairings or tuple(study.vocabulary.pairings)


async def _examine_model(run: Run, name: str, judges: dict[str, Judge], alone: asyncio.Lock) -> list[Finding]:
    """One finding for each replica of the model."""
    unplaced = Finding(name)
    with unplaced.noting():
        backends = run.plugins.backends(name)
        own = {judge: one for judge, one in judges.items() if one.models() == (name,)}
        return await asyncio.gather(
            *(_examine_replica(run.study, name, backend, own, alone) for backend in backends)
        )
    return [unplaced]


async def _examine_replica(
    study: Study, name: str, backend: Backend, own: dict[str, Judge], alone: asyncio.Lock
) -> Finding:
    finding, model = Finding(name, _where(backend)), study.vocabulary.models[name]
    if isinstance(backend, Remote):
        backend = msgspec.structs.replace(backend, attempts=min(backend.attempts, _ATTEMPTS))
    with finding.noting():
        async with nullcontext() if isinstance(backend, Remote) else alone, backend.open(model) as endpoint:
            await _examine_opened(study, finding, backend, own, endpoint)
    return finding


async def _examine_opened(
    study: Study, finding: Finding, backend: Backend, own: dict[str, Judge], endpoint: Endpoint
) -> None:
    model = study.vocabulary.models[finding.name]
    endpoint = Watched(finding.name, endpoint, finding.hear)
    _served(finding, backend, model, endpoint.checkpoint)
    _exposed(finding, backend)
    with finding.noting():
        _limits(finding, endpoint, await backend.about(model))
    with finding.noting():
        await _hold(study, finding, endpoint)
    with finding.noting():
        if not await _held_to_schema(finding, endpoint) and own:
            finding.doubts.append("holds no answer to a schema: what it judges rests on its good will")
    for name, judge in own.items():
        with finding.noting():
            await _judge(study, finding, name, judge, endpoint)
    if finding.thought is not None:
        finding.doubts.append(_thinks(finding.thought, f"{model.hub_id} {finding.serves}", backend))


def _where(plugin: Backend | Engine) -> str:
    kind = type(plugin).__module__.rpartition(".")[2]
    address = next(
        (value for key in ("url", "provider", "path") if (value := getattr(plugin, key, None))), ""
    )
    return f"{kind} {address}".rstrip()


def _served(finding: Finding, backend: Backend, model: Model, checkpoint: str) -> None:
    """What it tells that it serves; whether that is the study's is looked at when all have told."""
    finding.serves = checkpoint
    if backend.rehearsal:
        finding.facts.append("a stand-in")
    elif checkpoint and model.revision is not None and "@" not in checkpoint:
        finding.doubts.append(f"does not tell its revision, the study pins {model.revision!r}")


def _compare(run: Run, found: list[Finding], judges: dict[str, Judge]) -> None:
    """Holds what is served against the study, and the models against each other."""
    voices = {one.name: Voice(one.name, one.serves) for one in found if one.serves}
    shared = run.plugins.served.shared(voices.values())
    for one in found:
        if one.name not in voices:
            continue
        if difference := run.plugins.served.difference(Voice(one.name, one.serves)):
            (one.faults if run.plugins.served.strict else one.doubts).append(difference)
        one.doubts += [told(names, one.serves) for names in shared if one.name in names]
    asking = {
        name: voices[model] for name, judge in judges.items() for model in judge.models() if model in voices
    }
    for group in groups(asking, lambda one, other: run.plugins.served.is_one(asking[one], asking[other])):
        own = len(_own_pairings(run, asking[group[0]], voices))
        for one in found:
            if one.name in {asking[judge].model for judge in group}:
                _note_judges(run.study, one, group, own)


def _note_judges(study: Study, finding: Finding, group: tuple[str, ...], own: int) -> None:
    if len(group) > 1:
        finding.doubts.append(f"the judges {', '.join(map(repr, group))} are one judge in different words")
    if own:
        finding.facts.append(
            f"judges its own dialogues, in {own} of {len(_pairings(study))} pairings: acceptance.own = {study.acceptance.own!r}"
        )


def _own_pairings(run: Run, judge: Voice, voices: Mapping[str, Voice]) -> list[str]:
    """The pairings in which what judges speaks as well."""
    pairings = run.study.vocabulary.pairings
    return [
        name
        for name in _pairings(run.study)
        if any(
            model in voices and run.plugins.served.is_one(judge, voices[model])
            for model in (pairings[name].first, pairings[name].second)
        )
    ]


def _exposed(finding: Finding, plugin: Backend | Engine) -> None:
    if isinstance(plugin, Remote) and plugin.exposes_token:
        finding.doubts.append(
            f"the token of {plugin.token_env} goes to it unencrypted: serve it with https, or through a tunnel"
        )


def _limits(finding: Finding, endpoint: Endpoint, about: About) -> None:
    allowed = about.max_concurrent_requests
    of = f" of the server's {allowed}" if allowed is not None else ""
    finding.facts.append(f"{endpoint.limit} at once{of}")
    if about.max_total_tokens is not None:
        finding.facts.append(f"{about.max_total_tokens} tokens at most")
    if about.clock_ahead_s is not None:
        apart = f"clock {about.clock_ahead_s:+.0f} s"
        far = abs(about.clock_ahead_s) > _CLOCK_S
        (finding.doubts if far else finding.facts).append(apart)


async def _ask(finding: Finding, endpoint: Endpoint, prompt: Prompt) -> Completion:
    completion = await endpoint.complete(prompt)
    if completion.thinking or completion.thinking_tokens:
        finding.thought = completion
    return completion


def _thinks(thought: Completion, names: str, backend: Backend) -> str:
    """That a model thinks, and the line of the site that stops it, as far as one is known."""
    tokens = "an unknown number of" if thought.thinking_tokens is None else thought.thinking_tokens
    told = f"thinks before it speaks, {tokens} tokens the last time: "
    extra = getattr(backend, "extra", {})
    if "reasoning_effort" in extra or "chat_template_kwargs" in extra:
        return f"{told}its `extra` does not stop it, so max_tokens must have room for both"
    if "gpt-oss" in names.lower():
        return f'{told}extra = {{ reasoning_effort = "low" }} shortens it'
    line = "extra = { chat_template_kwargs = { enable_thinking = false } }"
    return f'{told}{line} stops most that do; with Ollama, extra = {{ reasoning_effort = "none" }}'


async def _hold(study: Study, finding: Finding, endpoint: Endpoint) -> None:
    """Asks for the last turn that the model speaks in the longest dialogue, as the run will."""
    if (found := _longest(study, finding.name)) is None or study.script is None:
        return
    scenario, position = found
    pairing, models = study.vocabulary.pairings[scenario.pairing], study.vocabulary.models
    first, second = (
        Actor(model=name, checkpoint="", rehearsal=False, system_role=models[name].system_role)
        for name in (pairing.first, pairing.second)
    )
    said = _turns(scenario.emotions[:position], study.script.max_words)
    domain = study.vocabulary.domains[scenario.domain]
    talk = conversation(scenario, domain, study.script, (first, second), study.seed, said)
    step = next(talk)
    try:
        while isinstance(step, Prompt):
            began = time.monotonic()
            completion = await _ask(finding, endpoint, step)
            passed = time.monotonic() - began
            step = talk.send(completion)
    except ReplyError as error:
        finding.doubts.append(f"did not keep to the rules of a reply: {error}")
    read, written = (
        "?" if tokens is None else tokens
        for tokens in (completion.prompt_tokens, completion.completion_tokens)
    )
    finding.facts.append(f"turn {position + 1} after {read} tokens: {written} tokens in {passed:.2f} s")


def _longest(study: Study, model: str) -> tuple[Scenario, int] | None:
    """A scenario of the greatest length, and the last position in it at which the model speaks; None if it never does."""
    if study.plan is None:
        return None
    most = study.plan.turns.max
    plan = msgspec.structs.replace(study.plan, dialogues_per_cell=1, turns=TurnRange(min=most, max=most))
    for scenario in scenarios(plan, study.vocabulary, study.seed):
        pairing = study.vocabulary.pairings[scenario.pairing]
        for position in range(most - 1, -1, -1):
            if (pairing.first, pairing.second)[position % 2] == model:
                return scenario, position
    return None


def _turns(emotions: tuple[str, ...], words: int) -> tuple[Turn, ...]:
    """Turns of so many words each, none like the one before it."""
    talk = _SMALL_TALK.split()
    return tuple(
        Turn(
            speaker=SPEAKERS[position % 2],
            text=" ".join(itertools.islice(itertools.cycle(talk), position, position + words)),
            emotion=emotion,
        )
        for position, emotion in enumerate(emotions)
    )


async def _held_to_schema(finding: Finding, endpoint: Endpoint) -> bool:
    """Asks for a sentence and for a schema at once: only a server that holds answers to it gives the schema's."""
    prompt = Prompt(
        model=finding.name,
        messages=(Message(role="user", content="Say good morning in one short sentence."),),
        decoding=Decoding(temperature=0.0, max_tokens=64),
        seed=seed_of(0, "doctor", "schema"),
        schema=_SCHEMA,
    )
    completion = await _ask(finding, endpoint, prompt)
    try:
        decode(completion.text.encode(), _Mood)
    except ValueError:
        finding.facts.append("no schema")
        return False
    finding.facts.append("schema")
    return True


async def _judge(study: Study, finding: Finding, name: str, judge: Judge, endpoint: Endpoint) -> None:
    """Has it judge the longest dialogue, as the run will."""
    context = Context(name=name, seed=study.seed, vocabulary=study.vocabulary, twins={})
    steps = judge.judge(_dialogue(study), context)
    send: Completion | None = None
    while True:
        try:
            prompt = next(steps) if send is None else steps.send(send)
        except StopIteration as end:
            outcome = end.value
            break
        send = await _ask(finding, endpoint, prompt)
    if isinstance(outcome, Abstention):
        finding.faults.append(f"as the judge {name!r} it abstains: {outcome.reason}")
    else:
        finding.facts.append(f"judges as {name!r}")


def _dialogue(study: Study) -> Dialogue:
    """One of the longest that the study can make, or of ten turns where it only takes what exists."""
    vocabulary = study.vocabulary
    most = study.plan.turns.max if study.plan else 10
    words = study.script.max_words if study.script else len(_SMALL_TALK.split())
    pairing, domain = next(iter(vocabulary.pairings)), next(iter(vocabulary.domains))
    emotions = tuple(itertools.islice(itertools.cycle(vocabulary.emotions), most))
    return Dialogue(
        id=f"{pairing}/{domain}_1_{most}",
        domain=domain,
        pairing=pairing,
        first_checkpoint="",
        second_checkpoint="",
        rehearsal=False,
        turns=_turns(emotions, words),
    )


async def _examine_engine(run: Run, config: str, alone: asyncio.Lock) -> list[Finding]:
    finding, speech = Finding(config), run.study.speech[config]
    emotions = [*run.study.vocabulary.emotions.values()]
    line = Line(text="Hello.", voice=speech.cast()[0], emotion=emotions[0], seed=0)
    with finding.noting():
        engine = run.plugins.engine(config)
        finding.where = _where(engine)
        _exposed(finding, engine)
        engine.prepare(speech.cast(), emotions)
        async with alone, engine.open() as synthesizer:
            finding.serves = synthesizer.name
            if engine.rehearsal:
                finding.facts.append("a stand-in")
            finding.facts.append(f"{synthesizer.limit} at once")
            began = time.monotonic()
            waveform = await synthesizer.speak(line)
            passed = time.monotonic() - began
        length = len(waveform.samples) / waveform.sampling_rate_hz
        finding.facts.append(f"{length:.2f} s of speech in {passed:.2f} s")
        if waveform.sampling_rate_hz != speech.sampling_rate_hz:
            finding.faults.append(
                f"speaks at {waveform.sampling_rate_hz} Hz, the study wants {speech.sampling_rate_hz} Hz"
            )
        if not waveform.pcm().any():
            finding.faults.append(f"spoke {line.text!r} as silence")
    return [finding]
