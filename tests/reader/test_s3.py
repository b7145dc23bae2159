"""The reader on an object store: a real server of the S3 protocol on loopback, asked by the real client."""

import sys

import pytest
import s3fs
from torch.utils.data import DataLoader

import deepdialogue
from builder.errors import ConfigError, DatasetError
from tests.servers.s3 import BUCKET, KEYS, S3

ROOT = f"s3://{BUCKET}/speech/packaged"


@pytest.fixture(scope="module")
def server():
    with S3() as server:
        yield server


@pytest.fixture
def bucket(server, folder, tmp_path, monkeypatch):
    """The small dataset in a bucket, and what a user's environment says of it, and nothing that this machine says."""
    own = {"AWS_ENDPOINT_URL": server.url, "AWS_EC2_METADATA_DISABLED": "true"}
    files = {name: str(tmp_path / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in (KEYS | own | files).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    if not (store := s3fs.S3FileSystem()).exists(ROOT):
        store.put(str(folder), ROOT, recursive=True)
    server.reset()
    yield ROOT
    s3fs.S3FileSystem.clear_instance_cache()


def rows(root, config="xtts", **asked):
    return deepdialogue.load(config, "train", data_dir=root, streaming=True, **asked)


def test_a_subset_in_a_bucket_is_the_subset_in_the_folder(bucket, folder):
    asked = {"domain": "travel", "level": "turn", "decode": False}
    assert list(rows(bucket, **asked)) == list(rows(folder, **asked)) != []
    decoded = next(iter(rows(bucket, level="dialogue", sampling_rate=16_000)))
    assert decoded["audio"][0]["sampling_rate"] == 16_000
    chats = deepdialogue.messages("train", data_dir=bucket)
    assert chats[:] == deepdialogue.messages("train", data_dir=folder)[:]


def test_a_plain_load_takes_a_bucket_too(bucket, folder):
    assert [row["id"] for row in rows(bucket, "text-only")] == [
        row["id"] for row in rows(folder, "text-only")
    ]


def test_workers_that_are_forked_read_from_the_bucket(bucket, folder):
    stream = rows(bucket, level="turn", columns=["id", "audio"], decode=False)
    next(iter(stream))
    read = [
        row["id"]
        for batch in DataLoader(stream, batch_size=8, num_workers=2, collate_fn=list)
        for row in batch
    ]
    assert sorted(read) == sorted(row["id"] for row in rows(folder, level="turn", columns=["id"]))


@pytest.mark.parametrize("root", [f"s3://{BUCKET}/elsewhere", "s3://no-such-bucket/packaged"])
def test_a_folder_or_bucket_that_is_not_there_is_one_line(bucket, root):
    with pytest.raises(FileNotFoundError) as error:
        rows(root, level="turn")
    assert str(error.value).startswith(f"{root} has no index/xtts.parquet: check the address, ")
    assert "\n" not in str(error.value)


def test_without_credentials_one_line_says_so_and_none_is_ever_said(bucket, monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DatasetError) as error:
        rows(bucket, level="turn")
    assert "\n" not in str(error.value)
    assert "redentials" in str(error.value)


def test_a_server_that_is_not_there_is_one_line_without_a_secret(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DatasetError, match=rf"^{ROOT}/index/xtts\.parquet: cannot be read: ") as error:
        rows(bucket, level="turn")
    assert not any(value in str(error.value) for value in KEYS.values())


def test_an_answer_that_fails_or_breaks_off_is_asked_for_again(server, bucket, folder):
    server.faults += [("GET", "travel-", "503"), ("GET", "travel-", "lost answer")]
    read = [row["id"] for row in rows(bucket, domain="travel", level="dialogue")]
    assert read == [row["id"] for row in rows(folder, domain="travel", level="dialogue")]
    assert not server.faults


def test_an_answer_that_is_too_short_is_one_line_and_no_damaged_clip(server, bucket):
    server.faults += [("GET", "travel-", "half")]
    with pytest.raises(DatasetError) as error:
        list(rows(bucket, domain="travel", level="dialogue"))
    assert "travel-" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_is_refused_is_one_line_that_does_not_say_it(server, bucket):
    server.faults += [("HEAD", "index", "refused"), ("GET", "index", "refused")]
    with pytest.raises(DatasetError) as error:
        rows(bucket, level="turn")
    assert "\n" not in str(error.value)
    assert not any(value in str(error.value) for value in list(KEYS.values())[:2])


def test_a_client_that_is_not_installed_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        ConfigError, match=r"s3fs cannot be imported .*pip install 'deepdialogue\[s3\]' installs it"
    ):
        rows(ROOT, level="turn")
