"""WAV as bytes: where its sound lies, whoever wrote it.

A program that writes to a pipe cannot go back to its header: its sizes are 0, or far more than can be there. Such sound goes on
to the end of the file. Any other size is a promise, and a file that does not keep it was cut off.
Law of the file: no byte of sound is left out and none that is not sound is taken for it, or an error says why.
"""

from typing import NamedTuple

_SIZES, _SIZES_AND_MORE = b"RIFF", (b"RF64", b"BW64")
_STREAM, _STREAM_64 = 0x7FFF_0000, 2**64 - 1
"""From here on a size is that of a stream: sox and espeak write 0x7ffff000, arecord 0x80000000, ffmpeg 0xffffffff."""
_COMMON = (b"data", b"fmt ", b"fact", b"LIST", b"bext", b"PEAK", b"cue ", b"JUNK", b"junk", b"id3 ", b"ID3 ")
_SLACK = 8
"""Some programs count the first eight bytes in, which the size of the whole is to leave out."""


class Wav(NamedTuple):
    """Where the parts of a WAV file lie that its sound is read by."""

    form: bytes
    """The format chunk, without its name and size."""
    begin: int
    """The first byte of sound."""
    end: int
    """The byte after the last."""
    streamed: bool
    """Whether the file does not say itself where its sound ends."""


def is_wav(data: bytes) -> bool:
    """Whether a file says that it is WAV."""
    return data[:4] in {_SIZES, *_SIZES_AND_MORE} and data[8:12] == b"WAVE"


def parse(data: bytes) -> Wav:
    """Finds the sound of a WAV file.

    Args:
        data: all bytes of it: RIFF, RF64 or BW64, with sizes or as it came out of a pipe.

    Raises:
        ValueError: it is not WAV, has no sound, or ends before its header says it does; one line with the repair.
    """
    if not is_wav(data):
        raise ValueError("not a WAV file: fetch it again, or convert it to WAV")
    whole, long, stream = _size(data, 4), 0, _STREAM
    form: bytes | None = None
    at = 12
    while at + 8 <= len(data):
        name, size, begin = data[at : at + 4], _size(data, at + 4), at + 8
        last = 8 + whole if 0 < whole < stream else 0
        if name == b"data" and form is not None:
            size = long if stream == _STREAM_64 and size == 0xFFFF_FFFF else size
            end, streamed = _end(len(data), begin, size, last, is_known=0 < size < stream)
            if end > len(data) or last - _SLACK > len(data):
                raise _cut_off(max(end, last), len(data))
            return Wav(form, begin, end, streamed)
        end = begin + size
        if end > len(data):
            raise _cut_off(max(end, last), len(data))
        if name == b"fmt ":
            form = data[begin:end]
        elif name == b"ds64" and size >= 16:
            whole, long, stream = _size(data, begin, 8), _size(data, begin + 8, 8), _STREAM_64
        # Not everybody fills up to an even byte.
        is_next = data[end : end + 4] in _COMMON and data[end + 1 : end + 5] not in _COMMON
        at = end + (0 if is_next else end % 2)
    if 0 < whole < stream and 8 + whole > len(data):
        raise _cut_off(8 + whole, len(data))
    raise ValueError("a WAV file without sound: fetch it again")


def _end(held: int, begin: int, size: int, last: int, *, is_known: bool) -> tuple[int, bool]:
    """Where sound ends that begins somewhere, and whether that was not said.

    Args:
        held: bytes of the file.
        begin: the first byte of sound.
        size: what its chunk says it takes.
        last: where the whole says it ends; 0 where it does not say so.
        is_known: whether the size may be believed.
    """
    if is_known or (size and begin + size <= held):
        return begin + size, False
    if last > begin:  # counted, so that a chunk of no bytes has none
        return (last, True) if size else (begin, False)
    return held, held > begin


def _size(data: bytes, at: int, width: int = 4) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _cut_off(promised: int, held: int) -> ValueError:
    return ValueError(f"cut off: its header promises {promised} bytes, it holds {held}: fetch it again")


def rebuilt(data: bytes, found: Wav) -> bytes:
    """The same sound in a file that says how long it is, for readers that do not know what is written to a pipe.

    Args:
        data: all bytes of it.
        found: what `parse` found there.
    """
    chunks = (b"fmt ", found.form), (b"data", data[found.begin : found.end])
    body = b"".join(
        name + len(part).to_bytes(4, "little") + part + bytes(len(part) % 2) for name, part in chunks
    )
    return _SIZES + (4 + len(body)).to_bytes(4, "little") + b"WAVE" + body
