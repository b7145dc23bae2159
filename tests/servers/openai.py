"""Servers of OpenAI's protocol on loopback, each with the manners of its dialect.

Law of the file: `openai` refuses as vLLM does, `llama-cpp-python` and `transformers` as those do.
"""

from collections.abc import Callable
from typing import Any, Literal

from aiohttp import web

from tests.servers.loopback import Loopback

_FIELDS = {
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stream",
    "response_format",
}


class OpenAIServer(Loopback):
    """One model behind `/v1/chat/completions`; `speak` is given the request's body and writes the answer."""

    guarded = ("/v1/chat/completions",)

    def __init__(
        self,
        model: str,
        speak: Callable[[dict[str, Any]], str],
        dialect: Literal["openai", "llama-cpp-python", "transformers"] = "openai",
        *,
        listed: dict[str, Any] | None = None,
        pages: dict[str, dict[str, Any]] | None = None,
        answers_as: str | None = None,
    ) -> None:
        super().__init__()
        self.listed = listed or {}
        """What `/v1/models` says of the model beside its name."""
        self.pages = pages or {}
        """Other pages that it has, such as llama-server's `/props`."""
        self.answers_as = answers_as
        """What its answers say has answered; None for what was asked."""
        self.model = model
        self.speak = speak
        self.dialect = dialect

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.post("/v1/chat/completions", self._chat),
            *(web.get(page, self._page) for page in self.pages),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        return web.json_response(self.pages[request.path])

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}) if self.dialect == "transformers" else web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        name = "some/other-cached-model" if self.dialect == "transformers" else self.model
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} | self.listed]})

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["model"] != self.model and self.dialect != "llama-cpp-python":
            message = f"The model `{body['model']}` does not exist."
            status = 404 if self.dialect == "openai" else 400
            return web.json_response({"error": {"message": message, "type": "NotFoundError"}}, status=status)
        if self.dialect == "transformers" and set(body) - _FIELDS:
            return web.json_response({"detail": f"Unexpected keys: {set(body) - _FIELDS}"}, status=422)
        kind = (body.get("response_format") or {}).get("type")
        if self.dialect == "llama-cpp-python" and kind == "json_schema":
            return web.json_response(
                {"error": {"message": "Input should be 'text' or 'json_object'"}}, status=422
            )
        words = self.speak(body).split(" ")
        cut = words[: body["max_tokens"]]
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": self.answers_as or body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": " ".join(cut)},
                        "finish_reason": "stop" if cut == words else "length",
                    }
                ],
                "usage": {
                    "prompt_tokens": 7,
                    "completion_tokens": len(cut),
                    "total_tokens": 7 + len(cut),
                },
            }
        )
