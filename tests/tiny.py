"""A Llama of a few thousand random weights with a tokenizer and a chat template of its own, made in a second.

Law of the file: the folder it writes is one that `transformers` loads like any other; nothing is downloaded.
"""

from pathlib import Path

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '[' + message.role + ']' + message.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""Gemma's manners: it bears no system message."""


def make_llama(folder: Path, *, context: int = 512) -> Path:
    """Writes the model; its vocabulary is the bytes, so that any text has its tokens.

    Args:
        folder: where.
        context: the most tokens it takes, prompt and reply together.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<begin>", "<end>"]
    bytes_only = Tokenizer(
        models.BPE(vocab={token: place for place, token in enumerate(specials + letters)}, merges=[])
    )
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, bos_token="<begin>", eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=0.5,  # far from uniform, so that temperature and nucleus have something to do
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    # What a published model brings along, and a study's decoding must not silently take on.
    network.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=1, do_sample=True, temperature=0.1, top_k=3, repetition_penalty=1.5
    )
    network.save_pretrained(folder)
    return folder
