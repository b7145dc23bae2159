"""What tests of several folders are given."""

import pytest


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("NODE_TOKEN", "tok-5ecret-5ecret")
    return "tok-5ecret-5ecret"
