"""What really answers for the models of a study, held against what the study asks for.

Law of the file: nothing is taken from the study for what a server does not tell; stand-ins are known for what they are, and are
not held against what they stand in for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from builder.core.checkpoint import alike, differs, groups, named
from builder.core.prompt import Completion, Prompt
from builder.core.vocabulary import Model
from builder.errors import ConfigError
from builder.plugins.llm import Backend, Endpoint
from builder.terminal import say


class Voice(NamedTuple):
    """Who speaks or judges."""

    model: str
    """Its name in the vocabulary."""
    checkpoint: str
    """What answered for it."""


class Served:
    """What answers for the models of one study at one site.

    Args:
        models: of the study's vocabulary.
        backends: where the site has a model asked.
        site: its name.
        strict: whether what is not what the study asks for is refused.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        backends: Callable[[str], Sequence[Backend]],
        site: str = "",
        *,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self._models, self._backends, self._site = models, backends, site
        self._held: set[Voice] = set()
        self._found: dict[str, Sequence[Backend]] = {}

    def difference(self, voice: Voice) -> str:
        """How what answers is not what the study asks for, in words; empty where that is not so or not known."""
        asked = self._models[voice.model].checkpoint
        if not voice.checkpoint or self.is_rehearsed(voice.model) or not differs(asked, voice.checkpoint):
            return ""
        return f"the study asks for {asked!r} as {voice.model!r}, and {voice.checkpoint!r} answers"

    def refuses(self, voice: Voice) -> bool:
        """Whether what answers is not what the study asks for, and the site is strict."""
        return self.strict and bool(self.difference(voice))

    def hold(self, voice: Voice) -> None:
        """Says, once, where what answers is not what the study asks for.

        Raises:
            ConfigError: it is not, and the site is strict.
        """
        if voice in self._held:
            return
        told = self.difference(voice)
        if self.refuses(voice):
            raise ConfigError(
                f"site {self._site!r}, models.{voice.model}: strict = true, but {told}: serve what the study asks for, or name "
                "what is served in its vocabulary, or set strict = false to record what answers"
            )
        self._held.add(voice)
        if told:
            say(f"{told}: that is what is recorded")

    def shared(self, voices: Iterable[Voice]) -> list[tuple[str, ...]]:
        """The models that one checkpoint or one place answers for, in groups of two or more; stand-ins are left out."""
        real = {voice.model: voice for voice in voices if not self.is_rehearsed(voice.model)}
        together = groups(real, lambda one, other: self.is_one(real[one], real[other]))
        return [names for names in together if len(names) > 1]

    def is_one(self, one: Voice, other: Voice) -> bool:
        """Whether two are the same in different words: by name, by the checkpoint, or by the place where they are asked."""
        if self.is_rehearsed(one.model):
            return one.model == other.model
        if alike(one.checkpoint, other.checkpoint):
            return True
        return one.checkpoint == other.checkpoint and (
            one.model == other.model or bool(self._places(one.model) & self._places(other.model))
        )

    def watch(self, model: str, endpoint: Endpoint) -> "Watched":
        """The endpoint, with every answer held against the study; raises as `hold` does."""
        self.hold(Voice(model, endpoint.checkpoint))
        return Watched(model, endpoint, self.hold)

    def is_rehearsed(self, model: str) -> bool:
        """Whether a stand-in answers for a model at the site."""
        return any(backend.rehearsal for backend in self._at(model))

    def _places(self, model: str) -> frozenset[str]:
        return frozenset(backend.address(self._models[model]) for backend in self._at(model))

    def _at(self, model: str) -> Sequence[Backend]:
        """Where the model is asked; nowhere where the site does not serve it, and it spoke at another one."""
        if model not in self._found:
            try:
                self._found[model] = self._backends(model)
            except ConfigError:
                self._found[model] = ()
        return self._found[model]


def told(names: Sequence[str], checkpoint: str) -> str:
    """That several models are one, in words."""
    return f"{', '.join(map(repr, names))} are one: {checkpoint!r} answers for all {len(names)}"


class Watched:
    """An endpoint that says what its answers come from. In all else it is the endpoint that it wraps.

    Args:
        model: its name in the vocabulary.
        endpoint: to be asked.
        heard: is told of what answers and is not what the endpoint told.
    """

    checkpoint: str
    limit: int
    names: frozenset[str]

    def __init__(self, model: str, endpoint: Endpoint, heard: Callable[[Voice], None]) -> None:
        self.model, self.endpoint, self._heard = model, endpoint, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)

    async def complete(self, prompt: Prompt) -> Completion:
        """Asks the endpoint; raises as it does, and as `heard` does.

        Returns:
            Its answer. `model` is the checkpoint that answered where that is not the endpoint's, and empty where it is.
        """
        answer = await self.endpoint.complete(prompt)
        if not answer.model:
            return answer
        answered = "" if answer.model in self.endpoint.names else named(answer.model)
        if answered:
            self._heard(Voice(self.model, answered))
        return replace(answer, model="" if answered == self.endpoint.checkpoint else answered)
