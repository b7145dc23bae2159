"""Parquet by ranges: the columns of a row group are read without the rest of the file, and footers only once.

Law of the file: no byte of a column that was not asked for is read, but for small gaps between those that were.
"""

import io
import os
import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DatasetError, first_line
from .source import Source, Span, coalesced

_TAIL = 32 * 2**10
"""Holds most footers whole, and small files: one request."""


class Tables:
    """The Parquet files of a source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._footers: dict[str, pq.FileMetaData] = {}
        self._tails: dict[str, tuple[int, bytes | memoryview]] = {}
        self._asking: dict[tuple[int, str], threading.Lock] = {}

    def __reduce__(self) -> tuple[type["Tables"], tuple[Source]]:
        return Tables, (self._source,)

    def footer(self, path: str) -> pq.FileMetaData:
        """What a file says of its row groups and columns.

        Raises:
            DatasetError: it is no Parquet file, or not a whole one.
        """
        # A process that is forked meanwhile must not wait for a thread that it does not have.
        with self._asking.setdefault((os.getpid(), path), threading.Lock()):
            if path not in self._footers:
                self._footers[path] = self._footer(path)
            return self._footers[path]

    def _footer(self, path: str) -> pq.FileMetaData:
        begin, tail = self._source.tail(path, _TAIL)
        size = int.from_bytes(tail[-8:-4], "little") + 8
        if size > len(tail):
            begin, tail = self._source.tail(path, size)
        self._tails[path] = begin, tail
        try:
            return pq.read_metadata(pa.BufferReader(pa.py_buffer(tail)))
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{self._source}/{path}: not a whole Parquet file: {first_line(error)}: fetch or package it again"
            ) from None

    def whole(self, path: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of all row groups.

        Args:
            path: of the file.
            columns: top-level columns, whole.
        """
        groups = range(self.footer(path).num_row_groups)
        return pa.concat_tables(self.read(path, group, columns) for group in groups)

    def read(self, path: str, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group.

        Args:
            path: of the file.
            group: from 0.
            columns: top-level columns, whole.
        """
        footer = self.footer(path)
        chunks = footer.row_group(group)
        spans = [
            _span(chunks.column(leaf))
            for leaf in range(chunks.num_columns)
            if chunks.column(leaf).path_in_schema.split(".")[0] in columns
        ]
        tail = self._tails[path]
        lacking = [(begin, min(end, tail[0])) for begin, end in spans if begin < tail[0]]
        ranges = coalesced(lacking, self._source.gap)
        held = [*((span[0], self._source.range(path, span)) for span in ranges), tail]
        # What is needed is in memory: nothing is to be read ahead across gaps, and other threads read other row groups.
        file = pq.ParquetFile(pa.PythonFile(_Held(held), mode="r"), metadata=footer, pre_buffer=False)
        return file.read_row_group(group, columns=list(columns), use_threads=False)


def _span(column: Any) -> Span:
    begin = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        begin = min(begin, column.dictionary_page_offset)
    return begin, begin + column.total_compressed_size


class _Held(io.RawIOBase):
    """A file of which some ranges are held, in their order."""

    def __init__(self, ranges: Sequence[tuple[int, bytes | memoryview]]) -> None:
        self._ranges = ranges
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size()}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._at + size if size >= 0 else self._size()
        pieces = []
        for begin, held in self._ranges:
            if begin <= self._at < min(end, begin + len(held)):
                pieces.append(held[self._at - begin : end - begin])
                self._at += len(pieces[-1])
        return b"".join(pieces)

    def _size(self) -> int:
        begin, held = self._ranges[-1]
        return begin + len(held)
