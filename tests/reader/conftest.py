"""What the tests of the reader are given: one small packaged dataset, and an empty cache."""

import datasets
import pytest

from tests.streamed import write


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("streamed") / "packaged")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("DEEPDIALOGUE_DATA", raising=False)
