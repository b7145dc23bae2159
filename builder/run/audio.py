"""Sound in bytes: FLAC in memory, published WAV files, and the few large files that hold a run's clips.

One file a turn would be hundreds of thousands of inodes, so clips lie one after the other in files of a
gigabyte, and a record says where each begins and ends.
Law of the file: what goes in comes out bit for bit, or an error says why; nothing is ever quietly shortened.
"""

import hashlib
import io
import os
import re
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

from builder.core.speech import Clip, Recording, Samples
from builder.core.wav import parse
from builder.errors import RunError, SourceError

_PCM, _EXTENSIBLE = 1, 0xFFFE
_NAME = re.compile(r"(\d{5,})(?:\.\d+-of-\d+(?:\.\d+)?)?\.flacs")


def encode(samples: Samples, sampling_rate_hz: int) -> bytes:
    """Samples of shape (samples,), at least one, as a FLAC file: 16 bits, mono, the same bytes every time."""
    flac = io.BytesIO()
    soundfile.write(flac, samples, sampling_rate_hz, format="FLAC", subtype="PCM_16")
    return flac.getvalue()


def decode(flac: bytes) -> tuple[Samples, int]:
    """The samples of a FLAC file, of shape (samples,), and their sampling rate in hertz.

    Raises:
        SourceError: it is not FLAC, is damaged, or is not mono in 16 bits.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as sound:
            kind = f"{sound.format} {sound.subtype} with {sound.channels} channels"
            if kind != "FLAC PCM_16 with 1 channels":
                raise SourceError(f"{kind} where mono FLAC of 16 bits is needed: encode it again")
            return sound.read(dtype="int16"), int(sound.samplerate)
    except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", error)
        raise SourceError(
            f"{len(flac)} bytes that are not whole FLAC ({reason}): fetch or encode it again"
        ) from None


def sha256_of(samples: Samples) -> str:
    """The SHA-256 of the samples as 16-bit little-endian PCM, in hexadecimal."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def read_wav(path: Path) -> tuple[Samples, int]:
    """Reads a published recording, and refuses one that is not whole.

    Returns:
        Samples of shape (samples,), at least one of them not zero, and their sampling rate in hertz.

    Raises:
        SourceError: there is no such file, or it is not WAV, is shorter than its header says, is not mono PCM
            in 16 bits, is empty, or is silent throughout.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error}: fetch it again, or leave its dialogue out"
        ) from None
    try:
        pcm, rate_hz = _parse(data)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    samples = np.frombuffer(pcm, "<i2").astype(np.int16)
    if not samples.any():
        what = "silent throughout" if samples.size else "empty"
        raise SourceError(f"{path}: {what}: record it again, or leave its dialogue out")
    return samples, rate_hz


def _parse(data: bytes) -> tuple[bytes, int]:
    found = parse(data)
    rate_hz = _rate_of(found.form)
    if (length := found.end - found.begin) % 2:
        raise ValueError(f"its {length} bytes of sound end inside a sample: fetch it again")
    return data[found.begin : found.end], rate_hz


def _rate_of(chunk: bytes) -> int:
    if len(chunk) < 16:
        raise ValueError(f"its format takes {len(chunk)} bytes of 16: fetch it again")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(chunk[24:26], "little")
    if (tag, channels, bits) != (_PCM, 1, 16) or not rate_hz:
        raise ValueError(
            f"format {tag}, {channels} channels, {bits} bits, {rate_hz} Hz where PCM (format {_PCM}), "
            "1 channel, 16 bits are needed: convert it"
        )
    return int(rate_hz)


class AudioFiles:
    """The clips of a run, in files `00000.flacs`, `00001.flacs` and so on that only grow.

    One writer at a time for each part; many threads and processes may read, also while it writes.

    Args:
        folder: where the files are; made when the first clip is written.
        max_bytes: the size beyond which the next clip begins a new file.
        part: whose files are written, such as `3-of-16`: `00000.3-of-16.flacs` and so on; empty for the whole.
        elsewhere: gives what is not in the folder, by the file's name, offset and length; None where all is there.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = 2**30,
        part: str = "",
        elsewhere: Callable[[str, int, int], bytes] | None = None,
    ) -> None:
        self._folder = folder
        self._elsewhere = elsewhere
        self._max_bytes = max_bytes
        self._suffix = f".{part}.flacs" if part else ".flacs"
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._file = ""
        self._end = 0

    def append(self, flac: bytes) -> tuple[str, int]:
        """Writes one clip behind the last. On return the operating system has it, after `sync` the disk.

        Returns:
            The name of its file and the offset of its first byte there.

        Raises:
            OSError: it could not be written, as on a full disk; then the file is as it was before.
        """
        with self._lock:
            fd = self._fd
            if fd is None:
                fd = self._open(max(map(_number, self._names()), default=0))
            if self._end and self._end + len(flac) > self._max_bytes:
                fd = self._open(_number(self._file) + 1)
            self._write(fd, flac)
            offset, self._end = self._end, self._end + len(flac)
            return self._file, offset

    def _open(self, number: int) -> int:
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = f"{number:05}{self._suffix}"
        fd = self._fd = os.open(self._folder / self._file, os.O_RDWR | os.O_CREAT, 0o644)
        self._end = os.fstat(fd).st_size
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return fd

    def _write(self, fd: int, flac: bytes) -> None:
        rest, at = memoryview(flac), self._end
        try:
            while rest:
                written = os.pwrite(fd, rest, at)
                rest, at = rest[written:], at + written
        except BaseException:
            os.ftruncate(fd, self._end)
            raise

    def read(self, file: str, offset: int, num_bytes: int) -> bytes:
        """The bytes that a record refers to.

        Raises:
            RunError: there is no such file, or it does not reach that far.
        """
        path = self._path(file)
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            if self._elsewhere is not None and isinstance(error, FileNotFoundError):
                return self._elsewhere(file, offset, num_bytes)
            raise RunError(f"{path}: {error.strerror}: bring the file back, or start a new run") from None
        try:
            flac = os.pread(fd, num_bytes, offset)
        finally:
            os.close(fd)
        if len(flac) < num_bytes:
            if self._elsewhere is not None:
                return self._elsewhere(file, offset, num_bytes)
            raise _short(path, offset + len(flac), offset + num_bytes)
        return flac

    def clip(self, recording: Recording, turn: int) -> bytes:
        """The FLAC of one turn, from 1, held against what was recorded.

        Raises:
            SourceError: its bytes are not those that were recorded, or are not all there; says of which turn of which dialogue.
            RunError: the file they are in is gone.
        """
        clip = recording.clips[turn - 1]
        where = f"turn {turn} of {recording.id}, at byte {clip.offset} of {clip.file}"
        try:
            flac = self.read(clip.file, clip.offset, clip.num_bytes)
        except _ShortError as error:
            raise SourceError(f"{where}: {error}") from None
        if fault := _fault(clip, flac):
            raise SourceError(f"{where}: {fault}")
        return flac

    def clips(self, recording: Recording) -> list[bytes]:
        """The FLAC of every turn, in order; raises as `clip` does."""
        return [self.clip(recording, turn) for turn in range(1, len(recording.clips) + 1)]

    def trim(self, ends: Mapping[str, int]) -> int:
        """Cuts off what an interruption left behind in the part's files: bytes that no record refers to. Only the writer may.

        Args:
            ends: for every file that records refer to, the end of the last clip in it, in bytes.

        Returns:
            The bytes cut off.

        Raises:
            RunError: a file is missing or ends before its last clip does; then nothing is cut.
        """
        with self._lock:
            self._close()
            sizes = {name: (self._folder / name).stat().st_size for name in self._names()}
            ends = {name: end for name, end in ends.items() if self._is_own(self._path(name).name)}
            for name, end in ends.items():
                if sizes.get(name, -1) < end:
                    raise _short(self._path(name), sizes.get(name, 0), end)
            for name, size in sizes.items():
                if name not in ends:
                    (self._folder / name).unlink()
                elif ends[name] < size:
                    os.truncate(self._folder / name, ends[name])
            return sum(size - ends.get(name, 0) for name, size in sizes.items())

    def sync(self) -> None:
        """Makes sure that everything written is on the disk."""
        with self._lock:
            if self._fd is not None:
                os.fsync(self._fd)

    def close(self) -> None:
        """Puts everything on the disk and lets go of the file."""
        with self._lock:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _names(self) -> list[str]:
        return [path.name for path in self._folder.glob("*.flacs") if self._is_own(path.name)]

    def _is_own(self, name: str) -> bool:
        match = _NAME.fullmatch(name)
        return match is not None and name == match[1] + self._suffix

    def _path(self, file: str) -> Path:
        if not _NAME.fullmatch(file):
            raise RunError(f"{self._folder}: {file!r} is not an audio file of a run such as '00000.flacs'")
        return self._folder / file


def _fault(clip: Clip, flac: bytes) -> str:
    """What is wrong with the bytes of a clip; empty where they are those that were recorded."""
    if clip.flac_sha256 and hashlib.sha256(flac).hexdigest() == clip.flac_sha256:
        return ""
    try:
        samples, _ = decode(flac)
    except SourceError as error:
        return str(error)
    if sha256_of(samples) != clip.sha256:
        return "its samples are not those that were recorded: bring the audio file back"
    if clip.flac_sha256:
        return "its bytes are not those that were recorded: bring the audio file back"
    return ""


def _number(name: str) -> int:
    return int(name.partition(".")[0])


class _ShortError(RunError):
    """An audio file ends before a clip in it does."""


def _short(path: Path, held: int, wanted: int) -> _ShortError:
    return _ShortError(
        f"{path}: ends at byte {held}, a clip in it at byte {wanted}: bring the file back, or start a new run"
    )
