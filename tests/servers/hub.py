"""The Hub on loopback, for datasets: repositories, branches, tags, pull requests, LFS, range reads, tokens, and faults.

    with Hub() as hub:
        head = hub.commit("lab/speech", {"README.md": b"..."})
        hub.fail("POST .*/commit/", refuse(503, retry_after=0))         # the next such request
        hub.fail_call(7, refuse(429, retry_after=0))                    # the eighth request from now, whatever it is
        subprocess.run([...], env=os.environ | hub.environment(home))   # HF_ENDPOINT is read when a library is imported

As a process it prints its address and waits: `python -m tests.servers.hub FOLDER=ORG/NAME@v1.0.0 ... [--port N]`.
Law of the file: it speaks as huggingface_hub 1 to 2 and datasets 3.6 to 5 listen; a commit is whole or not at all; no file is
read through a revision that does not hold it; nothing is kept beyond the process.
"""

import argparse
import base64
import hashlib
import json
import mmap
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.servers.loopback import Handler, Loopback

TOKEN = "hf_loopback5ecretloopback5ecret"
"""May read and write everything of `lab`, and is `tester`'s."""
READER = "hf_readonly5ecretreadonly5ecret"
"""May read everything of `lab` and write nothing."""

Content = bytes | mmap.mmap
Fault = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

# The newest aiohttp wants keys of a kind that older ones do not have.
_SENT, _CUT = (
    getattr(web, "RequestKey", lambda name, _: name)(*key) for key in (("sent", int), ("cut", bool))
)
_PIECE = 2**20
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
_MAPPED_MOST = 2**20
_LARGE = re.compile(r"\.(parquet|arrow|tar|zip|flac|wav|mp3|ogg|bin)$")
_SMALL_MOST = 10 * 2**20


@dataclass(frozen=True)
class Call:
    """A request as it arrived, and what it was answered with."""

    method: str
    path: str
    """With its query, as it was sent."""
    headers: dict[str, str]
    """Names in lower case."""
    status: int
    """0 where the connection was cut."""
    sent: int
    """Bytes of the answer's body."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class File:
    """One file of a commit."""

    oid: str
    """The git blob id: of the pointer where it is LFS's."""
    sha256: str
    size: int
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass
class Commit:
    tree: dict[str, File]
    title: str
    message: str
    date: str
    parent: str | None


@dataclass
class Repo:
    id: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    """`refs/pr/1` to its commit."""
    merged: set[str] = field(default_factory=set)

    def resolve(self, revision: str) -> str | None:
        for refs in (self.branches, self.tags, self.pulls):
            if revision in refs:
                return refs[revision]
        return revision if revision in self.commits else None


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Hub(Loopback):
    """The Hub of one lab. Use it as `with`: `url` is where it listens.

    Args:
        port: where it listens; 0 for any that is free.
        page: how many files a listing gives at once.
        part: bytes of one part of an upload; None uploads every file in one.
    """

    largest = 2**30

    def __init__(self, port: int = 0, page: int = 1000, part: int | None = None) -> None:
        super().__init__()
        self.port, self.page, self.part = port, page, part
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, Content] = {}
        """Every content ever uploaded or committed, by sha256."""
        self.parts: dict[str, dict[int, bytes]] = {}
        self.calls: list[Call] = []
        self.tokens: dict[str, dict[str, Any]] = {
            TOKEN: {"name": "tester", "owners": {"tester", "lab"}, "role": "write"},
            READER: {"name": "reader", "owners": {"reader", "lab"}, "role": "read"},
        }
        self._failing: list[list[Any]] = []
        self._failing_calls: dict[int, Fault] = {}
        self._arrived = 0

    # What a test says and asks.

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """What a process must find in its environment to take this for the Hub; `home` is for its caches."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "0",
        } | ({"HF_TOKEN": token} if token else {})

    def fail(self, pattern: str, fault: Fault, times: int = 1) -> None:
        """The next `times` requests of which the pattern finds a part of `METHOD /path?query` meet the fault."""
        self._failing.append([re.compile(pattern), fault, times])

    def fail_call(self, index: int, fault: Fault) -> None:
        """The request that is `index`-th from now, from 0, meets the fault."""
        self._failing_calls[self._arrived + index] = fault

    def create(self, repo_id: str, *, private: bool = False) -> Repo:
        """A repository as the Hub makes it, or the one that is there."""
        if repo_id not in self.repos:
            repo = self.repos[repo_id] = Repo(repo_id, private)
            tree = {".gitattributes": self._stored(".gitattributes", _ATTRIBUTES)}
            self._commit(repo, "main", tree, "initial commit")
        return self.repos[repo_id]

    def commit(
        self, repo_id: str, files: Mapping[str, Content | None], branch: str = "main", title: str = "a commit"
    ) -> str:
        """Adds files, or deletes those that are None, in one commit; gives its id."""
        repo = self.create(repo_id)
        tree = dict(repo.commits[repo.branches.setdefault(branch, repo.branches["main"])].tree)
        for path, content in files.items():
            if content is None:
                del tree[path]
            else:
                tree[path] = self._stored(path, content)
        return self._commit(repo, branch, tree, title)

    def commit_folder(self, repo_id: str, folder: Path, branch: str = "main", title: str = "a commit") -> str:
        """Makes a branch hold what a folder holds, and nothing else; large files stay on the disk. Gives the commit's id."""
        there = self.tree(repo_id, branch) if repo_id in self.repos else []
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        gone = {path: None for path in there if path not in files and path != ".gitattributes"}
        return self.commit(
            repo_id, {name: _mapped(path) for name, path in files.items()} | gone, branch, title
        )

    def tag(self, repo_id: str, tag: str, revision: str = "main") -> None:
        """Names a commit."""
        repo = self.repos[repo_id]
        repo.tags[tag] = repo.resolve(revision) or ""

    def head(self, repo_id: str, revision: str = "main") -> str:
        """The id of the commit that a revision names."""
        sha = self.repos[repo_id].resolve(revision)
        assert sha, revision
        return sha

    def tree(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Every file that a revision holds."""
        repo = self.repos[repo_id]
        files = repo.commits[self.head(repo_id, revision)].tree
        return {path: self.blobs[file.sha256][:] for path, file in files.items()}

    def merge(self, repo_id: str, number: int) -> None:
        """Merges a pull request: `main` gets its files in a commit of its own."""
        repo, ref = self.repos[repo_id], f"refs/pr/{number}"
        tree = dict(repo.commits[repo.pulls[ref]].tree)
        self._commit(repo, "main", tree, f"merge {ref}")
        repo.merged.add(ref)

    def asked(self, pattern: str) -> list[Call]:
        """The requests of which the pattern finds a part of `METHOD /path?query`, in order."""
        return [call for call in list(self.calls) if re.search(pattern, str(call))]

    # How it keeps what it is given.

    def _stored(self, path: str, content: Content) -> File:
        sha256 = hashlib.sha256(content).hexdigest()
        self.blobs.setdefault(sha256, content)
        return self._file(path, sha256)

    def _file(self, path: str, sha256: str, *, lfs: bool | None = None) -> File:
        content = self.blobs[sha256]
        size = len(content)
        if _is_large(path, size) if lfs is None else lfs:
            return File(_blob_id(_pointer(sha256, size)), sha256, size, lfs=True)
        return File(_blob_id(content[:]), sha256, size, lfs=False)

    def _commit(
        self, repo: Repo, ref: str, tree: dict[str, File], title: str, message: str = "", base: str = ""
    ) -> str:
        refs = repo.pulls if ref.startswith("refs/pr/") else repo.branches
        parent = base or refs.get(ref)
        files = sorted((path, file.oid) for path, file in tree.items())
        told = json.dumps([repo.id, ref, parent, len(repo.commits), files, title])
        sha = hashlib.sha1(told.encode()).hexdigest()
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        repo.commits[sha] = Commit(tree, title, message, date, parent)
        refs[ref] = sha
        return sha

    # How it answers.

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        index, self._arrived = self._arrived, self._arrived + 1
        fault = self._failing_calls.pop(index, None) or self._fault(f"{request.method} {request.path_qs}")
        status = sent = 0
        try:
            response = await (fault(request, handler) if fault else handler(request))
            cut = request.transport is None or request.transport.is_closing()
            status = 0 if cut else response.status
            sent = request.get(_SENT, 0 if request.method == "HEAD" else response.content_length or 0)
        except _RefusedError as error:
            headers = {"X-Error-Message": error.message} | (
                {"X-Error-Code": error.code} if error.code else {}
            )
            response = web.json_response({"error": error.message}, status=error.status, headers=headers)
            status = error.status
        finally:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.calls.append(Call(request.method, str(request.rel_url), headers, status, sent))
        return response

    def _fault(self, line: str) -> Fault | None:
        for entry in self._failing:
            if entry[2] > 0 and entry[0].search(line):
                entry[2] -= 1
                return entry[1]
        return None

    def routes(self) -> list[web.RouteDef]:
        repo = r"/{repo:[^/]+/[^/]+}"
        api = "/api/datasets" + repo
        revision = "{revision:[^/]+}"
        return [
            web.get("/api/whoami-v2", self._whoami),
            web.get("/api/agent-harnesses", self._harnesses),
            web.post("/api/validate-yaml", self._validate_yaml),
            web.post("/api/repos/create", self._create),
            web.get(api, self._info),
            web.get(f"{api}/revision/{revision}", self._info),
            web.get(f"{api}/refs", self._refs),
            web.get(f"{api}/commits/{revision}", self._commits),
            web.get(f"{api}/tree/{revision}", self._tree),
            web.get(f"{api}/tree/{revision}/{{path:.*}}", self._tree),
            web.post(f"{api}/paths-info/{revision}", self._paths_info),
            web.post(f"{api}/preupload/{revision}", self._preupload),
            web.post(f"{api}/commit/{revision}", self._receive_commit),
            web.post(f"{api}/tag/{revision}", self._create_tag),
            web.delete(f"{api}/tag/{revision}", self._delete_tag),
            web.post(f"{api}/branch/{revision}", self._create_branch),
            web.delete(f"{api}/branch/{revision}", self._delete_branch),
            web.post(f"{api}/discussions/{{number}}/merge", self._merge),
            web.post(rf"/datasets{repo}.git/info/lfs/objects/batch", self._lfs_batch),
            web.put("/lfs/{oid}", self._lfs_put),
            web.post("/lfs/{oid}/verify", self._lfs_verify),
            web.put("/lfs/{oid}/{part}", self._lfs_put_part),
            web.post("/lfs/{oid}/complete", self._lfs_complete),
            web.get(rf"/datasets{repo}/resolve/{revision}/{{path:.*}}", self._resolve),
            web.get("/cdn/{oid}", self._cdn),
            web.route("*", "/{anything:.*}", self._unknown),
        ]

    def _caller(self, request: web.Request) -> dict[str, Any] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise _RefusedError(401, "Invalid credentials in Authorization header")
        return self.tokens.get(token)

    def _repo(self, request: web.Request, *, write: bool = False, proposes: bool = False) -> Repo:
        """The repository of a request, as far as its caller may know of it; who may only read may propose."""
        caller, name = self._caller(request), request.match_info["repo"]
        repo = self.repos.get(name)
        owns = bool(caller) and name.split("/")[0] in caller["owners"]
        if repo is None or (repo.private and not owns):
            raise _RefusedError(404 if caller else 401, "Repository not found", "RepoNotFound")
        if write and not caller:
            raise _RefusedError(401, "Invalid username or password.")
        if write and not proposes and not (owns and caller["role"] == "write"):
            raise _RefusedError(403, f"Forbidden: you don't have the right to write to {name}")
        return repo

    def _sha(self, repo: Repo, request: web.Request) -> str:
        revision = request.match_info.get("revision", "main")
        sha = repo.resolve(revision)
        if sha is None:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        raise _RefusedError(404, f"not found: {request.path}", "RepoNotFound")

    async def _whoami(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        if caller is None:
            raise _RefusedError(401, "Invalid username or password.")
        orgs = [
            {"name": name, "roleInOrg": caller["role"]}
            for name in sorted(caller["owners"] - {caller["name"]})
        ]
        auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": caller["role"]}}
        return web.json_response(
            {"type": "user", "id": "1", "name": caller["name"], "orgs": orgs, "auth": auth}
        )

    async def _harnesses(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"standardEnvVars": [], "harnesses": {}})

    async def _validate_yaml(self, request: web.Request) -> web.StreamResponse:
        content = (await request.json())["content"]
        head = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
        try:
            faults = (
                []
                if head and isinstance(yaml.load(head[1], Loader=_YAML), dict)
                else ["the YAML head is no mapping"]
            )
        except yaml.YAMLError as error:
            faults = [str(error)]
        errors = [{"message": fault} for fault in faults]
        return web.json_response({"errors": errors, "warnings": []}, status=400 if errors else 200)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        caller, wanted = self._caller(request), await request.json()
        if caller is None:
            raise _RefusedError(401, "Invalid username or password.")
        owner = wanted.get("organization") or caller["name"]
        if owner not in caller["owners"] or caller["role"] != "write":
            raise _RefusedError(
                403, f"You don't have the rights to create a dataset under the namespace {owner!r}"
            )
        name = f"{owner}/{wanted['name']}"
        url = f"{self.url}/datasets/{name}"
        if name in self.repos:
            return web.json_response(
                {"error": "You already created this dataset repo", "url": url}, status=409
            )
        self.create(name, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        return web.json_response({"url": url, "name": name})

    async def _info(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        sha = self._sha(repo, request)
        commit = repo.commits[sha]
        details = "blobs" in request.query
        siblings = [
            {"rfilename": path} | ({"blobId": file.oid, "size": file.size} | _lfs_of(file) if details else {})
            for path, file in sorted(commit.tree.items())
        ]
        return web.json_response(
            {
                "_id": "0",
                "id": repo.id,
                "author": repo.id.split("/")[0],
                "sha": sha,
                "lastModified": commit.date,
                "createdAt": commit.date,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": siblings,
            }
        )

    async def _refs(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)

        def told(refs: Mapping[str, str], prefix: str) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"{prefix}{name}", "targetCommit": sha} for name, sha in refs.items()
            ]

        body = {
            "branches": told(repo.branches, "refs/heads/"),
            "converts": [],
            "tags": told(repo.tags, "refs/tags/"),
        }
        if request.query.get("include_prs") in {"1", "true", "True"}:
            body["pullRequests"] = told(repo.pulls, "")
        return web.json_response(body)

    async def _commits(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        listed, sha = [], self._sha(repo, request)
        while sha:
            commit = repo.commits[sha]
            listed.append(
                {
                    "id": sha,
                    "title": commit.title,
                    "message": commit.message,
                    "date": commit.date,
                    "authors": [{"user": "tester"}],
                }
            )
            sha = commit.parent
        return web.json_response(listed)

    async def _tree(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        sha = self._sha(repo, request)
        tree, folder = repo.commits[sha].tree, request.match_info.get("path", "").strip("/")
        folders = _folders(tree)
        if folder and folder not in folders:
            raise _RefusedError(404, f"{folder} does not exist on {sha!r}", "EntryNotFound")
        prefix = f"{folder}/" if folder else ""
        recursive = request.query.get("recursive", "").lower() in {"true", "1"}

        def lies(path: str) -> bool:
            return path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :])

        entries = [_folder(path) for path in sorted(folders) if lies(path)]
        entries += [_entry(path, file) for path, file in sorted(tree.items()) if lies(path)]
        if request.query.get("expand", "").lower() in {"true", "1"}:
            commit = repo.commits[sha]
            last = {"id": sha, "title": commit.title, "date": commit.date}
            entries = [entry | {"lastCommit": last} for entry in entries]
        begin = int(request.query.get("cursor", 0))
        page, headers = entries[begin : begin + self.page], {}
        if begin + self.page < len(entries):
            following = request.url.update_query(cursor=begin + self.page)
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(page, headers=headers)

    async def _paths_info(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        tree, raw = repo.commits[self._sha(repo, request)].tree, await request.text()
        paths = (
            json.loads(raw)["paths"] if raw.startswith("{") else urllib.parse.parse_qs(raw).get("paths", [])
        )
        folders = _folders(tree)
        entries = [_entry(path, tree[path]) for path in paths if path in tree]
        return web.json_response(entries + [_folder(path) for path in paths if path in folders])

    async def _preupload(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request, write=True, proposes=request.query.get("create_pr") == "1")
        tree = repo.commits[self._sha(repo, request)].tree
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if _is_large(one["path"], one["size"]) else "regular",
                "shouldIgnore": False,
                "oid": tree[one["path"]].etag if one["path"] in tree else None,
            }
            for one in (await request.json())["files"]
        ]
        return web.json_response({"files": files})

    async def _receive_commit(self, request: web.Request) -> web.StreamResponse:
        ref, pull = request.match_info["revision"], request.query.get("create_pr") == "1"
        repo = self._repo(request, write=True, proposes=pull)
        refs = repo.pulls if ref.startswith("refs/pr/") else repo.branches
        if ref not in refs:
            raise _RefusedError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        head, *operations = [json.loads(line) for line in (await request.read()).splitlines() if line.strip()]
        parent = head["value"].get("parentCommit")
        base = parent if pull and parent in repo.commits else refs[ref]
        if parent and parent != base:
            raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.commits[base].tree)
        for operation in operations:
            self._apply(tree, operation["key"], operation["value"])
        target = f"refs/pr/{len(repo.pulls) + 1}" if pull else ref
        title, message = head["value"]["summary"], head["value"].get("description", "")
        sha = self._commit(repo, target, tree, title, message, base)
        address = f"{self.url}/datasets/{repo.id}"
        number = target.rpartition("/")[2]
        return web.json_response(
            {
                "success": True,
                "commitOid": sha,
                "commitUrl": f"{address}/commit/{sha}",
                "hookOutput": "",
                "pullRequestUrl": f"{address}/discussions/{number}" if pull else None,
            }
        )

    def _apply(self, tree: dict[str, File], kind: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if kind == "file":
            content = base64.b64decode(value["content"])
            tree[path] = self._file(path, self._stored(path, content).sha256, lfs=False)
        elif kind == "lfsFile":
            if value["oid"] not in self.blobs:
                raise _RefusedError(400, f"LFS object of {path} does not exist")
            tree[path] = self._file(path, value["oid"], lfs=True)
        elif kind == "deletedFile":
            if tree.pop(path, None) is None:
                raise _RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
        elif kind == "deletedFolder":
            for name in [name for name in tree if name.startswith(path.rstrip("/") + "/")]:
                del tree[name]
        else:
            raise _RefusedError(400, f"unknown operation {kind}")

    async def _create_tag(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request, write=True)
        sha, tag = self._sha(repo, request), (await request.json())["tag"]
        if tag in repo.tags:
            raise _RefusedError(409, f"Tag {tag} already exists")
        repo.tags[tag] = sha
        return web.Response(status=201)

    async def _delete_tag(self, request: web.Request) -> web.StreamResponse:
        self._repo(request, write=True).tags.pop(request.match_info["revision"], None)
        return web.Response()

    async def _create_branch(self, request: web.Request) -> web.StreamResponse:
        repo, branch = self._repo(request, write=True), request.match_info["revision"]
        if branch in repo.branches:
            raise _RefusedError(409, f"Reference {branch} already exists")
        start = json.loads(await request.text() or "{}").get("startingPoint", "main")
        if (sha := repo.resolve(start)) is None:
            raise _RefusedError(404, f"Invalid rev id: {start}", "RevisionNotFound")
        repo.branches[branch] = sha
        return web.Response(status=201)

    async def _delete_branch(self, request: web.Request) -> web.StreamResponse:
        self._repo(request, write=True).branches.pop(request.match_info["revision"], None)
        return web.Response()

    async def _merge(self, request: web.Request) -> web.StreamResponse:
        self.merge(self._repo(request, write=True).id, int(request.match_info["number"]))
        return web.json_response({})

    async def _lfs_batch(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        # What is for a branch names it; what is for a pull request names none.
        self._repo(request, write=True, proposes="ref" not in wanted)
        objects = [self._upload(one["oid"], one["size"]) for one in wanted["objects"]]
        transfer = "multipart" if any("complete" in json.dumps(one) for one in objects) else "basic"
        return web.Response(
            text=json.dumps({"transfer": transfer, "objects": objects}),
            content_type="application/vnd.git-lfs+json",
        )

    def _upload(self, oid: str, size: int) -> dict[str, Any]:
        """Where one object is to be sent to; nowhere if it is here."""
        told = {"oid": oid, "size": size}
        if oid in self.blobs:
            return told
        verify = {"href": f"{self.url}/lfs/{oid}/verify"}
        if self.part is None or size <= self.part:
            return told | {"actions": {"upload": {"href": f"{self.url}/lfs/{oid}"}, "verify": verify}}
        count = -(-size // self.part)
        header = {f"{part:05d}": f"{self.url}/lfs/{oid}/{part}" for part in range(1, count + 1)}
        upload = {
            "href": f"{self.url}/lfs/{oid}/complete",
            "header": {"chunk_size": str(self.part)} | header,
        }
        return told | {"actions": {"upload": upload, "verify": verify}}

    async def _lfs_put(self, request: web.Request) -> web.StreamResponse:
        oid, content = request.match_info["oid"], await request.read()
        if hashlib.sha256(content).hexdigest() != oid:
            raise _RefusedError(422, "the content is not what its id says")
        self.blobs[oid] = content
        return web.Response()

    async def _lfs_put_part(self, request: web.Request) -> web.StreamResponse:
        oid, part = request.match_info["oid"], int(request.match_info["part"])
        self.parts.setdefault(oid, {})[part] = await request.read()
        return web.Response(headers={"ETag": f'"{part}"'})

    async def _lfs_complete(self, request: web.Request) -> web.StreamResponse:
        oid, told = request.match_info["oid"], await request.json()
        held = self.parts.pop(oid, {})
        content = b"".join(held.get(one["partNumber"], b"") for one in told["parts"])
        if hashlib.sha256(content).hexdigest() != oid:
            raise _RefusedError(422, "the parts are not what their id says")
        self.blobs[oid] = content
        return web.json_response({})

    async def _lfs_verify(self, request: web.Request) -> web.StreamResponse:
        told = await request.json()
        if len(self.blobs.get(told["oid"], b"")) != told["size"]:
            raise _RefusedError(404, "no such object")
        return web.json_response({})

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        sha, path = self._sha(repo, request), request.match_info["path"]
        file = repo.commits[sha].tree.get(path)
        if file is None:
            raise _RefusedError(404, "Entry not found", "EntryNotFound")
        headers = {
            "X-Repo-Commit": sha,
            "X-Linked-Size": str(file.size),
            "X-Linked-ETag": f'"{file.etag}"',
        }
        if (
            file.lfs
        ):  # as the Hub does: what is large lies at another host, under an address that asks for no token
            elsewhere = f"http://localhost:{self.port}/cdn/{file.sha256}"
            return web.Response(status=302, headers=headers | {"Location": elsewhere})
        return await self._send(request, file, headers)

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        oid = request.match_info["oid"]
        return await self._send(request, File("", oid, len(self.blobs[oid]), lfs=True), {})

    async def _send(self, request: web.Request, file: File, headers: dict[str, str]) -> web.StreamResponse:
        begin, end, status = 0, file.size, 200
        headers |= {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if asked := request.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin = int(first) if first else max(0, file.size - int(last))
            end = min(int(last) + 1, file.size) if first and last else file.size
            if begin >= file.size:
                raise _RefusedError(416, "the range cannot be satisfied")
            status = 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{file.size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_type, response.content_length = "application/octet-stream", end - begin
        await response.prepare(request)
        if request.method != "HEAD":
            content = self.blobs[file.sha256]
            if request.get(_CUT):
                end = (begin + end) // 2
            for place in range(begin, end, _PIECE):
                piece = content[place : min(place + _PIECE, end)]
                await response.write(piece)
                request[_SENT] = request.get(_SENT, 0) + len(piece)
        if not request.get(_CUT):
            await response.write_eof()
        return response


def refuse(status: int, retry_after: int | None = None) -> Fault:
    """A fault that answers with a status; nothing is done."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def fault(request: web.Request, _: Handler) -> web.StreamResponse:
        await request.read()
        return web.json_response({"error": f"refused with {status}"}, status=status, headers=headers)

    return fault


def answer(body: str, status: int = 200, kind: str = "text/html", **headers: str) -> Fault:
    """A fault that answers as something else than the Hub: a login page, a mirror, a gateway. `{token}` is the caller's."""

    async def fault(request: web.Request, _: Handler) -> web.StreamResponse:
        await request.read()
        token = request.headers.get("Authorization", "")
        return web.Response(
            text=body.replace("{token}", token), status=status, content_type=kind, headers=headers
        )

    return fault


async def drop(request: web.Request, _: Handler) -> web.StreamResponse:
    """A fault that cuts the connection before anything is done."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def lose(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault that does what was asked and cuts the connection instead of saying so."""
    await handler(request)
    return await drop(request, handler)


async def cut(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault that cuts the connection mid-body: of an upload once half has come, of a download once half has gone."""
    if request.method == "PUT":
        await request.content.readexactly((request.content_length or 0) // 2)
        return await drop(request, handler)
    request[_CUT] = True
    await handler(request)
    return await drop(request, handler)


def move(hub: Hub, repo_id: str, files: Mapping[str, Content | None], branch: str = "main") -> Fault:
    """A fault by which another's commit arrives just before the request does."""

    async def fault(request: web.Request, handler: Handler) -> web.StreamResponse:
        hub.commit(repo_id, files, branch, "another's commit")
        return await handler(request)

    return fault


def _mapped(path: Path) -> Content:
    """A file's content; of a large one, on the disk as long as nobody reads it, for which it stays open."""
    if path.stat().st_size <= _MAPPED_MOST:
        return path.read_bytes()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _is_large(path: str, size: int) -> bool:
    return bool(_LARGE.search(path)) or size > _SMALL_MOST


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _lfs_of(file: File) -> dict[str, Any]:
    pointer = len(_pointer(file.sha256, file.size))
    return (
        {"lfs": {"oid": file.sha256, "sha256": file.sha256, "size": file.size, "pointerSize": pointer}}
        if file.lfs
        else {}
    )


def _entry(path: str, file: File) -> dict[str, Any]:
    return {"type": "file", "oid": file.oid, "size": file.size, "path": path} | _lfs_of(file)


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}


def _folders(paths: Iterable[str]) -> set[str]:
    return {str(parent) for path in paths for parent in Path(path).parents} - {"."}


def main() -> None:
    """Serves folders until it is stopped."""
    parser = argparse.ArgumentParser(description="The Hub on loopback, serving folders as datasets.")
    parser.add_argument("repos", nargs="*", metavar="FOLDER=ORG/NAME[@TAG]")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Hub(options.port) as hub:
        for one in options.repos:
            folder, _, named = one.rpartition("=")
            repo_id, _, tag = named.partition("@")
            hub.commit_folder(repo_id, Path(folder))
            if tag:
                hub.tag(repo_id, tag)
        print(hub.url, flush=True)  # noqa: T201 - a program prints
        hub._thread.join()


if __name__ == "__main__":
    main()
