"""The body of an answer: read within bounds, and decoded as what it should be.

Nothing compressed is asked for. What comes so nevertheless is unpacked no further than the bound.
Law of the file: whatever a server sends takes no more memory than the bound allows, and ends in a value or in one `ValueError`.
"""

import re
import zlib
from typing import TypeVar

import aiohttp
import msgspec

T = TypeVar("T")

_DEEPEST = 64
_MOST_VALUES = 65536
"""No protocol nests its lists and objects as deeply, or has as many."""
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_STRING = re.compile(rb'"[^"]*"')
_SURROGATE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


async def read(answer: aiohttp.ClientResponse, most: int, *, cut: bool = False, setting: str = "") -> bytes:
    """Reads a body.

    Args:
        answer: one whose session does not unpack it by itself.
        most: bytes of it, as they come and unpacked.
        cut: whether what is beyond them is left unread, which otherwise is an error.
        setting: what bounds them, as the error adds it.

    Raises:
        ValueError: it is larger, or packed in a way that was not asked for.
    """
    unpack = _Unpack(answer.headers.get("Content-Encoding", ""), most)
    body, came = bytearray(), 0
    async for chunk in answer.content.iter_any():
        came += len(chunk)
        body += unpack(chunk, most + 1 - len(body))
        if max(came, len(body)) > most:
            if cut:
                break
            raise ValueError(f"an answer of more than {most:,} bytes{setting}")
    return bytes(body[:most])


class _Unpack:
    """Gives the bytes that a piece of the body stands for, at most so many."""

    def __init__(self, encoding: str, most: int) -> None:
        self._encoding = encoding.strip().lower()
        self._most = most
        self._inflate: "zlib._Decompress | None" = None  # noqa: UP037 - the name exists for type checkers alone
        if self._encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise ValueError(f"an answer in the encoding {encoding[:40]!r}, which was not asked for")

    def __call__(self, chunk: bytes, room: int) -> bytes:
        if self._encoding in {"", "identity"}:
            return chunk[:room]
        if self._inflate is None:
            # Some servers take `deflate` for the bare stream, without zlib's two bytes in front.
            bare = self._encoding == "deflate" and chunk[0] & 0x0F != zlib.DEFLATED
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS + 32)
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            raise ValueError(f"an answer said to be in {self._encoding}, which it is not") from None


def decode(content: bytes, shape: type[T]) -> T:
    """Reads JSON as `shape`; keys that `shape` lacks are left unread.

    What is no character (a byte that is not UTF-8, half of a surrogate pair) becomes U+FFFD: a model may be cut off within one.

    Raises:
        ValueError: it is not JSON, of another shape, nested too deeply, or has too many lists and objects.
    """
    brackets = content.count(b"{") + content.count(b"[")
    if brackets > _MOST_VALUES:
        raise ValueError(f"it has {brackets:,} lists and objects")
    try:
        try:
            found = msgspec.json.decode(content, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if isinstance(error, msgspec.ValidationError):
                raise
            found = msgspec.json.decode(_mended(content), type=shape)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    if brackets > _DEEPEST and _is_deep(content):
        raise ValueError("its values are nested too deeply")
    return found


def _mended(content: bytes) -> bytes:
    text = content.decode("utf-8-sig", errors="replace").encode()
    return _SURROGATE.sub(lambda match: match[1] or rb"\ufffd", text)


def _is_deep(content: bytes) -> bool:
    """Whether brackets of what is JSON are nested more than so deeply: innermost pairs are taken out, time and again."""
    unescaped = content.replace(rb"\\", b"").replace(rb"\"", b"")
    left = _STRING.sub(b"", unescaped.translate(None, _ALL_BUT_BRACKETS))
    for _ in range(_DEEPEST):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    return bool(left)
