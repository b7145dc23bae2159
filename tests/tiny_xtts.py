"""An XTTS of half a million random weights with a vocabulary of its own, made in a second by the library itself.

Two of its parts have a size that no configuration names, the vocoder and what listens to a speaker; `small` has the library build
them small for as long as it holds. The rest, and all of the code, is what speaks with the real weights.
Law of the file: the folder it writes is one that the library loads like any other; nothing is downloaded.
"""

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from builder.core.emotion import Emotion
from builder.core.speech import Line, Voice
from builder.plugins.tts.xtts import Xtts
from builder.plugins.tts.xtts.synthesizer import SAMPLING

SENTENCES = "hello there, how are you? i am so happy today, it is great! why? no. the 7 quick foxes jump over my lazy dog."

TINY = {
    "gpt_layers": 3,
    "gpt_n_model_channels": 64,
    "gpt_n_heads": 2,
    "gpt_max_audio_tokens": 60,
    "gpt_max_text_tokens": 200,
    "gpt_num_audio_tokens": 130,
    "gpt_start_audio_token": 128,
    "gpt_stop_audio_token": 129,
    "decoder_input_dim": 64,
}

VOICE = Voice(name="actor-01", sex="male")
HAPPY = Emotion(ravdess="happy", valence=0.8, arousal=0.4, successors=("other",))
GREEDY = msgspec.structs.replace(SAMPLING, top_k=1)


def a_line(text: str, seed: int = 7, **fields: Any) -> Line:
    """A line of the one voice and emotion, unless said otherwise."""
    return Line(**{"text": text, "voice": VOICE, "emotion": HAPPY, "seed": seed, **fields})


def speak(engine: Xtts, *lines: Line) -> list[np.ndarray]:
    """The samples of each line, all asked for at once."""

    async def all_at_once() -> list[np.ndarray]:
        async with engine.open() as synthesizer:
            return [one.samples for one in await asyncio.gather(*map(synthesizer.speak, lines))]

    return asyncio.run(all_at_once())


@contextmanager
def small(channels: int = 16) -> Iterator[None]:
    """As long as it holds, the library builds so small a vocoder, a speaker encoder of 8 channels, and PyTorch uses one thread.

    With more, threads that wait for each other on a busy machine take a hundred times as long as so small a sum.
    """
    import torch
    import TTS.tts.layers.xtts.hifigan_decoder as inner
    import TTS.tts.models.xtts as outer

    vocoder, encoder, threads = outer.HifiDecoder, inner.ResNetSpeakerEncoder, torch.get_num_threads()
    outer.HifiDecoder = functools.partial(vocoder, upsample_initial_channel_decoder=channels)
    inner.ResNetSpeakerEncoder = functools.partial(encoder, layers=[1, 1, 1, 1], num_filters=[8] * 4)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        outer.HifiDecoder, inner.ResNetSpeakerEncoder = vocoder, encoder
        torch.set_num_threads(threads)


def make_xtts(folder: Path, *, stops: float = 0.0, stir: bool = True, **sizes: int) -> Path:
    """Writes `config.json`, `model.pth` and `vocab.json`; a tiny one is made, and loaded, within `small`.

    Args:
        folder: where; it is made.
        stops: how much likelier than any other the token is that ends a clip, as a logit.
        stir: whether the weights are far from where training begins, so that texts and places tell from the first token on, and
            clips end after some 10 to 50 tokens.
        sizes: fields of the library's `XttsArgs`, in place of the tiny ones.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
    from TTS.tts.models.xtts import VoiceBpeTokenizer, Xtts

    folder.mkdir(parents=True, exist_ok=True)
    marks = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[de]"]
    vocabulary = Tokenizer(models.BPE(unk_token="[UNK]"))
    vocabulary.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,!?'")
    trainer = trainers.BpeTrainer(
        vocab_size=120, special_tokens=marks, initial_alphabet=letters, show_progress=False
    )
    vocabulary.train_from_iterator([SENTENCES] * 20, trainer)
    vocabulary.add_special_tokens(marks)
    vocabulary.save(str(folder / "vocab.json"))
    args = XttsArgs(**{**TINY, **sizes}, gpt_use_perceiver_resampler=True)
    config = XttsConfig(model_args=args, languages=["en", "de"])
    torch.manual_seed(0)
    model = Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=folder / "vocab.json")
    model.init_models()
    with torch.no_grad():
        model.gpt.mel_head.bias[args.gpt_stop_audio_token] += stops
        if stir:
            torch.manual_seed(7)  # so that the vocoder's size decides nothing of what the GPT says
            _stir(model)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(folder / "config.json")
    return folder


def _stir(model: Any) -> None:
    gpt = model.gpt
    gpt.mel_head.weight.mul_(8)
    for embedding in (
        gpt.text_embedding,
        gpt.mel_embedding,
        gpt.text_pos_embedding.emb,
        gpt.mel_pos_embedding.emb,
    ):
        embedding.weight.normal_(std=0.5)
    for block in gpt.gpt.h:
        for layer in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
            layer.weight.normal_(std=0.15)
    for name, weight in model.hifigan_decoder.waveform_decoder.named_parameters():
        if name.endswith("original0"):  # the length of each filter, where weight norm holds it
            weight.mul_(2)
