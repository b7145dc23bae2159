"""The published data, from the download to `load_dataset`, through the public command line."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import deepdialogue
from tests.commands import deepdialogue as run_deepdialogue
from tests.environments import interpreter

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT.parent / "shared/published-sample"
ENVIRONMENTS = {"5.2": "light", "4.8": "datasets-4.8", "3.6": "datasets-3.6"}

pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="the sample of published dialogues is not beside the checkout"
)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """All of the sample."""
    return made(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The dialogues of one pairing: every `datasets` reads them in ten ways."""
    return made(tmp_path_factory.mktemp("few"), "--pairing", "qwen2.5-72B")


def made(folder, *chosen):
    for arguments in (
        ("ingest", SAMPLE, "--run", "run", *chosen),
        ("package", "--run", "run", "--out", "dist/deepdialogue"),
        ("validate", "dist/deepdialogue"),
    ):
        done = run_deepdialogue(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / "dist/deepdialogue"


def published(engine):
    """What was published, by id: the JSON, and the samples of every segment."""
    found = {}
    for path in sorted((SAMPLE / engine).glob("data/dialogues_*/*.json")):
        pairing = path.parent.name.removeprefix("dialogues_")
        segments = sorted((path.with_suffix("") / "segments").iterdir())
        found[f"{pairing}/{path.stem}"] = (
            json.loads(path.read_text(encoding="utf-8")),
            {segment.stem: soundfile.read(segment, dtype="int16") for segment in segments},
        )
    return found


@pytest.mark.parametrize("engine", ["xtts", "orpheus"])
def test_every_published_dialogue_is_a_row_with_its_words_emotions_classes_and_samples(
    packaged, engine, tmp_path
):
    splits = deepdialogue.load(engine, data_dir=packaged, cache_dir=str(tmp_path))
    rows = {row["id"]: (row, split.features) for split in splits.values() for row in split}
    expected = published(engine)
    assert len(expected) == 10
    assert rows.keys() == expected.keys()
    for id, (source, segments) in expected.items():
        row, features = rows[id]
        assert features["domain"].names[row["domain"]].replace("_", " ") == source["domain"]
        assert row["rehearsal"] is False
        emotion = (
            features["turns"][0]["emotion"]
            if isinstance(features["turns"], list)
            else features["turns"].feature["emotion"]
        )
        assert [turn["text"] for turn in row["turns"]] == [turn["text"] for turn in source["conversation"]]
        assert [emotion.names[turn["emotion"]] for turn in row["turns"]] == [
            turn["emotion"] for turn in source["conversation"]
        ]
        for turn, clip, (name, (samples, rate)) in zip(
            row["turns"], row["audio"], segments.items(), strict=True
        ):
            assert deepdialogue.RAVDESS[turn["ravdess"]] == name.split("_")[2]
            assert clip["sampling_rate"] == rate == 24000
            assert np.array_equal(clip["array"], samples.astype(np.float32) / 32768)
            assert turn["end"] - turn["start"] == pytest.approx(len(samples) / rate)


def test_the_clips_laid_at_their_start_seconds_are_the_published_full_recording(packaged, tmp_path):
    for split in deepdialogue.load("xtts", data_dir=packaged, cache_dir=str(tmp_path)).values():
        for row in split:
            pairing, _, name = row["id"].partition("/")
            full, rate = soundfile.read(
                SAMPLE / f"xtts/data/dialogues_{pairing}/{name}/{name}_full.wav", dtype="float32"
            )
            laid = np.zeros(round(row["duration"] * rate), np.float32)
            for turn, clip in zip(row["turns"], row["audio"], strict=True):
                begin = round(turn["start"] * rate)
                laid[begin : begin + len(clip["array"])] = clip["array"]
            assert np.array_equal(laid, full)


def test_hub_ids_are_recovered_from_cache_paths_and_no_path_is_left(packaged, tmp_path):
    for split in deepdialogue.load("text-only", data_dir=packaged, cache_dir=str(tmp_path)).values():
        for row in split:
            source, _ = published("xtts")[row["id"]]
            for said, checkpoint in (
                (source["model1"], row["first_checkpoint"]),
                (source["model2"], row["second_checkpoint"]),
            ):
                hub_id, _, revision = checkpoint.partition("@")
                assert hub_id.count("/") == 1
                assert not checkpoint.startswith("/")
                assert hub_id == said or hub_id.replace("/", "--") in said
                assert revision in said
    card = (packaged / "README.md").read_text()
    assert "hf_cache" not in card
    assert "rehearsal, not training data" not in card


@pytest.mark.parametrize("version", ENVIRONMENTS)
def test_load_dataset_of_every_version_opens_it(few, version, tmp_path):
    python = interpreter(ENVIRONMENTS[version])
    environment = {
        "PATH": os.environ["PATH"],
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [python, ROOT / "tests/loading.py", few],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "xtts" in done.stdout


def test_what_is_damaged_is_refused_by_name_and_the_rest_goes_on(tmp_path):
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", "--no-preserve=mode", SAMPLE, source], check=True)
    folder = source / "xtts/data/dialogues_llama3-70B_qwen2.5-72B"
    torn = next((folder / "finance_1_5/segments").glob("002_*"))
    torn.write_bytes(torn.read_bytes()[:-1000])
    done = run_deepdialogue("ingest", source, "--run", "run", cwd=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    assert "finance_1_5" in line
    assert torn.name in line
    assert "cut off" in line
    assert "19 done" in done.stderr
    again = run_deepdialogue("ingest", SAMPLE, "--run", "run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 done, 19 done before" in again.stderr
