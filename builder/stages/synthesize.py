"""synthesize: voices speak every accepted dialogue, once for each dataset config, and each clip is checked.

Law of the file: a clip that fails its checks is made again with a new seed, a bounded number of times; it is never kept, and
never repaired.
"""

import asyncio
from contextlib import AsyncExitStack

from builder.checks import Check
from builder.config import Speech
from builder.core.dialogue import Turn
from builder.core.draw import seed_of
from builder.core.speech import Line, Voice, Waveform, cast_voices, pauses
from builder.errors import CheckError, SynthesisError
from builder.recorder import Recorder
from builder.run import Run, Tally
from builder.tts import Synthesizer


async def synthesize(run: Run) -> Tally:
    """Speaks every accepted dialogue that has no recording.

    Raises:
        ConfigError: the site does not name an engine, or it cannot work here.
    """
    accepted = list(run.accepted())
    tallies = []
    for config, speech in run.study.speech.items():
        owed = [id for id in accepted if id not in run.recordings[config]]
        before = len(accepted) - len(owed)
        tallies.append(await _speak_all(run, config, speech, owed, before) if owed else Tally(skipped=before))
    return Tally.sum(tallies)


async def _speak_all(run: Run, config: str, speech: Speech, owed: list[str], before: int) -> Tally:
    study, engine = run.study, run.engine(config)
    checks = run.checks(config)
    run.pin_rehearsal(config, engine.rehearsal)
    async with AsyncExitStack() as opened:
        recorder = opened.enter_context(Recorder(run.audio(config), run.recordings[config]))
        synthesizer = await opened.enter_async_context(engine.open())

        async def record(id: str) -> None:
            turns = run.dialogues[id].turns
            voices = cast_voices(id, speech.cast(), study.seed)
            clips = await asyncio.gather(
                *(
                    _clip(run, config, synthesizer, checks, turn, voices[position % 2], (id, str(position)))
                    for position, turn in enumerate(turns)
                )
            )
            await asyncio.to_thread(
                recorder.keep,
                id,
                engine=synthesizer.name,
                rehearsal=engine.rehearsal,
                voices=(voices[0].name, voices[1].name),
                sampling_rate_hz=speech.sampling_rate_hz,
                samples=[clip.pcm() for clip in clips],
                silences=pauses(tuple(turn.text for turn in turns), speech.sampling_rate_hz),
                ravdess=[study.vocabulary.emotions[turn.emotion].ravdess for turn in turns],
            )

        at_once = max(1, synthesizer.limit)
        return await run.work(
            f"synthesize-{config}", owed, record, total=len(owed), at_once=at_once, done=before
        )


async def _clip(
    run: Run,
    config: str,
    synthesizer: Synthesizer,
    checks: dict[str, Check],
    turn: Turn,
    voice: Voice,
    key: tuple[str, str],
) -> Waveform:
    """Speaks one turn until it passes every check."""
    speech, emotion = run.study.speech[config], run.study.vocabulary.emotions[turn.emotion]
    fault = None
    for attempt in range(speech.attempts):
        seed = seed_of(run.study.seed, "clip", config, *key, str(attempt))
        line = Line(text=turn.text, voice=voice, emotion=emotion, seed=seed)
        waveform = await synthesizer.speak(line)
        if waveform.sampling_rate_hz != speech.sampling_rate_hz:
            raise SynthesisError(
                f"{synthesizer.name} speaks at {waveform.sampling_rate_hz} Hz, the study wants {speech.sampling_rate_hz} Hz"
            )
        found = (
            f"{name}: {fault}" for name, check in checks.items() if (fault := check.fault(waveform, line))
        )
        fault = next(found, None)
        if fault is None:
            return waveform
    raise CheckError(f"turn {int(key[1]) + 1} failed its checks {speech.attempts} times, at last by {fault}")
