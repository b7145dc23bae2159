"""What is read of Parquet files: each byte once, and none of a column that was not asked for."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

import deepdialogue
from builder.dataset.index import path_of
from builder.dataset.reader import subset, table
from builder.dataset.reader.source import Folder
from builder.dataset.reader.table import Tables
from tests.streamed import write

COUNT = 300
TAIL = 12_000


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A dataset of text whose files are larger than the tail in which their footers are looked for."""
    folder = tmp_path_factory.mktemp("texts") / "packaged"
    return write(folder, configs=("text-only",), count=COUNT, group_bytes=2**25, file_bytes=2**29)


class Watched(Folder):
    """A folder that remembers what was asked of it."""

    def __init__(self, root):
        super().__init__(root)
        self.spans = []

    def tail(self, path, size):
        begin, held = super().tail(path, size)
        self.spans.append((path, begin, begin + len(held)))
        return begin, held

    def range(self, path, span):
        self.spans.append((path, *span))
        return super().range(path, span)


@pytest.fixture
def watched(texts, monkeypatch):
    source = Watched(texts)
    monkeypatch.setattr(subset, "open_source", lambda *_: source)
    monkeypatch.setattr(table, "_TAIL", TAIL)
    return source


def test_no_byte_of_a_text_is_read_twice_and_all_of_it_once(texts, watched):
    stream = deepdialogue.load("text-only", "train", data_dir=texts, streaming=True, level="dialogue")
    assert len(list(stream)) == COUNT * 4
    for path in (texts / "text-only" / "train").glob("*.parquet"):
        name = path.relative_to(texts).as_posix()
        spans = sorted(span[1:] for span in watched.spans if span[0] == name)
        assert len(spans) == 2, "the tail, and what lies before it"
        assert all(before[1] == after[0] for before, after in pairwise(spans))
        assert (spans[0][0], spans[-1][1]) == (4, path.stat().st_size), (
            "all but the four bytes that say what it is"
        )


def test_the_digests_of_an_index_are_not_read(texts, watched, monkeypatch):
    monkeypatch.setattr(table, "_TAIL", 4_000)
    deepdialogue.load("text-only", "train", data_dir=texts, streaming=True, level="dialogue")
    path = path_of("text-only")
    group = pq.read_metadata(texts / path).row_group(0)
    digests = sum(
        column.total_compressed_size
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema.endswith("sha256")
    )
    read = sum(end - begin for name, begin, end in watched.spans if name == path)
    assert read <= (texts / path).stat().st_size - digests + 4_000


def test_a_footer_is_read_once_however_many_ask_for_it(texts):
    class Slow(Watched):
        def tail(self, path, size):
            time.sleep(0.05)  # the others ask meanwhile
            return super().tail(path, size)

    source = Slow(texts)
    tables = Tables(source)
    path = "text-only/train/travel-00000.parquet"
    with ThreadPoolExecutor(8) as pool:
        footers = list(pool.map(tables.footer, [path] * 64))
    assert all(footer is footers[0] for footer in footers)
    assert len(source.spans) == 1
