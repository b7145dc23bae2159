"""One dataset repository of the Hub, asked with patience: what is busy is asked again, what is refused is said in one line.

huggingface_hub asks again by itself for uploads and listings, not for the rest, and never for a commit. Here every call is
asked again that may be: all but the commit ask for nothing twice, and a commit names its parent, so that it can be seen
whether it went through before it is sent again. Needs a token only to write, and only huggingface_hub ever holds it.
Law of the file: no call is made outside `_ask`, none is waited for beyond `PATIENCE_S`, and nothing is printed.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars, validate_repo_id  # type: ignore[attr-defined]

from builder.errors import ConfigError, DatasetError, ReleaseError, first_line
from builder.remote.fault import excerpt
from builder.remote.hub import no_hub
from builder.secret import is_sendable

PATIENCE_S = 300.0
"""How long one call is waited for, beside the time that its attempts take."""
_FIRST_S = 15.0
"""The same, where nothing has answered yet."""
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_MOVED = {409, 412}
_ABSENT = {404}
_OFFLINE = "HF_HUB_OFFLINE is set: unset it to reach the Hub"
_LONGEST_S = 30
# What its HTTP library raises where no answer comes at all; which library that is depends on its version.
_NO_ANSWER = cast("type[Exception]", HfHubHTTPError.__bases__[0])

T = TypeVar("T")


class _UnreadableError(ReleaseError):
    """What answers is no Hub."""


class _ExpectedError(ReleaseError):
    """A refusal that whoever asked may make sense of."""

    def __init__(self, message: str, error: Exception) -> None:
        super().__init__(message)
        self.error = error
        self.words = _words(error)


class File(NamedTuple):
    """One file of a commit."""

    num_bytes: int
    blob_id: str
    sha256: str | None
    """Of what is large; git's own id tells of the rest."""


class Head(NamedTuple):
    """Where a branch is."""

    sha: str
    """Of its last commit."""
    private: bool


class Refs(NamedTuple):
    """What there is by name, each with its commit."""

    branches: dict[str, str]
    tags: dict[str, str]
    pulls: dict[str, str]
    """Such as `refs/pr/3`."""

    @property
    def all(self) -> dict[str, str]:
        """Every one of them."""
        return self.pulls | self.tags | self.branches


class Repository:
    """A dataset repository, which may not be there yet.

    Args:
        name: `ORG/NAME`.

    Raises:
        ConfigError: the Hub knows no such names.
    """

    def __init__(self, name: str) -> None:
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise ConfigError(f"{name!r} is no name of a repository: {first_line(error)}") from None
        if name.count("/") != 1:
            raise ConfigError(f"{name!r} is no name of a repository: write it as ORG/NAME")
        # They tell of each try with whole addresses; what comes of it is told here.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        disable_progress_bars()
        if (token := get_token()) and not is_sendable(token):
            raise ConfigError(
                "HF_TOKEN, or the file that `hf auth login` wrote, does not hold a token: set it anew"
            )
        self.name = name
        self._reached = False
        self._api = HfApi()
        self._at: dict[str, Any] = {"repo_id": name, "repo_type": "dataset"}

    @property
    def address(self) -> str:
        """Where people look at it."""
        return f"{self._api.endpoint}/datasets/{self.name}"

    def writer(self) -> str:
        """Who would write here.

        Raises:
            ReleaseError: there is no token, or it is not valid.
        """
        if not get_token():
            raise ReleaseError("the Hub needs a token to write: set HF_TOKEN, or log in with `hf auth login`")
        return self._ask("who is writing", lambda: str(self._api.whoami()["name"]))

    def head(self, revision: str) -> Head | None:
        """Where a branch, tag or commit is; None where the repository or the revision is not there."""
        try:
            info = self._ask("repo_info", lambda: self._api.repo_info(revision=revision, **self._at), _ABSENT)
        except _ExpectedError as refused:
            if not isinstance(refused.error, RepositoryNotFoundError | RevisionNotFoundError):
                raise
            return None
        return Head(str(info.sha), bool(info.private))

    def refs(self) -> Refs:
        """Every branch, tag and pull request; none where the repository is not there."""

        def listed() -> Refs:
            refs = self._api.list_repo_refs(include_pull_requests=True, **self._at)
            return Refs(
                branches={ref.name: ref.target_commit for ref in refs.branches},
                tags={ref.name: ref.target_commit for ref in refs.tags},
                pulls={ref.ref: ref.target_commit for ref in refs.pull_requests or ()},
            )

        try:
            return self._ask("refs", listed, _ABSENT)
        except _ExpectedError as refused:
            if not isinstance(refused.error, RepositoryNotFoundError):
                raise
            return Refs({}, {}, {})

    def files(self, revision: str) -> dict[str, File]:
        """Every file of a revision by its path."""

        def listed() -> dict[str, File]:
            entries = self._api.list_repo_tree(recursive=True, revision=revision, **self._at)
            return {entry.path: _file(entry) for entry in entries if isinstance(entry, RepoFile)}

        return self._ask("tree", listed)

    def fetch(self, path: str, sha: str) -> Path:
        """A file of a commit, fetched into huggingface_hub's cache unless it is there.

        Raises:
            DatasetError: it is not in the commit.
        """
        try:
            fetched = self._ask(
                path, lambda: self._api.hf_hub_download(filename=path, revision=sha, **self._at), _ABSENT
            )
            return Path(fetched)
        except _ExpectedError as refused:
            if not isinstance(refused.error, EntryNotFoundError | RepositoryNotFoundError):
                raise
            raise DatasetError(f"{self.name} has no {path} at {sha[:8]}: not a packaged dataset") from None

    def titles(self, newer: str, than: str) -> list[str]:
        """The titles of the commits that lead to one and not yet to another, the last first."""
        commits = self._ask("commits", lambda: self._api.list_repo_commits(revision=newer, **self._at))
        ids = [commit.commit_id for commit in commits]
        return [commit.title for commit in commits[: ids.index(than) if than in ids else len(ids)]]

    def create(self, *, private: bool) -> None:
        """Makes the repository; one that is there stays as it is."""
        self._ask("create_repo", lambda: self._api.create_repo(private=private, exist_ok=True, **self._at))

    def branch(self, name: str, sha: str | None) -> None:
        """Makes a branch that begins at a commit; one that is there stays as it is."""
        self._ask(
            "branch", lambda: self._api.create_branch(branch=name, revision=sha, exist_ok=True, **self._at)
        )

    def upload(self, additions: Sequence[CommitOperationAdd], branch: str, *, proposed: bool) -> None:
        """Brings the content of files to the Hub, where no revision shows it yet; what is there is not sent again.

        Args:
            additions: the files.
            branch: what they are for.
            proposed: whether they are for a pull request, for which nobody needs the right to write to the branch.
        """
        self._ask(
            "upload",
            lambda: self._api.preupload_lfs_files(
                additions=additions, revision=branch, create_pr=proposed, free_memory=False, **self._at
            ),
            also=(RuntimeError, ConnectionError),  # so does hf_xet say that it cannot go on
        )

    def commit(
        self,
        additions: Iterable[CommitOperationAdd],
        deleted: Iterable[str],
        *,
        branch: str,
        parent: str,
        title: str,
        message: str,
        went_through: Callable[[], str | None],
        pull_request: bool,
    ) -> str:
        """Makes the one commit.

        Args:
            additions: whose content is uploaded.
            deleted: paths.
            branch: what it goes to, or is proposed for.
            parent: the commit it must follow.
            title: of the commit.
            message: below the title.
            went_through: finds the commit where it was made and the answer lost; None where it was not.
            pull_request: whether it is only proposed.

        Returns:
            The id of the commit.

        Raises:
            ReleaseError: the branch is elsewhere by now, or the Hub refused.
        """
        operations: list[CommitOperationAdd | CommitOperationDelete] = [*additions]
        operations += [CommitOperationDelete(path) for path in deleted]

        tries = count()

        def made() -> str:
            if next(tries) and (found := went_through()):
                return found
            return str(
                self._api.create_commit(
                    operations=operations,
                    commit_message=title,
                    commit_description=message,
                    revision=branch,
                    parent_commit=parent,
                    create_pr=pull_request,
                    **self._at,
                ).oid
            )

        try:
            return self._ask("commit", made, _MOVED)
        except _ExpectedError as refused:
            if found := went_through():
                return found
            said = refused.words
        except _UnreadableError as error:
            if found := went_through():
                return found
            raise ReleaseError(str(error)) from None
        head = self.head(branch)
        if head and head.sha == parent:
            raise ReleaseError(f"{self.name}: {self._refused(0, 'commit')}: {said}: nothing was published")
        moved = "; ".join(map(repr, self.titles(head.sha, parent)[:3])) if head else "it is gone"
        raise ReleaseError(
            f"{self.name}: {branch} moved while this was uploading ({moved}): nothing was published, what was "
            f"uploaded is kept: see what changed with `deepdialogue diff`, and run the same command again"
        )

    def tag(self, tag: str, sha: str) -> None:
        """Names a commit for good.

        Raises:
            ReleaseError: the name is another commit's.
        """
        try:
            self._ask("tag", lambda: self._api.create_tag(tag=tag, revision=sha, **self._at), _MOVED)
        except _ExpectedError:
            if self.refs().tags.get(tag) != sha:
                raise ReleaseError(
                    f"{self.name}: {tag} is the tag of another commit by now: push again for the next version"
                ) from None

    def _ask(
        self,
        what: str,
        call: Callable[[], T],
        expected: AbstractSet[int] = frozenset(),
        also: tuple[type[Exception], ...] = (),
    ) -> T:
        """Asks until there is an answer, a refusal, or no patience left.

        Args:
            what: for the message.
            call: what asks.
            expected: statuses that the caller makes sense of.
            also: exceptions that are worth another try, beside those of HTTP.
        """
        waited_s = 0.0
        for attempt in count():
            try:
                answer = call()
            except Exception as error:  # noqa: BLE001 - the library takes answers apart as they come
                if (ended := self._ended(error, what, expected, also)) is not None:
                    raise ended from None
                wait_s = _wait_s(error, attempt)
                waited_s += wait_s
                # What never answered is more often misspelt or out of reach than busy.
                if waited_s > (PATIENCE_S if self._reached or _status(error) else _FIRST_S):
                    raise ReleaseError(
                        f"{self.name}: the Hub does not answer ({what}: {_words(error)}): nothing is lost, what was "
                        f"uploaded is kept: run the same command again later"
                    ) from None
                time.sleep(wait_s)
            else:
                self._reached = True
                return answer
        raise AssertionError

    def _ended(
        self, error: Exception, what: str, expected: AbstractSet[int], also: tuple[type[Exception], ...]
    ) -> ReleaseError | None:
        """What a call ends with; None where asking again may help."""
        if isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled):
            return ReleaseError(_OFFLINE)
        if str(error).startswith("Invalid metadata in README.md"):
            return ReleaseError(f"{self.name}: the Hub refused the card: {_words(error)}")
        if isinstance(error.__cause__, FileMetadataError) or not isinstance(
            error, (_NO_ANSWER, LocalEntryNotFoundError, *also)
        ):
            return self._unreadable(what, error)
        if _is_untrusted(error):
            return ReleaseError(
                f"{self.name}: {self._api.endpoint} shows a certificate that is not trusted here ({_words(error)}): "
                f"SSL_CERT_FILE names the authorities of a proxy that shows its own"
            )
        status = _status(error)
        # Whoever has no token is told 401 of what they may not see.
        known = status in expected or (expected == _ABSENT and isinstance(error, RepositoryNotFoundError))
        if not known and (status is None or status in _BUSY):
            return None
        refused = f"{self.name}: {self._refused(status or 0, what)}: {_words(error)}"
        return _ExpectedError(refused, error) if known else ReleaseError(refused)

    def _unreadable(self, what: str, error: Exception) -> _UnreadableError:
        return _UnreadableError(f"{self.name}: {no_hub(self._api.endpoint)}: {what}: {_words(error)}")

    def _refused(self, status: int, what: str) -> str:
        org = self.name.partition("/")[0]
        if status == HTTPStatus.UNAUTHORIZED:
            return "the Hub knows no such token: set HF_TOKEN to one that is valid, or log in with `hf auth login`"
        if status == HTTPStatus.FORBIDDEN:
            return f"the token may not write to {org!r}: use one with write access to it, or name another ORG"
        return f"the Hub refused ({what})"


def _file(entry: RepoFile) -> File:
    return File(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)


def _status(error: Exception) -> int | None:
    """The status an error came with; None where there was no answer."""
    for one in (error, error.__cause__):
        if isinstance(one, HfHubHTTPError):
            return int(one.response.status_code)
    return None


def _wait_s(error: Exception, attempt: int) -> float:
    """How long to wait before asking again: as long as the Hub says, or longer each time."""
    response = getattr(error, "response", None)
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return float(said) if said.isdigit() else float(min(2**attempt, _LONGEST_S))


def _words(error: Exception) -> str:
    """What went wrong, as whoever knows best says it."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    said = getattr(error, "server_message", None) or getattr(cause, "server_message", None)
    return excerpt(str(said or first_line(cause)), None)


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether what answered could not show who it is."""
    while error is not None:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
