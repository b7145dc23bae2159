"""Rows of spoken dialogues as the packager takes them, their clips of any length: bytes that nothing shrinks, not sound."""

import random

from deepdialogue import EMOTIONS, LABELS

RATE = 24_000
CONTRACT = ("xtts", LABELS, RATE)
TEXTS = ("text-only", LABELS, RATE)


def row(index, clips=3, size=10_000, words="Hello."):
    """One dialogue; `size` is of a clip in bytes, or the least and the most."""
    name = f"travel_{index}_{clips}"
    turns = [
        {
            "speaker": f"LLM{1 + turn % 2}",
            "text": f"{words} {name}, {turn}",
            "emotion": EMOTIONS[(index + turn) % len(EMOTIONS)],
            "ravdess": "happy",
            "start": float(turn),
            "end": turn + 0.5,
        }
        for turn in range(clips)
    ]
    return text_row(index, clips) | {
        "engine": "none",
        "first_voice": "v",
        "second_voice": "w",
        "duration": clips + 0.5,
        "turns": turns,
        "audio": [
            {"bytes": clip(f"{words} {name} {turn}", size), "path": f"{name}_{turn + 1:02}.flac"}
            for turn in range(clips)
        ],
    }


def text_row(index, turns=3, words="Hello."):
    """The same dialogue in `text-only`."""
    return {
        "id": f"phi4-mini/travel_{index}_{turns}",
        "split": "train",
        "domain": "travel",
        "pairing": "phi4-mini",
        "first_model": "phi4-mini",
        "second_model": "phi4-mini",
        "first_checkpoint": "a/b",
        "second_checkpoint": "c/d",
        "rehearsal": False,
        "num_turns": turns,
        "scores": [{"judge": "length", "criterion": "length", "score": 0.1}],
        "turns": [
            {
                "speaker": f"LLM{1 + turn % 2}",
                "text": f"{words} {turn}",
                "emotion": EMOTIONS[turn % len(EMOTIONS)],
                "ravdess": "happy",
            }
            for turn in range(turns)
        ],
    }


def clip(key, size):
    draw = random.Random(key)
    return b"fLaC" + draw.randbytes(draw.randint(*size) if isinstance(size, tuple) else size)
