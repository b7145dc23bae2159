"""What the tests of the backends are given."""

import pytest

from tests.tiny import make_llama


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("NODE_TOKEN", "tok-5ecret-5ecret")
    return "tok-5ecret-5ecret"


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return make_llama(tmp_path_factory.mktemp("tiny-llama"))
