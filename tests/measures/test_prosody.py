"""Pitch, level, rate and pauses of sounds that are known, and of speech."""

import asyncio
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from builder.config import load_study
from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice
from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.measures import Measure, Spoken, Weights
from builder.plugins.measures.prosody import Prosody
from builder.plugins.tts.espeak import Espeak
from builder.run.audio import read_wav
from tests.measures.conftest import RATE, clip, silence, voice

SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "published-sample"
NAMES = {
    "level_db",
    "level_sd_db",
    "characters_per_s",
    "syllables_per_s",
    "voiced_share",
    "pause_share",
    "f0_median_hz",
    "f0_range_semitones",
}


def measured(*clips, **settings):
    with Prosody(**settings).open(None) as gauge:
        return gauge.measure(clips)


def of(sound, text="I am so glad", rate=RATE, **settings):
    return measured(clip(sound, text, rate), **settings)[0]


def noise(seconds, level=0.1):
    return level * np.random.default_rng(1).normal(size=round(seconds * RATE))


def syllables(count, seconds=0.12, gap=0.08):
    """So many bursts of a voice, each with a soft rise and fall; it never falls silent between them."""
    burst = np.hanning(round(seconds * RATE)) + 0.02
    between = np.full(round(gap * RATE), 0.02)
    level = np.concatenate([np.concatenate([burst, between]) for _ in range(count)])
    return voice(150, len(level) / RATE, level=0.2)[: len(level)] * level


@pytest.mark.parametrize("f0_hz", [65, 100, 151, 230, 333, 480])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_a_steady_voice_has_its_pitch_and_no_range(f0_hz, rate):
    found = of(voice(f0_hz, 1.0, rate), rate=rate)
    assert found["f0_median_hz"] == pytest.approx(f0_hz, rel=0.01)
    assert found["f0_range_semitones"] < 0.2
    assert found["voiced_share"] > 0.9


def test_a_voice_that_glides_up_an_octave_has_eight_tenths_of_it_between_its_percentiles():
    glide = 120 * 2 ** np.linspace(0, 1, 2 * RATE)
    found = of(voice(glide, 2.0))
    assert found["f0_range_semitones"] == pytest.approx(0.8 * 12, abs=0.3)
    assert found["f0_median_hz"] == pytest.approx(120 * 2**0.5, rel=0.02)


def test_a_voice_without_its_fundamental_is_heard_at_it():
    """A telephone, or a small loudspeaker: the third to the tenth harmonic only."""
    time = np.arange(RATE) / RATE
    sound = sum(0.05 * np.sin(2 * np.pi * 130 * number * time) for number in range(3, 11))
    assert of(sound)["f0_median_hz"] == pytest.approx(130, rel=0.01)


def test_a_whisper_has_a_level_and_no_pitch():
    found = of(noise(1.0))
    assert found.keys() == {name for name in NAMES if not name.startswith("f0")}
    assert found["voiced_share"] == 0
    assert found["level_db"] == pytest.approx(-20, abs=1)


def test_the_bounds_of_the_pitch_are_settings():
    deep = of(voice(80, 1.0), min_f0_hz=100)
    assert deep.get("f0_median_hz", 160) == pytest.approx(160, rel=0.02), "not below the bound"
    assert of(voice(600, 1.0), max_f0_hz=800)["f0_median_hz"] == pytest.approx(600, rel=0.01)


def test_bounds_the_wrong_way_round_are_refused_when_they_are_read():
    with pytest.raises(ConfigError, match="the minimum must be the smaller"):
        make(Measure, {"measure": "prosody", "min_f0_hz": 250, "max_f0_hz": 220}, "study.toml")


def test_a_sine_at_full_scale_is_three_decibels_below_it():
    time = np.arange(RATE) / RATE
    assert of(np.sin(2 * np.pi * 200 * time))["level_db"] == pytest.approx(-3.01, abs=0.1)


def test_twice_as_loud_is_six_decibels_and_nothing_else():
    soft, loud = of(syllables(6)), of(2 * syllables(6))
    assert loud.pop("level_db") - soft.pop("level_db") == pytest.approx(6.02, abs=0.01)
    assert loud == pytest.approx(soft, rel=0.01)


def test_silence_before_and_after_changes_nothing():
    alone = of(syllables(6))
    padded = of(np.concatenate([silence(0.503), syllables(6), silence(1.2)]))
    assert padded == pytest.approx(alone, rel=0.02, abs=0.02)


def test_silence_within_is_a_pause_and_slows_the_rate_but_is_not_part_of_the_level():
    alone = of(syllables(6))
    torn = of(np.concatenate([syllables(3), silence(1.2), syllables(3)]))
    assert torn["pause_share"] - alone["pause_share"] == pytest.approx(0.5, abs=0.05)
    assert torn["characters_per_s"] == pytest.approx(alone["characters_per_s"] / 2, rel=0.05)
    assert torn["level_db"] == pytest.approx(alone["level_db"], abs=0.1)


def test_what_is_quiet_enough_to_be_a_pause_is_a_setting():
    sound = np.concatenate([voice(150, 0.5), voice(150, 0.5, level=0.003), voice(150, 0.5)])
    assert of(sound)["pause_share"] == 0
    assert of(sound, floor_db=20)["pause_share"] == pytest.approx(1 / 3, abs=0.03)


def test_characters_are_those_of_the_text_as_written():
    found = of(voice(150, 2.0), "Ça va, Zoë? " * 2)
    assert found["characters_per_s"] == pytest.approx(24 / 2.0, rel=0.02)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_syllables_are_counted_as_they_are_heard(count):
    sound = syllables(count)
    found = of(sound)
    assert found["syllables_per_s"] * len(sound) / RATE == pytest.approx(count, rel=0.15)


def test_a_burst_without_a_voice_is_no_syllable():
    clicks = noise(1.2) * (np.hanning(round(1.2 * RATE)) ** 8)
    assert of(clicks)["syllables_per_s"] == 0


@pytest.mark.parametrize("sound", [np.zeros(0), silence(1.0), silence(0.001), np.full(RATE, 1 / 32767)])
def test_nothing_to_hear_has_no_numbers(sound):
    assert of(sound) == {}


@pytest.mark.parametrize("samples", [1, 79, 500])
def test_the_shortest_sound_is_measured(samples):
    assert of(np.full(samples, 0.5), "a")["level_db"] > -40


def test_each_clip_is_measured_for_itself_and_alike_every_time(clips):
    together = measured(*clips)
    assert together == [measured(one)[0] for one in clips] == measured(*clips)
    assert [round(found["f0_median_hz"]) for found in together] == pytest.approx(
        [110, 220, 115, 230, 120], abs=2
    )


def test_it_needs_no_weights_and_takes_no_offence_at_any(clips):
    with Prosody().open(Weights(path="nowhere")) as gauge:
        assert gauge.measure(clips) == measured(*clips)


def test_an_excited_rehearsal_voice_is_higher_livelier_and_faster_than_a_sad_one():
    pytest.importorskip("espeakng_loader", reason="the extra 'rehearsal' is not installed")
    from builder.plugins.tts.espeak import Espeak

    text = "I never thought that we would meet again, after all these years."
    moods = {"sad": (-0.75, -0.4), "excited": (0.65, 0.75)}
    anna = Voice(name="Anna", sex="female")

    def line(valence, arousal):
        emotion = Emotion(ravdess="neutral", valence=valence, arousal=arousal, successors=("other",))
        return Line(text=text, voice=anna, emotion=emotion, seed=1)

    async def speak():
        async with Espeak().open() as synthesizer:
            return [await synthesizer.speak(line(*mood)) for mood in moods.values()]

    sad, excited = measured(
        *(Spoken(one.pcm(), one.sampling_rate_hz, text, anna) for one in asyncio.run(speak()))
    )
    assert sad.keys() == excited.keys() == NAMES
    assert excited["f0_median_hz"] > 1.1 * sad["f0_median_hz"]
    for name in ("f0_range_semitones", "level_db", "characters_per_s", "syllables_per_s"):
        assert excited[name] > sad[name], name


def test_real_speech_is_measured_within_what_people_do():
    if not SAMPLE.exists():
        pytest.skip("the published sample is not beside the checkout")
    paths = sorted(SAMPLE.rglob("*.json"))[::2]
    clips = []
    for path in paths:
        turns = json.loads(path.read_text())["conversation"]
        for turn, file in zip(turns, sorted(path.with_suffix("").glob("segments/*.wav")), strict=True):
            clips.append(Spoken(*read_wav(file), turn["text"], Voice(name="unknown", sex="female")))
    found = measured(*clips)
    assert len(found) > 30
    bounds = {
        "level_db": (-35, -10),
        "level_sd_db": (5, 12),
        "characters_per_s": (10, 25),
        "syllables_per_s": (2, 7),
        "voiced_share": (0.5, 1),
        "pause_share": (0, 0.5),
        "f0_median_hz": (80, 350),
        "f0_range_semitones": (2, 20),
    }
    for name, (low, high) in bounds.items():
        values = [numbers[name] for numbers in found]
        assert low < min(values), name
        assert max(values) < high, name


PYIN = {
    "cac937d10439f4bc": (190.4913, 218.1833, 244.1951),
    "32013a23074900ae": (69.7631, 76.0332, 80.0904),
}
"""The 10th, 50th and 90th percentile of what pyin finds, in hertz, by the digest of the samples: `librosa` compiles for up to a
minute before its first answer."""


def pyin(waveform):
    """What is on record of this very sound. Of another, as another release speaks it, `librosa` is asked."""
    known = PYIN.get(hashlib.sha256(waveform.samples.tobytes()).hexdigest()[:16])
    if known:
        return known
    import librosa

    f0_hz, _, _ = librosa.pyin(waveform.samples, fmin=60, fmax=500, sr=waveform.sampling_rate_hz)
    return np.percentile(f0_hz[np.isfinite(f0_hz)], (10, 50, 90))


def test_the_pitch_is_what_librosas_pyin_finds():
    """Pyin takes ten times as long, so that it is what the measure is held against and not what it is made of."""
    emotions = load_study("quickstart").vocabulary.emotions
    sung = [("female", "angry"), ("male", "sad")]

    async def speak():
        async with Espeak().open() as engine:
            return [
                await engine.speak(
                    Line(
                        text="I never thought that we would see the old harbour again before the winter came.",
                        voice=Voice(name=f"voice-{number}", sex=sex),
                        emotion=emotions[emotion],
                        seed=number,
                    )
                )
                for number, (sex, emotion) in enumerate(sung)
            ]

    for waveform in asyncio.run(speak()):
        low, median, high = pyin(waveform)
        ours = of(waveform.pcm(), rate=waveform.sampling_rate_hz)
        assert ours["f0_median_hz"] == pytest.approx(median, rel=0.02)
        assert ours["f0_range_semitones"] == pytest.approx(12 * np.log2(high / low), abs=1)
