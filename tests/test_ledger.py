"""What a run's ledgers promise."""

import json
import os
import resource
import subprocess
import sys
import textwrap
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import RunError
from builder.records import Record
from builder.run.ledger import Ledger


class Note(Record):
    id: str
    text: str = ""


def notes(path, *, writable=True, latest=False):
    return Ledger(path, Note, writable=writable, latest=latest)


def test_what_was_appended_is_read_back_in_the_order_of_writing(tmp_path):
    with notes(tmp_path / "notes.jsonl") as ledger:
        for number in (3, 1, 2):
            ledger.append(str(number), Note(id=str(number), text="x" * 5000 * number))
    with notes(tmp_path / "notes.jsonl", writable=False) as ledger:
        assert ledger.ids() == ["3", "1", "2"]
        assert [len(note.text) for note in ledger] == [15000, 5000, 10000]
        assert "2" in ledger
        assert "4" not in ledger


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_line_torn_at_any_byte_is_owed_again_and_the_ones_before_it_are_kept(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "notes.jsonl"
    with notes(path) as ledger:
        for number in range(20):
            ledger.append(str(number), Note(id=str(number), text="é\n" * number))
    whole = path.read_bytes()
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut])
    kept = max(0, whole[:cut].count(b"\n") - 1)
    with notes(path) as ledger:
        assert ledger.ids() == [str(number) for number in range(kept)]
        for number in range(kept, 20):
            ledger.append(str(number), Note(id=str(number), text="é\n" * number))
    assert path.read_bytes() == whole


def test_a_reader_beside_a_writer_sees_whole_lines_only_and_changes_nothing(tmp_path):
    path = tmp_path / "notes.jsonl"
    with notes(path) as ledger:
        ledger.append("a", Note(id="a"))
    path.write_bytes(path.read_bytes() + b'{"id":"b","te')
    before = path.read_bytes()
    with notes(path, writable=False) as ledger:
        assert ledger.ids() == ["a"]
    assert path.read_bytes() == before


def test_the_first_line_of_an_id_counts_unless_the_latest_is_asked_for(tmp_path):
    path = tmp_path / "notes.jsonl"
    with notes(path) as ledger:
        ledger.append("a", Note(id="a", text="first"))
        ledger.append("b", Note(id="b"))
        ledger.append("a", Note(id="a", text="second"))
        assert ledger["a"].text == "first"
        assert [note.text for note in ledger.lines()] == ["first", "", "second"]
    with notes(path, writable=False, latest=True) as ledger:
        assert ledger["a"].text == "second"
        assert len(ledger) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"ledger":"notes","schema":7}\n', "schema 7, this version reads schema 2 and 1"),
        (b'{"ledger":"turns","schema":1}\n', "holds the ledger 'turns'"),
        (b'{"id":"a"}\n', "first line does not say what ledger"),
        (b"\x00\x01\n", "first line does not say what ledger"),
        (
            b'{"ledger":"notes","schema":1}\n{"id":"a"}\n{"text":"b"}\n',
            "line 3: not a Note: .*: take the line out",
        ),
        (b'{"crc":"33ff631a","ledger":"turns","schema":2}\n', "holds the ledger 'turns'"),
        (b'{"crc":"1e950cde","ledger":"notes","schema":2}\n', "first line does not say what ledger"),
        (b'{"ledger":"\xff","schema":1}\n', "first line does not say what ledger"),
    ],
)
def test_what_is_not_this_ledger_is_refused_by_name_and_left_as_it_is(tmp_path, content, said):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(content)
    with pytest.raises(RunError, match=said) as caught:
        notes(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_record_of_another_shape_is_an_error_with_its_place_not_a_torn_line(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b'{"ledger":"notes","schema":1}\n{"id":"a","colour":"red"}\n')
    with (
        notes(path, writable=False) as ledger,
        pytest.raises(RunError, match=r"the record of a: not a Note: .*colour"),
    ):
        ledger["a"]


def written(path, count=4):
    """A ledger of notes of which each says its own number, and the bytes of its lines."""
    with notes(path) as ledger:
        for number in range(count):
            ledger.append(str(number), Note(id=str(number), text=f"é {number}"))
    return path.read_bytes().splitlines(keepends=True)


def damaged(path, content):
    """The numbers of the damaged lines and the ids that are left, once the ledger has been opened for work."""
    path.write_bytes(content)
    with notes(path) as ledger:
        assert all(ledger[id] == Note(id=id, text=f"é {id}") for id in ledger.ids())
        assert [note.id for note in ledger.lines()] == ledger.ids()
        return ledger.damaged, ledger.ids()


def test_every_bit_that_flips_is_found_and_only_what_that_line_said_is_owed_again(tmp_path, capsys):
    path = tmp_path / "notes.jsonl"
    lines = written(path)
    whole = b"".join(lines)
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    for bit in range(8 * len(whole)):
        place = bit // 8
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit % 8
        number = next(number for number, end in enumerate(ends) if place < end)
        found, left = damaged(path, bytes(flipped))
        if flipped[place] == ord("\n"):
            assert found == [number + 1, number + 2]
        elif place == len(whole) - 1:
            assert not found
            assert "a torn last line was cut off" in capsys.readouterr().err
        else:
            assert found == [number + 1]
        broken = place + 1 in ends[:-1]
        assert left == [str(one) for one in range(4) if broken or one != number - 1]


@given(place=st.integers(min_value=0), length=st.integers(min_value=1, max_value=300))
def test_a_block_of_zeros_costs_the_lines_that_it_touches_and_those_behind_it_are_read(
    tmp_path_factory, place, length
):
    path = tmp_path_factory.mktemp("power") / "notes.jsonl"
    lines = written(path, 20)
    whole = b"".join(lines)
    place %= len(whole)
    zeros = whole[:place] + bytes(length) + whole[place + length :]
    touched, end = set(), 0
    for number, line in enumerate(lines):
        if place < end + len(line) and end < place + length:
            touched.add(str(number - 1))
        end += len(line)
    _, left = damaged(path, zeros[: len(whole)])
    assert {str(number) for number in range(20)} - touched <= set(left)
    with notes(path) as ledger:
        for number in range(20):
            if str(number) not in ledger:
                ledger.append(str(number), Note(id=str(number), text=f"é {number}"))
    with notes(path) as ledger:
        assert {note.text for note in ledger} == {f"é {number}" for number in range(20)}


def test_damage_is_told_in_one_line_and_what_is_damaged_stays_as_it_is(tmp_path, capsys):
    path = tmp_path / "notes.jsonl"
    whole = b"".join(written(path, 9))
    found, left = damaged(path, content := whole.replace("é".encode(), b"__"))
    assert found == list(range(2, 11))
    assert not left
    assert capsys.readouterr().err == (
        f"{path}: damaged in lines 2, 3, 4, 5, 6 and 4 more: what was said there is left out and owed again\n"
    )
    with notes(path) as ledger:
        ledger.append("0", Note(id="0", text="é 0"))
    assert path.read_bytes().startswith(content)
    with notes(path, writable=False) as ledger:
        assert ledger.ids() == ["0"]
    assert not capsys.readouterr().err


def test_a_line_that_is_damaged_after_the_ledger_was_opened_is_not_taken_for_what_was_said(tmp_path):
    path = tmp_path / "notes.jsonl"
    whole = b"".join(written(path))
    with notes(path, writable=False) as ledger:
        path.write_bytes(whole.replace("é 2".encode(), "é 3".encode()))
        with pytest.raises(RunError, match="the record of 2 was damaged while it was open"):
            ledger["2"]


def test_a_line_is_json_whose_checksum_comes_first(tmp_path):
    path = tmp_path / "notes.jsonl"
    header, first, *_ = map(json.loads, written(path))
    assert list(header) == ["crc", "ledger", "schema"]
    assert list(first) == ["crc", "id", "text"]
    said = path.read_bytes().splitlines()[1].partition(b",")[2]
    assert first["crc"] == f"{zlib.crc32(said):08x}"


def test_a_ledger_without_checksums_is_read_and_continued_as_it_is(tmp_path):
    path = tmp_path / "notes.jsonl"
    old = b'{"ledger":"notes","schema":1}\n{"id":"0","text":"a"}\nno JSON\n{"id":"2","text":"c"}\n'
    path.write_bytes(old)
    with notes(path) as ledger:
        assert ledger.damaged == [3]
        ledger.append("1", Note(id="1", text="b"))
    assert path.read_bytes() == old + b'{"id":"1","text":"b"}\n'
    with notes(path) as ledger:
        assert [note.text for note in ledger] == ["a", "c", "b"]


def test_a_full_disk_leaves_the_ledger_as_it_was_before_the_line(tmp_path):
    path = tmp_path / "notes.jsonl"
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from tests.test_ledger import Note, notes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ledger = notes(Path(sys.argv[1]))
        ledger.append("a", Note(id="a"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            ledger.append("b", Note(id="b", text="x" * 5000))
        except OSError as error:
            print(error.strerror)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ledger.append("c", Note(id="c"))
        ledger.close()
    """)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY, "the limit can be set back"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "File too large"
    with notes(path, writable=False) as ledger:
        assert ledger.ids() == ["a", "c"]


def test_what_is_written_now_and_then_is_on_the_disk_at_once_and_what_is_written_fast_once_a_second(
    tmp_path, monkeypatch
):
    now, synced = 100.0, []
    fdatasync = os.fdatasync

    def counted(fd):
        synced.append(now)
        fdatasync(fd)

    monkeypatch.setattr("builder.run.ledger.time.monotonic", lambda: now)
    monkeypatch.setattr("builder.run.ledger.os.fdatasync", counted)
    with notes(tmp_path / "notes.jsonl") as ledger:
        synced.clear()
        for now in (160.0, 220.0, 220.1, 220.2, 221.0, 221.5):
            ledger.append(str(now), Note(id=str(now)))
        assert synced == [160.0, 220.0, 221.0]
    assert synced[-1] == 221.5


def test_a_line_that_a_thread_writes_while_the_disk_is_waited_for_reaches_the_disk_too(tmp_path, monkeypatch):
    synced = []
    with notes(tmp_path / "notes.jsonl") as ledger:

        def slow(fd):
            synced.append(os.fstat(fd).st_size)
            if "b" not in ledger:
                ledger.append("b", Note(id="b"))

        ledger.append("a", Note(id="a"))
        monkeypatch.setattr("builder.run.ledger.os.fdatasync", slow)
        ledger.sync()
    assert synced[-1] == (tmp_path / "notes.jsonl").stat().st_size
