"""Simulated endpoints: the time that servers with continuous batching would take, and their troubles, without the servers.

A server writes one token of every sequence in its batch a step. A step takes as long as reading the weights once, and twice as
long with a full batch of 64. While a prompt is read, nothing is written; what a server still holds of a thread it does not read
again. Who finds the batch full waits in a queue, who finds the queue full is refused (429), a few are refused anyway (503), and
now and then a server dies with all that it holds and comes back empty.
Law of the file: a server knows prompts and time, and nothing of dialogues or of who asks; its words depend on the prompt's
seed alone.
"""

import asyncio
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from builder.core.prompt import Completion, Prompt
from builder.remote.room import Place, TryError

BYTES_A_PARAMETER = 2
READ_BYTES_PER_S = 2e12
"""Of weights, by one GPU. Assumed: six tenths of what an H100's memory can do."""
FLOP_PER_S = 2e14
"""Of prompts, by one GPU; two for each parameter and token. Assumed: two tenths of an H100's bfloat16 peak."""
FULL = 64
"""Sequences with which a step takes twice as long as with none. Assumed."""
CHARACTERS_A_TOKEN = 4
_THREADS_A_SLOT = 16
"""So many threads it holds for each sequence of its batch: 512 of some 400 tokens are 27 GB for a model of 8 billion."""
_ROUNDING = 1e-6
"""Of a token."""
GPUS = {
    "cohere7B": 1,
    "gemma3-4B": 1,
    "gemma3-27B": 2,
    "llama3-8B": 1,
    "llama3-70B": 4,
    "phi4-14B": 1,
    "phi4-mini": 1,
    "qwen2.5-32B": 2,
    "qwen2.5-72B": 4,
}
"""Of one endpoint, as docs/serving.md has them."""

_SENTENCE = (
    "I had no idea that the letter would come so soon and honestly it made my whole week when we sat down in the "
    "kitchen and read it together"
)
_WORDS = tuple(_SENTENCE.split())
_FEWEST = 12
"""Words of an answer; the most are all of them, the mean, 20.5, is near the published data's 20.6."""


@dataclass(frozen=True)
class Service:
    """How fast one endpoint is."""

    step_s: float
    """One token, with hardly any other sequence."""
    read_s: float
    """One token of a prompt."""
    slots: int = 32
    """Sequences in its batch."""
    queue: int = 16
    """How many more it takes."""

    @classmethod
    def of(cls, billion_parameters: float, gpus: int) -> "Service":
        """What a model of this size is taken to do on so many GPUs."""
        parameters = 1e9 * billion_parameters
        return cls(
            step_s=BYTES_A_PARAMETER * parameters / (READ_BYTES_PER_S * gpus),
            read_s=2 * parameters / (FLOP_PER_S * gpus),
        )

    def step(self, sequences: int) -> float:
        """How long a step takes with so many sequences, in seconds."""
        return self.step_s * (1 + sequences / FULL)

    def work_s(self, read: float, written: float) -> float:
        """How long the whole server works on these tokens while its batch is full."""
        return read * self.read_s + written * self.step(self.slots) / self.slots


@dataclass(frozen=True)
class Troubles:
    """What goes wrong at every endpoint."""

    refused: float = 0.0
    """Share of requests answered 503 at once."""
    lives_s: float = 0.0
    """Mean time until it dies; 0 for never."""
    away_s: float = 0.0
    """How long it is away then."""


@dataclass(eq=False)
class _Request:
    read: int
    written: int
    ended: asyncio.Future[None]
    began_s: float = 0.0


class Server:
    """One endpoint.

    Args:
        service: how fast it is.
        troubles: what goes wrong.
        loop: whose time it goes by.
        seed: of its troubles.
    """

    def __init__(
        self, service: Service, troubles: Troubles, loop: asyncio.AbstractEventLoop, seed: str
    ) -> None:
        self.service = service
        self.work_s = 0.0
        """Of all that was answered, each with a full batch."""
        self.busy_s = 0.0
        """The integral of the sequences in the batch over time."""
        self.down_s = 0.0
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self._troubles, self._loop = troubles, loop
        self._random = random.Random(seed)
        self._batch: list[tuple[float, int, _Request]] = []
        """By the tokens that `_written` has to reach."""
        self._queue: deque[_Request] = deque()
        self._written = 0.0
        """Tokens of a sequence that was there from the beginning."""
        self._settled_s = self._reads_until_s = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._held: OrderedDict[tuple[str, str], int] = OrderedDict()
        """Tokens of the prompts that it knows, the one longest silent first."""
        self._started = 0
        self._up = True
        if troubles.lives_s:
            loop.call_later(self._random.expovariate(1 / troubles.lives_s), self._die)

    @property
    def admits(self) -> int:
        """Requests it takes at once, those in its queue included."""
        return self.service.slots + self.service.queue

    async def answer(self, prompt: Prompt, place: Place) -> Completion:
        """Answers a prompt, and tells the place how long it waited and how long it took.

        Raises:
            TryError: refused, or the server is away or goes away.
        """
        if not self._up:
            raise self._fault("connection")
        if len(self._batch) + len(self._queue) >= self.admits:
            raise self._fault("429")
        if self._random.random() < self._troubles.refused:
            raise self._fault("503")
        # A thread has one head for each of its speakers, with the first words said to it.
        heard = next(message.content for message in prompt.messages if message.role == "user")
        head = (prompt.thread, heard)
        length = sum(len(message.content) for message in prompt.messages) // CHARACTERS_A_TOKEN
        words = _FEWEST + prompt.seed % (len(_WORDS) - _FEWEST + 1)
        request = _Request(
            read=length - self._held.get(head, 0),
            written=words * 4 // 3,
            ended=self._loop.create_future(),
        )
        came_s = self._loop.time()
        self._settle()
        if len(self._batch) < self.service.slots:
            self._start(request)
            self._arm()
        else:
            self._queue.append(request)
        await request.ended
        place.queue_s = request.began_s - came_s
        place.inference_s = self._loop.time() - request.began_s
        self._held[head] = length
        self._held.move_to_end(head)
        if len(self._held) > _THREADS_A_SLOT * self.service.slots:
            self._held.popitem(last=False)
        self.answered += 1
        self.work_s += self.service.work_s(request.read, request.written)
        return Completion(
            text=" ".join(_WORDS[:words]) + ".",
            finish_reason="stop",
            prompt_tokens=length,
            completion_tokens=request.written,
        )

    def _fault(self, kind: str) -> TryError:
        self.failed[kind] += 1
        return TryError(f"simulated: {kind}", kind)

    def _start(self, request: _Request) -> None:
        """Reads a prompt, while nothing is written, and takes its sequence into the batch."""
        request.began_s = self._settled_s
        self._reads_until_s = max(self._reads_until_s, self._settled_s) + request.read * self.service.read_s
        self._started += 1
        heappush(self._batch, (self._written + request.written, self._started, request))

    def _settle(self) -> None:
        """Writes what could be written until now."""
        now, sequences = self._loop.time(), len(self._batch)
        writes_s = max(0.0, now - max(self._settled_s, self._reads_until_s))
        self._written += writes_s / self.service.step(sequences)
        self.busy_s += sequences * (now - self._settled_s)
        self._settled_s = now

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._batch:
            left = max(0.0, self._batch[0][0] - self._written)
            at = max(self._settled_s, self._reads_until_s) + left * self.service.step(len(self._batch))
            self._timer = self._loop.call_at(at, self._finish)

    def _finish(self) -> None:
        self._settle()
        while self._batch and self._batch[0][0] <= self._written + _ROUNDING:
            ended = heappop(self._batch)[2].ended
            if not ended.done():  # whoever asked may have left
                ended.set_result(None)
        while self._queue and len(self._batch) < self.service.slots:
            self._start(self._queue.popleft())
        self._arm()

    def _die(self) -> None:
        self._settle()
        for request in (*(entry[2] for entry in self._batch), *self._queue):
            if not request.ended.done():
                request.ended.set_exception(self._fault("connection"))
        self._batch.clear()
        self._queue.clear()
        self._held.clear()
        self._reads_until_s = self._settled_s
        self._arm()
        self._up = False
        self._died_s = self._settled_s
        self._loop.call_later(self._troubles.away_s, self._return)

    def _return(self) -> None:
        self.settle()
        self._up = True
        self._loop.call_later(self._random.expovariate(1 / self._troubles.lives_s), self._die)

    def settle(self) -> None:
        """Brings the books up to date."""
        self._settle()
        if not self._up:
            self.down_s += self._settled_s - self._died_s
            self._died_s = self._settled_s


def shared_out(work: Mapping[str, float], endpoints: int) -> dict[str, int]:
    """How many endpoints each model gets: in proportion to its work, and one at least.

    Args:
        work: by model, in any unit, of one endpoint each.
        endpoints: in all, at least as many as there are models.
    """
    given = dict.fromkeys(work, 1)
    for _ in range(endpoints - len(work)):
        given[max(work, key=lambda model: work[model] / given[model])] += 1
    return given


SERVERS: dict[str, Server] = {}
"""By name: where the plug-in `simulated` finds them."""
