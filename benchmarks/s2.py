"""S2: SNAC decoding clips of many lengths in batches, against the library's own `decode`, clip after clip.

    python -m benchmarks.s2 [--device cuda] [--batch 1 2 8 32] [--clips 64] [--threads 1]

The codec has the shape of hubertsiuzdak/snac_24khz in full, 19.8 million parameters, and random weights. Clips are as long as
what Orpheus says of a turn: 3 to 12 seconds.
Law of the file: both decode the same clips in one process, taking turns, and what is printed is the median of each and their
ratio.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import snac
import torch

from builder.plugins.tts.orpheus.snac import Codec, Codes
from builder.plugins.tts.orpheus.tokens import CODES, FRAME_SAMPLES, SAMPLING_RATE_HZ, SLOTS
from tests.tiny_orpheus import make_snac

_FULL = {"encoder_dim": 48, "decoder_dim": 1024}
_FRAMES = (36, 141)
_LEVELS = ([0], [1, 4], [2, 3, 5, 6])


def main() -> None:
    """Prints one line for each batch."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s2")
    parser.add_argument("--device", default="cuda" if gpu else "cpu", help="%(default)s")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 8, 32] if gpu else [1, 2, 4])
    parser.add_argument("--clips", type=int, default=64 if gpu else 4, help="%(default)s")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--threads", type=int, help="of the CPU; by default as PyTorch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    draw = np.random.default_rng(0)
    clips = [
        Codes(draw.integers(0, CODES, (draw.integers(*_FRAMES, endpoint=True), SLOTS)), seed)
        for seed in range(options.clips)
    ]
    audio_s = sum(len(clip.codes) for clip in clips) * FRAME_SAMPLES / SAMPLING_RATE_HZ
    with tempfile.TemporaryDirectory() as place:
        folder = str(make_snac(Path(place), **_FULL))
        library, ours = (snac.SNAC.from_pretrained(folder).to(options.device) for _ in range(2))

    def alone() -> None:
        for clip in clips:
            torch.manual_seed(clip.seed)
            levels = [
                torch.from_numpy(clip.codes[:, slots].reshape(1, -1)).to(options.device) for slots in _LEVELS
            ]
            with torch.inference_mode():
                library.decode(levels)[0, 0].cpu().numpy()

    codec = Codec(ours, "SNAC", 1)
    print(f"S2  {len(clips)} clips, {audio_s:.0f} s, {options.device}, {torch.get_num_threads()} CPU threads")
    print("seconds of audio a second:")
    print(f"{'rows':>6}{'ours':>10}{'library':>10}{'ratio':>8}")
    for rows in options.batch:
        codec.rows = rows
        both: list[Callable[[], object]] = [lambda: codec.decode(clips), alone]
        taken = [[_seconds(one) for one in both] for _ in range(1 + options.repeat)][1:]
        mine, theirs = (audio_s / median(column) for column in zip(*taken, strict=True))
        print(f"{rows:>6}{mine:>10.2f}{theirs:>10.2f}{mine / theirs:>8.2f}", flush=True)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
