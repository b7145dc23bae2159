"""Two versions and a Hub for the tests of publishing."""

import pytest

from builder.__main__ import main
from tests.releases import add, dataset, pointed
from tests.servers.hub import Hub


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The first version."""
    return dataset(tmp_path_factory.mktemp("base") / "small")


@pytest.fixture(scope="session")
def grown(tmp_path_factory):
    """The first version and a dialogue more: 1.1.0."""
    return dataset(tmp_path_factory.mktemp("grown") / "small", add)


@pytest.fixture(scope="session")
def slim(tmp_path_factory):
    """The first version's text: few files, for what is done many times."""
    return dataset(tmp_path_factory.mktemp("slim") / "small", configs=("text-only",))


@pytest.fixture(scope="session")
def slim_grown(tmp_path_factory):
    """The same and a dialogue more."""
    return dataset(tmp_path_factory.mktemp("slim_grown") / "small", add, configs=("text-only",))


@pytest.fixture
def hub(tmp_path):
    with Hub() as hub, pointed(hub, tmp_path / "hf") as waits:
        hub.waits = waits
        yield hub


@pytest.fixture
def push(hub, capsys):
    """Pushes; gives the exit status and all that was said."""

    def push(folder, *options, to="lab/speech"):
        status = main(["push", str(folder), to, *options])
        said = capsys.readouterr()
        return status, said.out + said.err

    return push
