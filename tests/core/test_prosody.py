"""An emotion's effect is what differs within a voice: not who was cast, not who speaks loudest, not what few clips suggest."""

import numpy as np
import pytest

from builder.core.effect import MIN_CLIPS, Contrasts, Heard
from builder.core.emotion import Emotion
from builder.core.speech import Measured, fullest

LABELS = ("angry", "neutral", "sad")


def sample(mean, sd, count):
    """Numbers of exactly this mean and standard deviation."""
    values = np.random.default_rng(count).normal(size=count)
    return (mean + sd * (values - values.mean()) / values.std(ddof=1)).tolist()


def speakers(effect, count, seed, labels=("angry", "sad"), clips=6, spread=50.0):
    """Speakers whose own level differs by `spread`, who each say some of the labels; anger lies higher by `effect`."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        said = draw.choice(labels, clips).tolist()
        level = draw.normal(0, spread)
        yield said, [level + effect * (label == "angry") + draw.normal() for label in said]


def contrasts(speakers, labels=LABELS):
    found = Contrasts(labels)
    for said, values in speakers:
        found.add(said, values)
    return found


def test_with_one_speaker_it_is_the_worked_example_of_borenstein():
    """Introduction to Meta-Analysis (2009), chapter 4: means 103 and 100, deviations 5.5 and 4.5, 50 each.

    It finds g 0.5924 and its variance 0.0411, with 100 clips where 98 degrees of freedom stand here.
    """
    values = sample(103, 5.5, 50) + sample(100, 4.5, 50)
    effect = contrasts([(["angry"] * 50 + ["sad"] * 50, values)]).effect("angry", "sad")
    assert effect.g == pytest.approx(0.5924, abs=5e-5)
    assert ((effect.high - effect.low) / 2 / 1.959964) ** 2 == pytest.approx(0.0411, abs=1e-4)
    assert (effect.low + effect.high) / 2 == pytest.approx(effect.g)
    assert (effect.first, effect.second) == (50, 50)


def test_the_other_way_round_it_is_the_opposite():
    found = contrasts(speakers(1.0, 30, seed=1))
    there, back = found.effect("angry", "sad"), found.effect("sad", "angry")
    assert (back.g, back.low, back.high) == pytest.approx((-there.g, -there.high, -there.low))
    assert (back.first, back.second) == (there.second, there.first)


def test_casting_does_not_pass_for_emotion():
    """Deep voices are angry nine times in ten, high ones sad nine times in ten; neither changes with the emotion."""
    draw = np.random.default_rng(12)
    cast = []
    for number in range(60):
        deep = number % 2 == 0
        said = draw.choice(["angry", "sad"], 10, p=[0.9, 0.1] if deep else [0.1, 0.9]).tolist()
        cast.append((said, [(100 if deep else 200) + draw.normal() for _ in said]))
    values = {"angry": [], "sad": []}
    for said, heard in cast:
        for label, value in zip(said, heard, strict=True):
            values[label].append(value)
    naive = np.mean(values["angry"]) - np.mean(values["sad"])
    assert naive < -70, "to the ear that does not know the cast it is a huge effect"
    effect = contrasts(cast).effect("angry", "sad")
    assert abs(effect.g) < 0.3
    assert effect.low < 0 < effect.high


def test_an_effect_is_found_however_much_the_voices_differ():
    near = contrasts(speakers(1.5, 300, seed=3, spread=0)).effect("angry", "sad")
    far = contrasts(speakers(1.5, 300, seed=3, spread=1000)).effect("angry", "sad")
    assert near == pytest.approx(far)
    assert near.g == pytest.approx(1.5, abs=0.12)
    assert near.low > 1


def test_emotions_that_no_speaker_has_both_are_compared_through_a_third():
    through = [
        *speakers(1.0, 200, seed=4, labels=("angry", "neutral")),
        *speakers(1.0, 200, seed=5, labels=("sad", "neutral")),
    ]
    effect = contrasts(through).effect("angry", "sad")
    assert effect.low < 1.0 < effect.high
    assert effect.g == pytest.approx(1.0, abs=0.2)


def test_emotions_that_no_chain_of_speakers_joins_are_not_compared():
    apart = [(["angry", "neutral"] * 5, sample(0, 1, 10)), (["sad"] * 10, sample(5, 1, 10))]
    found = contrasts(apart)
    assert found.effect("angry", "sad") is None
    assert found.effect("angry", "neutral") is not None


def test_the_interval_holds_the_truth_19_times_in_20():
    truth = 0.8
    effects = [contrasts(speakers(truth, 12, seed)).effect("angry", "sad") for seed in range(1000)]
    held = np.mean([effect.low <= truth <= effect.high for effect in effects])
    assert 0.93 < held < 0.97
    assert np.mean([effect.g for effect in effects]) == pytest.approx(truth, abs=0.02), "without bias"


@pytest.mark.parametrize(("clips", "said"), [(MIN_CLIPS - 1, False), (MIN_CLIPS, True)])
def test_too_few_clips_of_either_emotion_say_nothing(clips, said):
    values = sample(1, 1, clips) + sample(0, 1, 20)
    found = contrasts([(["angry"] * clips + ["sad"] * 20, values)])
    assert (found.effect("angry", "sad") is not None) is said
    assert (found.effect("sad", "angry") is not None) is said


def test_many_clips_of_which_few_can_be_compared_say_nothing():
    """Each of nine speakers says both: 18 clips, but 8 degrees of freedom."""
    pairs = [(["angry", "sad"], sample(number, 1, 2)) for number in range(9)]
    assert contrasts(pairs).effect("angry", "sad") is None
    assert contrasts([*pairs, (["angry", "sad"] * 3, sample(0, 1, 6))]).effect("angry", "sad") is not None


@pytest.mark.parametrize("values", [[3.0] * 20, [1.0] * 10 + [0.0] * 10])
def test_clips_without_any_spread_say_nothing(values):
    assert contrasts([(["angry"] * 10 + ["sad"] * 10, values)]).effect("angry", "sad") is None


def test_nothing_heard_says_nothing():
    found = contrasts([([], []), (["angry"], [1.0])])
    assert found.effect("angry", "sad") is None


def test_the_order_of_the_speakers_makes_no_difference():
    said = list(speakers(0.5, 50, seed=6, labels=LABELS))
    assert contrasts(said).effect("angry", "sad") == pytest.approx(
        contrasts(said[::-1]).effect("angry", "sad")
    )


# Heard


def an_emotion(ravdess, arousal):
    return Emotion(ravdess=ravdess, valence=0, arousal=arousal, successors=("sad",))


EMOTIONS = {
    "excited": an_emotion("happy", 0.5),
    "amused": an_emotion("happy", 0.3),
    "relaxed": an_emotion("calm", 0.0),
    "sad": an_emotion("sad", -0.4),
}


def heard(dialogues):
    """Of each dialogue the emotions, and the clips' numbers."""
    found = Heard(EMOTIONS)
    for emotions, clips in dialogues:
        found.add(emotions, [EMOTIONS[emotion].ravdess for emotion in emotions], clips)
    return found.numbers


def test_every_clip_counts_once_in_mean_and_deviation():
    values = sample(20, 3, 12)
    number = heard(
        [(["sad"] * 4, [{"level_db": value} for value in values[at : at + 4]]) for at in (0, 4, 8)]
    )["level_db"]
    assert (number.clips, number.mean, number.sd) == (12, pytest.approx(20), pytest.approx(3))
    assert heard([(["sad"], [{"level_db": 1.0}])])["level_db"].sd == 0


def test_a_number_that_a_clip_does_not_have_is_not_counted_for_it():
    numbers = heard([(["sad", "sad", "relaxed"], [{"wer": 0.5}, {}, {"wer": 0.1, "f0_median_hz": 100.0}])])
    assert (numbers["wer"].clips, numbers["wer"].mean) == (2, pytest.approx(0.3))
    assert numbers["f0_median_hz"].clips == 1


def test_every_second_clip_is_another_voice():
    """The one speaker is always excited and loud, the other always sad and soft: nothing can be said of either emotion."""
    loud = [
        (["excited", "sad"] * 5, [{"level_db": -10.0 + n % 3}, {"level_db": -30.0}] * 5) for n in range(9)
    ]
    assert heard(loud)["level_db"].contrasts["emotion"].effect("excited", "sad") is None
    turned = [*loud, *((emotions[::-1], clips) for emotions, clips in loud)]
    assert heard(turned)["level_db"].contrasts["emotion"].effect("excited", "sad") is None


def test_emotion_acted_class_and_arousal_are_compared_each():
    draw = np.random.default_rng(7)
    dialogues = []
    for _ in range(40):
        emotions = draw.choice(list(EMOTIONS), 8).tolist()
        dialogues.append(
            (emotions, [{"level_db": 3 * EMOTIONS[one].arousal + draw.normal()} for one in emotions])
        )
    contrasts = heard(dialogues)["level_db"].contrasts
    said = {label: [one for emotions, _ in dialogues for one in emotions].count(label) for label in EMOTIONS}
    emotion, acted, arousal = (
        contrasts[kind].effect(*pair)
        for kind, pair in {
            "emotion": ("excited", "relaxed"),
            "ravdess": ("happy", "sad"),
            "arousal": ("high", "low"),
        }.items()
    )
    assert (emotion.first, emotion.second) == (said["excited"], said["relaxed"])
    assert (acted.first, acted.second) == (said["excited"] + said["amused"], said["sad"])
    assert (arousal.first, arousal.second) == (said["excited"], said["relaxed"] + said["sad"])
    assert min(emotion.low, acted.low, arousal.low) > 0


def test_frequencies_are_compared_as_they_are_heard():
    """A third above a deep and a third above a high voice is the same effect; in hertz the second is twice as large."""
    draw = np.random.default_rng(8)
    dialogues = []
    for number in range(60):
        base, emotions = (100, 200)[number % 2], draw.choice(["excited", "relaxed"], 6).tolist()
        semitones = [4 * (one == "excited") + draw.normal(0, 2) for one in emotions]
        dialogues.append((emotions, [{"f0_median_hz": base * 2 ** (step / 12)} for step in semitones]))
    number = heard(dialogues)["f0_median_hz"]
    assert number.contrasts["emotion"].effect("excited", "relaxed").g == pytest.approx(2, abs=0.25)
    assert number.mean == pytest.approx(170, abs=10), "but their mean is in hertz"


def test_of_what_several_processes_measured_the_fullest_counts():
    early, late = (
        Measured(id="a", clips=(), done=done) for done in (("prosody",), ("prosody", "transcript"))
    )
    assert fullest([early, late]) is fullest([late, early]) is late
