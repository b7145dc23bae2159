"""S1: XTTS-v2 in continuous batches against the library's own `inference`, line after line.

    python -m benchmarks.s1 [--device cuda] [--batch 1 16 64 256] [--tokens 165] [--threads 1]

The model has XTTS-v2's architecture in full, 453 million parameters, and random weights that never end a clip, so that every line
has exactly as many audio tokens as the model's own limit allows, here and there.
Law of the file: both speak the same line with the same settings in one process, taking turns, and what is printed is the median
of each and their ratio.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import TTS.tts.models.xtts as library

from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice
from builder.plugins.tts._references import References
from builder.plugins.tts.xtts import Xtts
from builder.plugins.tts.xtts.synthesizer import SAMPLING
from tests.ravdess import make_ravdess
from tests.tiny_xtts import make_xtts

_LAYERS, _WIDTH, _VOCABULARY, _VECTORS = 30, 1024, 1026, 32
_NEVER = -1e4
"""How much likelier the token is that ends a clip."""
_TEXT = "I really thought we were friends. What am I to tell them now, that it was all for nothing?"
_VOICE = Voice(name="actor-01", sex="male")
_EMOTION = Emotion(ravdess="happy", valence=0.8, arousal=0.4, successors=("other",))
_COPIED = 1 << 28
"""Floats copied to measure a bandwidth: a gigabyte read and a gigabyte written."""


@dataclass(frozen=True)
class _Library:
    """The library's own model, and what it takes."""

    model: Any
    latents: Any
    speaker: Any

    def speed(self, lines: int) -> float:
        """Seconds of audio a second, of lines spoken one after the other."""
        begin, audio_s = time.perf_counter(), 0.0
        for _ in range(lines):
            sampling = SAMPLING
            said = self.model.inference(
                _TEXT,
                "en",
                self.latents,
                self.speaker,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                repetition_penalty=sampling.repetition_penalty,
            )
            audio_s += len(said["wav"]) / self.model.args.output_sample_rate
        return audio_s / (time.perf_counter() - begin)

    def prefix(self) -> int:
        """Places that come before a line's audio."""
        return _VECTORS + len(self.model.tokenizer.encode(_TEXT.lower(), lang="en")) + 2


def main() -> None:
    """Prints one line for each batch."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s1")
    parser.add_argument("--device", default="cuda" if gpu else "cpu", help="%(default)s")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 64, 256] if gpu else [16])
    parser.add_argument("--lines", type=int, default=3 if gpu else 1, help="for each row (%(default)s)")
    parser.add_argument("--tokens", type=int, default=165 if gpu else 64, help="of a line (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--threads", type=int, help="of the CPU; by default as PyTorch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_xtts(
            folder / "model",
            stops=_NEVER,
            stir=False,
            gpt_layers=_LAYERS,
            gpt_n_model_channels=_WIDTH,
            gpt_n_heads=16,
            gpt_max_audio_tokens=options.tokens + 3,
            gpt_max_text_tokens=402,
            gpt_num_audio_tokens=_VOCABULARY,
            gpt_start_audio_token=1024,
            gpt_stop_audio_token=1025,
            decoder_input_dim=_WIDTH,
        )
        make_ravdess(folder / "clips", actors=(1,), classes=(_EMOTION.ravdess,))
        alone = _alone(folder, options.device)
        print(f"S1  {options.tokens} tokens a line, {options.device}, {torch.get_num_threads()} CPU threads")
        print("seconds of audio a second:")
        print(f"{'rows':>6}{'lines':>7}{'ours':>10}{'library':>10}{'ratio':>8}{'of bound':>10}{'peak GB':>9}")
        for rows in options.batch:
            settings = Xtts(
                path=str(folder / "model"),
                references=str(folder / "clips"),
                cache=str(folder / "cache"),
                device=options.device,
                batch=rows,
            )
            asyncio.run(_measure(settings, rows, rows * options.lines, alone, options))


def _alone(folder: Path, device: str) -> _Library:
    config = library.XttsConfig()
    config.load_json(folder / "model" / "config.json")
    model = library.Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=folder / "model")
    model.to(device)
    reference = References(folder / "clips").reference(_VOICE, _EMOTION).waveform
    sound = torch.from_numpy(reference.samples)[None].to(device)
    latents = model.get_gpt_cond_latents(
        sound, reference.sampling_rate_hz, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
    )
    return _Library(model, latents, model.get_speaker_embedding(sound, reference.sampling_rate_hz))


async def _measure(
    settings: Xtts, rows: int, count: int, alone: _Library, options: argparse.Namespace
) -> None:
    lines = [Line(text=_TEXT, voice=_VOICE, emotion=_EMOTION, seed=seed) for seed in range(count)]
    ours, theirs = [], []
    async with settings.open() as synthesizer:
        await synthesizer.speak(lines[0])  # what is computed, packed or recorded once
        alone.speed(1)
        if options.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(options.repeat):
            begin = time.perf_counter()
            spoken = await asyncio.gather(*map(synthesizer.speak, lines))
            wall_s = time.perf_counter() - begin
            ours.append(sum(len(one.samples) / one.sampling_rate_hz for one in spoken) / wall_s)
            theirs.append(alone.speed(1))
    bound = _bound(rows, alone.prefix() + options.tokens // 2, options.device)
    peak = torch.cuda.max_memory_allocated() / 1e9 if options.device != "cpu" else float("nan")
    print(
        f"{rows:6}{count:7}{median(ours):10.3f}{median(theirs):10.3f}{median(ours) / median(theirs):8.2f}"
        f"{median(ours) / bound:10.2f}{peak:9.1f}",
        flush=True,
    )


def _bound(rows: int, places: int, device: str) -> float:
    """Seconds of audio a second, if a step took no longer than the weights and the cache take to be read."""
    size = 4 if device == "cpu" else 2
    weights = size * (_LAYERS * 12 * _WIDTH**2 + _VOCABULARY * _WIDTH)
    cache = size * rows * places * _LAYERS * 2 * _WIDTH
    return rows * 1024 / 22050 * _bandwidth(device) / (weights + cache)


def _bandwidth(device: str) -> float:
    """Bytes a second, read and written, of the fastest of five copies."""
    source = torch.ones(_COPIED, device=device)
    target = torch.empty_like(source)
    walls = []
    for _ in range(5):
        begin = time.perf_counter()
        target.copy_(source)
        if device != "cpu":
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - begin)
    return 2 * source.nbytes / min(walls)


if __name__ == "__main__":
    main()
