"""The one thread that works the model: it takes pieces as they come, keeps the batch full, and hands out what was spoken.

Law of the file: every piece that was submitted is spoken, fails or is cancelled, whatever happens to the thread; and nothing but
this thread touches the model while it runs.
"""

import gc
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from builder.errors import DeepDialogueError, SynthesisError
from builder.plugins.tts.xtts.batch import Batch, Piece
from builder.plugins.tts.xtts.conditioning import Conditioning
from builder.plugins.tts.xtts.gpt import Gpt
from builder.plugins.tts.xtts.vocoder import Tokens, Vocoder
from builder.terminal import say

_CLOSED = "the engine is closed"


class Decoder:
    """Speaks pieces of text, many at once.

    Args:
        gpt: the network.
        vocoder: what makes sound of what it says.
        rows: how many pieces decode together, at first: where memory runs out it goes on with half as many.
    """

    def __init__(self, gpt: Gpt, vocoder: Vocoder, rows: int) -> None:
        self._gpt, self._vocoder, self._rows = gpt, vocoder, rows
        self._batch: Batch | None = None
        self._waiting: deque[Piece] = deque()
        self._held: list[Piece] = []
        self._changed = threading.Condition()
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._work, name="xtts", daemon=True)
        self._thread.start()

    def submit(self, piece: Piece) -> None:
        """Puts a piece in the queue; its `spoken` is the answer.

        Raises:
            SynthesisError: the thread is closed, or died; says of what.
        """
        with self._changed:
            if self._fault is not None:
                raise SynthesisError(f"XTTS speaks no more: {self._fault}")
            self._waiting.append(piece)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread within a few steps; pieces that are not spoken yet fail."""
        with self._changed:
            self._fault = self._fault or _CLOSED
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        fault = _CLOSED
        try:
            if self._gpt.device.type == "cuda":
                torch.cuda.set_device(self._gpt.device)
            with torch.inference_mode():
                while self._wanted():
                    try:
                        self._turn()
                    except torch.OutOfMemoryError:
                        self._batch = None
                    else:
                        continue
                    self._shrink()  # out here, where the error no longer holds what is to be given back
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        finally:
            with self._changed:
                self._fault = fault
                left = [*self._held, *self._waiting]
            for piece in left:
                _fail(piece, f"XTTS speaks no more: {fault}")
            self._batch = None

    def _wanted(self) -> bool:
        """Waits for something to do; False when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._held or self._fault)
            return self._fault is None

    def _turn(self) -> None:
        """Frees the rows that ended, fills them, sets all rows going, and speaks what ended meanwhile."""
        self._batch = self._batch or Batch(self._gpt, self._rows)
        ended = self._batch.take()
        self._batch.admit(self._next(self._batch.room()))
        self._batch.run()
        self._speak(ended)

    def _next(self, room: int) -> list[tuple[Piece, Conditioning]]:
        """As many waiting pieces as there is room for, with the voice each is to be spoken in."""
        pieces: list[tuple[Piece, Conditioning]] = []
        while len(pieces) < room:
            with self._changed:
                if not self._waiting:
                    break
                piece = self._waiting.popleft()
                self._held.append(piece)
            try:
                if not piece.spoken.cancelled():
                    pieces.append((piece, piece.conditioning()))
                    continue
            except DeepDialogueError as error:
                _fail(piece, error)
            self._held.remove(piece)
        return pieces

    def _speak(self, ended: Sequence[tuple[Piece, Any]]) -> None:
        wanted: list[tuple[Piece, Tokens]] = []
        for piece, latents in ended:
            if latents is not None and not piece.spoken.cancelled():
                wanted.append((piece, Tokens(latents, piece.conditioning().speaker)))
                continue
            if latents is None:
                _fail(
                    piece, "XTTS's numbers ran out of range: speak the line with another seed, or in float32"
                )
            self._held.remove(piece)
        sounds = self._vocoder([tokens for _, tokens in wanted])
        for (piece, _), samples in zip(wanted, sounds, strict=True):
            if piece.spoken.set_running_or_notify_cancel():
                piece.spoken.set_result(samples)
            self._held.remove(piece)

    def _shrink(self) -> None:
        """After memory ran out: what was in hand is begun again, from the same seeds, in half the rows."""
        gc.collect()
        torch.cuda.empty_cache()
        with self._changed:
            if self._rows > 1:
                self._waiting.extendleft(reversed(self._held))
            elif not self._held:
                self._held.append(self._waiting.popleft())
        if self._rows == 1:
            for piece in self._held:
                _fail(piece, "XTTS has too little memory for a single line: free some of the device's")
        else:
            say(f"xtts: out of memory with {self._rows} lines at once, goes on with {self._rows // 2}")
            self._rows //= 2
        self._held = []


def _fail(piece: Piece, reason: str | DeepDialogueError) -> None:
    if piece.spoken.set_running_or_notify_cancel():
        piece.spoken.set_exception(
            reason if isinstance(reason, DeepDialogueError) else SynthesisError(reason)
        )
