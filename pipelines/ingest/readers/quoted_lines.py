"""Lines with quote marks that do not all open or close a field: one by one, by Python's csv module.

A mark that opens a field and is not closed in its line may go on in the next ones, as line breaks between quotes do. It
is taken for a mistake, and its line alone rejected, where nothing closes it within `LONGEST_RECORD` bytes, where the
record does not have the fields of the header, or where a line below opens a field of its own.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.ingest.readers.blocks import Rejected
from pipelines.ingest.readers.dialect import NOT_TEXT, Dialect, cut_off, raw_text, too_many_fields
from pipelines.ingest.readers.streams import LONGEST_LINE
from recsys_vae.errors import DataError

LONGEST_RECORD = 1 << 20
"""Bytes of the longest record of several lines."""
UNCLOSED = "a quote mark opens a field and is never closed"


@dataclass
class Found:
    """Records that begin in lines with quote marks.

    Attributes:
        rows: fields, as many as there are columns.
        row_lines: of each the place of its first line.
        rejected: their `line` is a place, too.
        taken_lines: places of all lines that rows and rejected records stand for.
        continued: lines of rows after their first.
        stop: place of the first line that is not read: a record begins there that does not end here.
    """

    stop: int
    rows: list[list[str]] = field(default_factory=list)
    row_lines: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    taken_lines: list[int] = field(default_factory=list)
    continued: int = 0

    def add(self, record: "_Record", line: bytes, dialect: Dialect) -> int:
        """Add a record; of one that is no row its first line alone. Returns the number of lines it stands for."""
        used = 1 if record.reason else record.used
        if record.reason:
            self.rejected.append(Rejected(record.place, raw_text(line, dialect), record.reason))
        else:
            self.rows.append(record.fields + [""] * (len(dialect.names) - len(record.fields)))
            self.row_lines.append(record.place)
            self.continued += used - 1
        self.taken_lines.extend(range(record.place, record.place + used))
        return used


def first_record(data: bytes, separator: bytes, quote: bytes | None, name: str) -> tuple[list[str], int]:
    """Fields of the first record of some lines, and how many lines it takes.

    Raises:
        DataError: a quote is not closed, or a byte is no text.
    """
    lines = _Lines(data.split(b"\n", 1 << 10), 0, LONGEST_RECORD)
    try:
        fields = next(_reader(lines, separator, quote)) if quote else next(lines).rstrip("\n").split(separator.decode())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"The first line of {name} cannot be read: {error}. Is it text, and what is its encoding (--encoding)?"
        ) from error
    if lines.ran_out:
        raise DataError(f"The first line of {name} cannot be read: {UNCLOSED}.")
    return fields, lines.used


def read_quoted(
    data: bytes,
    starts: np.ndarray,
    ends: np.ndarray,
    with_quotes: np.ndarray,
    dialect: Dialect,
    *,
    is_last: bool,
    cut: bool,
    own_ends: Sequence[str],
) -> Found:
    """Read the records that begin in lines with quotes (`with_quotes`, places, ascending).

    Args:
        own_ends: of each line how it ends in the file, which stays where a field goes on with the next one.
    """
    limit = csv.field_size_limit(LONGEST_LINE)
    found = Found(stop=len(ends))
    lines = _Slices(data, starts.tolist(), ends.tolist())
    done = 0
    try:
        for place in with_quotes.tolist():
            if place < done:
                continue
            record = _read_record(lines, place, dialect, own_ends)
            if record.goes_on and not is_last:
                found.stop = place
                break
            record.reason = record.reason or _why_no_row(record, lines, dialect, cut=cut)
            done = place + found.add(record, lines[place], dialect)
    finally:
        csv.field_size_limit(limit)
    return found


@dataclass
class _Record:
    """What the csv module makes of the lines from a place on; `reason` says why nothing."""

    place: int
    fields: list[str]
    used: int
    goes_on: bool
    reason: str


def _read_record(lines: Sequence[bytes], place: int, dialect: Dialect, own_ends: Sequence[str]) -> _Record:
    feed = _Lines(lines, place, LONGEST_RECORD, own_ends)
    fields, reason = [], ""
    try:
        fields = next(_reader(feed, dialect.separator, dialect.quote))
    except UnicodeDecodeError:
        reason = NOT_TEXT if feed.used == 1 else UNCLOSED
    except csv.Error as error:
        reason = str(error)
    if feed.ran_out:
        reason = UNCLOSED
    return _Record(place, fields, feed.used, feed.ran_out and feed.at_end, reason)


def _why_no_row(record: _Record, lines: Sequence[bytes], dialect: Dialect, *, cut: bool) -> str:
    columns, found = len(dialect.names), len(record.fields)
    if record.used > 1:
        marks = tuple(
            map(re.escape, (dialect.separator, dialect.quote or b"", dialect.quote or b"", dialect.separator))
        )
        opening = re.compile(rb"(?:^|%b)%b[^%b%b\n]" % marks)
        below = (lines[number] for number in range(record.place + 1, record.place + record.used))
        return UNCLOSED if found != columns or any(map(opening.search, below)) else ""
    if found > columns:
        return too_many_fields(found, columns)
    return cut_off(found, columns) if cut and record.place == len(lines) - 1 and found < columns else ""


def _reader(lines: "_Lines", separator: bytes, quote: bytes | None) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=separator.decode(), quotechar=(quote or b'"').decode())


class _Slices(Sequence[bytes]):
    """Lines of a block, each cut when it is asked for."""

    def __init__(self, data: bytes, starts: list[int], ends: list[int]) -> None:
        self._data, self._starts, self._ends = data, starts, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> bytes:  # type: ignore[override]
        return self._data[self._starts[place] : self._ends[place]]


class _Lines:
    """Feeds a csv reader line by line, and knows how many it took."""

    def __init__(self, lines: Sequence[bytes], place: int, limit: int, own_ends: Sequence[str] | None = None) -> None:
        self._lines, self._place, self._left, self._own_ends = lines, place, limit, own_ends
        self.used = 0
        self.ran_out = False
        self.at_end = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        place = self._place + self.used
        self.at_end = place >= len(self._lines)
        if self.at_end or (self.used and self._left < 0):
            self.ran_out = True
            raise StopIteration
        line = self._lines[place]
        self.used += 1
        self._left -= len(line) + 1
        return line.decode() + ("\n" if self._own_ends is None else self._own_ends[place])
