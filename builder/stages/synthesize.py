"""synthesize: voices speak every accepted dialogue, once for each dataset config, and each clip is checked.

Law of the file: a clip that fails its checks is spoken again with a new seed, a bounded number of times; it is never kept,
and never repaired. What is kept may be mastered: trimmed to a fixed lead and tail, and made as loud as its speaker should be.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import numpy as np

from builder.config import Speech
from builder.core.dialogue import Dialogue
from builder.core.draw import seed_of
from builder.core.speech import Line, Take, Voice, Waveform, cast_voices, pauses
from builder.errors import CheckError, SynthesisError
from builder.plugins.checks import Check
from builder.plugins.tts import Synthesizer
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.run.work import Tally, work
from builder.stages._mastering import Mastered, master

_ENGINE = "engine"
"""Stands for the name of a check where an engine itself finds fault with a clip."""


async def synthesize(run: Run) -> Tally:
    """Speaks every accepted dialogue that has no recording, or one that was found damaged.

    Raises:
        ConfigError: the site does not name an engine, or it cannot work here.
    """
    accepted = list(run.accepted())
    tallies = []
    for config, speech in run.study.speech.items():
        damaged = run.failures.damaged(config)
        owed = [id for id in accepted if id not in run.recordings[config] or id in damaged]
        before = len(accepted) - len(owed)
        tallies.append(await _speak_all(run, config, speech, owed, before) if owed else Tally(skipped=before))
    return Tally.sum(tallies)


async def _speak_all(run: Run, config: str, speech: Speech, owed: list[str], before: int) -> Tally:
    engine, checks = run.plugins.engine(config), run.plugins.checks(config)
    engine.prepare(speech.cast(), [*run.study.vocabulary.emotions.values()])
    run.pin.rehearse(config, engine.rehearsal)
    async with AsyncExitStack() as opened:
        recorder = opened.enter_context(
            Recorder(run.audio(config), run.recordings[config], run.failures.damaged(config))
        )
        synthesizer = await run.plugins.synthesizer(config, opened)

        async def record(id: str) -> None:
            voices = cast_voices(id, speech.cast(), run.study.seed)
            takes = await _takes(run, config, run.dialogues[id], voices, synthesizer, checks)
            await asyncio.to_thread(
                recorder.keep,
                id,
                engine=synthesizer.name,
                rehearsal=engine.rehearsal,
                voices=(voices[0].name, voices[1].name),
                sampling_rate_hz=speech.sampling_rate_hz,
                takes=takes,
            )
            run.failures.mended(config, id)

        # A dialogue has several lines, so that half as many dialogues keep an engine full, and fewer clips wait in memory.
        at_once = max(2, synthesizer.limit // 2)
        return await work(
            run, f"synthesize-{config}", owed, record, total=len(owed), at_once=at_once, done=before
        )


async def _takes(
    run: Run,
    config: str,
    dialogue: Dialogue,
    voices: tuple[Voice, Voice],
    synthesizer: Synthesizer,
    checks: dict[str, Check],
) -> list[Take]:
    """Speaks a dialogue, and what fails its checks again, until every clip passes them all."""
    speech = run.study.speech[config]
    faults: list[tuple[str, ...]] = [()] * len(dialogue.turns)
    lines = [_line(run, config, dialogue, position, voices, 0) for position in range(len(faults))]
    clips = await _speak(synthesizer, lines, speech.sampling_rate_hz)
    while found := await asyncio.to_thread(_found, checks, clips, lines):
        for position, (name, fault) in found.items():
            faults[position] += (name,)
            attempts = len(faults[position])
            if attempts == speech.attempts:
                raise CheckError(
                    f"turn {position + 1} failed its checks {attempts} times, at last by {name}: {fault}"
                )
            lines[position] = _line(run, config, dialogue, position, voices, attempts)
        again = await _speak(synthesizer, [lines[position] for position in found], speech.sampling_rate_hz)
        for position, clip in zip(found, again, strict=True):
            clips[position] = clip
    for position, clip in enumerate(clips):
        if not (clip.samples.size and np.isfinite(clip.samples).all()):
            raise SynthesisError(
                f"turn {position + 1}: {synthesizer.name} gave no sound for it, or none that can be kept: "
                f"check speech.{config} with `audible`, and it is spoken again with another seed"
            )
    mastered = await asyncio.to_thread(_mastered, speech, clips)
    silences = pauses(tuple(turn.text for turn in dialogue.turns), speech.sampling_rate_hz)
    return [
        Take(
            clip.waveform.pcm(),
            silence,
            line.emotion.ravdess,
            attempts=1 + len(failed),
            faults=failed,
            loudness_lufs=clip.loudness_lufs,
            gain_db=clip.gain_db,
        )
        for clip, silence, line, failed in zip(mastered, silences, lines, faults, strict=True)
    ]


def _line(
    run: Run, config: str, dialogue: Dialogue, position: int, voices: tuple[Voice, Voice], attempt: int
) -> Line:
    turn, speech = dialogue.turns[position], run.study.speech[config]
    return Line(
        text=turn.text,
        voice=voices[position % 2],
        emotion=run.study.vocabulary.emotions[turn.emotion],
        seed=seed_of(run.study.seed, "clip", config, dialogue.id, str(position), str(attempt)),
        tag=speech.tags.get(turn.emotion, ""),
        sampling=speech.sampling,
    )


async def _speak(synthesizer: Synthesizer, lines: Sequence[Line], sampling_rate_hz: int) -> list[Waveform]:
    speaking = [asyncio.create_task(synthesizer.speak(line)) for line in lines]
    try:
        clips = await asyncio.gather(*speaking)
    finally:
        for task in speaking:  # where one cannot be spoken, the others need not be
            task.cancel()
        await asyncio.wait(speaking)  # they let go of the engine before it closes
    for clip in clips:
        if clip.sampling_rate_hz != sampling_rate_hz:
            raise SynthesisError(
                f"{synthesizer.name} speaks at {clip.sampling_rate_hz} Hz, the study wants {sampling_rate_hz} Hz"
            )
    return clips


def _found(
    checks: dict[str, Check], clips: Sequence[Waveform], lines: Sequence[Line]
) -> dict[int, tuple[str, str]]:
    """By the position of the clip: the first check that it fails, and how; before all, what its engine says of it."""
    found = {position: (_ENGINE, clip.fault) for position, clip in enumerate(clips) if clip.fault}
    for name, check in checks.items():
        for position, fault in enumerate(check.faults(clips, lines)):
            if fault is not None:
                found.setdefault(position, (name, fault))
    return found


def _mastered(speech: Speech, clips: Sequence[Waveform]) -> list[Mastered]:
    if speech.mastering is None:
        return [Mastered(clip, loudness_lufs=None, gain_db=0.0) for clip in clips]
    return master(clips, [position % 2 for position in range(len(clips))], speech.mastering)
