"""The states of a step are those of the library's own pass, and a row's bits are its own."""

import itertools

import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.plugins.tts.xtts.gpt import BUCKET, Gpt  # noqa: E402
from tests.precisions import able_to_work_in  # noqa: E402

CPU = torch.device("cpu")


def library(layers=3, width=64, heads=2, audio_tokens=130):
    from TTS.tts.layers.xtts.gpt import GPT

    torch.manual_seed(0)
    return GPT(
        layers=layers,
        model_dim=width,
        heads=heads,
        start_text_token=3,
        stop_text_token=0,
        number_text_tokens=50,
        max_text_tokens=90,
        max_mel_tokens=60,
        num_audio_tokens=audio_tokens,
        start_audio_token=audio_tokens - 2,
        stop_audio_token=audio_tokens - 1,
        use_perceiver_resampler=True,
    ).eval()


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def decode(gpt, conditioning, texts, codes, rows=None):
    """The latents and logits of rows that are fed given audio tokens, of shape (rows, tokens, ...)."""
    rows = rows or list(range(len(texts)))
    cache = gpt.cache(len(texts))
    prefixes = [gpt.prefix(one, text) for one, text in zip(conditioning, texts, strict=True)]
    for row, prefix in zip(rows, prefixes, strict=True):
        gpt.prefill(cache, [row], [prefix])
    order = torch.tensor(rows)
    inputs = torch.zeros_like(codes)
    inputs[order] = torch.cat([torch.full_like(codes[:, :1], gpt.start), codes[:, :-1]], dim=1)
    places = torch.zeros(len(texts), dtype=torch.long)
    places[order] = torch.tensor(list(map(len, prefixes)))
    steps = []
    for step in range(codes.shape[1]):
        bucket = -(-int(places.max() + step + 1) // BUCKET) * BUCKET
        at = torch.full_like(places, step)
        steps.append(gpt.step(cache, inputs[:, step], at, places + step, bucket))
    return tuple(torch.stack(parts, dim=1)[order] for parts in zip(*steps, strict=True))


def some(count, length, width=64, audio_tokens=130, seed=1):
    """Conditioning of shape (1, 32, width), texts of different lengths, and codes of shape (count, length)."""
    own = torch.Generator().manual_seed(seed)
    conditioning = torch.randn(count, 1, 32, width, generator=own)
    texts = [torch.randint(4, 50, (3 + 7 * row % 60,), generator=own).tolist() for row in range(count)]
    return conditioning, texts, torch.randint(0, audio_tokens - 2, (count, length), generator=own)


def test_the_states_of_the_steps_are_those_of_the_librarys_second_pass():
    own = library()
    conditioning, texts, codes = some(4, 57)
    passes = [
        own(
            torch.tensor([text]),
            torch.tensor([len(text)]),
            codes[row : row + 1],
            torch.tensor([codes.shape[1] * own.code_stride_len]),
            cond_latents=conditioning[row],
            return_latent=True,
        )[0]
        for row, text in enumerate(texts)
    ]
    head = own.mel_head
    latents, logits = decode(Gpt(own, CPU, torch.float32), conditioning, texts, codes)
    for row, expected in enumerate(passes):
        assert expected.shape == latents[row].shape
        assert (latents[row] - expected).abs().max() < 1e-5 < expected.abs().max()
        assert (logits[row] - head(expected)).abs().max() < 1e-5


def test_prefixes_of_different_lengths_can_go_through_together():
    gpt = Gpt(library(), CPU, torch.float32)
    conditioning, texts, _ = some(3, 1)
    prefixes = [gpt.prefix(one, text) for one, text in zip(conditioning, texts, strict=True)]
    together, apart = gpt.cache(3), gpt.cache(3)
    gpt.prefill(together, [2, 0, 1], prefixes)
    for row, prefix in zip([2, 0, 1], prefixes, strict=True):
        gpt.prefill(apart, [row], [prefix])
        for part, other in zip(together, apart, strict=True):
            near = part[:, row, :, : len(prefix)] - other[:, row, :, : len(prefix)]
            assert near.abs().max() < 1e-5


@pytest.mark.parametrize(("width", "heads", "audio_tokens"), [(64, 2, 130), (1024, 16, 1026)])
def test_a_rows_bits_do_not_depend_on_the_rows_beside_it(threads, width, heads, audio_tokens):
    """At the published model's own widths as well, and with a number of threads that divides nothing."""
    gpt = Gpt(library(1, width, heads, audio_tokens), CPU, torch.float32)
    conditioning, texts, codes = some(5, 6, width, audio_tokens)
    for count in (1, 2, 3):
        threads(count)
        together = decode(gpt, conditioning, texts, codes)
        moved = decode(gpt, conditioning, texts, codes, rows=[3, 1, 4, 0, 2])
        assert all(map(torch.equal, together, moved))
        for row in range(3):
            pair = [row, row + 1]
            two = decode(gpt, conditioning[pair], [texts[one] for one in pair], codes[pair])
            assert all(torch.equal(part[pair], other) for part, other in zip(together, two, strict=True))


def test_a_longer_neighbour_that_widens_the_bucket_changes_no_bit():
    gpt = Gpt(library(), CPU, torch.float32)
    conditioning, texts, codes = some(2, 8)
    texts[0] = texts[0] * 2
    short = decode(gpt, conditioning, texts, codes)
    texts[1] = list(itertools.islice(itertools.cycle(texts[1]), 85))
    long = decode(gpt, conditioning, texts, codes)
    assert len(texts[0]) + 42 < BUCKET < len(texts[1]) + 34
    assert all(torch.equal(part[0], other[0]) for part, other in zip(short, long, strict=True))
    assert not torch.equal(short[0][1], long[0][1])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_full_precision(precision):
    able_to_work_in(precision)
    dtype = getattr(torch, precision)
    conditioning, texts, codes = some(3, 10)
    full, _ = decode(Gpt(library(), CPU, torch.float32), conditioning, texts, codes)
    half, _ = decode(Gpt(library(), CPU, dtype), conditioning, texts, codes)
    assert half.dtype == dtype
    assert (half.float() - full).abs().mean() < 0.03 * full.abs().mean()
