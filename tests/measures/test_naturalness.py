"""What a predictor is given is exactly the clip, and what it says is the score."""

import warnings

import pytest

from builder.errors import ConfigError
from builder.plugins.measures import Weights
from builder.plugins.measures.naturalness import Naturalness
from tests.measures.conftest import clip, voice


@pytest.fixture(scope="module")
def saved(torch, tmp_path_factory):
    """Saves a network as TorchScript: a name to its path."""

    class Loudest(torch.nn.Module):
        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            return samples.abs().amax(dim=1).float()

    class Whole(torch.nn.Module):
        """Takes whole numbers only, as a trace of UTMOS does."""

        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            assert samples.dtype == torch.int16
            return torch.full((1,), float(samples.size(1)))

    class EachSample(torch.nn.Module):
        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            return samples[0].float()

    def save(kind):
        path = tmp_path_factory.mktemp("jit") / "predictor.jit"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script({"loudest": Loudest, "whole": Whole, "each": EachSample}[kind]()).save(path)
        return str(path)

    return save


def measured(path, *clips, **settings):
    with Naturalness(**settings).open(Weights(path=path)) as gauge:
        return gauge.measure(clips)


def test_it_is_given_the_clip_at_its_own_scale_and_rate(saved):
    one = clip(voice(200, 1.0, level=0.4, harmonics=1))
    (whole,) = measured(saved("loudest"), one)
    (fraction,) = measured(saved("loudest"), one, samples="float32")
    assert whole["mos"] == pytest.approx(0.4 * 32767, rel=0.01)
    assert fraction["mos"] == pytest.approx(0.4, rel=0.01)
    for rate in (8000, 16_000, 24_000):
        assert measured(saved("whole"), one, sampling_rate_hz=rate) == [{"mos": float(rate)}]


def test_every_clip_has_a_score_of_its_own(saved, clips):
    together = measured(saved("loudest"), *clips)
    assert together == [measured(saved("loudest"), one)[0] for one in clips]


@pytest.mark.parametrize(("kind", "samples"), [("whole", "float32"), ("each", "int16")])
def test_a_predictor_of_another_kind_is_refused(saved, kind, samples):
    with pytest.raises(ConfigError, match=rf"cannot be loaded as one that scores {samples} on 'cpu'"):
        measured(saved(kind), clip(voice(200, 1.0)), samples=samples)


def test_a_file_that_is_no_torchscript_is_refused(torch, tmp_path):
    path = tmp_path / "predictor.jit"
    path.write_bytes(b"PK no")
    with pytest.raises(ConfigError, match="cannot be loaded as a file of TorchScript on 'cpu'"):
        measured(str(path), clip(voice(200, 1.0)))
