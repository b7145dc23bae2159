"""Orpheus-3B behind TGI and behind vLLM, both on one loopback: what they are asked for, what they refuse, what they give.

Law of the file: it generates token ids from the prompt and the seed alone, and only from the prompt that the checkpoint was
trained on. An end of speech that a request does not name as a stop is no end: the tokens run on, as with the real servers.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from aiohttp import web

from tests.servers.loopback import Loopback

END, AUDIO = 128258, 128266
CHECKPOINT = "canopylabs/orpheus-3b-0.1-ft"
_PROMPT = re.compile(
    r"<custom_token_3><\|begin_of_text\|>(?P<voice>[a-z]+): (?P<text>[^|]+)"
    r"<\|eot_id\|><custom_token_4><custom_token_5><custom_token_1>"
)

Compose = Callable[[str, str, int], list[int]]
"""From voice, text and seed to tokens, the end of speech among them."""


def tokens(codes: np.ndarray) -> list[int]:
    """Codes of shape (frames, 7) as they are generated, without the end of speech."""
    return (AUDIO + 4096 * np.arange(7) + codes).reshape(-1).tolist()


def draw(*key: object) -> np.random.Generator:
    """Draws that depend on the key alone."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest))


def spoken(voice: str, text: str, seed: int) -> list[int]:
    """As many random frames as the text takes to say, at 14 characters a second."""
    frames = max(4, round(len(text) / 14 * 24000 / 2048))
    return [*tokens(draw(voice, text, seed).integers(0, 4096, (frames, 7))), END]


class RefusalError(Exception):
    """A request that is answered with this status and these words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OrpheusServer(Loopback):
    """One checkpoint, behind both protocols.

    Args:
        compose: what it generates.
        checkpoint: what it calls itself.
        model_sha: what `/info` says.
        max_concurrent_requests: what `/info` says.
        token_ids: whether `/v1/completions` can give them.
    """

    guarded = ("/generate", "/v1/completions")

    def __init__(
        self,
        compose: Compose = spoken,
        *,
        checkpoint: str = CHECKPOINT,
        model_sha: str | None = None,
        max_concurrent_requests: int = 128,
        token_ids: bool = True,
    ) -> None:
        super().__init__()
        self.compose = compose
        self.checkpoint = checkpoint
        self.model_sha = model_sha
        self.max_concurrent_requests = max_concurrent_requests
        self.token_ids = token_ids

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/info", self._info),
            web.get("/v1/models", self._models),
            web.post("/generate", self._guard(self._generate, lambda said: {"error": said})),
            web.post(
                "/v1/completions", self._guard(self._complete, lambda said: {"error": {"message": said}})
            ),
        ]

    def _guard(self, handle: Callable[[dict[str, Any]], Any], error: Callable[[str], Any]) -> Any:
        async def handler(request: web.Request) -> web.Response:
            try:
                return web.json_response(handle(await request.json()))
            except RefusalError as refusal:
                return web.json_response(error(str(refusal)), status=refusal.status)

        return handler

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "model_id": self.checkpoint,
                "model_sha": self.model_sha,
                "max_concurrent_requests": self.max_concurrent_requests,
                "version": "3.3.7",
            }
        )

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.checkpoint, "object": "model"}]})

    def _generate(self, body: dict[str, Any]) -> Any:
        asked = body["parameters"]
        if asked.get("top_p") is not None and not 0 < asked["top_p"] < 1:
            raise RefusalError(422, "Input validation error: `top_p` must be > 0.0 and < 1.0")
        if asked["max_new_tokens"] > 1024:
            raise RefusalError(
                422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1100"
            )
        made, reason = self._run(
            body["inputs"],
            asked["seed"],
            asked["max_new_tokens"],
            stopping="<custom_token_2>" in asked["stop"],
        )
        answer: dict[str, Any] = {"generated_text": ""}
        if asked.get("details"):
            answer["details"] = {
                "finish_reason": "length" if reason == "length" else "stop_sequence",
                "generated_tokens": len(made),
                "seed": asked["seed"],
                "prefill": [],
                "tokens": [
                    {
                        "id": token,
                        "text": f"<custom_token_{token - 128256}>",
                        "logprob": -0.5,
                        "special": False,
                    }
                    for token in made
                ],
            }
        return answer

    def _complete(self, body: dict[str, Any]) -> Any:
        if body["model"] != self.checkpoint:
            raise RefusalError(404, f"The model `{body['model']}` does not exist.")
        if body.get("add_special_tokens", True):
            raise RefusalError(400, "the test's own rule: this prompt already has its beginning of text")
        made, reason = self._run(
            body["prompt"], body["seed"], body["max_tokens"], stopping=END in body["stop_token_ids"]
        )
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": reason, "logprobs": None}
        if body.get("return_token_ids") and self.token_ids:
            choice["token_ids"] = made
        return {"id": "cmpl-1", "object": "text_completion", "model": self.checkpoint, "choices": [choice]}

    def _run(self, prompt: str, seed: int, most: int, *, stopping: bool) -> tuple[list[int], str]:
        found = _PROMPT.fullmatch(prompt)
        if found is None:
            raise RefusalError(422, "the test's own rule: this is not the prompt of the checkpoint")
        made = self.compose(found["voice"], found["text"], seed)
        if stopping and END in made[:most]:
            return made[: made.index(END) + 1], "stop"
        return (made + [AUDIO] * most)[:most], "length"
