"""What a folder holds is XTTS-v2 or refused by name, and nothing in it is ever run."""

import hashlib
import json
import os
import shutil

import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.errors import ConfigError, SynthesisError  # noqa: E402
from builder.plugins.tts.xtts.model import load  # noqa: E402
from tests.tiny_xtts import make_xtts  # noqa: E402

pytestmark = pytest.mark.usefixtures("built_small")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_xtts(tmp_path_factory.mktemp("xtts"))


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "model")


def weights(model) -> dict:
    return model.xtts.state_dict()


def same(one, other) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_weights_are_those_that_the_library_loads(made):
    from TTS.tts.models.xtts import Xtts, XttsConfig

    config = XttsConfig()
    config.load_json(made / "config.json")
    own = Xtts(config)
    own.load_checkpoint(config, checkpoint_dir=made, eval=False)
    loaded = weights(load(made, "en"))
    assert loaded.keys() == own.state_dict().keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in own.state_dict().items())


@pytest.mark.parametrize("name", ["config.json", "model.pth", "vocab.json"])
def test_a_missing_file_is_named_with_where_to_get_it_and_its_licence(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=rf"has no {name}, .*huggingface\.co/coqui/XTTS-v2.*non-commercial"):
        load(folder, "en")


@pytest.mark.parametrize("name", ["config.json", "model.pth", "vocab.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b'{"model": "vits"}', b"\x80\x04]\x94.", b"\xff\xd8\xff"])
def test_a_damaged_file_is_named(folder, name, content):
    if name == "config.json" and content == b"{}":
        content = b"[]"  # an empty table is a configuration like any other: the library's own
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"/{name}: not XTTS-v2's \(.+\): fetch it from") as refused:
        load(folder, "en")
    assert "\n" not in str(refused.value)


def test_weights_of_another_architecture_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model_args"]["gpt_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"model\.pth: not XTTS-v2's \(.*Missing key"):
        load(folder, "en")


class Mischief:
    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_code_in_a_checkpoint_is_not_run(folder, tmp_path):
    checkpoint = torch.load(folder / "model.pth", weights_only=True)
    torch.save({**checkpoint, "config": Mischief(tmp_path / "ran")}, folder / "model.pth")
    with pytest.raises(ConfigError, match=r"model\.pth: not XTTS-v2's"):
        load(folder, "en")
    assert not (tmp_path / "ran").exists()
    torch.load(folder / "model.pth", weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_an_old_checkpoint_with_the_librarys_own_records_loads_and_stays_as_it_is(made, folder, monkeypatch):
    import TTS.tts.models.xtts as library

    for record in (library.XttsArgs, library.XttsAudioConfig):  # where they were when it was written
        monkeypatch.setattr(record, "__module__", library.__name__)
    config = library.XttsConfig()
    config.load_json(folder / "config.json")
    torch.save({**torch.load(folder / "model.pth"), "config": config}, folder / "model.pth")
    monkeypatch.undo()
    before = (folder / "model.pth").read_bytes()
    assert same(load(folder, "en"), load(made, "en"))
    assert hashlib.sha256((folder / "model.pth").read_bytes()).digest() == hashlib.sha256(before).digest()


def test_a_checkpoint_of_the_trainer_loads_without_what_only_the_trainer_needs(made, folder):
    state = torch.load(folder / "model.pth")["model"]
    trained = {f"xtts.{name}": weight for name, weight in state.items()}
    trained["xtts.gpt.gpt_inference.final_norm.weight"] = trained["xtts.gpt.final_norm.weight"]
    trained["xtts.gpt.gpt.wte.weight"] = trained["xtts.gpt.mel_embedding.weight"]
    trained["dvae.codebook.embed"] = trained["torch_mel_spectrogram_dvae.mel_stft.window"] = torch.ones(3)
    torch.save({"model": trained}, folder / "model.pth")
    assert same(load(folder, "en"), load(made, "en"))


def test_a_language_that_the_model_does_not_speak_is_refused_with_the_nearest(made):
    with pytest.raises(ConfigError, match=r"does not speak language 'eng': did you mean 'en'\?"):
        load(made, "eng")


def test_the_digest_is_of_all_three_files(made, folder):
    before = load(folder, "en").digest
    assert before == load(made, "de").digest
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert load(folder, "en").digest != before


def test_a_piece_is_read_in_the_models_language_and_never_longer_than_it_bears(made):
    english, german = load(made, "en"), load(made, "de")
    assert english.tokens("7 foxes.") != german.tokens("7 foxes.")
    assert english.tokens("  So HAPPY. ") == english.tokens("so happy.")
    assert english.limit == german.limit == 220
    assert english.sampling_rate_hz == 24000


def test_a_text_that_the_librarys_rules_for_numbers_do_not_hold_for_is_an_error_of_the_line(made):
    with pytest.raises(
        SynthesisError, match=r"XTTS cannot read '\$999.*' \(OverflowError: .*\): change the text"
    ):
        load(made, "en").tokens("$" + "9" * 400 + ".50")
