"""What the tests of the backends are given."""

import pytest

from tests.tiny import make_llama


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return make_llama(tmp_path_factory.mktemp("tiny-llama"))
