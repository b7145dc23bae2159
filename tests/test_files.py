"""A text is read as any editor saves it, and what a system leaves in a folder is not there."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.files import is_junk, listed, read_text

CODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
JUNK = [
    *("._x.wav", "._x.json", "._train.parquet", ".DS_Store", "__MACOSX", "Icon\r", ".fseventsd", ".Trashes"),
    *("Thumbs.db", "thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information", "~$notes.docx"),
    *(".nfs000000012a", ".fuse_hidden0001", "lost+found", ".Trash-1000", ".directory"),
    *("@eaDir", "#recycle", "#snapshot", ".snapshot", ".ipynb_checkpoints", "__pycache__"),
    *("xtts.jsonl~", ".xtts.jsonl.swp", ".~lock.norms.csv#"),
]
KEPT = ["x.wav", "travel_1_3.json", "data", "x._y", "DS_Store", ".git", ".notes.txt", "00000.flacs", "nfs"]


@pytest.mark.parametrize("coding", CODINGS)
@given(text=st.text(st.characters(exclude_characters="\0\ufeff\r", exclude_categories=["Cs"]), max_size=40))
def test_a_text_is_the_same_however_an_editor_saves_it(tmp_path_factory, coding, text):
    path = tmp_path_factory.getbasetemp() / coding
    path.write_bytes(text.replace("\n", "\r\n").encode(coding))
    assert read_text(path) == text


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\xff\xfe\x00", "not UTF-16-LE"),
        (b"title\xff", "not UTF-8"),
        ("title".encode("utf-16-le"), "a zero byte at character 1"),
    ],
)
def test_what_is_no_text_says_how_to_save_it(tmp_path, data, named):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=f"{named}.*: save it as UTF-8"):
        read_text(tmp_path / "a")


def test_what_a_system_leaves_is_junk_and_what_a_person_names_is_not(tmp_path):
    for name in (*JUNK, *KEPT):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in listed(tmp_path.iterdir())] == sorted(KEPT)
    assert all(is_junk(Path("data", name, "x.wav")) for name in JUNK)
    assert not any(is_junk(Path("data", name, "x.wav")) for name in KEPT)
