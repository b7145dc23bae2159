import itertools
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.core.speech import Clip, Voice, Waveform, cast_voices, cut, find, join, pauses, timeline

RATE = 1000
SAMPLE = Path(__file__).parents[3] / "shared/published-sample"
VOICES = tuple(Voice(name=name, sex="female") for name in ("tara", "leah", "jess", "leo"))


def noise(seed, length):
    """Sound without a single zero, at its edges or inside."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 20_000, length) * rng.choice([-1, 1], length)).astype(np.int16)


@st.composite
def spoken(draw):
    """Turns, one clip each; silence inside a clip is too short or too long for one between turns."""
    texts, clips = [], []
    for _ in range(draw(st.integers(min_value=1, max_value=6))):
        texts.append(draw(st.sampled_from(["Really?", "Really.", "Well", "Eh!"])))
        clip = noise(
            draw(st.integers(min_value=0, max_value=10**6)), draw(st.integers(min_value=3, max_value=400))
        )
        if hole := draw(st.sampled_from([0, 1, 50, 150, 250, 400])):
            clip = np.concatenate([clip, np.zeros(hole, np.int16), noise(hole, 20)])
        clips.append(clip)
    silences = [
        pause + draw(st.integers(min_value=-10, max_value=10)) for pause in pauses(tuple(texts), RATE)
    ]
    return tuple(texts), clips, silences


def same(some, others):
    return len(some) == len(others) and all(
        np.array_equal(one, other) for one, other in zip(some, others, strict=True)
    )


def test_a_turn_is_followed_by_the_published_silence():
    assert pauses(("Really?", "Yes.", "Well", "Good?"), 24_000) == [4800, 7200, 7200, 12_000]


@given(spoken())
def test_what_was_joined_comes_apart_as_it_was(recorded):
    texts, clips, silences = recorded
    parts, found = cut(join(clips, silences), texts, RATE)
    assert same(parts, clips)
    assert found == silences


@given(spoken())
def test_a_recording_is_all_its_clips_and_silences_and_nothing_else(recorded):
    _, clips, silences = recorded
    full = join(clips, silences)
    assert len(full) == sum(map(len, clips)) + sum(silences)
    assert full.dtype == np.int16


@given(
    st.lists(st.sampled_from([100, 200, 300]), min_size=0, max_size=8),
    st.lists(st.sampled_from(["Really?", "Really."]), min_size=1, max_size=6).map(tuple),
)
def test_a_recording_comes_apart_exactly_when_there_is_one_way(holes, texts):
    """Every choice of holes for pauses is tried: `cut` must agree with the count."""
    full = join([noise(place, 30) for place in range(len(holes) + 1)], [*holes, 500])
    wanted = tuple(pauses(texts, RATE)[:-1])
    ways = sum(choice == wanted for choice in itertools.combinations(holes, len(wanted)))
    if ways == 1:
        clips, silences = cut(full, texts, RATE)
        assert np.array_equal(join(clips, silences), full)
        assert silences == [*wanted, 500]
    else:
        with pytest.raises(
            ValueError, match=f"fit its {len(texts)} turns in {'more than one' if ways else 'no'} way"
        ):
            cut(full, texts, RATE)


@pytest.mark.parametrize("end", [[], [0] * 489, [0] * 511, [0] * 500 + [1]])
def test_a_recording_that_does_not_end_in_silence_is_refused(end):
    full = np.concatenate([noise(1, 50), np.array(end, np.int16)])
    with pytest.raises(ValueError, match=r"does not end in 0\.5 s of digital silence"):
        cut(full, ("Well",), RATE)


def test_a_recording_of_nothing_is_refused():
    with pytest.raises(ValueError, match="does not end"):
        cut(np.zeros(0, np.int16), ("Well",), RATE)


def test_silence_before_the_first_word_is_no_pause_between_turns():
    full = np.concatenate([np.zeros(300, np.int16), join([noise(1, 50)], [500])])
    with pytest.raises(ValueError, match="fit its 2 turns in no way"):
        cut(full, ("Well", "Well"), RATE)


@given(spoken(), st.integers(min_value=0, max_value=30), st.integers(min_value=0, max_value=30))
def test_clips_are_found_in_their_recording_even_with_silence_at_their_edges(recorded, before, after):
    texts, clips, silences = recorded
    edges = np.zeros(before, np.int16), np.zeros(after, np.int16)
    padded = [np.concatenate([edges[0], clip, edges[1]]) for clip in clips]
    full = join(padded, silences)
    assert find(full, padded, texts, RATE) == silences


@given(spoken(), st.data())
def test_a_clip_of_other_sound_is_refused(recorded, data):
    texts, clips, silences = recorded
    full = join(clips, silences)
    place = data.draw(st.integers(min_value=0, max_value=len(clips) - 1))
    other = clips[place].copy()
    other[data.draw(st.integers(min_value=0, max_value=len(other) - 1))] += 1
    with pytest.raises(ValueError, match=r"clip 1 is not where|after turn \d+ it does not pause"):
        find(full, [*clips[:place], other, *clips[place + 1 :]], texts, RATE)


@given(spoken())
def test_clips_in_another_order_are_refused(recorded):
    texts, clips, silences = recorded
    assume(not same(clips, clips[::-1]))
    with pytest.raises(ValueError, match=r"clip 1 is not where|after turn \d+ it does not pause"):
        find(join(clips, silences), clips[::-1], texts, RATE)


@pytest.mark.parametrize(("silences", "turn", "length"), [([189, 500], 1, "0.2"), ([200, 511], 2, "0.5")])
def test_a_pause_that_breaks_the_rule_is_refused_at_its_turn(silences, turn, length):
    clips = [noise(1, 50), noise(2, 60)]
    with pytest.raises(ValueError, match=f"after turn {turn} it does not pause for {length} s"):
        find(join(clips, silences), clips, ("Really?", "Yes."), RATE)


def test_sound_where_silence_should_be_is_refused():
    clips = [noise(1, 50), noise(2, 60)]
    full = join(clips, [200, 500])
    full[100] = 1
    with pytest.raises(ValueError, match="after turn 1 it does not pause"):
        find(full, clips, ("Really?", "Yes."), RATE)


@given(spoken())
def test_the_timeline_points_at_every_clip_in_the_recording(recorded):
    _, clips, silences = recorded
    records = tuple(
        Clip(
            ravdess="happy",
            file="audio",
            offset=0,
            num_bytes=1,
            sha256="",
            num_samples=len(clip),
            pause_samples=pause,
        )
        for clip, pause in zip(clips, silences, strict=True)
    )
    full = join(clips, silences)
    times = timeline(records, RATE)
    assert same([full[round(start * RATE) : round(end * RATE)] for start, end in times], clips)


@given(st.text(), st.integers(min_value=0), st.integers(min_value=2, max_value=4))
def test_the_two_voices_differ_and_depend_on_the_dialogue_alone(dialogue, seed, count):
    first, second = cast_voices(dialogue, VOICES[:count], seed)
    assert first != second
    assert cast_voices(dialogue, VOICES[:count], seed) == (first, second)


def test_every_pair_of_voices_is_cast_about_as_often():
    pairs = [cast_voices(f"llama3-8B/travel_{index}_4", VOICES, 2505) for index in range(6000)]
    counts = [pairs.count(pair) for pair in itertools.permutations(VOICES, 2)]
    assert sum(counts) == 6000
    # Chi-square with 11 degrees of freedom: 31.26 is exceeded with p = 0.001.
    assert sum((count - 500) ** 2 / 500 for count in counts) < 31.26


def test_the_two_voices_are_of_different_sex_where_the_cast_has_both_and_every_voice_speaks_about_as_often():
    cast = tuple(Voice(name=f"actor-{number}", sex=("female", "male")[number % 2]) for number in range(6))
    pairs = [cast_voices(f"llama3-8B/travel_{index}_4", cast, 2505) for index in range(6000)]
    assert all(first.sex != second.sex for first, second in pairs)
    counts = [sum(voice in pair for pair in pairs) for voice in cast]
    assert sum(counts) == 12_000
    # Chi-square with 5 degrees of freedom: 20.5 is exceeded with p = 0.001.
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 20.5


def test_sixteen_bits_round_and_hold_what_is_beyond_full_scale():
    sound = Waveform(
        samples=np.array([0, 1, -1, 2, -2, 0.5, 1.4 / 32767, 1.6 / 32767], np.float32), sampling_rate_hz=RATE
    )
    assert sound.pcm().tolist() == [0, 32767, -32767, 32767, -32768, 16384, 1, 2]
    assert sound.pcm().dtype == np.int16


@given(st.lists(st.integers(min_value=-32767, max_value=32767)))
def test_sixteen_bits_survive_a_way_through_floats(samples):
    sound = Waveform(samples=np.array(samples, np.float32) / 32767, sampling_rate_hz=RATE)
    assert sound.pcm().tolist() == samples


def test_the_published_recordings_come_apart_into_their_published_segments():
    fulls = sorted(SAMPLE.glob("*/data/*/*/*_full.wav"))
    if not fulls:
        pytest.skip("the sample of published recordings is not beside this checkout")
    for path in fulls:
        dialogue = json.loads(path.parent.with_suffix(".json").read_text(encoding="utf-8"))
        texts = tuple(turn["text"] for turn in dialogue["conversation"])
        full, rate = read(path)
        segments = [read(segment)[0] for segment in sorted((path.parent / "segments").glob("*.wav"))]
        silences = find(full, segments, texts, rate)
        assert np.array_equal(join(segments, silences), full)
        clips, gaps = cut(full, texts, rate)
        assert same(clips, segments)
        assert gaps == silences


def read(path):
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()
