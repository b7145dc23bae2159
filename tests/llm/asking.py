"""What the tests of the backends share: a prompt, a model's name, and one way to ask.

Law of the file: nothing here knows a backend by name.
"""

import asyncio
from collections.abc import Sequence

from builder.core.prompt import Completion, Decoding, Message, Prompt
from builder.core.vocabulary import Model
from builder.plugins.llm import Backend

HUB_ID = "meta-llama/Llama-3.1-8B-Instruct"
SHA = "0e9e39f249a16976918f6564b8830bc894c89659"
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
"""The messages of `a_prompt` on the wire."""


def a_model(**changes) -> Model:
    return Model(**{"hub_id": HUB_ID, "billion_parameters": 8, **changes})


def a_prompt(text="Say hello.", *, seed=7, schema=None, system=True, **decoding) -> Prompt:
    head = (Message(role="system", content="Be brief."),) if system else ()
    return Prompt(
        model="llama3-8B",
        messages=(*head, Message(role="user", content=text)),
        decoding=Decoding(**decoding),
        seed=seed,
        schema=schema,
    )


def ask(backend: Backend, *prompts: Prompt, model: Model | None = None) -> Sequence[Completion]:
    """Opens, asks all at once, closes."""

    async def main() -> Sequence[Completion]:
        async with backend.open(model or a_model()) as endpoint:
            return await asyncio.gather(*map(endpoint.complete, prompts))

    return asyncio.run(main())


def opened(backend: Backend, model: Model | None = None) -> tuple[str, int]:
    """The checkpoint and the limit of the opened endpoint."""

    async def main() -> tuple[str, int]:
        async with backend.open(model or a_model()) as endpoint:
            return endpoint.checkpoint, endpoint.limit

    return asyncio.run(main())


def free_url() -> str:
    """An address on which nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"
