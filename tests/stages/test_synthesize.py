"""What speaking a run promises, with an engine whose clips can be spoilt."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from builder.config import Speech, load_study
from builder.core.speech import Line, Mastering, Sampling, Voice, Waveform
from builder.errors import ConfigError, SynthesisError
from builder.plugins.tts import Engine
from builder.run.site import Plugins
from builder.stages.synthesize import synthesize
from tests.patience import PATIENCE_S
from tests.runs import held, small

RATE = 24_000
CHECKS = {"audible": {}, "clipping": {}, "gap": {}, "tail": {}, "loop": {}, "distinct": {}}
VOICES = {"anna": "female", "bert": "male"}
VOICE = Voice(name="anna", sex="female")
EMOTION = next(iter(load_study("quickstart").vocabulary.emotions.values()))


def hum(line: Line) -> Waveform:
    """A voice that glides through its pitch and its vowels, so that nothing in it comes twice; no two lines sound alike."""
    rng = np.random.default_rng(line.seed)
    length = round(len(line.text) / 30 * RATE)
    way = np.linspace(0, 1, length)
    low, high = rng.uniform(100, 140), rng.uniform(220, 260)
    phase = 2 * np.pi * np.cumsum(low + (high - low) * way) / RATE
    vowel = np.sin((4 + 20 * way) * phase)
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(2, 3) * way * length / RATE + rng.uniform(0, 6))
    return Waveform((0.2 * (np.sin(phase) + 0.4 * vowel) * syllables).astype(np.float32), RATE)


class Spoilt(Engine):
    """Hums, but for what `spoil` does to a line's clip."""

    spoil: Callable[[Line, int], Waveform | None]
    lines: list[Line]
    lacking: str = ""

    def prepare(self, voices, emotions):  # noqa: ARG002 - its voices act alike in all of them
        if self.lacking in {voice.name for voice in voices}:
            raise ConfigError(f"no reference for {self.lacking}")

    @asynccontextmanager
    async def open(self):
        yield _Spoilt(self)


class _Spoilt:
    name, limit = "spoilt 1.0", 4

    def __init__(self, engine):
        self._engine, self._times = engine, Counter()

    async def speak(self, line):
        self._engine.lines.append(line)
        self._times[line.text] += 1
        return self._engine.spoil(line, self._times[line.text]) or hum(line)


def a_run(folder, **speech):
    config = Speech(voices=VOICES, **{"checks": CHECKS, **speech})
    return held(folder / "run", small(judges=(), speech={"xtts": config}))


@pytest.fixture
def speak(monkeypatch):
    def speak(run, spoil=lambda *_: None, **settings):
        """Speaks the run; gives what the stage says of it and what the engine was asked for."""
        lines = []
        engine = Spoilt(spoil=spoil, lines=lines, **settings)
        monkeypatch.setattr(Plugins, "engine", lambda _, __: engine)
        return asyncio.run(synthesize(run)), lines

    return speak


def silence(seconds=1.0):
    return Waveform(np.zeros(round(seconds * RATE), np.float32), RATE)


def test_a_clip_that_fails_a_check_is_spoken_again_with_a_new_seed_and_the_recording_says_so(tmp_path, speak):
    with a_run(tmp_path) as run:
        id = run.dialogues.ids()[0]
        text = run.dialogues[id].turns[1].text
        tally, lines = speak(run, lambda line, times: silence() if line.text == text and times == 1 else None)
        assert (tally.done, tally.failed) == (len(run.dialogues), 0)
        first, second, *_ = run.recordings["xtts"][id].clips
        assert (first.attempts, first.faults) == (1, ())
        assert (second.attempts, second.faults) == (2, ("audible",))
        seeds = [line.seed for line in lines if line.text == text]
        assert len(seeds) == len(set(seeds)) == 2
        assert len(lines) == sum(len(dialogue.turns) for dialogue in run.dialogues) + 1


def test_a_clip_that_its_engine_finds_fault_with_is_spoken_again(tmp_path, speak):
    ran_on = Waveform(silence().samples, RATE, "it did not stop")
    with a_run(tmp_path) as run:
        id = run.dialogues.ids()[0]
        text = run.dialogues[id].turns[1].text
        speak(run, lambda line, times: ran_on if line.text == text and times == 1 else None)
        assert run.recordings["xtts"][id].clips[1].faults == ("engine",)


def test_two_clips_that_are_the_same_sound_are_both_spoken_again(tmp_path, speak):
    with a_run(tmp_path) as run:
        id = run.dialogues.ids()[0]
        twins = [turn.text for turn in run.dialogues[id].turns[:2]]
        same = hum(Line(text=twins[0], voice=VOICE, emotion=EMOTION, seed=1))
        tally, _ = speak(run, lambda line, times: same if line.text in twins and times == 1 else None)
        assert tally.failed == 0
        faults = [clip.faults for clip in run.recordings["xtts"][id].clips]
        assert faults == [("distinct",)] * 2 + [()] * (len(faults) - 2)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (np.full(RATE, np.nan, np.float32), "at last by audible: 24000 samples are not finite"),
        (np.zeros(0, np.float32), "at last by audible: 0 s, shorter than 0.2 s"),
        (np.sign(np.sin(np.arange(RATE) / 9)).astype(np.float32), "at last by clipping: "),
    ],
    ids=("nan", "empty", "clipped"),
)
def test_a_clip_that_never_passes_fails_its_recording_and_no_other_and_is_owed_again(
    tmp_path, speak, spoilt, said
):
    with a_run(tmp_path, attempts=2) as run:
        id = run.dialogues.ids()[0]
        text = run.dialogues[id].turns[2].text
        tally, lines = speak(run, lambda line, _: Waveform(spoilt, RATE) if line.text == text else None)
        assert (tally.done, tally.failed) == (len(run.dialogues) - 1, 1)
        (failure,) = run.failures.unresolved("synthesize-xtts")
        assert (failure.id, failure.boundary) == (id, "check")
        assert failure.message.startswith(f"turn 3 failed its checks 2 times, {said}")
        assert sum(line.text == text for line in lines) == 2
        tally, _ = speak(run)
        assert (tally.done, tally.skipped) == (1, len(run.dialogues) - 1)
        assert not run.failures.unresolved("synthesize-xtts")


def test_a_gap_and_a_loop_are_heard(tmp_path, speak):
    def gapped(sound):
        half = len(sound.samples) // 2
        quiet = np.random.default_rng(0).normal(0, 1e-5, 2 * RATE).astype(np.float32)
        return Waveform(np.concatenate([sound.samples[:half], quiet, sound.samples[half:]]), RATE)

    def looped(sound):
        return Waveform(np.concatenate([sound.samples[:RATE], sound.samples]), RATE)

    with a_run(tmp_path) as run:
        id = run.dialogues.ids()[0]
        first, second = (turn.text for turn in run.dialogues[id].turns[:2])
        spoils = {first: gapped, second: looped}
        speak(
            run, lambda line, times: spoils.get(line.text, lambda _: None)(hum(line)) if times == 1 else None
        )
        faults = [clip.faults for clip in run.recordings["xtts"][id].clips]
        assert faults[:2] == [("gap",), ("loop",)]
        assert not any(faults[2:])


def test_a_line_that_cannot_be_spoken_fails_its_recording_alone(tmp_path, speak):
    with a_run(tmp_path) as run:
        text = run.dialogues[run.dialogues.ids()[0]].turns[0].text

        def refuse(line, times):
            if line.text == text:
                raise SynthesisError("the reference 03.wav is cut off: fetch it again")

        tally, _ = speak(run, refuse)
        assert (tally.done, tally.failed) == (len(run.dialogues) - 1, 1)
        (failure,) = run.failures.unresolved("synthesize-xtts")
        assert (failure.boundary, failure.message) == (
            "synthesis",
            "the reference 03.wav is cut off: fetch it again",
        )


def test_an_engine_closes_only_once_every_line_let_go_of_it(tmp_path, monkeypatch):
    open_lines, left = set(), []

    class Slow(Spoilt):
        @asynccontextmanager
        async def open(self):
            yield _Slow(self)
            left.extend(open_lines)

    class _Slow(_Spoilt):
        async def speak(self, line):
            if "not even 0 times" in line.text:
                await asyncio.sleep(0)
                raise SynthesisError("no")
            open_lines.add(line.text)
            try:
                await asyncio.sleep(PATIENCE_S)
            finally:
                for _ in range(9):
                    await asyncio.sleep(0)
                open_lines.remove(line.text)

    with a_run(tmp_path) as run:
        monkeypatch.setattr(Plugins, "engine", lambda _, __: Slow(spoil=lambda *_: None, lines=[]))
        assert asyncio.run(synthesize(run)).failed == len(run.dialogues)
    assert not left


@pytest.mark.parametrize(
    "clip", [np.zeros(0, np.float32), np.full(9, np.nan, np.float32)], ids=("empty", "nan")
)
def test_a_clip_that_nothing_checks_and_that_holds_nothing_fails_its_recording_alone(tmp_path, speak, clip):
    with a_run(tmp_path, checks={}) as run:
        text = run.dialogues[run.dialogues.ids()[0]].turns[1].text
        tally, _ = speak(run, lambda line, _: Waveform(clip, RATE) if line.text == text else None)
        assert (tally.done, tally.failed) == (len(run.dialogues) - 1, 1)
        (failure,) = run.failures.unresolved("synthesize-xtts")
        assert failure.message.startswith("turn 2: spoilt 1.0 gave no sound for it")


def test_what_a_voice_lacks_is_said_before_a_line_is_spoken(tmp_path, speak):
    with a_run(tmp_path) as run, pytest.raises(ConfigError, match="no reference for bert"):
        speak(run, lacking="bert")


def test_tags_and_sampling_of_the_study_reach_the_engine(tmp_path, speak):
    sampling = Sampling(temperature=0.6, top_p=0.9, repetition_penalty=1.1)
    emotions = small().vocabulary.emotions
    tags = {emotion: f"<{emotion}>" for emotion in list(emotions)[::2]}
    with a_run(tmp_path, tags=tags, sampling=sampling) as run:
        _, lines = speak(run)
        wanted = Counter(tags.get(turn.emotion, "") for dialogue in run.dialogues for turn in dialogue.turns)
        assert Counter(line.tag for line in lines) == wanted
        assert {line.sampling for line in lines} == {sampling}


def test_mastering_gives_each_speaker_of_a_dialogue_one_gain_and_every_clip_its_loudness(tmp_path, speak):
    with a_run(tmp_path, mastering=Mastering(loudness_lufs=-23)) as run:
        speak(run)
        for recording in run.recordings["xtts"]:
            gains = [clip.gain_db for clip in recording.clips]
            assert len(set(gains[::2])) == len(set(gains[1::2])) == 1
            assert all(-30 < clip.loudness_lufs < -16 for clip in recording.clips)


def test_without_mastering_a_clip_is_kept_as_it_was_spoken(tmp_path, speak):
    with a_run(tmp_path) as run:
        _, lines = speak(run)
        samples = {len(hum(line).samples) for line in lines}
        for recording in run.recordings["xtts"]:
            assert {clip.num_samples for clip in recording.clips} <= samples
            assert all((clip.gain_db, clip.loudness_lufs) == (0.0, None) for clip in recording.clips)


def test_an_engine_at_another_sampling_rate_than_the_studys_is_named(tmp_path, speak):
    with a_run(tmp_path, sampling_rate_hz=22_050) as run:
        speak(run)
        assert {failure.message for failure in run.failures.unresolved("synthesize-xtts")} == {
            "spoilt 1.0 speaks at 24000 Hz, the study wants 22050 Hz"
        }
