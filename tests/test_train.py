"""The page on training is run as it stands, on models of a few thousand weights, and what it promises is checked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.streamed import write
from tests.tiny import make_llama

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "train.md").read_text()
SUBSETS, NODES, RESUMING, EMOTIONS, CHAT, TRL = re.findall(
    r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


def make_listener(folder):
    """A Wav2Vec2 of a few thousand random weights, and what cuts sound up for it."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(5, 4),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        mask_time_prob=0.0,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
    place = tmp_path_factory.mktemp("train")
    write(place / "deepdialogue", count=5, samples=1_200)
    make_listener(place / "listener")
    make_llama(place / "llama", context=2048)
    return place


def run(place, code, **swapped):
    """Runs a script in a folder beside the dataset, with other models in the place of the page's."""
    for old, new in swapped.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    (place / "page.py").write_text(code)
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    offline = {
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(place / "hf"),
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=place,
        env=environment | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_loads_shuffles_and_resumes_as_it_says(place):
    checked = """
assert len(turns) == len(list(turns)) > 0
assert all(3 <= row["num_turns"] < 7 for row in dialogues)
assert not set(seen) & set(rest)
assert len(seen + rest) == len(stream)
"""
    run(place, f"{SUBSETS}\n{NODES}\n{RESUMING}\n{checked}")


EMOTIONS_CHECKED = """
import json
from builder.errors import DatasetError

assert voices.train and voices.test and not set(voices.train) & set(voices.test)
heard = {"train": set(), "test": set()}
held = {}
for split in ("train", "validation", "test"):
    side = "test" if split == "test" else "train"
    rows = list(clips(split, getattr(voices, side), columns=("dialogue", "voice")))
    held[split] = {row["dialogue"] for row in rows}
    heard[side] |= {row["voice"] for row in rows}
assert not heard["train"] & heard["test"], heard
assert not (held["train"] & held["validation"] or held["train"] & held["test"] or held["validation"] & held["test"])
assert all(held.values())

order = list(CLASSES.values())
config = json.load(open("emotions/config.json"))
assert [config["id2label"][str(n)] for n in range(8)] == order == list(deepdialogue.RAVDESS)
assert [name for name, n in sorted(config["label2id"].items(), key=lambda pair: pair[1])] == order
for stream in (train, validation, test):
    assert stream.features["ravdess"].names == order

assert len(said) == 3 and max(said) == said[1] != said[2]
kept = torch.load("epoch-1.pt")
assert all(torch.equal(kept[name], weight) for name, weight in model.state_dict().items()), "not the best epoch's"
other = torch.load("epoch-2.pt")
assert any(not torch.equal(kept[name], other[name]) for name in kept), "training changes nothing"
"""

SCRIPTED = """
real, said = recall, []
def recall(stream):
    if stream is not validation:
        return real(stream)
    real(stream)
    torch.save(model.state_dict(), f"epoch-{len(said)}.pt")
    said.append([0.3, 0.8, 0.5][len(said)])
    return said[-1]

best = -1.0
"""


def test_the_classifier_tests_its_best_epoch_on_unseen_voices_and_dialogues_with_one_order_of_classes(place):
    out = run(
        place,
        EMOTIONS + EMOTIONS_CHECKED,
        **{'"microsoft/wavlm-base-plus"': '"listener"', "best = -1.0\n": SCRIPTED},
    )
    assert re.fullmatch(r"validation 0\.800, test 0\.\d{3}, on \d+ turns of unseen voices\n", out)


def test_a_clip_that_cannot_be_read_stops_the_training_with_its_name(place, tmp_path):
    import deepdialogue

    write(tmp_path / "deepdialogue", count=5, samples=1_200)
    make_listener(tmp_path / "listener")
    (stored,) = deepdialogue.load(
        "xtts", "train", data_dir=tmp_path / "deepdialogue", streaming=True, level="turn", decode=False
    ).take(1)
    path = next((tmp_path / "deepdialogue" / "xtts" / "train").glob("art-00000.parquet"))
    clip = stored["audio"]["bytes"]
    path.write_bytes(path.read_bytes().replace(clip, clip[:50] + bytes(len(clip) - 50)))
    everyone = EMOTIONS.replace('clips("train", voices.train)', 'clips("train", voices.train + voices.test)')
    with pytest.raises(AssertionError, match=f"DatasetError: .*{stored['dialogue']}: .*cannot be decoded"):
        run(tmp_path, everyone, **{'"microsoft/wavlm-base-plus"': '"listener"'})


CHAT_CHECKED = """
assert len(losses) == len(chats) > 15 and all(loss == loss for loss in losses)
for chat in chats:
    roles = [message["role"] for message in chat["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) and roles
    ids, labels = tokens(chat["messages"])
    learnt = tokenizer.decode(labels[labels != -100])
    for message in chat["messages"]:
        assert (message["content"] in learnt) == (message["role"] == "assistant")
print(sum(losses[:8]) / 8, sum(losses[-8:]) / 8)
"""


def test_the_chat_learns_what_the_assistant_says_and_nothing_else(place):
    out = run(
        place, CHAT + CHAT_CHECKED, **{'"meta-llama/Llama-3.2-1B-Instruct"': '"llama"', "lr=1e-5": "lr=1e-2"}
    )
    before, after = map(float, out.split())
    assert after < before


def test_trl_is_given_what_it_takes(place):
    compile(TRL, "trl", "exec")
    assert "train_dataset=chats" in TRL
