"""What a source may be called."""

from pathlib import Path

import pytest

from builder.errors import ConfigError
from builder.hub.address import Address, where


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("SALT-Research/DeepDialogue-xtts", Address("SALT-Research/DeepDialogue-xtts", None)),
        ("hf://datasets/lab/Talk-Orpheus", Address("lab/Talk-Orpheus", None)),
        ("hf://datasets/lab/talk-xtts@v1.0", Address("lab/talk-xtts", "v1.0")),
        ("lab/talk-xtts@refs/pr/3", Address("lab/talk-xtts", "refs/pr/3")),
    ],
)
def test_a_repository_is_named_with_or_without_its_revision(source, address):
    assert where(source) == address
    assert address.config in {"xtts", "orpheus"}


def test_a_folder_that_is_there_is_a_folder_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lab/talk-xtts").mkdir(parents=True)
    assert where("lab/talk-xtts") == Path("lab/talk-xtts")
    assert where("hf://datasets/lab/talk-xtts") == Address("lab/talk-xtts", None)


@pytest.mark.parametrize(
    "source", ["nowhere", "a/b/c", "/no/such/folder", "hf://datasets/lab", "lab/talk-xtts@"]
)
def test_what_is_neither_is_refused_with_how_to_write_it(source):
    with pytest.raises(
        ConfigError, match="is no folder, and no dataset of the Hub, which is written ORG/NAME"
    ):
        where(source)


@pytest.mark.parametrize("source", ["lab/talk-", "lab/talk-a.b"])
def test_a_repository_whose_name_says_no_engine_is_refused(source):
    with pytest.raises(ConfigError, match="its name ends in no engine's"):
        where(source)
