"""What a row holds when it ends is its piece's alone, at the published model's own widths as well."""

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.plugins.tts.xtts.batch import Batch, Piece  # noqa: E402
from builder.plugins.tts.xtts.conditioning import Conditioning  # noqa: E402
from builder.plugins.tts.xtts.gpt import Gpt  # noqa: E402
from builder.plugins.tts.xtts.synthesizer import SAMPLING  # noqa: E402

MOST = 12


@pytest.fixture(scope="module")
def gpt():
    """One layer of the published model's size."""
    from TTS.tts.layers.xtts.gpt import GPT

    torch.manual_seed(0)
    own = GPT(
        layers=1,
        model_dim=1024,
        heads=16,
        start_text_token=3,
        number_text_tokens=50,
        max_text_tokens=90,
        max_mel_tokens=MOST + 3,
        num_audio_tokens=1026,
        start_audio_token=1024,
        stop_audio_token=1025,
        use_perceiver_resampler=True,
    ).eval()
    return Gpt(own, torch.device("cpu"), torch.float32)


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def some_pieces(count):
    own = torch.Generator().manual_seed(2)
    voice = Conditioning(torch.randn(1, 32, 1024, generator=own), torch.zeros(1, 512, 1))
    texts = [torch.randint(4, 50, (3 + 11 * place,), generator=own).tolist() for place in range(count)]
    return [
        Piece(text, lambda: voice, seed, msgspec.structs.replace(SAMPLING, top_k=None))
        for seed, text in enumerate(texts)
    ]


def spoken(gpt, rows, pieces):
    """The latents of each piece, in order, however few rows there are."""
    batch, waiting, ended = Batch(gpt, rows), list(pieces), {}
    while len(ended) < len(pieces):
        ended |= dict(batch.take())
        begun, waiting = waiting[: batch.room()], waiting[batch.room() :]
        batch.admit([(piece, piece.conditioning()) for piece in begun])
        batch.run()
    assert batch.room() == rows
    return [ended[piece] for piece in pieces]


def test_pieces_come_out_bit_for_bit_the_same_whatever_the_number_of_rows(gpt):
    pieces = some_pieces(5)
    one_by_one = spoken(gpt, 1, pieces)
    assert {tuple(latents.shape) for latents in one_by_one} == {(MOST, 1024)}
    for rows in (2, 3, 8):
        assert all(map(torch.equal, one_by_one, spoken(gpt, rows, pieces)))


def test_a_row_whose_piece_is_no_longer_wanted_is_free_at_the_next_look(gpt):
    first, second = some_pieces(2)
    batch = Batch(gpt, 2)
    batch.admit([(first, first.conditioning()), (second, second.conditioning())])
    batch.run()
    assert batch.take() == []
    assert batch.room() == 0
    first.spoken.cancel()
    assert [piece for piece, _ in batch.take()] == [first]
    assert batch.room() == 1
