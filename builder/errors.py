"""Every way DeepDialogue says no. Each error is one clear line; the command line prints it and exits non-zero.

    DeepDialogueError            what went wrong, and the repair
    ├── ConfigError              a study, site, vocabulary or prompt that cannot be used as written
    ├── RunError                 a run folder that is locked, pinned to another study, or unreadable
    │   ├── BusyError            another process works on it
    │   └── OvertakenError       another process has published what this one works on
    ├── StorageError             storage that a run is shared on does not answer; worth another try
    ├── DatasetError             a packaged dataset that is not what its card says
    ├── ReleaseError             a version that cannot be published as it is, or that the Hub refused
    ├── NotRunError              a measure that has no weights or no library here; said in the records, not an end
    ├── BudgetError              what the site allows to be spent is spent; the run stops cleanly and can go on
    └── ItemError                one item failed; it is recorded with its boundary and owed again
        ├── EndpointError        boundary "endpoint": unreachable, overloaded or failing; worth another try
        ├── ProtocolError        boundary "protocol": the server refused the request or answered nonsense
        ├── ReplyError           boundary "reply": a model broke the rules of a reply too often
        ├── SynthesisError       boundary "synthesis": an engine could not speak a line
        ├── CheckError           boundary "check": a clip failed its checks
        └── SourceError          boundary "source": data to ingest is missing, damaged or contradicts itself

Law of the file: it imports nothing of the project, and every message names the thing, its value and the repair.
"""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any, ClassVar


class DeepDialogueError(Exception):
    """The root: its text is one line for a person."""


class ConfigError(DeepDialogueError):
    """A study, site, vocabulary or prompt cannot be used as written."""


class RunError(DeepDialogueError):
    """A run folder is locked, pinned to another study, or holds what it should not."""


class BusyError(RunError):
    """Another process works on what this one was to work on: later it may not."""


class OvertakenError(RunError):
    """Another process has published what this one works on; what this one did not publish is dropped."""


class StorageError(DeepDialogueError):
    """Storage that a run is shared on does not answer, or answers what it should not: later it may."""


class DatasetError(DeepDialogueError):
    """A packaged dataset is not what its card says."""


class ReleaseError(DeepDialogueError):
    """A version cannot be published as it is, or the Hub refused it or does not answer."""


class NotRunError(DeepDialogueError):
    """A measure cannot run here, for want of weights or of a library. That it did not is recorded."""


class BudgetError(DeepDialogueError):
    """What a site allows to be spent is spent. What was in flight is finished, and the run can go on with more."""


class ItemError(DeepDialogueError):
    """One item failed. The run goes on; the failure is data."""

    boundary: ClassVar[str]


class EndpointError(ItemError):
    """An endpoint is unreachable, overloaded or failing: the same request may pass later."""

    boundary = "endpoint"


class ProtocolError(ItemError):
    """A server refused a request or answered what its protocol does not allow: trying again is no use."""

    boundary = "protocol"


class ReplyError(ItemError):
    """A model broke the rules of a reply in every attempt it was given."""

    boundary = "reply"


class SynthesisError(ItemError):
    """An engine could not speak a line."""

    boundary = "synthesis"


class CheckError(ItemError):
    """A clip failed its checks."""

    boundary = "check"


class SourceError(ItemError):
    """Data to ingest is missing, damaged or contradicts itself."""

    boundary = "source"


def first_line(error: Exception) -> str:
    """What an error of others says, as far as a message has room for it; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def in_one_line(error: Exception) -> str:
    """What went wrong in a process whose errors are told in another one."""
    if isinstance(error, DeepDialogueError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"a fault of this program or of a library: {type(error).__name__}: {first_line(error)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The repair for a misspelt name: the closest known one, or the list of them all.

    Returns:
        A clause such as `did you mean 'happy'?` or `known: 'a', 'b'`.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(map(repr, names)) if names else "none is known"


def extra(module: str, name: str) -> Any:
    """Imports `module`, which the extra `name` installs.

    Raises:
        ConfigError: it is not installed, or it does not load; says what to install.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"{module} cannot be imported ({error}): pip install 'deepdialogue[{name}]' installs it"
        ) from None
