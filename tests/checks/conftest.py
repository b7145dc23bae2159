"""Real clips for the checks: the rehearsal voice's, and the published ones where they are at hand."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice, Waveform
from builder.run.audio import read_wav

SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "published-sample"
VOICES = tuple(
    Voice(name=name, sex=sex) for name, sex in (("Anna", "female"), ("Robert", "male"), ("Zoe", "female"))
)
MOODS = ((0.0, 0.0), (-0.6, 0.8), (0.7, 0.8), (-0.7, -0.5), (0.6, -0.6))
TEXTS = (
    "Yes.",
    "Oh, I see!",
    "I never thought that we would meet again, after all these years. How are you?",
)


def line(
    text: str, valence: float = 0.0, arousal: float = 0.0, voice: int = 0, ravdess: str = "neutral"
) -> Line:
    emotion = Emotion(ravdess=ravdess, valence=valence, arousal=arousal, successors=("other",))
    return Line(text=text, voice=VOICES[voice], emotion=emotion, seed=1)


@pytest.fixture
def a_line():
    return line


@pytest.fixture(scope="session")
def say():
    """Speaks a text in the rehearsal voice; returns the clip with its line."""
    pytest.importorskip("espeakng_loader", reason="the extra 'rehearsal' is not installed")
    from builder.plugins.tts.espeak import Espeak

    def spoken(text: str, *manner: float) -> tuple[Waveform, Line]:
        async def speak() -> Waveform:
            async with Espeak().open() as synthesizer:
                return await synthesizer.speak(line(text, *manner))

        return asyncio.run(speak()), line(text, *manner)

    return spoken


@pytest.fixture(scope="session")
def spoken(say) -> list[tuple[Waveform, Line]]:
    """The rehearsal voice in five moods, from one word to a long turn."""
    return [say(text, *mood) for mood in MOODS for text in TEXTS]


@pytest.fixture(scope="session")
def dialogues() -> dict[str, list[tuple[Waveform, Line]]]:
    """Every dialogue of the published sample, by its engine and id."""
    if not SAMPLE.exists():
        pytest.skip("the published sample is not beside the checkout")
    found = {}
    for path in sorted(SAMPLE.rglob("*.json")):
        turns = json.loads(path.read_text())["conversation"]
        found[f"{path.relative_to(SAMPLE).parts[0]}/{path.stem}"] = [
            (Waveform((samples / 32768).astype("float32"), rate_hz), line(turn["text"], voice=place % 2))
            for place, (turn, clip) in enumerate(
                zip(turns, sorted(path.with_suffix("").glob("segments/*.wav")), strict=False)
            )
            for samples, rate_hz in [read_wav(clip)]
        ]
    return found


@pytest.fixture(scope="session")
def published(dialogues) -> list[tuple[Waveform, Line]]:
    """Every clip of the published sample."""
    clips = [clip for dialogue in dialogues.values() for clip in dialogue]
    assert len(clips) > 50
    return clips


@pytest.fixture
def spliced():
    """Puts parts of a clip, each as its first and last second, one after the other; a number is so many seconds of silence."""

    def splice(waveform: Waveform, *parts: tuple[float, float] | float) -> Waveform:
        rate_hz = waveform.sampling_rate_hz
        return Waveform(
            np.concatenate(
                [
                    np.zeros(round(part * rate_hz), np.float32)
                    if isinstance(part, float)
                    else waveform.samples[round(part[0] * rate_hz) : round(part[1] * rate_hz)]
                    for part in parts
                ]
            ),
            rate_hz,
        )

    return splice
