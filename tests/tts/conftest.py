"""What the tests of the engines are given."""

import gc

import pytest

from tests.tiny_orpheus import make_snac


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small only wait for each other's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def built_small():
    """The library builds XTTS's networks small."""
    from tests.tiny_xtts import small

    with small():
        gc.freeze()  # the library is large, and whatever runs out of memory here has it searched for garbage
        yield


@pytest.fixture(scope="session")
def snac(tmp_path_factory):
    """The folder of a tiny SNAC."""
    pytest.importorskip("snac", reason="the extra 'orpheus' is not installed")
    return str(make_snac(tmp_path_factory.mktemp("weights") / "snac_tiny"))
