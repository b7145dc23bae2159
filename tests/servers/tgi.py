"""Text Generation Inference 3.3 on loopback: its routes, its validation, its error bodies, its headers.

Law of the file: what it refuses and how it says so is what TGI's router does. Its tokens are white-space
words, and its chat template begins with the start token that its tokenizer adds as well.
"""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.servers.loopback import Loopback

BOS = "<s>"

Speak = Callable[[list[dict[str, str]], dict[str, Any]], str]
"""From the messages and the generation parameters, in `/generate`'s names, to the text. For `/generate`
itself the one message is the user's, with the whole input."""


class RefusalError(Exception):
    """An answer that TGI gives instead of text."""

    def __init__(self, status: int, error: str, error_type: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error_type = error_type

    def response(self) -> web.Response:
        if self.error_type is None:  # the router never saw it: axum answers in plain text
            return web.Response(status=self.status, text=str(self))
        return web.json_response({"error": str(self), "error_type": self.error_type}, status=self.status)


def invalid(reason: str) -> RefusalError:
    return RefusalError(422, f"Input validation error: {reason}", "validation")


class TGIServer(Loopback):
    """One model behind TGI.

    Args:
        model_id: what `/info` says.
        speak: writes the answers; text beyond `max_new_tokens` words is cut off.
        model_sha: what `/info` says.
        max_concurrent_requests: with more in flight than this, requests are refused at once.
        system_role: without it the chat template raises when a system message comes.
        bos: what the chat template begins with; empty for a template without a start token.
    """

    guarded = ("/v1/chat/completions", "/generate")

    def __init__(
        self,
        model_id: str,
        speak: Speak,
        *,
        model_sha: str | None = None,
        max_concurrent_requests: int = 128,
        system_role: bool = True,
        bos: str = BOS,
    ) -> None:
        super().__init__()
        self.model_id = model_id
        self.speak = speak
        self.model_sha = model_sha
        self.max_concurrent_requests = max_concurrent_requests
        self.system_role = system_role
        self.bos = bos
        self.penalties: list[float] = []
        """The repetition penalty each `presence_penalty` was taken for."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/info", self._info),
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.post("/tokenize", self._guard(self._tokenize)),
            web.post("/chat_tokenize", self._guard(self._chat_tokenize)),
            web.post("/generate", self._guard(self._generate)),
            web.post("/v1/chat/completions", self._guard(self._chat)),
        ]

    def _guard(self, handle: Callable[[dict[str, Any]], web.Response]) -> Any:
        async def handler(request: web.Request) -> web.Response:
            try:
                return handle(await self._body(request))
            except RefusalError as refusal:
                return refusal.response()

        return handler

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if request.content_type != "application/json":
            raise RefusalError(415, "Expected request with `Content-Type: application/json`")
        if request.path in self.guarded and self.in_flight > self.max_concurrent_requests:
            raise RefusalError(429, "Model is overloaded", "overloaded")
        try:
            body: dict[str, Any] = await request.json()
        except ValueError as error:
            raise RefusalError(400, f"Failed to parse the request body as JSON: {error}") from None
        return body

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "model_id": self.model_id,
                "model_sha": self.model_sha,
                "model_pipeline_tag": "text-generation",
                "max_concurrent_requests": self.max_concurrent_requests,
                "max_best_of": 2,
                "max_stop_sequences": 4,
                "max_input_tokens": 4095,
                "max_total_tokens": 4096,
                "validation_workers": 2,
                "max_client_batch_size": 4,
                "router": "text-generation-router",
                "version": "3.3.7",
                "sha": None,
                "docker_label": None,
            }
        )

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self.model_id, "object": "model", "created": 0, "owned_by": self.model_id}
        return web.json_response({"object": "list", "data": [model]})

    def _tokenize(self, body: dict[str, Any]) -> web.Response:
        inputs = _field(body, "inputs", str)
        return web.json_response([{"id": 1, "text": "", "start": 0, "stop": 0}, *_tokens(inputs)])

    def _chat_tokenize(self, body: dict[str, Any]) -> web.Response:
        text = self._template(_field(body, "messages", list))
        return web.json_response({"tokenize_response": _tokens(text), "templated_text": text})

    def _template(self, messages: list[dict[str, str]]) -> str:
        if not self.system_role and any(message["role"] == "system" for message in messages):
            raise RefusalError(
                422, "Template error: invalid operation: System role not supported", "template_error"
            )
        lines = [f"{message['role']}: {message['content']}" for message in messages]
        return " ".join([self.bos, *lines, "assistant:"]).strip()

    def _generate(self, body: dict[str, Any]) -> web.Response:
        inputs = _field(body, "inputs", str)
        parameters = body.get("parameters") or {}
        text, reason, prompt, generated = self._run([{"role": "user", "content": inputs}], parameters, inputs)
        result: dict[str, Any] = {"generated_text": text}
        if parameters.get("details"):
            result["details"] = {
                "finish_reason": "length" if reason == "length" else "eos_token",
                "generated_tokens": generated,
                "seed": parameters.get("seed"),
                "prefill": [],
                "tokens": [
                    {"id": token["id"], "text": token["text"], "logprob": -0.5, "special": False}
                    for token in _tokens(text)
                ],
            }
        return web.json_response(result, headers=_timings(prompt + 1, generated))

    def _chat(self, body: dict[str, Any]) -> web.Response:
        messages = _field(body, "messages", list)
        if body.get("response_format") is not None and body.get("tools") is not None:
            raise RefusalError(422, "Tool error: Grammar and tools are mutually exclusive", "tool_error")
        temperature = body.get("temperature")
        parameters = {
            "do_sample": temperature != 0.0,
            "temperature": None if temperature == 0.0 else temperature,
            "top_p": body.get("top_p"),
            "seed": body.get("seed"),
            "max_new_tokens": body.get("max_tokens"),
            "grammar": body.get("response_format"),
        }
        if body.get("presence_penalty") is not None:
            self.penalties.append(body["presence_penalty"] + 2.0)
        text, reason, prompt, generated = self._run(messages, parameters, self._template(messages))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": reason,
        }
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
        }
        return web.json_response(
            {
                "object": "chat.completion",
                "id": "",
                "created": 1,
                "model": self.model_id,
                "system_fingerprint": "3.3.7-native",
                "choices": [choice],
                "usage": usage,
            },
            headers=_timings(prompt, generated),
        )

    def _run(
        self, messages: list[dict[str, str]], parameters: dict[str, Any], text: str
    ) -> tuple[str, str, int, int]:
        temperature, top_p = parameters.get("temperature"), parameters.get("top_p")
        if temperature is not None and temperature <= 0:
            raise invalid("`temperature` must be strictly positive")
        if top_p is not None and not 0 < top_p < 1:
            raise invalid("`top_p` must be > 0.0 and < 1.0")
        most = parameters.get("max_new_tokens")
        if most == 0:
            raise invalid("`max_new_tokens` must be strictly positive")
        grammar = parameters.get("grammar")
        if grammar is not None and (
            grammar.get("type") not in {"json", "json_object", "regex", "json_schema"}
            or "value" not in grammar
        ):
            raise RefusalError(
                422, "Failed to deserialize the JSON body into the target type: missing field `value`"
            )
        words = self.speak(messages, parameters).split(" ")
        reason = "length" if most is not None and len(words) > most else "stop"
        words = words[:most]
        return " ".join(words), reason, len(text.split()), len(words)


def _field(body: Any, name: str, kind: type) -> Any:
    if not isinstance(body, dict) or not isinstance(body.get(name), kind):
        raise RefusalError(422, f"Failed to deserialize the JSON body into the target type: missing `{name}`")
    return body[name]


def _tokens(text: str) -> list[dict[str, Any]]:
    """Words, each with its place; the start token is id 1 wherever it stands."""
    tokens, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        number = 1 if word == BOS else 2 + sum(word.encode())
        tokens.append({"id": number, "text": word, "start": start, "stop": at})
    return tokens


def _timings(prompt: int, generated: int) -> dict[str, str]:
    return {
        "x-compute-type": "cpu",
        "x-compute-time": "0.004",
        "x-total-time": "4",
        "x-validation-time": "1",
        "x-queue-time": "1",
        "x-inference-time": "2",
        "x-time-per-token": "1",
        "x-prompt-tokens": str(prompt),
        "x-generated-tokens": str(generated),
    }
