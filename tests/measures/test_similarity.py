"""A voice is compared with its own other clips and with the other speaker's, within a dialogue."""

import numpy as np
import pytest

from builder.plugins.measures import Weights
from builder.plugins.measures.similarity import Similarity
from tests.measures.conftest import clip, silence, voice


@pytest.fixture
def measured(xvector):
    with Similarity().open(Weights(path=str(xvector))) as gauge:
        yield gauge.measure


@pytest.fixture
def by_hand(torch, xvector):
    """The x-vector of a clip, without our code."""
    import soxr
    from transformers import WavLMForXVector

    network = WavLMForXVector.from_pretrained(xvector).eval()

    def vector(one):
        sound = soxr.resample(one.samples / 32768, one.sampling_rate_hz, 16_000)
        sound = (sound - sound.mean()) / (sound.var() + 1e-7) ** 0.5
        with torch.no_grad():
            return network(torch.tensor(sound[None], dtype=torch.float32)).embeddings[0].numpy()

    return vector


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_it_is_the_cosine_to_the_mean_of_the_others_voices(measured, by_hand, clips):
    units = [vector / np.linalg.norm(vector) for vector in map(by_hand, clips)]
    first, second = units[::2], units[1::2]
    found = measured(clips)
    assert found[0]["similarity_same"] == pytest.approx(cosine(units[0], first[1] + first[2]), abs=1e-4)
    assert found[0]["similarity_other"] == pytest.approx(cosine(units[0], second[0] + second[1]), abs=1e-4)
    assert found[3]["similarity_same"] == pytest.approx(cosine(units[3], units[1]), abs=1e-4)
    assert found[3]["similarity_other"] == pytest.approx(cosine(units[3], sum(first)), abs=1e-4)


def test_a_speaker_who_says_the_same_thing_twice_has_one_voice(measured, clips):
    found = measured([clips[0], clips[1], clips[0]])
    assert found[0]["similarity_same"] == pytest.approx(1)
    assert found[0]["similarity_other"] < 1


def test_a_speaker_who_speaks_once_is_compared_with_the_other_only(measured, clips):
    found = measured(clips[:3])
    assert found[1].keys() == {"similarity_other"}
    assert found[0].keys() == {"similarity_same", "similarity_other"}
    assert measured(clips[:1]) == [{}]


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.3])
def test_the_shortest_clip_has_a_voice(measured, clips, seconds):
    found = measured([clip(voice(150, seconds)), clips[1]])
    assert -1 <= found[0]["similarity_other"] <= 1


def test_a_silent_clip_is_compared_without_a_warning(measured, clips):
    assert np.isfinite(measured([clip(silence(1.0)), clips[1]])[0]["similarity_other"])
