"""Finished clips keep their feeling: one gain a speaker, one lead, one tail, and no peak above the bound."""

import asyncio
import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.core.emotion import Emotion
from builder.core.sound import stretches
from builder.core.speech import Line, Mastering, Voice, Waveform, cut, join, pauses
from builder.errors import ConfigError
from builder.stages._mastering import master

pyloudnorm = pytest.importorskip("pyloudnorm", reason="the extra 'mastering' is not installed")

RATE_HZ = 24000
FRAME = RATE_HZ // 100
TEXTS = (
    "I never thought that we would meet again.",
    "Oh! How are you?",
    "Well, I suppose that it is over now.",
    "I am glad that you came, you know.",
)


def tone(seconds: float, level: float = 0.2, hertz: float = 440.0, before_s: float = 0.0) -> Waveform:
    """A voice-like buzz after silence: a tone with overtones, swelling and fading eight times a second."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * hertz * number * times) / number for number in range(1, 6))
    swell = 0.6 + 0.4 * np.cos(2 * np.pi * 8 * times)
    return Waveform(
        np.concatenate([np.zeros(round(before_s * RATE_HZ)), level / 2 * buzz * swell]).astype(np.float32),
        RATE_HZ,
    )


@pytest.fixture(scope="module")
def spoken() -> list[Waveform]:
    """A dialogue of two rehearsal voices, angry and sad."""
    pytest.importorskip("espeakng_loader", reason="the extra 'rehearsal' is not installed")
    from builder.plugins.tts.espeak import Espeak

    voices = Voice(name="Anna", sex="female"), Voice(name="Robert", sex="male")
    moods = ((-0.6, 0.8), (0.0, 0.0), (-0.7, -0.5), (0.7, 0.8))

    async def speak():
        async with Espeak(sampling_rate_hz=RATE_HZ).open() as synthesizer:
            return [
                await synthesizer.speak(
                    Line(
                        text=text,
                        voice=voices[place % 2],
                        emotion=Emotion(
                            ravdess="sad", valence=valence, arousal=arousal, successors=("other",)
                        ),
                        seed=1,
                    )
                )
                for place, (text, (valence, arousal)) in enumerate(zip(TEXTS, moods, strict=True))
            ]

    return asyncio.run(speak())


def loudness(*clips: Waveform) -> float:
    meter = pyloudnorm.Meter(clips[0].sampling_rate_hz)
    return meter.integrated_loudness(np.concatenate([clip.samples for clip in clips]).astype(np.float64))


def peak_db(clip: Waveform) -> float:
    oversampled = soxr.resample(clip.samples, clip.sampling_rate_hz, 4 * clip.sampling_rate_hz, quality="HQ")
    return 20 * math.log10(max(np.abs(oversampled).max(), np.abs(clip.samples).max()))


clips = st.builds(
    tone,
    st.sampled_from([0.25, 0.5, 1.0]),
    st.floats(0.01, 0.9),
    st.sampled_from([120.0, 440.0, 3000.0]),
    st.sampled_from([0.0, 0.02, 0.4]),
)
turns = st.builds(
    tone,
    st.floats(2.0, 4.0),
    st.floats(0.2, 0.9),
    st.sampled_from([120.0, 440.0, 3000.0]),
    st.sampled_from([0.0, 0.02, 0.4]),
)
said = st.lists(st.tuples(clips, st.integers(0, 1)), min_size=1, max_size=4)
wanted = st.builds(
    Mastering,
    lead_s=st.sampled_from([0.0, 0.05, 0.2]),
    tail_s=st.sampled_from([0.0, 0.15]),
    loudness_lufs=st.floats(-30, -10),
    peak_db=st.floats(-12, 0),
)


@given(said, wanted)
@settings(max_examples=40)
def test_every_speaker_has_one_gain_that_keeps_the_order_and_the_peak(said, wanted):
    waveforms, speakers = zip(*said, strict=True)
    finished = master(waveforms, speakers, wanted)
    for speaker in set(speakers):
        own = [
            (before, after)
            for before, after, whose in zip(waveforms, finished, speakers, strict=True)
            if whose == speaker
        ]
        assert len({after.gain_db for _, after in own}) == 1
        assert all(peak_db(after.waveform) <= wanted.peak_db + 0.01 for _, after in own)
        for before, after in own:
            louder = np.abs(after.waveform.samples).max() / np.abs(before.samples).max()
            assert louder == pytest.approx(10 ** (own[0][1].gain_db / 20), rel=0.05)
        if any(after.loudness_lufs is not None for _, after in own):
            whole = loudness(*(after.waveform for _, after in own))
            at_the_bound = max(peak_db(after.waveform) for _, after in own) > wanted.peak_db - 0.05
            assert whole <= wanted.loudness_lufs + 0.02
            assert at_the_bound or whole >= wanted.loudness_lufs - 0.05


@given(st.lists(st.tuples(turns, st.integers(0, 1)), min_size=1, max_size=4), wanted)
@settings(max_examples=20)
def test_to_master_again_changes_nothing_that_can_be_heard(said, wanted):
    waveforms, speakers = zip(*said, strict=True)
    once = master(waveforms, speakers, wanted)
    twice = master([clip.waveform for clip in once], speakers, wanted)
    for before, after in zip(once, twice, strict=True):
        assert abs(after.gain_db) <= 0.1
        # Of a clip alone a little more: a faded end that is no sound any more is a frame, and that may be a block, less.
        assert after.loudness_lufs == pytest.approx(before.loudness_lufs, abs=0.2)
        assert abs(len(after.waveform.samples) - len(before.waveform.samples)) <= 2 * FRAME


def test_sound_lies_between_the_lead_and_the_tail(spoken):
    padded = [Waveform(np.pad(clip.samples, (9000, 5000)), RATE_HZ) for clip in spoken]
    for clips_ in (spoken, padded):
        for clip in master(clips_, (0, 1, 0, 1), Mastering(lead_s=0.05, tail_s=0.15)):
            sound = stretches(clip.waveform)
            assert abs(sound[0][0] - 1200) <= FRAME
            assert abs(len(clip.waveform.samples) - sound[-1][1] - 3600) <= FRAME


def test_a_loud_clip_of_a_speaker_stays_louder_than_a_soft_one(spoken):
    before = [loudness(clip) for clip in spoken]
    after = [clip.loudness_lufs for clip in master(spoken, (0, 1, 0, 1), Mastering())]
    assert before[0] > before[2] + 3
    assert after[0] - after[2] == pytest.approx(before[0] - before[2], abs=0.3)


def test_all_clips_of_a_speaker_together_are_as_loud_as_wanted(spoken):
    finished = master(spoken, (0, 1, 0, 1), Mastering(loudness_lufs=-30.0, peak_db=0.0))
    for speaker in (0, 1):
        assert loudness(*(clip.waveform for clip in finished[speaker::2])) == pytest.approx(-30.0, abs=0.02)
    for clip in finished:
        assert clip.loudness_lufs == pytest.approx(loudness(clip.waveform), abs=0.005)
        assert clip.loudness_lufs == round(clip.loudness_lufs, 2)


def test_a_speaker_who_would_pass_the_peak_is_made_as_loud_as_it_allows(spoken):
    finished = master(spoken, (0, 1, 0, 1), Mastering(loudness_lufs=-5.0, peak_db=-3.0))
    for speaker in (0, 1):
        assert max(peak_db(clip.waveform) for clip in finished[speaker::2]) == pytest.approx(-3.0, abs=0.02)


def test_the_peak_between_two_samples_counts():
    # A quarter of the sampling rate, sampled 45 degrees off its crests: 3 dB higher between the samples than on them.
    times = np.arange(RATE_HZ)
    clip = Waveform((0.5 * np.sin(np.pi / 2 * times + np.pi / 4)).astype(np.float32), RATE_HZ)
    (finished,) = master([clip], [0], Mastering(loudness_lufs=-1.0, peak_db=-1.0))
    assert 20 * math.log10(np.abs(finished.waveform.samples).max()) == pytest.approx(-4.0, abs=0.3)


def test_the_same_dialogue_is_finished_to_the_same_bit(spoken):
    first, second = (master(spoken, (0, 1, 0, 1), Mastering()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.waveform.samples.tobytes() == other.waveform.samples.tobytes()
        assert (one.loudness_lufs, one.gain_db) == (other.loudness_lufs, other.gain_db)


@pytest.mark.parametrize("before_s", [0.0, 0.3])
def test_a_finished_dialogue_comes_apart_at_its_pauses_and_nowhere_else(spoken, before_s):
    silence = np.zeros(round(before_s * RATE_HZ), np.float32)
    holed = [
        Waveform(np.concatenate([silence, clip.samples, silence, clip.samples, silence]), RATE_HZ)
        for clip in spoken
    ]
    pcm = [clip.waveform.pcm() for clip in master(holed, (0, 1, 0, 1), Mastering())]
    silences = pauses(TEXTS, RATE_HZ)
    parts, found = cut(join(pcm, silences), TEXTS, RATE_HZ)
    assert found == silences
    assert all(np.array_equal(part, clip) for part, clip in zip(parts, pcm, strict=True))


def test_what_stands_for_silence_is_one_step_of_16_bits():
    (finished,) = master([tone(1.0)], [0], Mastering(lead_s=0.5, tail_s=0.5))
    pcm = finished.waveform.pcm()
    assert set(pcm[: RATE_HZ // 2].tolist()) == set(pcm[-RATE_HZ // 2 :].tolist()) == {-1, 1}


def test_a_cut_does_not_click():
    clip = tone(1.0, 0.5, hertz=100.0)
    (finished,) = master([clip], [0], Mastering())
    begin = round(0.05 * RATE_HZ)
    edge = finished.waveform.samples[begin - 10 : begin + 30]
    steady = finished.waveform.samples[begin + 1000 : -5000]
    assert np.abs(np.diff(edge)).max() < 0.2 * np.abs(np.diff(steady)).max()
    assert np.abs(clip.samples[1:30]).max() > 0.2


def test_clips_too_short_to_measure_are_brought_to_a_level_all_the_same():
    quiet, loud = tone(0.15, 0.01), tone(0.15, 0.3)
    none = Mastering(lead_s=0.0, tail_s=0.0, peak_db=0.0)
    finished = master([quiet, loud], [0, 1], none)
    assert [clip.loudness_lufs for clip in finished] == [None, None]
    levels = [10 * math.log10(np.mean(clip.waveform.samples.astype(float) ** 2)) for clip in finished]
    assert levels == pytest.approx([-19.31, -19.31], abs=0.05)


def test_a_clip_too_quiet_to_measure_is_brought_to_a_level_all_the_same():
    (finished,) = master([tone(1.0, 1e-4)], [0], Mastering())
    assert finished.gain_db > 50
    assert finished.loudness_lufs == pytest.approx(-20, abs=5)


@pytest.mark.parametrize(
    "samples",
    [[], [0.0] * RATE_HZ, [math.nan, 0.1] * RATE_HZ, [math.inf] * 9],
    ids=["empty", "silent", "nan", "inf"],
)
def test_a_clip_without_sound_is_left_as_it_is_and_sets_nobodys_loudness(samples):
    mute = Waveform(np.array(samples, np.float32), RATE_HZ)
    finished = master([tone(1.0), mute, mute], [0, 0, 1], Mastering())
    assert finished[0].gain_db == master([tone(1.0)], [0], Mastering())[0].gain_db
    assert [clip.waveform for clip in finished[1:]] == [mute, mute]
    assert [clip.loudness_lufs for clip in finished[1:]] == [None, None]
    assert [clip.gain_db for clip in finished[1:]] == [finished[0].gain_db, 0.0]


def test_a_dialogue_of_no_clips_is_finished():
    assert master([], [], Mastering()) == []


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyloudnorm", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[mastering\]'"):
        master([tone(1.0)], [0], Mastering())
