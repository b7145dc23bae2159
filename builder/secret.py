"""Secrets struck from what others say: a server that refuses a token may repeat it, and so may the library that asked.

Law of the file: what goes into a message, a log or a record went through `struck` before it was cut or put on one line; nothing
here tells which token it was.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus

MARK = "[token]"
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_SHORTEST = 6
"""Characters; what is shorter is no secret, and stands in every other word."""
_ANYONES = re.compile(
    r"""(?P<scheme>\b(?:bearer|basic)(?:\s|%20|\+|\\u0020)+)(?=[a-z]*[\d._~+/=%-]|(?-i:[A-Za-z]*[a-z][A-Z]))[\w.~+/=%-]{6,}
    | \b(?:hf|api_org)_[a-z0-9]{16,}
    | (?P<user>://)[^/\s@:]*:[^/\s@]+(?=@)
    | (?P<name>\b(?:x-amz-(?:signature|credential|security-token)|signature|access_token|sig)=)[^&\s"'<>]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Secrets that are known by where they stand, whoever they belong to."""


def struck(text: str, *tokens: str | None) -> str:
    """A text without tokens, as they are and as they are written in addresses and headers.

    Args:
        text: someone else's.
        tokens: those that are known here; those of the Hub, in the environment and on the disk, are known in any case.
    """
    known = {token.strip() for token in (*tokens, *_hubs()) if token}
    for form in _forms(frozenset(token for token in known if len(token) >= _SHORTEST)):
        text = form.sub(MARK, text)
    return _ANYONES.sub(lambda found: (found["scheme"] or found["user"] or found["name"] or "") + MARK, text)


@contextmanager
def kept(*tokens: str | None) -> Iterator[None]:
    """Strikes tokens from an error that passes, and from those that led to it.

    Args:
        tokens: as for `struck`.
    """
    try:
        yield
    except Exception as error:
        seen: list[BaseException] = []
        left: list[BaseException | None] = [error]
        while left:
            one = left.pop()
            if one is None or one in seen:
                continue
            seen.append(one)
            one.args = tuple(struck(part, *tokens) if isinstance(part, str) else part for part in one.args)
            left += [one.__cause__, one.__context__]
        raise


def is_sendable(token: str) -> bool:
    """Whether a token may stand in a header."""
    return token.isascii() and token.isprintable() and " " not in token


def _hubs() -> Iterator[str]:
    yield from filter(None, map(os.environ.get, _VARIABLES))
    # Where it is imported, the library knows best which file that is.
    constants = sys.modules.get("huggingface_hub.constants")
    path = getattr(constants, "HF_TOKEN_PATH", None) or os.environ.get("HF_TOKEN_PATH")
    home = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    try:
        yield Path(path or Path(home) / "token").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return


@lru_cache(8)
def _forms(tokens: frozenset[str]) -> tuple[re.Pattern[str], ...]:
    """What to look for, the longest first."""
    found = []
    for token in sorted(tokens, key=len, reverse=True):
        raw = token.encode()
        inside = (
            token,
            quote(token, safe=""),
            quote_plus(token),
            raw.hex(),
            "".join(f"%{byte:02x}" for byte in raw),
        )
        whole = "|".join(map(re.escape, inside))
        # Somebody may have cut it off.
        begun = "|".join(re.escape(one[: max(_SHORTEST, len(one) // 2)]) for one in inside)
        found.append(re.compile(rf"(?:{whole}|{begun})[\w.~%+-]*", re.IGNORECASE))
        # Beside other bytes its letters in base64 are others at either end.
        cores = {
            base64.b64encode(bytes(before) + raw).decode().rstrip("=")[-(-before * 8 // 6) :][:-1]
            for before in range(3)
        }
        both = sorted(
            {re.escape(core) for core in cores} | {re.escape(core.translate(_URL_SAFE)) for core in cores}
        )
        found.append(re.compile(rf"(?:{'|'.join(both)})[\w+/=-]*"))
    return tuple(found)


_URL_SAFE = str.maketrans("+/", "-_")
