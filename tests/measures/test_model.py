"""What every measure by a model promises: without weights or a library it does not run, and what it cannot use it refuses."""

import sys

import numpy as np
import pytest

from builder.errors import ConfigError, NotRunError
from builder.plugins import find, make
from builder.plugins.measures import Measure, Weights
from builder.plugins.measures._model import waveform
from tests.measures.conftest import clip, voice

MODELS = ("naturalness", "similarity", "transcript")


def opened(name, weights):
    with make(Measure, {}, "study.toml", default=name).open(weights) as gauge:
        return gauge


@pytest.mark.parametrize("name", MODELS)
def test_without_weights_it_does_not_run_and_says_where_to_name_them(name):
    with pytest.raises(NotRunError, match=rf"set path under \[measures\.{name}\] in a site"):
        opened(name, None)


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("naturalness", "torch", "transformers"),
        ("similarity", "transformers", "transformers"),
        ("transcript", "transformers", "transformers"),
        ("transcript", "jiwer", "speech"),
    ],
)
def test_without_its_library_it_does_not_run_and_says_what_installs_it(name, library, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        NotRunError, match=rf"{library} cannot be imported.*pip install 'deepdialogue\[{extra}\]'"
    ):
        opened(name, Weights(path="weights"))


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_are_not_there_are_an_error_that_names_them(torch, name, tmp_path):
    path = str(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=rf"'{path}' cannot be loaded as .* on 'cpu': .+: name other"):
        opened(name, Weights(path=path))


def test_a_device_that_is_not_there_is_an_error_that_names_it(ctc):
    with pytest.raises(ConfigError, match="cannot be loaded as AutoModelForCTC on 'no-device'"):
        opened("transcript", Weights(path=str(ctc), device="no-device"))


def test_a_download_that_broke_off_is_an_error_that_names_it(ctc, tmp_path):
    for file in ctc.iterdir():
        broken = file.suffix == ".safetensors"
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1000 if broken else None])
    with pytest.raises(ConfigError, match=rf"'{tmp_path}' cannot be loaded as AutoModelForCTC on 'cpu'"):
        opened("transcript", Weights(path=str(tmp_path)))


def test_a_network_with_a_layer_that_nobody_trained_is_refused(torch, ctc, tmp_path):
    """The body of a recogniser, published without its head: transformers would draw one at random and say nothing."""
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    for kind in (AutoFeatureExtractor, AutoModel, AutoTokenizer):
        kind.from_pretrained(ctc).save_pretrained(tmp_path)
    with pytest.raises(
        ConfigError, match=r"holds no weights for 'lm_head\.bias'.*trained as an AutoModelForCTC"
    ):
        opened("transcript", Weights(path=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"holds no weights for .*trained as an AutoModelForAudioXVector"):
        opened("similarity", Weights(path=str(tmp_path)))


@pytest.mark.parametrize("name", MODELS)
def test_its_settings_are_read_strictly(name):
    assert find(Measure, name, "here")() == make(Measure, {}, "here", default=name)
    with pytest.raises(ConfigError, match="unknown key 'path'"):
        make(Measure, {"measure": name, "path": "/models"}, "study.toml")


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
def test_a_clip_is_resampled_to_what_a_network_hears(rate):
    def sine(rate):
        return 0.3 * np.sin(2 * np.pi * 997 * np.arange(rate) / rate)

    found = waveform(clip(sine(rate), rate=rate), 16_000)
    assert found.dtype == np.float32
    assert found[400:-400] == pytest.approx(sine(16_000)[400:-400], abs=1e-3)


def test_a_short_clip_is_followed_by_silence_and_no_other_is():
    short = waveform(clip(voice(200, 0.2, 16_000), rate=16_000), 16_000)
    assert len(short) == 8000
    assert not short[3200:].any()
    assert np.abs(short[:3200]).max() > 0.1
    assert len(waveform(clip(voice(200, 0.7, 16_000), rate=16_000), 16_000)) == 11_200
