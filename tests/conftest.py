"""What tests of several folders are given."""

import gc

import pytest
from hypothesis import HealthCheck, settings

# A property that holds does so on a slow machine, and on every machine the same examples are tried.
settings.register_profile(
    "calm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calm")


# The imports of collecting stay alive: frozen, their million objects are not searched for garbage again and again.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("NODE_TOKEN", "tok-5ecret-5ecret")
    return "tok-5ecret-5ecret"


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """What is packaged has no figures, as where matplotlib is not installed: drawing takes seconds."""
    monkeypatch.setattr("builder.evidence.gallery.LIBRARY", "no_such_library")
