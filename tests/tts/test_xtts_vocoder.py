"""A clip sounds as the library's own decoder would speak it, however long those are that it is spoken with."""

from collections.abc import Iterable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.core.draw import seed_of  # noqa: E402
from builder.plugins.tts.xtts.model import load  # noqa: E402
from builder.plugins.tts.xtts.vocoder import Tokens, Vocoder  # noqa: E402
from tests.tiny_xtts import TINY, make_xtts, small  # noqa: E402

LAST_BITS = 2e-5
"""Of sums in another order, at full scale 1."""


@pytest.fixture(scope="module", autouse=True)
def built_small():
    with small(channels=32), torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """Makes the library's decoder anew each time, with the same weights."""
    folder = make_xtts(tmp_path_factory.mktemp("xtts") / "model")
    return lambda: load(folder, "en").xtts.hifigan_decoder


@pytest.fixture(scope="module")
def vocoder(decoder):
    """Makes a vocoder that speaks so many clips together, as on a GPU."""
    return lambda rows: Vocoder(decoder(), torch.device("cpu"), rows)


def clips(*lengths: int) -> list[Tokens]:
    def drawn(place: int, length: int) -> Tokens:
        stream = torch.Generator().manual_seed(seed_of(length, str(place)))
        latents = torch.randn(length, TINY["decoder_input_dim"], generator=stream)
        return Tokens(latents, torch.randn(1, 512, 1, generator=stream))

    return [drawn(place, length) for place, length in enumerate(lengths)]


def apart(some: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> float:
    """How far the samples of clips of the same lengths are apart, at most."""
    pairs = list(zip(some, others, strict=True))
    assert all(one.shape == other.shape for one, other in pairs)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def heard(vocoder: Vocoder) -> list[int]:
    """How many clips each batch from now on has, written down as it is spoken."""
    batches: list[int] = []
    vocoder._decoder.waveform_decoder.register_forward_pre_hook(
        lambda _, inputs: batches.append(len(inputs[0]))
    )
    return batches


def test_one_by_one_a_clip_is_what_the_librarys_decoder_makes_of_it_bit_for_bit(decoder, vocoder):
    wanted, own = clips(9, 1, 14, 2, 3, 147), decoder()
    for clip, samples in zip(wanted, vocoder(1)(wanted), strict=True):
        assert np.array_equal(own(clip.latents[None], g=clip.speaker).flatten().numpy(), samples)
        assert np.abs(samples).max() > 0.1


@pytest.mark.parametrize(
    "lengths",
    [tuple(range(1, 14)), (9, 1, 14, 2, 3, 12, 5), (2, 147, 1), (60, 1), (7, 7)],
    ids=lambda lengths: "-".join(map(str, lengths)),
)
def test_clips_spoken_in_one_batch_are_the_same_but_for_the_last_bits_of_sums(vocoder, lengths):
    together = vocoder(16)
    batches = heard(together)
    assert apart(vocoder(1)(clips(*lengths)), together(clips(*lengths))) < LAST_BITS
    assert batches == [len(lengths)]


def test_padding_would_be_heard_at_the_end_if_it_were_not_silenced_before_a_convolution(vocoder):
    """What the test above leans on: letting off any convolution but the first, which is given zeros, changes a clip's end."""
    wanted, loud = clips(12, 9), vocoder(2)
    _, alone = vocoder(1)(wanted)
    hooked = [module for module in loud._decoder.modules() if module._forward_pre_hooks]
    assert len(hooked) == 1 + 4 + 4 * 3 * 6 + 1
    for module in hooked[1:]:
        (hook,) = module._forward_pre_hooks.items()
        module._forward_pre_hooks.clear()
        _, padded = loud(wanted)
        module._forward_pre_hooks.update([hook])
        assert np.abs(alone - padded).max() > 10 * LAST_BITS
        assert np.abs(alone - padded)[: len(alone) // 2].max() < LAST_BITS, "and only the end"


def test_a_batch_holds_clips_of_like_length_and_so_many_that_memory_does(vocoder, monkeypatch):
    together, wanted = vocoder(3), clips(5, 50, 6, 20, 7, 19, 8)
    batches = heard(together)
    alone = vocoder(1)(wanted)
    assert apart(alone, together(wanted)) < LAST_BITS
    assert batches == [3, 3, 1], "rows"
    monkeypatch.setattr("builder.plugins.tts.xtts.vocoder._MOST_TOKENS", 40)
    del batches[:]
    assert apart(alone, together(wanted)) < LAST_BITS
    assert batches == [1, 2, 3, 1], "tokens: 50, however many, then 2 of 20, then 3 of 8"


def test_where_memory_runs_out_it_goes_on_with_half_as_many_clips_and_the_same_sound(vocoder, capfd):
    together, wanted = vocoder(8), clips(5, 9, 6, 4, 7, 3)
    batches = heard(together)

    def little(_, inputs):
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    together._decoder.waveform_decoder.conv_pre.register_forward_pre_hook(little)
    assert apart(vocoder(1)(wanted), together(wanted)) < LAST_BITS
    assert batches == [6, 3, 1, 1, 1, 1, 1, 1]
    assert [line for line in capfd.readouterr().err.splitlines() if line.startswith("xtts:")] == [
        "xtts: out of memory to voice 6 lines at once, goes on with 3",
        "xtts: out of memory to voice 3 lines at once, goes on with 1",
    ]


def test_where_memory_does_not_do_for_a_single_clip_whoever_asked_is_told(vocoder):
    together = vocoder(4)

    def none(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    together._decoder.waveform_decoder.conv_pre.register_forward_pre_hook(none)
    with pytest.raises(torch.OutOfMemoryError):
        together(clips(3, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu_a_batch_is_what_the_cpu_speaks_one_by_one(decoder, vocoder, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    wanted, device = clips(9, 1, 14, 2, 3, 147), torch.device("cuda")
    there = [Tokens(*(part.to(device) for part in clip)) for clip in wanted]
    torch.cuda.synchronize()
    assert apart(vocoder(1)(wanted), Vocoder(decoder().to(device), device, 16)(there)) < 1e-4
