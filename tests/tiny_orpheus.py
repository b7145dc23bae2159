"""An Orpheus and a SNAC of a few random weights, in folders that load like the real ones; nothing is downloaded.

The Llama has the real vocabulary's size and its special tokens at their real places.
"""

import json
from pathlib import Path

SNAC = {
    "sampling_rate": 24000,
    "encoder_dim": 8,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 64,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}
"""SNAC's 24 kHz shape, narrow."""


def make_snac(folder: Path, *, loudness: float = 1.0, **changes) -> Path:
    """Writes the codec; `loudness` multiplies its last layer, so that 0 makes it silent."""
    import snac
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SNAC | changes))
    torch.manual_seed(0)
    weights = snac.SNAC(**(SNAC | changes)).state_dict()
    last = max(int(name.split(".")[2]) for name in weights if name.startswith("decoder.model."))
    for part in ("bias", "parametrizations.weight.original0"):
        weights[f"decoder.model.{last}.{part}"] *= loudness
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


def make_tokenizer(folder: Path, *, custom: int = 12):
    """Writes a tokenizer of bytes with Llama 3's special tokens and the first custom ones, and gives it back."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = {letter: place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    special = {"<|begin_of_text|>": 128000, "<|eot_id|>": 128009}
    special |= {f"<custom_token_{number}>": 128256 + number for number in range(custom)}
    whole = Tokenizer(models.BPE(vocab=letters | special, merges=[]))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    whole.add_special_tokens(list(special))
    whole.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 128000)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=whole, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_orpheus(folder: Path, *, ending: float = 9.5, vocabulary: int = 156940, custom: int = 12) -> Path:
    """Writes the Llama. The greater `ending`, the sooner it ends its speech; at -100 it never does."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    make_tokenizer(folder, custom=custom)
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=2048,
            initializer_range=0.5,
            tie_word_embeddings=False,
            bos_token_id=128000,
            eos_token_id=128009,
        )
    )
    with torch.no_grad():
        # One place that every token fills, so that the end of speech has the same chance wherever it may come.
        network.model.embed_tokens.weight[:, 0] = 8.0
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight[0] = layer.mlp.down_proj.weight[0] = 0.0
        network.lm_head.weight[:, 0] = 0.0
        if vocabulary > 128258:
            network.lm_head.weight[128258] = 0.0
            network.lm_head.weight[128258, 0] = ending / 3.0
    network.generation_config = GenerationConfig(do_sample=True, temperature=0.1, repetition_penalty=1.5)
    network.save_pretrained(folder)
    return folder
