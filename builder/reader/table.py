"""Parquet by ranges: the columns of a row group are read without the rest of the file, and footers only once.

Law of the file: no byte of a column that was not asked for is read, but for small gaps between those that were.
"""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.errors import DatasetError, first_line
from builder.reader.source import Source, Span, coalesced

_TAIL = 32 * 2**10
"""Holds most footers whole, and small files: one request."""


class Tables:
    """The Parquet files of a source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._footers: dict[str, pq.FileMetaData] = {}
        self._tails: dict[str, tuple[int, bytes | memoryview]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_source": self._source, "_footers": {}, "_tails": {}}

    def footer(self, path: str) -> pq.FileMetaData:
        """What a file says of its row groups and columns.

        Raises:
            DatasetError: it is no Parquet file, or not a whole one.
        """
        if path not in self._footers:
            begin, tail = self._source.tail(path, _TAIL)
            size = int.from_bytes(tail[-8:-4], "little") + 8
            if size > len(tail):
                begin, tail = self._source.tail(path, size)
            self._tails[path] = begin, tail
            try:
                self._footers[path] = pq.read_metadata(pa.BufferReader(pa.py_buffer(tail)))
            except (pa.ArrowException, OSError) as error:
                raise DatasetError(
                    f"{self._source}/{path}: not a whole Parquet file: {first_line(error)}: fetch or package it again"
                ) from None
        return self._footers[path]

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
        ranges = coalesced([span for span in spans if span[0] < tail[0]], self._source.gap)
        held = [tail, *((span[0], self._source.range(path, span)) for span in ranges)]
        # What is needed is in memory: nothing is to be read ahead across gaps, and other threads read other row groups.
        file = pq.ParquetFile(pa.PythonFile(_Held(held), mode="r"), metadata=footer, pre_buffer=False)
        return file.read_row_group(group, columns=list(columns), use_threads=False)


def _span(column: Any) -> Span:
    begin = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        begin = min(begin, column.dictionary_page_offset)
    return begin, begin + column.total_compressed_size


class _Held(io.RawIOBase):
    """A file of which some ranges are held."""

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
        end = max(begin + len(held) for begin, held in self._ranges)
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        for begin, held in self._ranges:
            if begin <= self._at < begin + len(held):
                piece = held[self._at - begin :][: size if size >= 0 else None]
                self._at += len(piece)
                return bytes(piece)
        return b""
