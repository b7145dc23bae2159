"""What writing a whole file promises."""

import errno

import pytest

from builder.files import put, replacing


def test_a_file_is_put_in_its_place_and_replaced(tmp_path):
    put(tmp_path / "run.json", [b"old"])
    put(tmp_path / "run.json", [b"n", memoryview(b"ew")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"run.json": b"new"}


def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    def parts():
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    put(tmp_path / "run.json", [b"old"])
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "run.json", parts())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"run.json": b"old"}


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path):
    for content in ("old", "new"):
        with replacing(tmp_path / "out") as folder:
            (folder / content).write_text(content)
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {"new": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_fails_on_the_way_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    with replacing(tmp_path / "out") as folder:
        (folder / "old").touch()

    def fill():
        with replacing(tmp_path / "out") as folder:
            (folder / "half").touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "out",
        "out/old",
    ]
