"""The service of Inference Endpoints on loopback: its routes, states, tags, prices and refusals, and the endpoints themselves.

Law of the file: an endpoint starts as the service starts it: pending, then initializing, then running with an address, one
step each time it is looked at. What it costs is counted from its state alone.
"""

from typing import Any

from aiohttp import web

from tests.servers.loopback import Loopback

STAMP = "2025-05-26T09:00:00.000Z"
PRICES = {("nvidia-l40s", "x1"): 1.8, ("nvidia-l40s", "x4"): 8.3}


class EndpointsAPI(Loopback):
    """The service for one namespace.

    Args:
        namespace: whose endpoints there are.
        token: what must come with every request.
    """

    def __init__(self, namespace: str = "lab", token: str = "tok-5ecret-5ecret") -> None:
        super().__init__()
        self.namespace, self.token = namespace, token
        self.there: dict[str, dict[str, Any]] = {}
        self.broken: set[str] = set()
        """Endpoints that fail instead of starting."""
        self.stuck: set[str] = set()
        """Endpoints that never get beyond `initializing`."""

    def routes(self) -> list[web.RouteDef]:
        base = f"/v2/endpoint/{self.namespace}"
        return [
            web.get(base, self._list),
            web.post(base, self._create),
            web.get(base + "/{name}", self._get),
            web.delete(base + "/{name}", self._delete),
            web.post(base + "/{name}/pause", self._pause),
            web.post(base + "/{name}/resume", self._resume),
            web.get(f"/v2/provider/{self.namespace}", self._hardware),
            web.get("/served/{name}/health", self._health),
        ]

    def add(self, name: str, *, state: str = "running", tags: tuple[str, ...] = (), **changes: Any) -> None:
        """An endpoint that is there already."""
        body = {
            "compute": {
                "accelerator": "gpu",
                "instanceSize": "x1",
                "instanceType": "nvidia-l40s",
                "scaling": {"maxReplica": 1, "minReplica": 1, "scaleToZeroTimeout": None},
            },
            "model": {"framework": "pytorch", "repository": "org/model", "revision": None, "image": {}},
            "name": name,
            "provider": {"region": "us-east-1", "vendor": "aws"},
            "type": "authenticated",
            "tags": list(tags),
        }
        self._put(body | changes, state)

    def states(self) -> dict[str, str]:
        return {name: one["status"]["state"] for name, one in self.there.items()}

    def _put(self, body: dict[str, Any], state: str) -> dict[str, Any]:
        one = body | {
            "healthRoute": "/health",
            "model": {"task": "text-generation", "revision": None} | body["model"],
            "status": {"createdAt": STAMP, "updatedAt": STAMP, "message": "", "readyReplica": 0},
        }
        self.there[body["name"]] = one
        self._move(one, state)
        return one

    def _move(self, one: dict[str, Any], state: str) -> None:
        status, scaling = one["status"], one["compute"]["scaling"]
        status["state"] = state
        status["targetReplica"] = (
            0 if state in {"paused", "scaledToZero", "failed"} else max(1, scaling["minReplica"])
        )
        status["url"] = f"{self.url}/served/{one['name']}" if state == "running" else None

    def _step(self, one: dict[str, Any]) -> None:
        name, state = one["name"], one["status"]["state"]
        if state == "pending":
            self._move(one, "initializing")
        elif state == "initializing" and name in self.broken:
            self._move(one, "failed")
            one["status"]["message"] = "CUDA out of memory"
        elif state == "initializing" and name not in self.stuck:
            self._move(one, "running")

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "Invalid credentials in Authorization header"}, status=401)
        name = request.match_info.get("name")
        if name is not None and name not in self.there:
            return web.json_response({"error": f"endpoint {name} not found"}, status=404)
        return None

    async def _list(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        for one in self.there.values():
            self._step(one)
        return web.json_response({"items": list(self.there.values())})

    async def _create(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        body = await request.json()
        if body["name"] in self.there:
            return web.json_response({"error": f"endpoint {body['name']} already exists"}, status=409)
        if len(body["name"]) > 32 or not body["model"]["image"]:
            return web.json_response({"error": "Invalid request"}, status=400)
        return web.json_response(self._put(body, "pending"))

    async def _get(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        return web.json_response(self.there[request.match_info["name"]])

    async def _delete(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        del self.there[request.match_info["name"]]
        return web.Response()

    async def _pause(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        one = self.there[request.match_info["name"]]
        self._move(one, "paused")
        return web.json_response(one)

    async def _resume(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        one = self.there[request.match_info["name"]]
        if one["status"]["state"] == "running":
            return web.json_response({"error": "endpoint is already running"}, status=400)
        self._move(one, "pending")
        return web.json_response(one)

    async def _hardware(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        computes = [
            {
                "id": f"aws-us-east-1-{kind}-{size}",
                "accelerator": "gpu",
                "instanceType": kind,
                "instanceSize": size,
                "architecture": "Nvidia L40S",
                "numAccelerators": int(size[1:]),
                "numCpus": 8,
                "memoryGb": 62.0,
                "gpuMemoryGb": 48 * int(size[1:]),
                "pricePerHour": price,
                "status": "available",
                "quota": {"maxAccelerators": 8, "usedAccelerators": 0},
            }
            for (kind, size), price in PRICES.items()
        ]
        regions = [{"name": "us-east-1", "computes": computes}]
        return web.json_response({"vendors": [{"name": "aws", "regions": regions}]})

    async def _health(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        running = self.there[request.match_info["name"]]["status"]["state"] == "running"
        return web.Response(status=200 if running else 503)
