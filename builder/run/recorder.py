"""Recordings as a run keeps them: the clips in few large audio files, a ledger line for each dialogue.

Law of the file: the clips are on the disk before the ledger names them, so a recording that is named is whole; what an
interruption left behind the last named byte is cut off when the recorder opens.
"""

import threading
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from types import TracebackType
from typing import Self

from builder.core.speech import Clip, Recording, Take
from builder.errors import SourceError
from builder.run.audio import AudioFiles, encode, sha256_of
from builder.run.ledger import Ledgers


class Recorder(AbstractContextManager["Recorder"]):
    """Appends recordings to a run.

    Args:
        audio: where the clips go.
        ledger: where the recordings are named.
        damaged: the dialogues whose recordings are no longer whole; what is kept of them takes their place.
    """

    def __init__(self, audio: AudioFiles, ledger: Ledgers[Recording], damaged: Collection[str] = ()) -> None:
        self._audio, self._ledger, self._damaged = audio, ledger, damaged
        self._one_at_a_time = threading.Lock()
        self._sampling_rate_hz: int | None = None

    def __enter__(self) -> Self:
        ends: dict[str, int] = {}
        for recording in self._ledger:
            self._sampling_rate_hz = recording.sampling_rate_hz
            for clip in () if recording.id in self._damaged else recording.clips:
                ends[clip.file] = max(ends.get(clip.file, 0), clip.offset + clip.num_bytes)
        self._audio.trim(ends)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._one_at_a_time:
            self._audio.close()

    def keep(
        self,
        id: str,
        *,
        engine: str,
        rehearsal: bool,
        voices: tuple[str, str],
        sampling_rate_hz: int,
        takes: Sequence[Take],
    ) -> None:
        """Keeps the recording of one dialogue. Safe to call from several threads.

        Args:
            id: of the dialogue.
            engine: what spoke.
            rehearsal: whether it is a stand-in.
            voices: of the two speakers.
            sampling_rate_hz: of all clips.
            takes: one a turn, in order.

        Raises:
            SourceError: the recordings kept before are at another sampling rate; a dataset has one.
            OSError: the disk is full; then neither the clips nor the line are there.
        """
        flacs = [encode(take.samples, sampling_rate_hz) for take in takes]
        with self._one_at_a_time:
            if sampling_rate_hz != (self._sampling_rate_hz or sampling_rate_hz):
                raise SourceError(
                    f"{id}: at {sampling_rate_hz} Hz, the recordings kept before are at {self._sampling_rate_hz} Hz: resample it"
                )
            self._sampling_rate_hz = sampling_rate_hz
            places = [self._audio.append(flac) for flac in flacs]
            self._audio.sync()
            clips = tuple(
                Clip(
                    ravdess=take.ravdess,
                    file=file,
                    offset=offset,
                    num_bytes=len(flac),
                    num_samples=len(take.samples),
                    pause_samples=take.pause_samples,
                    sha256=sha256_of(take.samples),
                    attempts=take.attempts,
                    faults=take.faults,
                    loudness_lufs=take.loudness_lufs,
                    gain_db=take.gain_db,
                    flac_sha256=sha256(flac).hexdigest(),
                )
                for (file, offset), flac, take in zip(places, flacs, takes, strict=True)
            )
            before = self._ledger.get(id)
            self._ledger.append(
                id,
                Recording(
                    id=id,
                    engine=engine,
                    rehearsal=rehearsal,
                    first_voice=voices[0],
                    second_voice=voices[1],
                    sampling_rate_hz=sampling_rate_hz,
                    clips=clips,
                    number=0 if before is None else before.number + 1,
                ),
            )
