"""What the rehearsal voice promises: the same line the same samples, and feelings one can measure."""

import asyncio
import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice, Waveform
from builder.errors import ConfigError, SynthesisError
from builder.plugins import find, make
from builder.plugins.tts import Engine
from builder.plugins.tts.espeak import Espeak, manner_of, words

loader = pytest.importorskip("espeakng_loader", reason="the extra 'rehearsal' is not installed")

TEXT = "I really thought we were friends. What am I supposed to tell them now?"
ANNA, ROBERT = Voice(name="Anna", sex="female"), Voice(name="Robert", sex="male")


def emotion(valence: float, arousal: float) -> Emotion:
    return Emotion(ravdess="neutral", valence=valence, arousal=arousal, successors=("other",))


NEUTRAL = emotion(0, 0)
EMOTIONS = {
    "neutral": NEUTRAL,
    "angry": emotion(-0.6, 0.8),
    "excited": emotion(0.7, 0.8),
    "fearful": emotion(-0.7, 0.6),
    "happy": emotion(0.8, 0.4),
    "sad": emotion(-0.7, -0.5),
    "relaxed": emotion(0.6, -0.6),
    "bored": emotion(-0.4, -0.8),
}


def line(text=TEXT, voice=ANNA, feeling=NEUTRAL, seed=7) -> Line:
    return Line(text=text, voice=voice, emotion=feeling, seed=seed)


def speak(*lines: Line, engine: Espeak | None = None) -> list[Waveform]:
    async def all_at_once():
        async with (engine or Espeak()).open() as synthesizer:
            return await asyncio.gather(*map(synthesizer.speak, lines))

    return asyncio.run(all_at_once())


def digest(waveform: Waveform) -> str:
    return hashlib.sha256(waveform.samples.tobytes()).hexdigest()


def seconds(waveform: Waveform) -> float:
    return len(waveform.samples) / waveform.sampling_rate_hz


def level_db(waveform: Waveform) -> float:
    return 10 * np.log10(np.mean(np.square(waveform.samples, dtype=np.float64)))


def melody(waveform: Waveform) -> np.ndarray:
    """The pitch of every voiced frame in hertz, by the highest peak of its autocorrelation."""
    rate, pitches = waveform.sampling_rate_hz, []
    low, high = rate // 450, rate // 60
    for start in range(0, len(waveform.samples) - 1024, 512):
        frame = waveform.samples[start : start + 1024].astype(np.float64)
        frame -= frame.mean()
        same = np.correlate(frame, frame, "full")[1023:]
        at = low + int(same[low:high].argmax())
        if same[0] > 0.01 and same[at] > 0.5 * same[0]:
            pitches.append(rate / at)
    return np.array(pitches)


def span(waveform: Waveform) -> float:
    """How far the pitch moves, in hertz."""
    low, high = np.percentile(melody(waveform), [10, 90])
    return high - low


LINES = [
    line(voice=voice, feeling=feeling)
    for voice, feeling in itertools.product((ANNA, ROBERT), (NEUTRAL, EMOTIONS["angry"], EMOTIONS["sad"]))
]


def test_the_same_line_gives_the_same_samples_whatever_was_spoken_before_or_beside_it():
    alone = [digest(speak(one)[0]) for one in LINES]
    together = list(map(digest, speak(*LINES)))
    backwards = list(map(digest, speak(*reversed(LINES))))[::-1]
    assert alone == together == backwards
    assert len(set(alone)) == len(LINES)


def test_another_process_gives_the_same_samples():
    program = (
        "import hashlib, asyncio, sys, msgspec\n"
        "from builder.core.speech import Line\n"
        "from builder.plugins.tts.espeak import Espeak\n"
        "async def main():\n"
        "    async with Espeak().open() as synthesizer:\n"
        "        for one in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Line]):\n"
        "            print(hashlib.sha256((await synthesizer.speak(one)).samples.tobytes()).hexdigest())\n"
        "asyncio.run(main())\n"
    )
    import msgspec

    there = subprocess.run(
        [sys.executable, "-c", program], input=msgspec.json.encode(LINES), capture_output=True, check=True
    )
    assert there.stdout.decode().split() == list(map(digest, speak(*LINES)))


def test_another_seed_gives_another_clip_of_much_the_same_length():
    clips = speak(*(line(seed=seed) for seed in range(8)))
    assert len(set(map(digest, clips))) == 8
    lengths = list(map(seconds, clips))
    assert max(lengths) < 1.15 * min(lengths)


@pytest.mark.parametrize("voice", [ANNA, ROBERT], ids=lambda voice: voice.name)
def test_activation_makes_a_voice_faster_louder_higher_and_livelier(voice):
    neutral, angry, excited, sad, relaxed = speak(
        *(
            line(voice=voice, feeling=EMOTIONS[name])
            for name in ("neutral", "angry", "excited", "sad", "relaxed")
        )
    )
    for active, calm in itertools.product((angry, excited), (sad, relaxed)):
        assert seconds(active) < 0.9 * seconds(neutral) < 0.9 * 0.95 * seconds(calm)
        assert level_db(active) > level_db(neutral) + 3 > level_db(calm) + 3 + 2
        assert np.median(melody(active)) > 1.05 * np.median(melody(calm))
        assert span(active) > 1.5 * span(calm)


def test_every_emotion_sounds_different_from_every_other():
    clips = speak(*(line(feeling=feeling) for feeling in EMOTIONS.values()))
    manners = [(seconds(clip), level_db(clip), np.median(melody(clip))) for clip in clips]
    for (one, first), (other, second) in itertools.combinations(zip(EMOTIONS, manners, strict=True), 2):
        longer = abs(np.log(first[0] / second[0])) > 0.03
        louder = abs(first[1] - second[1]) > 0.8
        higher = abs(np.log(first[2] / second[2])) > 0.06
        assert sum((longer, louder, higher)) >= 2, (one, other)


def test_pleasure_brightens_a_voice_where_displeasure_darkens_it():
    excited, angry = speak(*(line(feeling=EMOTIONS[name]) for name in ("excited", "angry")))
    assert np.median(melody(excited)) > 1.1 * np.median(melody(angry))


def test_a_voice_keeps_its_timbre_through_every_emotion_and_seed():
    manners = [manner_of(line(feeling=feeling, seed=seed)) for seed, feeling in enumerate(EMOTIONS.values())]
    assert len({manner.voice for manner in manners}) == 1


def test_voices_spread_over_every_variant_of_their_sex_and_several_accents():
    heard = {
        sex: {
            manner_of(line(voice=Voice(name=f"speaker {n}", sex=sex))).voice.split("+")[1] for n in range(200)
        }
        for sex in ("female", "male")
    }
    assert heard == {"female": {f"f{n}" for n in range(1, 6)}, "male": {f"m{n}" for n in range(1, 9)}}
    accents = {manner_of(line(voice=Voice(name=str(n), sex="male"))).voice.split("+")[0] for n in range(100)}
    assert len(accents) >= 4


def test_every_voice_is_known_to_the_library_and_stays_below_full_scale_at_its_loudest():
    names = {}
    for number, sex in itertools.product(range(300), ("female", "male")):
        one = line(text="Oh no, stop!", voice=Voice(name=str(number), sex=sex), feeling=emotion(-1, 1))
        names.setdefault(manner_of(one).voice, one)
    assert len(names) == 13 * 5
    for clip in speak(*names.values()):
        assert 0.1 < np.abs(clip.samples).max() <= 0.98


def test_women_speak_higher_than_men():
    women = speak(*(line(voice=Voice(name=str(number), sex="female")) for number in range(5)))
    men = speak(*(line(voice=Voice(name=str(number), sex="male")) for number in range(5)))
    assert min(np.median(melody(clip)) for clip in women) > max(np.median(melody(clip)) for clip in men)


@pytest.mark.parametrize("sampling_rate_hz", [16000, 22050, 24000, 48000])
def test_a_clip_lasts_as_long_at_any_sampling_rate(sampling_rate_hz):
    (reference,) = speak(line())
    (clip,) = speak(line(), engine=Espeak(sampling_rate_hz=sampling_rate_hz))
    assert clip.sampling_rate_hz == sampling_rate_hz
    assert clip.samples.dtype == np.float32
    assert seconds(clip) == pytest.approx(seconds(reference), abs=0.01)


def test_a_clip_begins_and_ends_with_sound_so_that_the_pauses_are_the_pipelines():
    for clip in speak(*LINES):
        pcm = clip.pcm()
        assert pcm[0] != 0
        assert pcm[-1] != 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Well <laugh> I never.", "Well I never."),
        ("<sigh>Well</sigh> I never.", "Well I never."),
        ('<prosody rate="60%">Slowly</prosody> now', "Slowly now"),
        ("So happy 😂🎉 today 👩‍👩‍👧!", "So happy today !"),
        ("I ❤️ it 1️⃣", "I it 1"),
        ("*laughs* that is **bold**", "laughs that is bold"),
        ("Tom &amp; Jerry at AT&T", "Tom & Jerry at AT&T"),
        ("if a <b and c> d, 5 * 3 < 20", "if a <b and c> d, 5 * 3 < 20"),
        ("it is 20°C in the café™", "it is 20°C in the café™"),
        ("hy\u00adphen\u200bated\nlines\x00", "hyphenated lines"),
        ("lone \ud83d half", "lone half"),
    ],
)
def test_marks_that_nobody_would_say_are_left_out_and_no_word_is(text, said):
    assert words(text) == said


def test_a_tag_and_an_emoji_change_nothing_that_is_heard():
    plain, marked = speak(line(text="Well I never."), line(text="Well <laugh> I 😂 never."))
    assert digest(plain) == digest(marked)


def test_text_cannot_give_the_library_orders():
    """A control character would start a command: here, to speak at pitch 99."""
    honest, sly = speak(line(text="99P Good morning to you."), line(text="\x0199P Good morning to you."))
    assert digest(honest) == digest(sly)


@pytest.mark.parametrize("text", ["", "😂", "...", "<laugh>", "\x01"])
def test_a_line_with_nothing_to_say_is_refused_by_name(text):
    with pytest.raises(SynthesisError, match="nothing to say in") as refusal:
        speak(line(text=text))
    assert repr(text) in str(refusal.value)


def test_it_names_itself_with_its_version_and_says_that_it_only_rehearses():
    async def name():
        async with Espeak().open() as synthesizer:
            assert synthesizer.limit >= 1
            return synthesizer.name

    assert asyncio.run(name()).startswith("espeak-ng 1.")
    assert Espeak.rehearsal
    assert find(Engine, "espeak", "site.toml") is Espeak


def test_a_missing_extra_is_named_with_its_repair(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[rehearsal\]'"):
        speak(line())


def test_missing_voices_are_an_error_and_not_the_end_of_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(loader, "get_data_path", lambda: str(tmp_path / "gone"))
    monkeypatch.setenv("ESPEAK_DATA_PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"does not start with the data in .*gone: reinstall"):
        speak(line())


def test_a_library_that_does_not_load_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(loader, "get_library_path", lambda: str(broken))
    with pytest.raises(ConfigError, match=r"libespeak-ng\.so.*reinstall espeakng-loader"):
        speak(line())


def test_a_voice_the_library_does_not_know_is_an_error_of_the_line(monkeypatch):
    monkeypatch.setattr("builder.plugins.tts.espeak._ACCENTS", ("en-atlantis",))
    with pytest.raises(SynthesisError, match="en-atlantis"):
        speak(line())


def test_an_impossible_sampling_rate_is_refused_when_the_site_is_read():
    with pytest.raises(ConfigError, match="sampling_rate_hz"):
        make(Engine, {"engine": "espeak", "sampling_rate_hz": 100}, "site.toml")
