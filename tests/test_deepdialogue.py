import io
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import yaml

import deepdialogue
from deepdialogue import CONFIGS, LABELS, DeepDialogue, Labels
from tests.packaged import RATE, package, rows
from tests.streamed import DOMAINS, write

FACTS = Path(__file__).resolve().parents[2] / "shared" / "paper" / "facts.json"
FOREIGN = Labels(("tea", "art"), ("a_b", "b"), ("a", "b"), ("dull", "glad", "sad", "wry"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return package(tmp_path_factory.mktemp("packaged") / "deepdialogue")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test starts in an empty folder, with an empty cache."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("DEEPDIALOGUE_DATA", raising=False)
    deepdialogue._warn_without_torchcodec.cache_clear()
    return here


def named(row, labels=LABELS):
    """A row read with the labels of the vocabulary, without its audio."""
    contract = datasets.Features(deepdialogue.features("xtts", labels))
    turn = contract["turns"].feature
    plain = {
        column: contract[column].int2str(value)
        if isinstance(contract[column], datasets.ClassLabel)
        else value
        for column, value in row.items()
        if column != "audio"
    }
    plain["turns"] = [
        {
            name: turn[name].int2str(value) if isinstance(turn[name], datasets.ClassLabel) else value
            for name, value in spoken.items()
        }
        for spoken in row["turns"]
    ]
    return plain


def assert_spoken(row, expected):
    """The row is the expected one, sample for sample."""
    assert named(row) == {column: value for column, value in expected.items() if column != "audio"}
    assert len(row["audio"]) == len(expected["audio"])
    for clip, truth in zip(row["audio"], expected["audio"], strict=True):
        assert (clip["path"], clip["sampling_rate"]) == (truth["path"], RATE)
        assert clip["array"].dtype == np.float32
        np.testing.assert_array_equal(clip["array"], truth["samples"] / np.float32(2**15))


# The labels and the contract


def test_the_labels_are_those_of_the_paper():
    if not FACTS.is_file():
        pytest.skip("the paper's facts are not beside this checkout")
    facts = json.loads(FACTS.read_text())
    assert sorted(facts["domains"]) == list(LABELS.domains)
    assert [pairing["name"] for pairing in facts["pairings"]] == list(LABELS.pairings)
    assert sorted(facts["models"]) == list(LABELS.models)
    assert sorted(facts["ravdess_class_of_emotion"]) == list(LABELS.emotions)
    assert set(facts["ravdess_class_of_emotion"].values()) - {None} <= set(deepdialogue.RAVDESS)


def test_no_label_occurs_twice():
    for names in (*LABELS, deepdialogue.RAVDESS, deepdialogue.SPLITS, deepdialogue.SPEAKERS, CONFIGS):
        assert len(set(names)) == len(names)


def test_columns_come_in_the_promised_order():
    head = ["id", "split", "domain", "pairing", "first_model", "second_model", "first_checkpoint"]
    head += ["second_checkpoint", "rehearsal", "num_turns"]
    spoken = ["engine", "first_voice", "second_voice", "duration"]
    assert list(deepdialogue.features("xtts")) == [*head, *spoken, "scores", "turns", "audio"]
    assert list(deepdialogue.features("text-only")) == [*head, "scores", "turns"]
    words = ["speaker", "text", "emotion", "ravdess"]
    assert list(deepdialogue.features("xtts")["turns"].feature) == [*words, "start", "end"]
    assert list(deepdialogue.features("text-only")["turns"].feature) == words


def test_where_a_row_is_a_turn_every_column_is_one_value_that_can_be_filtered():
    features = deepdialogue.features("another-turns", sampling_rate=16_000)
    assert list(features) == [
        "id",
        "dialogue",
        "turn",
        "num_turns",
        "split",
        "domain",
        "pairing",
        "rehearsal",
        "model",
        "checkpoint",
        "engine",
        "voice",
        "speaker",
        "text",
        "emotion",
        "ravdess",
        "start",
        "duration",
        "audio",
    ]
    assert features["audio"] == datasets.Audio(sampling_rate=16_000)
    assert {type(kind) for name, kind in features.items() if name != "audio"} == {
        datasets.Value,
        datasets.ClassLabel,
    }


def test_a_config_of_any_other_name_has_audio_at_its_own_rate():
    audio = deepdialogue.features("another", sampling_rate=16_000)["audio"]
    assert audio.feature == datasets.Audio(sampling_rate=16_000)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("labels", [LABELS, FOREIGN], ids=["own", "foreign"])
def test_the_schema_says_the_features_in_the_notation_of_datasets_3(config, labels):
    schema = deepdialogue.schema(config, labels, 16_000)
    assert datasets.Features.from_arrow_schema(schema) == deepdialogue.features(config, labels, 16_000)
    notation = schema.metadata[b"huggingface"].decode()
    assert '"List"' not in notation
    said = json.loads(notation)["info"]["features"]
    assert config.endswith("-turns") or isinstance(said["turns"], list)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_cards_features_survive_yaml(config):
    listed = yaml.safe_load(yaml.safe_dump(deepdialogue.card_features(config, FOREIGN, 16_000)))
    assert datasets.Features._from_yaml_list(listed) == deepdialogue.features(config, FOREIGN, 16_000)


# Where the data is


def test_the_bare_name_builds_this_class_after_the_import(folder):
    builder = datasets.load_dataset_builder("deepdialogue", "orpheus", data_dir=str(folder))
    assert type(builder) is DeepDialogue
    assert datasets.get_dataset_config_names("deepdialogue") == list(CONFIGS)
    splits = datasets.get_dataset_split_names("deepdialogue", "text-only", data_dir=str(folder))
    assert splits == list(deepdialogue.SPLITS)


def test_what_a_system_leaves_beside_the_shards_is_never_read(elsewhere):
    root = package(elsewhere / "junk")
    for shard in sorted(root.glob("*/*/*.parquet")):
        for name in (f"._{shard.name}", ".nfs0001", ".DS_Store", "Thumbs.db", f"@eaDir/{shard.name}"):
            shard.with_name("@eaDir").mkdir(exist_ok=True)
            (shard.parent / name).write_bytes(b"\0\5\x16\7")
    due = rows("text-only", "train")
    for loaded in (
        datasets.load_dataset(str(root), "text-only", split="train"),
        deepdialogue.load("text-only", "train", data_dir=root),
        deepdialogue.load("text-only", "train", data_dir=root, streaming=True),
    ):
        assert [row["id"] for row in loaded] == [row["id"] for row in due]


def test_xtts_is_the_default(folder):
    assert datasets.load_dataset_builder("deepdialogue", data_dir=str(folder)).config.name == "xtts"


def test_the_environment_names_the_root(folder, monkeypatch):
    monkeypatch.setenv("DEEPDIALOGUE_DATA", str(folder))
    assert deepdialogue.load("text-only", "test").num_rows == 2


def test_the_root_given_outranks_the_environment(folder, monkeypatch):
    monkeypatch.setenv("DEEPDIALOGUE_DATA", "/nowhere")
    assert deepdialogue.load("text-only", "test", data_dir=folder).num_rows == 2


@pytest.mark.parametrize("place", ["deepdialogue", "dist/deepdialogue"])
def test_a_packaged_folder_here_is_found(elsewhere, place):
    package(elsewhere / place)
    assert deepdialogue.load("text-only", "train").num_rows == 4


def test_a_packaged_folder_of_that_name_comes_before_the_module(elsewhere):
    package(elsewhere / "deepdialogue")
    builder = datasets.load_dataset_builder("deepdialogue", "xtts")
    assert not isinstance(builder, DeepDialogue)
    assert builder.info.features == deepdialogue.features("xtts")


def test_a_checkout_of_that_name_is_not_taken_for_a_dataset(elsewhere):
    checkout = elsewhere / "deepdialogue"
    checkout.mkdir()
    (checkout / "README.md").write_text("# A project\n")
    (checkout / "deepdialogue.py").write_text("")
    package(elsewhere / "dist" / "deepdialogue")
    builder = datasets.load_dataset_builder("deepdialogue", "xtts")
    assert isinstance(builder, DeepDialogue)
    assert all("dist/deepdialogue" in path for path in builder.config.data_files["train"])


def test_without_a_dataset_the_error_names_every_place_to_put_one():
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load_dataset("deepdialogue", "xtts")
    message = str(caught.value)
    assert "\n" not in message
    for place in (
        "data_dir=",
        "DEEPDIALOGUE_DATA",
        "hf://datasets/",
        "./deepdialogue",
        "./dist/deepdialogue",
    ):
        assert place in message


def test_a_config_that_was_not_packaged_is_named(elsewhere):
    package(elsewhere / "small")
    for path in (elsewhere / "small" / "orpheus").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"small has no orpheus/<split>/\*\.parquet"):
        deepdialogue.load("orpheus", data_dir="small")


@pytest.mark.parametrize("name", ["d [1]", "q?m", "a*b", "{x,y}", "~x", "a#b%20 c", "-ü!", "[!x]"])
def test_a_folder_of_any_name_is_read_in_every_way_and_never_another(elsewhere, name, monkeypatch):
    package(elsewhere / name / "deepdialogue", shards={"test": ("art",)})
    for like in ("d 1", "qam", "acb", "x", "y"):
        package(elsewhere / like / "deepdialogue", shards={"test": ("art", "work")})
    expected = [row["id"] for row in rows("text-only", "test", domains=("art",))]
    root = f"{name}/deepdialogue"
    ways = [
        deepdialogue.load("text-only", "test", data_dir=root),
        deepdialogue.load("text-only", "test", data_dir=root, streaming=True),
        datasets.load_dataset("deepdialogue", "text-only", data_dir=root, split="test"),
        datasets.load_dataset("deepdialogue", "text-only", data_dir=root, split="test", streaming=True),
        datasets.load_dataset(f"./{root}", "text-only", split="test"),
    ]
    monkeypatch.chdir(name)
    ways.append(datasets.load_dataset("deepdialogue", "text-only", split="test", streaming=True))
    assert [[row["id"] for row in way] for way in ways] == [expected] * 6


@pytest.mark.parametrize("name", ["a::b", "$HOME"])
def test_a_name_that_datasets_cannot_read_is_said(elsewhere, name):
    package(elsewhere / name, shards={"test": ("art",)})
    with pytest.raises(FileNotFoundError, match=r"rename the folder, or ask for a subset"):
        deepdialogue.load("text-only", "test", data_dir=name)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("dist/nothing", "there is no such folder"),
        ("/nowhere/at/all", "there is no such folder"),
        ("no-org/no-name", "there is no such folder, nor can it be read as a dataset of the Hub"),
        ("~nobody/at/all", "there is no such folder"),
        ("x" * 300, "there is no such folder"),
        ("file", "is a file"),
        ("empty", "is no packaged dataset: name the folder that has CONFIG/SPLIT"),
        ("dist", "is no packaged dataset: do you mean .*dist/deepdialogue?"),
        ("dist/deepdialogue/xtts", "is no packaged dataset: do you mean .*dist/deepdialogue?"),
        ("dist/deepdialogue/xtts/test", "is no packaged dataset: do you mean .*dist/deepdialogue?"),
    ],
)
def test_a_data_dir_that_is_no_dataset_is_one_line_with_the_repair(elsewhere, named, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    package(elsewhere / "dist" / "deepdialogue", shards={"test": ("art",)})
    (elsewhere / "file").write_text("")
    (elsewhere / "empty").mkdir()
    for read in (
        lambda: deepdialogue.load("text-only", data_dir=named),
        lambda: deepdialogue.load("text-only", data_dir=named, streaming=True, level="turn"),
        lambda: deepdialogue.messages(data_dir=named),
        lambda: datasets.load_dataset("deepdialogue", "text-only", data_dir=named),
    ):
        with pytest.raises(FileNotFoundError, match=said) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_config_and_a_vocabulary_of_a_studys_own_are_read_in_every_way(elsewhere):
    folder = write(elsewhere / "deepdialogue", configs=("espeak", "text-only"), count=2)
    ways = [
        deepdialogue.load("espeak", "train", data_dir=folder),
        deepdialogue.load("espeak", "train", data_dir=folder, streaming=True),
        deepdialogue.load("espeak", "train", data_dir=folder, streaming=True, domain=list(DOMAINS)),
        datasets.load_dataset("deepdialogue", "espeak", data_dir=str(folder), split="train").cast_column(
            "audio", [datasets.Audio(decode=False)]
        ),
    ]
    ids = [[row["id"] for row in way] for way in ways]
    assert ids == ids[:1] * 4
    with pytest.raises(
        ValueError, match=r"config 'espaek' not found. Available: \['text-only', 'espeak', 'espeak-turns'\]"
    ):
        deepdialogue.load("espaek", "train", data_dir=folder, streaming=True, domain="art")
    with pytest.raises(FileNotFoundError, match=r"has no xtts/<split>/\*.parquet, but text-only, espeak"):
        deepdialogue.load("xtts", "train", data_dir=folder)


def test_an_unknown_config_is_refused_with_the_known_ones(folder):
    with pytest.raises(ValueError, match=r"'xtss' not found.*'xtts', 'orpheus', 'text-only'"):
        deepdialogue.load("xtss", data_dir=folder)


def test_a_split_without_shards_is_left_out(elsewhere):
    package(elsewhere / "small", shards={"test": ("art",)})
    assert list(deepdialogue.load("xtts", data_dir="small")) == ["test"]
    assert list(deepdialogue.load("xtts", data_dir="small", streaming=True)) == ["test"]


def test_another_vocabulary_is_read_from_the_shards(elsewhere):
    package(elsewhere / "small", FOREIGN, {"train": ("tea",)})
    loaded = datasets.load_dataset("deepdialogue", "text-only", data_dir="small", split="train")
    assert loaded.features == deepdialogue.features("text-only", FOREIGN)
    assert [named(row, FOREIGN) for row in loaded] == rows("text-only", "train", FOREIGN, ("tea",))


def test_what_was_packaged_anew_is_read_anew(elsewhere):
    for title in ("first", "second"):
        package(elsewhere / "small", shards={"train": ("art",)}, title=title)
        loaded = deepdialogue.load("text-only", "train", data_dir="small")
        assert [named(row) for row in loaded] == rows("text-only", "train", domains=("art",), title=title)


def test_registering_again_changes_nothing():
    before = datasets.load.dataset_module_factory
    deepdialogue.register()
    assert datasets.load.dataset_module_factory is before
    assert datasets.inspect.dataset_module_factory is before


def test_other_names_still_load(elsewhere):
    (elsewhere / "words.txt").write_text("one\ntwo\n")
    loaded = datasets.load_dataset("text", data_files="words.txt", split="train")
    assert loaded["text"][:] == ["one", "two"]


# What is loaded


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_where_a_row_is_a_turn_its_audio_is_one_clip_decoded_at_any_rate_or_not_at_all(folder, streaming):
    options = {"data_dir": folder, "streaming": streaming}
    truth = rows("xtts-turns", "train")
    loaded = list(deepdialogue.load("xtts-turns", "train", **options))
    assert [row["id"] for row in loaded] == [row["id"] for row in truth]
    for row, expected in zip(loaded, truth, strict=True):
        clip = row["audio"]
        assert (clip["path"], clip["sampling_rate"]) == (expected["audio"]["path"], RATE)
        np.testing.assert_array_equal(clip["array"], expected["audio"]["samples"] / np.float32(2**15))
    slow = next(iter(deepdialogue.load("xtts-turns", "train", sampling_rate=16_000, **options)))["audio"]
    assert (len(slow["array"]), slow["sampling_rate"]) == (800, 16_000)
    encoded = next(iter(deepdialogue.load("xtts-turns", "train", decode=False, **options)))["audio"]
    assert encoded["bytes"].startswith(b"fLaC")


def test_a_column_and_a_batch_of_clips_are_decoded_as_a_row_is(folder):
    loaded = deepdialogue.load("orpheus-turns", "test", data_dir=folder)
    lengths = [len(row["audio"]["array"]) for row in loaded]
    assert [len(clip["array"]) for clip in loaded["audio"]] == lengths
    assert [len(clip["array"]) for clip in loaded[:]["audio"]] == lengths


@pytest.mark.parametrize("split", deepdialogue.SPLITS)
@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_load_gives_every_sample_as_it_was_packaged(folder, split, streaming):
    loaded = deepdialogue.load("xtts", split, data_dir=folder, streaming=streaming)
    for row, expected in zip(loaded, rows("xtts", split), strict=True):
        assert_spoken(row, expected)


def test_load_returns_what_load_dataset_returns(folder):
    kinds = {
        (None, False): datasets.DatasetDict,
        ("test", False): datasets.Dataset,
        (None, True): datasets.IterableDatasetDict,
        ("test", True): datasets.IterableDataset,
    }
    for config in ("xtts", "text-only"):
        for (split, streaming), kind in kinds.items():
            assert type(deepdialogue.load(config, split, data_dir=folder, streaming=streaming)) is kind


def test_a_slice_and_a_list_of_splits_load(folder):
    sliced, test = deepdialogue.load("xtts", ["train[1:2]", "test"], data_dir=folder)
    assert [row["id"] for row in sliced] == [rows("xtts", "train")[1]["id"]]
    assert_spoken(sliced[0], rows("xtts", "train")[1])
    assert_spoken(test[0], rows("xtts", "test")[0])


def test_loading_copies_nothing_beside_the_cache_load_dataset_makes(folder, tmp_path):
    datasets.load_dataset("deepdialogue", "xtts", data_dir=str(folder))
    made = set(tmp_path.rglob("*.arrow"))
    loaded = deepdialogue.load("xtts", data_dir=folder, sampling_rate=16_000)
    assert {Path(file["filename"]) for dataset in loaded.values() for file in dataset.cache_files} == made
    datasets.load_dataset("deepdialogue", "xtts", data_dir=str(folder), sampling_rate=8_000)
    assert set(tmp_path.rglob("*.arrow")) == made


def test_a_clip_is_decoded_only_when_audio_is_asked_for(folder, monkeypatch):
    loaded = deepdialogue.load("xtts", "train", data_dir=folder)

    def refuse(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile, "read", refuse)
    assert loaded["id"][:] == [row["id"] for row in rows("xtts", "train")]
    assert isinstance(loaded.select_columns(["turns"])[0]["turns"][0], dict)
    with pytest.raises(AssertionError, match="decoded"):
        loaded["audio"][0]


def test_one_column_of_audio_is_decoded_too(folder):
    clips = deepdialogue.load("xtts", "test", data_dir=folder)["audio"][0]
    assert [len(clip["array"]) for clip in clips] == [1_200, 2_400, 3_600]


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_undecoded_audio_is_its_bytes_and_a_bare_name(folder, streaming):
    loaded = deepdialogue.load("xtts", "test", data_dir=folder, decode=False, streaming=streaming)
    assert loaded.features["audio"].feature.decode is False
    clip = next(iter(loaded))["audio"][0]
    assert (clip["bytes"][:4], clip["path"]) == (b"fLaC", "work_0_00.flac")


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_audio_is_resampled_to_the_rate_asked_for(folder, streaming):
    loaded = deepdialogue.load("xtts", "test", data_dir=folder, sampling_rate=16_000, streaming=streaming)
    clip = next(iter(loaded))["audio"][2]
    assert (clip["sampling_rate"], clip["array"].shape, clip["array"].dtype) == (16_000, (2_400,), np.float32)
    spectrum = np.abs(np.fft.rfft(clip["array"]))
    assert np.argmax(spectrum) * 16_000 / 2_400 == pytest.approx(300, abs=7)


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_plain_loading_takes_a_sampling_rate_too(folder, streaming):
    loaded = datasets.load_dataset(
        "deepdialogue", "xtts", data_dir=str(folder), split="test", sampling_rate=16_000, streaming=streaming
    )
    assert loaded.features["audio"].feature == datasets.Audio(sampling_rate=16_000)


def test_several_channels_become_one():
    file = io.BytesIO()
    soundfile.write(file, np.array([[0.5, 0.0], [0.25, -0.25]]), RATE, format="FLAC")
    [clip] = deepdialogue._decode([{"bytes": file.getvalue(), "path": "a.flac"}])
    assert clip["array"].tolist() == [0.25, 0.0]


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_chosen_columns_alone_are_read(folder, streaming):
    options = {"data_dir": folder, "columns": ["id", "turns"], "streaming": streaming}
    assert list(next(iter(deepdialogue.load("xtts", "test", **options)))) == ["id", "turns"]


@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streaming"])
def test_a_loaded_dataset_travels_to_a_process_that_imported_nothing(folder, tmp_path, streaming):
    loaded = deepdialogue.load("xtts", "test", data_dir=folder, streaming=streaming)
    (tmp_path / "pickled").write_bytes(pickle.dumps(loaded))
    code = "import pickle; print([len(c['array']) for c in list(pickle.load(open('pickled', 'rb')))[0]['audio']])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[1200, 2400, 3600]\n", done.stderr


def test_what_is_computed_from_a_decoded_dataset_is_decoded_too(folder):
    loaded = deepdialogue.load("xtts", "train", data_dir=folder)
    measured = loaded.map(lambda row: {"longest": max(len(clip["array"]) for clip in row["audio"])})
    assert measured["longest"][:] == [3_600, 4_800] * 2
    for changed in (
        measured,
        loaded.shuffle(seed=3),
        loaded.filter(lambda turns: turns > 0, input_columns="num_turns"),
    ):
        expected = {row["id"]: row for row in rows("xtts", "train")}
        for row in changed:
            row.pop("longest", None)
            assert_spoken(row, expected.pop(row["id"]))
        assert not expected


def test_a_dataset_loaded_in_another_way_is_decoded_as_it_stands(folder):
    plain = datasets.load_dataset(str(folder), "xtts")
    assert_spoken(deepdialogue.decoded(plain)["test"][1], rows("xtts", "test")[1])
    shuffled = plain["train"].shuffle(seed=3)
    assert deepdialogue.decoded(shuffled)["id"][:] == shuffled["id"][:]
    text = datasets.load_dataset(str(folder), "text-only", split="test")
    assert deepdialogue.decoded(text) is text


def test_a_decoded_dataset_is_saved_as_plain_audio(folder):
    deepdialogue.load("xtts", "test", data_dir=folder).with_format(None).save_to_disk("saved")
    saved = datasets.load_from_disk("saved")
    assert saved.features == deepdialogue.features("xtts")
    assert_spoken(deepdialogue.decoded(saved)[0], rows("xtts", "test")[0])


def test_several_processes_build_the_same_rows(folder):
    loaded = datasets.load_dataset(
        "deepdialogue", "text-only", data_dir=str(folder), split="train", num_proc=2
    )
    assert [named(row) for row in loaded] == rows("text-only", "train")


# What is said when something is missing


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A torchcodec that cannot be imported: call it with the error its import raises."""

    def install(error):
        package = tmp_path / "site" / "torchcodec"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "decoders.py").write_text(f"raise {error}")
        monkeypatch.syspath_prepend(package.parent)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchcodec"]:
            monkeypatch.delitem(sys.modules, name)

    yield install
    for name in [name for name in sys.modules if name.split(".")[0] == "torchcodec"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "error", ["ImportError('gone')", "OSError('libx.so: gone')", "RuntimeError('gone\\nmore')"]
)
def test_audio_that_datasets_cannot_decode_is_warned_of_once(folder, broken, caplog, error):
    broken(error)
    with caplog.at_level(logging.WARNING):
        for streaming in (False, True):
            datasets.load_dataset("deepdialogue", "xtts", data_dir=str(folder), streaming=streaming)
    (record,) = [record for record in caplog.records if record.name == "deepdialogue"]
    message = record.getMessage()
    assert "\n" not in message
    for part in ("gone", "torchcodec", "FFmpeg", "deepdialogue.load(...)", "deepdialogue[torchcodec]"):
        assert part in message


def test_nothing_is_said_of_torchcodec_where_it_is_not_needed(folder, broken, caplog):
    broken("ImportError('gone')")
    datasets.load_dataset("deepdialogue", "text-only", data_dir=str(folder))
    row = deepdialogue.load("xtts", "test", data_dir=folder)[0]
    row_of_stream = next(iter(deepdialogue.load("xtts", "test", data_dir=folder, streaming=True)))
    assert_spoken(row, rows("xtts", "test")[0])
    assert_spoken(row_of_stream, rows("xtts", "test")[0])
    assert [record for record in caplog.records if record.name == "deepdialogue"] == []


@pytest.mark.parametrize("module", ["soundfile", "soxr"])
def test_a_missing_decoder_is_named_with_its_repair(folder, monkeypatch, module):
    loaded = deepdialogue.load("xtts", "test", data_dir=folder, sampling_rate=16_000)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"decoding audio needs {module} .*pip install {module}"):
        loaded[0]
