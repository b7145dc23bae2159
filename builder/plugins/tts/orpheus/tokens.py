"""Orpheus's tokens: the prompt that asks for speech, and the codes of SNAC in what comes back.

A frame of speech is seven tokens, one for each slot, and 2,048 samples at 24 kHz. Code c in slot s is token 128266 + 4096 s + c,
and token 128256 + k is written `<custom_token_k>`.
Source: the README of canopyai/Orpheus-TTS, the tokenizer of canopylabs/orpheus-3b-0.1-ft, and the package's decoder, which drops
code 0 and the frames at either edge. Here both are kept.
Law of the file: no sequence of tokens is an error, and one token that is lost, wherever it was, costs one frame at most.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SLOTS, CODES = 7, 4096
"""Tokens in a frame, and the codes that each can be."""
END, PADDING, AUDIO = 128258, 128263, 128266
"""The end of speech, what fills a row that has ended, and code 0 in slot 0."""
VOCABULARY = AUDIO + SLOTS * CODES
HEAD, TAIL = [128259, 128000], [128009, 128260, 128261, 128257]
"""What stands before and after the words: human's turn, beginning of text; end of text, of the turn, model's turn, speech."""
FRAME_SAMPLES, SAMPLING_RATE_HZ = 2048, 24000
TOKENS_PER_S = SLOTS * SAMPLING_RATE_HZ / FRAME_SAMPLES
"""Of speech: 82.03."""

VOICES = ("tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe")
TAGS = ("laugh", "chuckle", "sigh", "cough", "sniffle", "groan", "yawn", "gasp")

_STUCK_FRAMES = 24
"""Two seconds. The published recordings, which nobody checked for loops, are silent for 1.8 s at most."""
_SPARED_SHARE = 20
"""One frame in so many may be lost to tokens out of place, and one in any case."""


def prompt(text: str, voice: str, tag: str = "") -> str:
    """What is asked for a piece of text: the checkpoint's own form, for a tokenizer that reads special tokens and adds none.

    Args:
        text: holds no `<`.
        voice: one of `VOICES`.
        tag: one of `TAGS` in angle brackets, or empty.
    """
    said = f"{tag} {text}" if tag else text
    return (
        f"<custom_token_3><|begin_of_text|>{voice}: {said}"
        "<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
    )


class Generation(NamedTuple):
    """What a model generated after a prompt."""

    tokens: Sequence[int]
    ended: bool
    """Whether by itself, and not for want of tokens."""


class Speech(NamedTuple):
    """What was found in a generation."""

    codes: NDArray[np.int64]
    """Of shape (frames, 7), each in 0..4095."""
    stray: int
    """Tokens before the end of speech that are in no whole frame."""


def parse(tokens: Sequence[int]) -> Speech:
    """Finds every whole frame before the end of speech; a frame begins at slot 0, whatever came before."""
    before = np.asarray(tokens, np.int64).reshape(-1)
    before = before[: np.append(np.flatnonzero(before == END), len(before))[0]]
    audio = before[(before >= AUDIO) & (before < VOCABULARY)] - AUDIO
    if len(audio) < SLOTS:
        return Speech(np.empty((0, SLOTS), np.int64), len(before))
    runs = np.lib.stride_tricks.sliding_window_view(audio, SLOTS)
    whole = (runs // CODES == np.arange(SLOTS)).all(1)
    return Speech(runs[whole] % CODES, len(before) - SLOTS * int(whole.sum()))


def fault(generation: Generation, speech: Speech) -> str | None:
    """What makes a generation unfit to be heard, in a few words with the measure; None where nothing does."""
    count, frames = len(generation.tokens), len(speech.codes)
    if not frames:
        return f"no audio in {count} tokens"
    if (stuck := repeated(speech.codes)) >= _STUCK_FRAMES:
        return f"a loop of {stuck} frames"
    if not generation.ended:
        return f"no end of speech within {count} tokens"
    if speech.stray > SLOTS * max(1, frames // _SPARED_SHARE):
        return f"{speech.stray} of {count} tokens out of place"
    return None


def repeated(codes: NDArray[np.int64]) -> int:
    """The most frames in a row whose coarse code is that of the frame a fixed time before: a loop, or a note held.

    Args:
        codes: of shape (frames, 7).
    """
    coarse, longest = codes[:, 0], 0
    for lag in range(1, len(coarse)):
        other = np.concatenate([[True], coarse[lag:] != coarse[:-lag], [True]])
        longest = max(longest, int(np.diff(np.flatnonzero(other)).max()) - 1)
    return longest
