"""Clips to measure, and networks of random weights to measure them with.

Law of the file: every network is one that `transformers` or PyTorch wrote and loads like any other; nothing is downloaded.
"""

import json

import numpy as np
import pytest

from builder.core.speech import Voice
from builder.plugins.measures import Spoken

RATE = 24_000
LETTERS = "bdfgklmnprtv"
"""Consonants only, so that what a random network says is no word that normalising would change."""


def clip(sound, text="I am so glad", rate=RATE):
    """A clip of sound with full scale at -1 and 1."""
    samples = np.clip(np.rint(np.asarray(sound) * 32767), -32768, 32767).astype(np.int16)
    return Spoken(samples, rate, text, Voice(name="Anna", sex="female"))


def voice(f0_hz, seconds, rate=RATE, level=0.1, harmonics=20):
    """A buzz of this fundamental frequency, which may change: a number, or an array of shape (samples,)."""
    length = round(seconds * rate)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, length)) / rate
    top = min(harmonics, int(rate / 2 / np.max(f0_hz)))
    return level * sum(np.sin(number * phase) / number for number in range(1, top + 1))


def silence(seconds, rate=RATE):
    return np.zeros(round(seconds * rate))


@pytest.fixture
def clips():
    """A dialogue: two speakers take turns, one deep, one high."""
    return [clip(voice(f0_hz, 0.8 + 0.2 * place)) for place, f0_hz in enumerate((110, 220, 115, 230, 120))]


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread: networks this small would only wait for a second."""
    torch = pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def ctc(torch, tmp_path_factory):
    """A recogniser of random weights with letters, a blank and a space between words."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("ctc")
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    torch.manual_seed(4)
    network = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=len(tokens), **TINY))
    with torch.no_grad():
        network.lm_head.weight.normal_(std=2.0)
        network.lm_head.bias[:4] = -1e4  # no special token, so that it always says something
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def xvector(torch, tmp_path_factory):
    """A speaker model of random weights."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    folder = tmp_path_factory.mktemp("xvector")
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    torch.manual_seed(0)
    WavLMForXVector(
        WavLMConfig(tdnn_dim=(16,) * 5, xvector_output_dim=8, num_buckets=32, **TINY)
    ).save_pretrained(folder)
    return folder


TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture(scope="session")
def whisper(torch, tmp_path_factory):
    """A Whisper of random weights for English and German that hears windows of 2 s."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    folder = tmp_path_factory.mktemp("whisper")
    letters = {token: place for place, token in enumerate([*LETTERS, "Ġ"])}
    specials = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    numbers = {token: len(letters) + place for place, token in enumerate(specials)}
    tokenizer = WhisperTokenizer(vocab=letters, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": specials[1:]})
    tokenizer.save_pretrained(folder)
    assert tokenizer.convert_tokens_to_ids(specials) == list(numbers.values())
    WhisperFeatureExtractor(feature_size=16, chunk_length=2).save_pretrained(folder)
    end, start = numbers["<|endoftext|>"], numbers["<|startoftranscript|>"]
    torch.manual_seed(3)
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(letters) + len(specials) + 101,  # the rest are points in time
            num_mel_bins=16,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_source_positions=100,
            max_target_positions=32,
            init_std=0.5,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=start,
        )
    )
    network.generation_config = GenerationConfig(
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        max_length=10,
        is_multilingual=True,
        lang_to_id={token: numbers[token] for token in ("<|en|>", "<|de|>")},
        task_to_id={"transcribe": numbers["<|transcribe|>"]},
        no_timestamps_token_id=numbers["<|notimestamps|>"],
        suppress_tokens=[number for token, number in numbers.items() if token != "<|endoftext|>"],
    )
    network.save_pretrained(folder)
    return folder
