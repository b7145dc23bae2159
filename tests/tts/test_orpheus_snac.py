import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'orpheus' is not installed")

from builder.errors import ConfigError  # noqa: E402
from builder.plugins.tts.orpheus.snac import Codec, Codes, load  # noqa: E402
from tests.servers.orpheus import draw  # noqa: E402
from tests.tiny_orpheus import make_snac  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("snac", reason="the extra 'orpheus' is not installed")
    return make_snac(tmp_path_factory.mktemp("weights") / "snac_tiny")


@pytest.fixture(scope="module")
def codec(folder):
    return load(str(folder), "cpu", 8)


@pytest.fixture(scope="module")
def together(folder):
    """The same, decoding eight clips at once, as it does on a GPU."""
    from snac import SNAC

    return Codec(SNAC.from_pretrained(str(folder)), "SNAC", 8)


def clips(*frames):
    return [
        Codes(draw(number, frames).integers(0, 4096, (number, 7)), seed) for seed, number in enumerate(frames)
    ]


LENGTHS = (9, 1, 14, 2, 3, 12, 5)


def test_a_clip_is_what_the_library_makes_of_it_with_the_same_seed_bit_for_bit(codec, folder):
    from snac import SNAC

    network = SNAC.from_pretrained(str(folder))
    for clip, samples in zip(clips(*LENGTHS), codec.decode(clips(*LENGTHS)), strict=True):
        torch.manual_seed(clip.seed)
        levels = [
            torch.from_numpy(clip.codes[:, slots].reshape(1, -1)) for slots in ([0], [1, 4], [2, 3, 5, 6])
        ]
        with torch.inference_mode():
            assert np.array_equal(network.decode(levels)[0, 0].numpy(), samples)


def test_a_frame_is_2048_samples_and_the_first_and_last_are_sound(codec):
    (samples,) = codec.decode(clips(5))
    assert samples.shape == (5 * 2048,)
    assert samples.dtype == np.float32
    assert all(np.square(frame).mean() > 1e-3 for frame in samples.reshape(5, 2048))


def test_a_clip_does_not_depend_on_those_beside_it_bit_for_bit(codec):
    wanted = clips(*LENGTHS)
    whole = codec.decode(wanted)
    alone = [codec.decode([clip])[0] for clip in wanted]
    backwards = codec.decode(wanted[::-1])[::-1]
    for one, other, third in zip(whole, alone, backwards, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)


def test_clips_decoded_in_one_batch_are_the_same_but_for_the_last_bits_of_sums(codec, together):
    for one, other in zip(codec.decode(clips(*LENGTHS)), together.decode(clips(*LENGTHS)), strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 5e-6


def test_padding_would_be_heard_if_it_were_not_silenced(folder, codec):
    """What the test above leans on: the library itself, given padded codes, changes the end of a clip."""
    from snac import SNAC

    network = SNAC.from_pretrained(str(folder))
    short, padding = clips(12, 5)
    whole = np.concatenate([short.codes, padding.codes])
    levels = [torch.from_numpy(whole[:, slots].reshape(1, -1)) for slots in ([0], [1, 4], [2, 3, 5, 6])]
    noiseless = Codec(network, "SNAC", 1)
    noiseless.noise = lambda width: torch.zeros(1, 1, width)
    (alone,) = noiseless.decode([short])
    noiseless._frames = [17]
    with torch.inference_mode():
        padded = network.decode(levels)[0, 0].numpy()[: len(alone)]
    assert np.abs(alone - padded).max() > 0.01
    assert np.abs(alone - padded)[: 6 * 2048].max() < 5e-6, "and only the end"


def test_the_seed_decides_the_noise(codec):
    (clip,) = clips(6)
    first, again, other = codec.decode([clip, clip, clip._replace(seed=99)])
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_decoding_leaves_the_global_stream_and_the_library_alone(codec):
    from snac.layers import NoiseBlock

    before = torch.random.get_rng_state()
    codec.decode(clips(3))
    assert torch.equal(before, torch.random.get_rng_state())
    assert "forward" not in vars(NoiseBlock(4))


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling_rate": 32000},
        {"vq_strides": [8, 4, 2, 1]},
        {"codebook_size": 1024},
        {"attn_window_size": 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_codec_is_refused_with_the_repair(tmp_path, changes):
    pytest.importorskip("snac", reason="the extra 'orpheus' is not installed")
    with pytest.raises(ConfigError, match="is not SNAC at 24 kHz: name hubertsiuzdak/snac_24khz"):
        load(str(make_snac(tmp_path, **changes)), "cpu", 8)


def test_weights_that_cannot_be_loaded_are_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"snac = 'nobody/nothing' cannot be loaded on 'cpu'"):
        load("nobody/nothing", "cpu", 8)
    with pytest.raises(ConfigError, match=r"snac = '.*' cannot be loaded on 'cpu'"):
        load(str(tmp_path), "cpu", 8)
    with pytest.raises(ConfigError, match=r"cannot be loaded on 'warp:3'"):
        load(str(folder), "warp:3", 8)
    (tmp_path / "config.json").write_text(json.dumps({"colour": "red"}))
    with pytest.raises(ConfigError, match="colour"):
        load(str(tmp_path), "cpu", 8)
    for file in ("config.json", "pytorch_model.bin"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="cannot be loaded") as refused:
        load(str(tmp_path), "cpu", 8)
    assert "weights_only" not in str(refused.value), "PyTorch's advice is to trust whatever the file does"


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_download_that_broke_off_is_named_with_its_repair(folder, tmp_path, share):
    for file in ("config.json", "pytorch_model.bin"):
        whole = (folder / file).read_bytes()
        (tmp_path / file).write_bytes(whole if file == "config.json" else whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match=r"cannot be loaded .*: name a folder with a whole config\.json"):
        load(str(tmp_path), "cpu", 8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_absent_is_named(folder):
    with pytest.raises(ConfigError, match=r"on 'cuda': .+, and a device that is here"):
        load(str(folder), "cuda", 8)


def test_it_names_the_folder_and_not_the_way_to_it(codec):
    assert codec.name == "snac_tiny"
