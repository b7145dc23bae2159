"""Real clips for the checks: the rehearsal voice's, and the published ones where they are at hand."""

import asyncio
import json
from pathlib import Path

import pytest

from builder.audio import read_wav
from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice, Waveform

SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "published-sample"
VOICE = Voice(name="Anna", sex="female")
MOODS = ((0.0, 0.0), (-0.6, 0.8), (0.7, 0.8), (-0.7, -0.5), (0.6, -0.6))
TEXTS = (
    "Yes.",
    "Oh, I see!",
    "I never thought that we would meet again, after all these years. How are you?",
)


def line(text: str, valence: float = 0.0, arousal: float = 0.0) -> Line:
    emotion = Emotion(ravdess="neutral", valence=valence, arousal=arousal, successors=("other",))
    return Line(text=text, voice=VOICE, emotion=emotion, seed=1)


@pytest.fixture
def a_line():
    return line


@pytest.fixture(scope="session")
def spoken() -> list[tuple[Waveform, Line]]:
    """The rehearsal voice in five moods, from one word to a long turn."""
    pytest.importorskip("espeakng_loader", reason="the extra 'rehearsal' is not installed")
    from builder.tts.espeak import Espeak

    lines = [line(text, *mood) for mood in MOODS for text in TEXTS]

    async def speak():
        async with Espeak().open() as synthesizer:
            return [(await synthesizer.speak(one), one) for one in lines]

    return asyncio.run(speak())


@pytest.fixture(scope="session")
def published() -> list[tuple[Waveform, Line]]:
    """Every clip of the published sample."""
    if not SAMPLE.exists():
        pytest.skip("the published sample is not beside the checkout")
    clips = []
    for path in sorted(SAMPLE.rglob("*.json")):
        turns = json.loads(path.read_text())["conversation"]
        for turn, clip in zip(turns, sorted(path.with_suffix("").glob("segments/*.wav")), strict=False):
            samples, rate_hz = read_wav(clip)
            clips.append((Waveform((samples / 32768).astype("float32"), rate_hz), line(turn["text"])))
    assert len(clips) > 50
    return clips
