"""Records: how many rows the bytes of a text file hold, counted without the parser that reads them.

A CSV is counted by the rules that Python's csv module and spreadsheets go by: a quote opens a field only where the
field begins, a doubled one stands for itself, and line breaks between quotes are content. Parsers that take any
quote for an opening one lose the rows between two of them.
"""

import gzip
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from recsys_vae.errors import DataError

BLOCK = 1 << 20
LONGEST_RECORD = 1 << 24
"""Bytes after which a quote that is not closed is taken for a mistake."""
QUOTE, COMMA, LINE_END = b'",\n'
AROUND = tuple(b'",\n\r')
"""What stands before a quote that opens a field, or after one that closes it; another quote where it is doubled."""
_QUOTED = rb'"[^"]*+(?:""[^"]*+)*+"'
_FIELD = rb"(?:" + _QUOTED + rb'[^,\n]*+|[^,\n"][^,\n]*+|)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+\n")
_OPENING = re.compile(rb'(?:^|,)"')


@dataclass(frozen=True)
class Records:
    """What a file holds.

    Attributes:
        rows: its records but the header, where it has one.
        has_quoted_fields: whether a quote opens any field; all others are plain characters.
    """

    rows: int
    has_quoted_fields: bool = False


def count_csv(path: Path) -> Records:
    """Count a CSV with a header.

    Raises:
        DataError: a quote opens a field and is never closed, or the file cannot be unpacked.
    """
    return _counted(path, _csv, *_stamp(path))


def count_lines(path: Path) -> Records:
    """Count a file with a header and a line a row, whatever its quotes."""
    return _counted(path, _lines, *_stamp(path))


def count_objects(path: Path) -> Records:
    """Count the lines that are not blank."""
    return _counted(path, _objects, *_stamp(path))


def check_rows(path: Path, counted: Records, parsed: int) -> None:
    """Raise DataError where a parser gave another number of rows than a file holds."""
    if counted.rows != parsed:
        raise DataError(
            f"{path.name} holds {counted.rows:,} rows, and {parsed:,} were read: nothing is taken of it. Most likely a "
            'quote mark (") stands within a field: write such fields between quotes, with the mark doubled, as '
            "spreadsheets export them; or save the table as Parquet or tab-separated (.tsv)."
        )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _counted(path: Path, count: Any, size: int, modified_ns: int) -> Records:
    """Once a file, as long as it stays as it is."""
    try:
        with _bytes_of(path) as file:
            found: Records = count(_without_blank_start(file), path.name)
            return found
    except (OSError, EOFError, pa.ArrowException) as error:
        raise DataError(f"{path.name} cannot be read: {error}. Check that its content fits its ending.") from error


@contextmanager
def _bytes_of(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where they begin as gzip or Zstandard do: so does polars."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as unpacked:
            yield unpacked  # type: ignore[misc]
    elif start == b"\x28\xb5\x2f\xfd":
        with closing(pa.input_stream(str(path), compression="zstd")) as stream:
            yield stream
    else:
        with path.open("rb", buffering=0) as plain:
            yield plain


def _without_blank_start(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks of a file; blank lines before the header are nothing."""
    begun = False
    while block := file.read(BLOCK):
        if not begun:
            block = block.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
            begun = bool(block)
        yield block


def _csv(blocks: Iterator[bytes], name: str) -> Records:
    records, has_quoted, rest = 0, False, b""
    for block in blocks:
        found, quoted, rest = _whole_records(rest + block, records, name)
        records, has_quoted = records + found, has_quoted or quoted
    if rest:
        found, quoted, rest = _whole_records(rest.removesuffix(b"\n") + b"\n", records, name, is_last=True)
        records, has_quoted = records + found, has_quoted or quoted
    if rest:
        raise _unclosed(name, records)
    return Records(max(records - 1, 0), has_quoted)


def _whole_records(block: bytes, before: int, name: str, *, is_last: bool = False) -> tuple[int, bool, bytes]:
    """Records that end within a block, whether a quote opens a field of theirs, and what is left."""
    found = None if is_last else _plain_records(block)
    if found is not None and (found[0] or len(found[2]) <= LONGEST_RECORD):
        return found
    records, has_quoted, at = 0, False, 0
    while (quote := block.find(b'"', at)) >= 0:
        start = block.rfind(b"\n", at, quote) + 1 or at
        records += block.count(b"\n", at, start)
        match, at = _RECORD.match(block, start), start
        if match is None:
            if len(block) - start > LONGEST_RECORD:
                raise _unclosed(name, before + records)
            return records, has_quoted, block[start:]
        records, at = records + 1, match.end()
        has_quoted = has_quoted or _OPENING.search(block[start:at]) is not None
    end = block.rfind(b"\n", at) + 1 or at
    return records + block.count(b"\n", at, end), has_quoted, block[end:]


def _plain_records(block: bytes) -> tuple[int, bool, bytes] | None:
    """The same at once, for a block whose quotes all open and close fields, or of which none does; else None."""
    content = np.frombuffer(block, np.uint8)
    ends, quotes = np.flatnonzero(content == LINE_END), np.flatnonzero(content == QUOTE)
    before = np.where(quotes, content[quotes - 1], LINE_END)
    opens = bool(np.isin(before, (COMMA, LINE_END)).any())
    if opens:
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    cut = int(ends[-1]) + 1 if len(ends) else 0
    inside = int(np.searchsorted(quotes, cut))
    opening, closing = before[:inside:2], content[quotes[1:inside:2] + 1]
    if opens and not (np.isin(opening, AROUND).all() and np.isin(closing, AROUND).all()):
        return None
    return len(ends), opens, block[cut:]


def _unclosed(name: str, records: int) -> DataError:
    return DataError(
        f'{name}: a quote mark (") opens a field of row {records:,} and is never closed. Close it, or double it '
        "between quotes where it is part of the value."
    )


def _lines(blocks: Iterator[bytes], name: str) -> Records:
    lines, last = 0, b"\n"
    for block in blocks:
        lines, last = lines + block.count(b"\n"), block[-1:] or last
    return Records(max(lines + (last != b"\n") - 1, 0))


def _objects(blocks: Iterator[bytes], name: str) -> Records:
    objects, rest = 0, b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        objects += sum(1 for line in lines if line and not line.isspace())
    return Records(objects + bool(rest.strip()))
