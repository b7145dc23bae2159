"""Lines in, waveforms out: a line is read in pieces, which decode wherever there is room, and joined again in order.

Law of the file: what a line sounds like is decided by the line and the engine's settings alone.
"""

import asyncio
from functools import partial

import numpy as np

from builder.core.draw import seed_of
from builder.core.speech import Line, Sampling, Waveform
from builder.core.spoken import spoken
from builder.errors import SynthesisError
from builder.plugins.tts._sentences import pieces
from builder.plugins.tts.xtts.batch import Piece
from builder.plugins.tts.xtts.conditioning import Conditioner
from builder.plugins.tts.xtts.decoder import Decoder
from builder.plugins.tts.xtts.model import Model

SAMPLING = Sampling(temperature=0.75, top_p=0.85, top_k=50, repetition_penalty=5.0)
"""Where a line does not say. The library's `inference` has these but for its penalty of 10; with 5 the model was published."""
PAUSE_S = 0.15
"""Between two pieces of a line: that of a full stop, beside the little silence that each piece ends with."""


class XttsSynthesizer:
    """The engine, opened.

    Args:
        model: the model.
        conditioner: how its voices sound.
        decoder: the thread that works it.
        rows: how many pieces decode at once.
    """

    def __init__(self, model: Model, conditioner: Conditioner, decoder: Decoder, rows: int) -> None:
        self.name = f"XTTS-v2 {model.digest[:12]} (coqui-tts {model.version})"
        self.limit = 2 * rows  # as many again wait, so that no row does
        self._model, self._conditioner, self._decoder = model, conditioner, decoder

    async def speak(self, line: Line) -> Waveform:
        """Speaks one line, each piece of it from a seed of its own; where `line.sampling` is None, as `SAMPLING` says.

        Raises:
            ConfigError: there is no reference clip of its voice in the class of its emotion.
            SynthesisError: there is nothing in it to say, a reference clip is bad, or the model fails at it.
        """
        english = self._model.language.startswith("en")
        texts = pieces(spoken(line.text) if english else line.text, self._model.limit)
        if not texts:
            raise SynthesisError(
                f"XTTS finds nothing to say in {line.text!r}: a turn needs a letter or a digit"
            )
        sampling, voice = line.sampling or SAMPLING, partial(self._conditioner, line.voice, line.emotion)
        parts = [
            Piece(self._model.tokens(text), voice, seed_of(line.seed, "xtts", str(number)), sampling)
            for number, text in enumerate(texts)
        ]
        for part in parts:
            self._decoder.submit(part)
        try:
            sounds = await asyncio.gather(*(asyncio.wrap_future(part.spoken) for part in parts))
        finally:
            for part in parts:
                part.spoken.cancel()  # what is not spoken yet is no longer wanted
        rate_hz = self._model.sampling_rate_hz
        pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
        samples = np.concatenate([part for sound in sounds for part in (pause, sound)][1:])
        endless = next((text for text, part in zip(texts, parts, strict=True) if part.endless), None)
        fault = f"XTTS went on to its last token and did not stop after {endless!r}" if endless else ""
        return Waveform(samples, rate_hz, fault)

    def close(self) -> None:
        """Ends the thread."""
        self._decoder.close()
