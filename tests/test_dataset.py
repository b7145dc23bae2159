"""What a packaged folder says of itself."""

import pytest

from builder.dataset.manifest import Index, Manifest, Shard, describe, read_manifest, strays, write_manifest
from builder.errors import DatasetError


def shard(config, split="train", rows=1):
    path = f"{config}/{split}/travel-00000.parquet"
    return Shard(path=path, config=config, split=split, rows=rows, num_bytes=1, sha256="")


def manifest(*shards, indexes=()):
    return Manifest(study="s", rehearsal=False, card_sha256="", shards=shards, indexes=indexes)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"study":"\xff"}'])
def test_a_folder_without_a_manifest_that_can_be_read_is_no_dataset(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"manifest\.json: .*not a "):
        read_manifest(tmp_path)


def test_the_line_that_leads_to_a_folder_with_a_space_can_be_pasted_as_it_stands(tmp_path):
    folder = tmp_path / "my data/deepdialogue"
    folder.mkdir(parents=True)
    write_manifest(folder, manifest(shard("xtts")))
    assert f"cd '{folder.parent}'" in describe(folder)


def test_every_config_is_counted_and_a_spoken_one_of_dialogues_is_loaded(tmp_path):
    shards = [shard("text-only", rows=4), shard("xtts-turns", rows=24), shard("xtts", "test", 4)]
    write_manifest(tmp_path, manifest(*shards))
    said = describe(tmp_path)
    for line in ("text-only      4 train", "xtts-turns     24 train", "xtts           4 test"):
        assert line in said
    assert f'load_dataset("{tmp_path.name}", "xtts")' in said
    assert 'deepdialogue.load("xtts", "test"' in said
    assert read_manifest(tmp_path).spoken == ["xtts"]


def test_an_index_is_the_datasets_own_and_a_folder_that_was_packaged_without_any_is_still_read(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/xtts.parquet").write_bytes(b"")
    write_manifest(tmp_path, manifest())
    assert read_manifest(tmp_path).indexes == ()
    assert list(strays(tmp_path, read_manifest(tmp_path))) == [tmp_path / "index/xtts.parquet"]
    held = Index(path="index/xtts.parquet", config="xtts", rows=0, num_bytes=0, sha256="")
    write_manifest(tmp_path, manifest(indexes=(held,)))
    assert list(strays(tmp_path, read_manifest(tmp_path))) == []
