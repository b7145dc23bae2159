"""What a server says is wrong, and whether asking again may help.

A status says so, or an error inside an answer of 200, as gateways give where the server behind them failed.
Law of the file: a message has the server's own words, on one line, and never the token.
"""

import email.utils
import http
import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from builder.errors import ItemError, ProtocolError
from builder.remote.room import TryError
from builder.secret import struck

MOST_WORDS = 65536
"""Bytes of a body in which an error's words are looked for."""

_PASSING = frozenset({408, 424, 425, 429, 499})
"""Answers below 500 that may be another one the next time. 424 is TGI's for a generation that failed."""
_LASTING = frozenset({http.HTTPStatus.NOT_IMPLEMENTED, http.HTTPStatus.HTTP_VERSION_NOT_SUPPORTED})
_SECONDS = re.compile(r"\d{1,12}(?:\.\d*)?|\.\d+", re.ASCII)
_LONGEST_WAIT_S = 24 * 3600.0
_LENGTH = re.compile(r"length|max|limit|exceed", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"tool|function|filter|safety|blocklist|prohibited|recitation|sensitive", re.IGNORECASE
)
_AGAIN = re.compile(r"abort|error|cancel|fail|timeout|interrupt|insufficient", re.IGNORECASE)
_NOTHING = frozenset({b"", b"null", b"false", b"0", b'""', b"{}", b"[]"})


class _Told(msgspec.Struct):
    """What a body of JSON may say of an error, in any dialect."""

    error: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    detail: msgspec.Raw = msgspec.Raw()
    object: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    status_code: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()

    def words(self) -> bytes:
        """Where the words are, as JSON; empty where there are none."""
        parts = map(bytes, (self.error, self.message, self.detail))
        return next((part for part in parts if part not in _NOTHING), b"")

    def number(self) -> int | None:
        """The status that it says it is."""
        for part in (self.code, self.status_code, self.status):
            digits = bytes(part).strip(b'"')
            if len(digits) == len("429") and digits.isdigit():
                return int(digits)
        return None


def refusal(where: str, status: int, retry_after: str | None, content: bytes, token: str | None) -> ItemError:
    """The error that an answer other than 200 is.

    Args:
        where: method and URL.
        status: of the answer.
        retry_after: its `Retry-After` header, seconds or a date.
        content: its body.
        token: what must not be repeated.
    """
    return _fault(where, status, retry_after, _said(content)[0], token)


def inside(
    where: str, retry_after: str | None, content: bytes, token: str | None, *, read: bool
) -> ItemError | None:
    """The error that an answer of 200 is; None where it has none.

    Args:
        where: method and URL.
        retry_after: its `Retry-After` header, seconds or a date.
        content: its body.
        token: what must not be repeated.
        read: whether it is an answer as well, so that only what is called an error is one.
    """
    told = _told(content)
    if told is None:
        return None
    error = _told(bytes(told.error))
    # Some gateways give every answer an `error`, with a code of 0 and no words where there was none.
    empty = error is not None and not error.words() and error.number() is None
    named = (bytes(told.error) not in _NOTHING and not empty) or bytes(told.object) == b'"error"'
    if not named and (read or not told.words()):
        return None
    words, status = _said(content)
    where += ": an error inside an answer of 200"
    if status is not None and status >= http.HTTPStatus.BAD_REQUEST:
        return _fault(where, status, retry_after, words, token)
    message = f"{where}: {excerpt(words, token)}"
    return TryError(message, "error", _wait_s(retry_after)) if named else ProtocolError(message)


def finish(reason: Any) -> Literal["stop", "length"]:
    """A server's reason in the project's words: what is not known to be anything else is a stop.

    Raises:
        TryError: the server broke off, and may not the next time.
        ProtocolError: what it gives is no answer.
    """
    if isinstance(reason, dict):  # SGLang's own form
        reason = reason.get("type")
    if not isinstance(reason, str):
        return "stop"
    if _AGAIN.search(reason):
        raise TryError(f"broke off: finish_reason is {reason!r}", "error")
    if _NO_ANSWER.search(reason):
        raise ProtocolError(f"no answer: finish_reason is {reason!r}")
    return "length" if _LENGTH.search(reason) else "stop"


def excerpt(text: str, token: str | None, length: int = 200) -> str:
    """Someone else's text, fit for a message: on one line, at most `length` characters, without the token."""
    text = " ".join(struck(text[:MOST_WORDS], token).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _fault(where: str, status: int, retry_after: str | None, words: str, token: str | None) -> ItemError:
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    said = excerpt(words, token)
    message = f"{where}: {status} {phrase}".rstrip() + (f": {said}" if said else "")
    if status in _PASSING or (status // 100 == 5 and status not in _LASTING):
        return TryError(message, str(status), _wait_s(retry_after))
    if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
        message += " (token_env names the variable that holds the token)"
    return ProtocolError(message)


def _told(content: bytes) -> _Told | None:
    try:
        return msgspec.json.decode(content, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _said(content: bytes) -> tuple[str, int | None]:
    """The words in an error's body, its `error`, `error.message`, `message` or `detail`, or the whole; and the status it says."""
    part, status = content, None
    while (told := _told(part)) is not None:
        status = told.number() or status
        part = told.words()
    try:
        words = msgspec.json.decode(part, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        words = content[:MOST_WORDS].decode(errors="replace")
    return words, status


def _wait_s(retry_after: str | None) -> float:
    """How long a server asks to be left alone, in 0..86,400 seconds; 0 where what it says cannot be read."""
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return min(_LONGEST_WAIT_S, float(text))
    try:
        until = email.utils.parsedate_to_datetime(text)
        wait_s = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(_LONGEST_WAIT_S, max(0.0, wait_s))
