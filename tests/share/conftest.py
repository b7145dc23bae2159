"""Both kinds of storage, each with a new place for every test."""

import itertools
import shutil
from types import SimpleNamespace

import pytest
import s3fs

from tests.servers.s3 import BUCKET, KEYS, S3
from tests.share.parts import begun

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def loopback():
    with S3() as server:
        yield server


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPDIALOGUE_SCRATCH", str(tmp_path / "scratch"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(loopback, environment, monkeypatch):
    loopback.reset()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", loopback.url)
    yield loopback
    loopback.reset()


@pytest.fixture(params=["disk", "s3"])
def place(request, tmp_path, environment):
    """Where a run can be shared: its URL, and how to make it go away and come back."""
    if request.param == "disk":
        folder = tmp_path / "disk" / "run"

        def away():
            folder.rename(folder.with_name("elsewhere"))

        def back():
            if folder.exists():
                shutil.rmtree(folder)
            folder.with_name("elsewhere").rename(folder)

        return SimpleNamespace(url=str(folder), away=away, back=back)
    server = request.getfixturevalue("s3")

    def away():
        server.down = True

    def back():
        server.down = False

    return SimpleNamespace(url=f"s3://{BUCKET}/{next(_NUMBERS)}/run", away=away, back=back)


@pytest.fixture
def share(place):
    """A share of a small study without judges, of which nothing is done yet."""
    return begun(place.url)


@pytest.fixture
def reconnected():
    """What says where S3 is and who asks is read again, now and after the test."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield s3fs.S3FileSystem.clear_instance_cache
    s3fs.S3FileSystem.clear_instance_cache()
