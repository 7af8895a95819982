"""Parquet of columns that are numbers already: a text column is the numbers of its texts, which become its dictionary.

polars would make each row's text first, and then look for those that are equal. Pages are not compressed: numbers of
texts are packed to as many bits as they need, times and counts are written as their differences, and the file is about
as large as polars' with zstd. The format: https://parquet.apache.org/docs/file-format/.
"""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copyfileobj
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pipelines.ingest.thrift import Value, i8, i32, i64, several, struct, text, truth, varint
from recsys_vae.native.parquet import deltas, dense, few, plain_texts, runs

ROWS_A_GROUP = 1 << 20
MAGIC = b"PAR1"
PLAIN, RLE, DELTAS, DICTIONARY = 0, 3, 5, 8
"""Encodings."""
UNCOMPRESSED, OPTIONAL = 0, 1
DATA_PAGE, DICTIONARY_PAGE = 0, 2
COPIED = 4 << 20
"""Bytes of a fragment that are held while it is appended."""


class _Type(NamedTuple):
    """How a column is described: physical type, and fields of its schema element that say what it stands for."""

    physical: int
    meaning: Mapping[int, Value] = {}


_INT32, _INT64, _FLOAT, _BYTES = 1, 2, 4, 6
_EMPTY = struct({})
TYPES: dict[pl.DataType, _Type] = {
    pl.String(): _Type(_BYTES, {6: i32(0), 10: struct({1: _EMPTY})}),
    pl.UInt32(): _Type(_INT32, {6: i32(13), 10: struct({10: struct({1: i8(32), 2: truth(False)})})}),
    pl.Float32(): _Type(_FLOAT),
    pl.Datetime("us", "UTC"): _Type(
        _INT64, {6: i32(10), 10: struct({8: struct({1: truth(True), 2: struct({2: _EMPTY})})})}
    ),
}
"""Types that can be written."""


class _Page(NamedTuple):
    """A page that is to be written: its header's fields but for the sizes, and its bytes."""

    kind: int
    header: Mapping[int, Value]
    content: Sequence[Any]


class _Chunk(NamedTuple):
    """A column of a row group that is written: name, encodings, rows, bytes, and where its first pages begin."""

    name: str
    encodings: tuple[int, ...]
    rows: int
    size: int
    begin: int
    data: int
    has_dictionary: bool


class _Group(NamedTuple):
    """A row group that is written."""

    rows: int
    chunks: tuple[_Chunk, ...]

    def moved(self, by: int) -> "_Group":
        """The same, so many bytes later in its file."""
        return _Group(self.rows, tuple(one._replace(begin=one.begin + by, data=one.data + by) for one in self.chunks))


class Fragment(NamedTuple):
    """Row groups in a file of their own, which becomes part of a whole one (`CodedParquet.append`)."""

    path: Path
    groups: tuple[_Group, ...]


class CodedParquet:
    """A Parquet file that is written frame by frame; a context, which ends the file."""

    def __init__(self, path: Path, schema: pl.Schema, library: ctypes.CDLL) -> None:
        """`schema`: of the columns, all of `TYPES`."""
        self._path, self._schema, self._library = path, schema, library
        self._file = path.open("wb")
        self._groups: list[_Group] = []
        self._file.write(MAGIC)

    def close(self, *, whole: bool) -> None:
        """End the file; not `whole`: leave it as it is."""
        with self._file:
            if whole:
                self._end()

    def add(self, rows: pl.DataFrame, texts: Mapping[str, pl.Series]) -> None:
        """Add rows.

        Args:
            rows: the columns in their order, those of texts as UInt32.
            texts: of each column of texts those that its numbers stand for, each once.
        """
        for start in range(0, rows.height, ROWS_A_GROUP):
            some = rows.slice(start, ROWS_A_GROUP)
            chunks = tuple(self._write_chunk(column, texts.get(column.name)) for column in some)
            self._groups.append(_Group(some.height, chunks))

    def append(self, fragment: Fragment) -> None:
        """Add the row groups of a fragment of the same columns."""
        by = self._file.tell() - len(MAGIC)
        with fragment.path.open("rb") as file:
            file.seek(len(MAGIC))
            copyfileobj(file, self._file, COPIED)
        self._groups += [group.moved(by) for group in fragment.groups]

    def as_fragment(self) -> Fragment:
        """What was written, once it is closed as not whole."""
        return Fragment(self._path, tuple(self._groups))

    def _write_chunk(self, column: pl.Series, texts: pl.Series | None) -> _Chunk:
        """Write a column of a row group."""
        begin = self._file.tell()
        pages, encoding = _pages(self._library, column, texts)
        at = [self._write(page) for page in pages]
        encodings = tuple(sorted({PLAIN, RLE, encoding}))
        size = self._file.tell() - begin
        return _Chunk(column.name, encodings, len(column), size, begin, at[-1], len(pages) > 1)

    def _chunk(self, one: _Chunk) -> Value:
        """What the footer says of a column of a row group."""
        fields = {
            1: i32(TYPES[self._schema[one.name]].physical),
            2: several([i32(encoding) for encoding in one.encodings]),
            3: several([text(one.name)]),
            4: i32(UNCOMPRESSED),
            5: i64(one.rows),
            6: i64(one.size),
            7: i64(one.size),
            9: i64(one.data),
        }
        if one.has_dictionary:
            fields[11] = i64(one.begin)
        return struct({2: i64(one.begin), 3: struct(fields)})

    def _group(self, one: _Group) -> Value:
        """What the footer says of a row group."""
        size = sum(chunk.size for chunk in one.chunks)
        fields = {1: several([self._chunk(chunk) for chunk in one.chunks]), 2: i64(size), 3: i64(one.rows)}
        return struct(fields | {5: i64(one.chunks[0].begin), 6: i64(size)})

    def _write(self, page: _Page) -> int:
        """Write a page; where it begins."""
        begin = self._file.tell()
        size = i32(sum(memoryview(part).nbytes for part in page.content))
        number = {DATA_PAGE: 5, DICTIONARY_PAGE: 7}[page.kind]
        self._file.write(struct({1: i32(page.kind), 2: size, 3: size, number: struct(page.header)})[1])
        for part in page.content:
            self._file.write(part)
        return begin

    def _end(self) -> None:
        columns = [
            struct({1: i32(TYPES[dtype].physical), 3: i32(OPTIONAL), 4: text(name), **TYPES[dtype].meaning})
            for name, dtype in self._schema.items()
        ]
        schema = several([struct({4: text("schema"), 5: i32(len(columns))}), *columns])
        found = [self._group(one) for one in self._groups]
        groups = several(found) if found else (several([_EMPTY])[0], b"\x0c")
        rows = sum(one.rows for one in self._groups)
        footer = struct({1: i32(1), 2: schema, 3: i64(rows), 4: groups, 6: text("recsys")})[1]
        self._file.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _pages(library: ctypes.CDLL, column: pl.Series, texts: pl.Series | None) -> tuple[list[_Page], int]:
    """Pages of a column, a dictionary first where there is one; and how its values are encoded."""
    nulls = column.null_count()
    if nulls in (0, len(column)):
        levels = np.frombuffer(varint(len(column) << 1) + bytes([nulls == 0]), np.uint8)
    else:
        levels = runs(library, column.is_not_null().to_numpy().astype(np.uint32), 1)
    dictionary, encoding, content = _encoded(library, column.drop_nulls() if nulls else column, texts)
    header = {1: i32(len(column)), 2: i32(encoding), 3: i32(RLE), 4: i32(RLE)}
    return [*dictionary, _Page(DATA_PAGE, header, [len(levels).to_bytes(4, "little"), levels, *content])], encoding


def _encoded(library: ctypes.CDLL, values: pl.Series, texts: pl.Series | None) -> tuple[list[_Page], int, list[Any]]:
    """Dictionary, encoding and bytes of values, of which none is null."""
    numbers = np.ascontiguousarray(values.to_physical().to_numpy())
    if texts is not None:
        numbers, met = dense(library, numbers, len(texts))
        return _with_dictionary(library, numbers, len(met), _plain(library, texts.gather(met)))
    if values.dtype == pl.Float32:
        found = few(library, numbers.view(np.uint32))
        if found is None:
            return [], PLAIN, [numbers]
        return _with_dictionary(library, found[1], len(found[0]), found[0])
    return [], DELTAS, [deltas(library, numbers.view(np.int32) if numbers.dtype == np.uint32 else numbers)]


def _with_dictionary(
    library: ctypes.CDLL, codes: np.ndarray, size: int, values: np.ndarray
) -> tuple[list[_Page], int, list[Any]]:
    width = max(size - 1, 1).bit_length()
    page = _Page(DICTIONARY_PAGE, {1: i32(size), 2: i32(PLAIN)}, [values])
    return [page], DICTIONARY, [bytes([width]), runs(library, codes, width)]


def _plain(library: ctypes.CDLL, texts: pl.Series) -> np.ndarray:
    sizes = texts.str.len_bytes().to_numpy().astype(np.uint32)
    return plain_texts(library, (texts.str.join("").item() or "").encode(), sizes)
