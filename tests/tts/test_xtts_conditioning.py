"""What a voice sounds like is computed once, and a cache that holds anything else than that is not believed."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.core.emotion import Emotion  # noqa: E402
from builder.core.speech import Voice  # noqa: E402
from builder.errors import SynthesisError  # noqa: E402
from builder.plugins.tts._references import References  # noqa: E402
from builder.plugins.tts.xtts.conditioning import Conditioner  # noqa: E402
from builder.plugins.tts.xtts.model import Model, load  # noqa: E402
from tests.ravdess import make_ravdess  # noqa: E402
from tests.tiny_xtts import HAPPY, VOICE, make_xtts, small  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with small():
        yield load(make_xtts(tmp_path_factory.mktemp("model")), "en")


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return References(make_ravdess(tmp_path_factory.mktemp("clips"), classes=("happy",)))


@pytest.fixture
def conditioner(model, references, tmp_path):
    """A new one on every call, over the same cache: a process begun anew."""
    with torch.inference_mode():
        yield lambda one=model: Conditioner(one, references, tmp_path, torch.device("cpu"))


@pytest.fixture
def computed(model):
    """How often the model listened to a clip."""
    heard = []
    hook = model.xtts.gpt.conditioning_encoder.register_forward_hook(lambda *_: heard.append(1))
    yield heard
    hook.remove()


def same(one, other) -> bool:
    return all(map(torch.equal, one, other))


def test_it_is_what_the_library_makes_of_the_reference(model, references, conditioner):
    waveform = references.reference(VOICE, HAPPY).waveform
    sound = torch.from_numpy(waveform.samples)[None]
    latents, speaker = conditioner()(VOICE, HAPPY)
    config = model.xtts.config
    expected = model.xtts.get_gpt_cond_latents(
        sound, 22050, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
    )
    assert torch.equal(latents, expected)
    assert torch.equal(speaker, model.xtts.get_speaker_embedding(sound, 22050))
    assert latents.shape == (1, 32, 64)
    assert speaker.shape == (1, 512, 1)


def test_a_reference_is_listened_to_once_now_and_in_every_process_to_come(conditioner, computed):
    first = conditioner()
    one = first(VOICE, HAPPY)
    chunks = len(computed)
    assert chunks
    assert same(one, first(VOICE, HAPPY))
    assert same(one, conditioner()(VOICE, HAPPY))
    assert len(computed) == chunks


def test_voices_and_models_do_not_share_what_is_kept(model, conditioner, computed, tmp_path):
    conditioner()(VOICE, HAPPY)
    chunks = len(computed)
    conditioner()(Voice(name="actor-02", sex="female"), HAPPY)
    conditioner(Model(model.xtts, "en", "f" * 64, model.version))(VOICE, HAPPY)
    assert len(computed) == 3 * chunks
    assert len(list(tmp_path.glob("*.npz"))) == 3


def _code(path):
    np.savez(path, latents=np.array([{"not": "numbers"}], object), speaker=np.zeros((1, 512, 1), np.float32))


def _other_width(path):
    np.savez(path, latents=np.zeros((1, 32, 65), np.float32), speaker=np.zeros((1, 512, 1), np.float32))


def _not_finite(path):
    whole = dict(np.load(path))
    np.savez(path, **(whole | {"speaker": whole["speaker"] * np.float32("nan")}))


def _nameless(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((1, 32, 64), np.float32))


def _flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "flipped": _flipped,
    "of another format": lambda path: path.write_bytes(b"latents"),
    "of objects": _code,
    "of another width": _other_width,
    "not finite": _not_finite,
    "one array alone": lambda path: np.savez(path, latents=np.zeros((1, 32, 64), np.float32)),
    "an array without a name": _nameless,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_is_not_what_was_kept_is_made_again(conditioner, computed, tmp_path, damage):
    one = conditioner()(VOICE, HAPPY)
    (kept,) = tmp_path.iterdir()
    damage(kept)
    computed.clear()
    assert same(one, conditioner()(VOICE, HAPPY))
    assert computed
    if kept.is_file():
        computed.clear()
        assert same(one, conditioner()(VOICE, HAPPY))
        assert not computed
    assert list(tmp_path.iterdir()) == [kept]


def test_a_cache_that_takes_nothing_more_only_costs_time(conditioner, tmp_path):
    first = conditioner()
    shutil.rmtree(tmp_path)
    assert same(first(VOICE, HAPPY), conditioner()(VOICE, HAPPY))


def _refuse(*_):
    raise RuntimeError("Kernel size can't be greater than actual input size\nat ...")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda *parts: parts[2] * torch.nan, "it gives numbers out of range"),
        (_refuse, "Kernel size can't .* size"),
    ],
    ids=["not a number", "refused"],
)
def test_a_reference_that_the_model_makes_nothing_of_is_named_and_not_kept(
    model, conditioner, tmp_path, how, reason
):
    hook = model.xtts.gpt.conditioning_encoder.register_forward_hook(how)
    try:
        with pytest.raises(SynthesisError, match=rf"take after Actor_01/03-01-03-01-.* \({reason}\): bring"):
            conditioner()(VOICE, HAPPY)
    finally:
        hook.remove()
    assert not list(tmp_path.iterdir())


def test_intensity_is_heard(conditioner):
    strong = Emotion(ravdess="happy", intensity="strong", valence=1, arousal=1, successors=("other",))
    one = conditioner()
    assert not same(one(VOICE, HAPPY), one(VOICE, strong))
