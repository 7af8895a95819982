"""Delimited text: blocks of lines to columns of text, as a spreadsheet or Python's csv module reads them.

Three ways, the first that is sure of a block is taken:

1. No quote mark opens a field: every line is a record. Ends of lines and separators are counted with numpy, lines with
   too many fields are put aside, polars cuts the rest without quotes.
2. Every quote mark opens or closes a field, or is doubled within one: polars cuts with quotes.
3. Else lines with quote marks go through Python's csv module one by one, the others the first way.

Whatever the way, the number of rows that polars gives is compared with the number of records that numpy has counted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block, Rejected
from pipelines.ingest.readers.dialect import NOT_TEXT, Dialect, cut_off, raw_text, too_many_fields, unique_names
from pipelines.ingest.readers.layout import BLANKS, Layout
from pipelines.ingest.readers.quoted_lines import LONGEST_RECORD, first_record, read_quoted
from pipelines.ingest.readers.regular_lines import read_regular
from pipelines.ingest.readers.separators import UNIT, one_byte
from pipelines.ingest.readers.streams import Chunk
from recsys_vae.errors import EmptyDataError
from recsys_vae.native.tables import count_lines, is_text

LINE_FEED = 10


def read_delimited(
    chunks: Iterator[Chunk], layout: Layout, wanted: Sequence[str] | None, name: str, *, numbers: bool = False
) -> "Delimited":
    """Open the chunks of a delimited file: its columns are known then.

    Args:
        wanted: names of the columns that are read, where the file has them; None: all.
        numbers: whether columns may come as numbers, or as bytes.

    Raises:
        EmptyDataError: there is no line, where a header should be.
    """
    separated = one_byte(chunks, layout.separator)
    quote = None if layout.quote is None or layout.separator == BLANKS else layout.quote.encode()
    separator = layout.separator.encode() if len(layout.separator.encode()) == 1 else UNIT
    header = _Header()
    names = layout.columns
    if layout.header:
        separated, header, found = _without_header(separated, separator, quote, name)
        names = names or unique_names(found)
    shown = b" " if layout.separator == BLANKS else layout.separator.encode()
    places = tuple(place for place, column in enumerate(names) if wanted is None or column in wanted)
    return Delimited(separated, Dialect(separator, quote, names, places, shown, numbers), header)


@dataclass(frozen=True)
class _Header:
    """Lines up to and with the header; those that are blank."""

    lines: int = 0
    blank: int = 0
    rejected: tuple[Rejected, ...] = ()


@dataclass
class Delimited:
    """A delimited file that is open.

    Attributes:
        chunks: what follows the header.
        dialect: how fields are told apart.
        header: what stood before.
    """

    chunks: Iterator[Chunk]
    dialect: Dialect
    header: _Header

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all its columns."""
        return self.dialect.names

    def __iter__(self) -> Iterator[Block]:
        structure = self.header.lines - self.header.blank - sum(one.lines for one in self.header.rejected)
        yield replace(
            empty_block(self.dialect),
            rejected=self.header.rejected,
            taken=self.header.lines,
            structure=structure,
            blank=self.header.blank,
        )
        rest = b""
        held: list[str] = []
        for chunk in self.chunks:
            # Lines that were too long come first, and end a record that was open.
            if chunk.too_long and rest:
                first = chunk.first - len(chunk.too_long) - rest.count(b"\n")
                yield parse(rest, first, self.dialect, is_last=True, own_ends=partial(list, held))[0]
                rest = b""
            if chunk.too_long:
                yield replace(empty_block(self.dialect), rejected=chunk.too_long, taken=len(chunk.too_long))
            if rest or chunk.data:
                first, own_ends = chunk.first - rest.count(b"\n"), partial(_own_ends, held if rest else [], chunk)
                block, rest = parse(
                    rest + chunk.data,
                    first,
                    self.dialect,
                    is_last=chunk.is_last,
                    cut=chunk.cut and bool(chunk.data),
                    own_ends=own_ends,
                )
                if rest:
                    held = own_ends()[-rest.count(b"\n") :]
                yield block


def _own_ends(before: list[str], chunk: Chunk) -> list[str]:
    """How the lines end of a chunk, and those before it that go on with it."""
    return before + (chunk.line_ends() if chunk.data else [])


def empty_block(dialect: Dialect) -> Block:
    """No rows, with the columns that are wanted."""
    columns = [dialect.names[place] for place in dialect.wanted]
    return Block(pl.DataFrame(schema=dict.fromkeys(columns, pl.String)), np.empty(0, np.int64))


def parse(
    data: bytes,
    first: int,
    dialect: Dialect,
    *,
    is_last: bool,
    cut: bool = False,
    own_ends: Callable[[], list[str]],
) -> tuple[Block, bytes]:
    """Read whole lines; also gives back the lines of a record that goes on beyond them.

    Args:
        data: ends with a line feed.
        first: number of its first line.
        is_last: nothing follows.
        cut: the file ends without a line end, so that its last line may be half of one.
        own_ends: gives how each line ends in the file.
    """
    if dialect.numbers and (dialect.quote is None or dialect.quote not in data) and is_text(data):
        regular = read_regular(data, count_lines(data), first, dialect)
        if regular is not None:
            return regular, b""
    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content == LINE_FEED)
    quotes = np.empty(0, np.int64)
    if dialect.quote is not None and dialect.quote in data:
        quotes = np.flatnonzero(content == dialect.quote[0])
        before = np.where(quotes, content[quotes - 1], LINE_FEED)
        if not np.isin(before, (dialect.separator[0], LINE_FEED)).any():
            quotes = quotes[:0]
    if not len(quotes):
        block = _plain(data, content, ends, np.arange(first, first + len(ends)), dialect, cut=cut)
        return replace(block, taken=len(ends)), b""
    found = _well_quoted(data, content, ends, quotes, first, dialect, is_last=is_last, own_ends=own_ends)
    return found or _mixed(data, content, ends, quotes, first, dialect, is_last=is_last, cut=cut, own_ends=own_ends())


def _plain(
    data: bytes, content: np.ndarray, ends: np.ndarray, numbers: np.ndarray, dialect: Dialect, *, cut: bool
) -> Block:
    """Lines of which each is a record, or blank; `numbers` are theirs in the file."""
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    counts = _separators(content, ends, starts, dialect)
    good = None
    if counts is not None:
        good = counts == len(dialect.names) - 1
    is_all_text = is_text(data)
    blank = ends == starts
    has_blank = bool(blank.any())
    if good is None and is_all_text and not has_blank:
        return Block(_cut(data, dialect, None, len(ends)), numbers)
    rejected = _rejected_lines(data, starts, ends, numbers, counts, dialect, is_text=is_all_text, cut=cut)
    keep = ~blank
    keep[np.searchsorted(numbers, [one.line for one in rejected])] = False
    kept = content[np.repeat(keep, ends + 1 - starts)].tobytes()
    rows = _cut(kept, dialect, None, int(keep.sum()))
    return Block(rows, numbers[keep], tuple(rejected), blank=int(blank.sum()))


def _separators(content: np.ndarray, ends: np.ndarray, starts: np.ndarray, dialect: Dialect) -> np.ndarray | None:
    """Separators in each line; None where each has as many as the header."""
    places = np.flatnonzero(content == dialect.separator[0])
    each = len(dialect.names) - 1
    if len(places) == each * len(ends):
        by_line = places.reshape(len(ends), each) if each else None
        if by_line is None or ((by_line[:, 0] >= starts) & (by_line[:, -1] < ends)).all():
            return None
    until = np.searchsorted(places, ends)
    return np.diff(until, prepend=0)


def _rejected_lines(
    data: bytes,
    starts: np.ndarray,
    ends: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray | None,
    dialect: Dialect,
    *,
    is_text: bool,
    cut: bool,
) -> list[Rejected]:
    """Lines of the first way that are no rows, ascending."""
    each = len(dialect.names) - 1
    reasons: dict[int, str] = {}
    if counts is not None:
        for place in np.flatnonzero(counts > each).tolist():
            reasons[place] = too_many_fields(int(counts[place]) + 1, each + 1)
        last = len(ends) - 1
        if cut and counts[last] < each and ends[last] > starts[last]:
            reasons[last] = cut_off(int(counts[last]) + 1, each + 1)
    if not is_text:
        for place in _not_text(data, starts, ends):
            reasons[place] = NOT_TEXT
    return [
        Rejected(int(numbers[place]), raw_text(data[starts[place] : ends[place]], dialect), reasons[place])
        for place in sorted(reasons)
    ]


def _well_quoted(
    data: bytes,
    content: np.ndarray,
    line_ends: np.ndarray,
    quotes: np.ndarray,
    first: int,
    dialect: Dialect,
    *,
    is_last: bool,
    own_ends: Callable[[], list[str]],
) -> tuple[Block, bytes] | None:
    """The second way; None where a quote mark, a line or a byte needs a closer look."""
    ends = line_ends[np.searchsorted(quotes, line_ends) % 2 == 0]
    if not len(ends) or (is_last and ends[-1] != line_ends[-1]) or not is_text(data):
        return None
    stop = int(ends[-1]) + 1
    quotes = quotes[: np.searchsorted(quotes, stop)]
    around = (dialect.quote or b"")[0], dialect.separator[0], LINE_FEED
    before = np.where(quotes[::2], content[quotes[::2] - 1], LINE_FEED)
    if not (np.isin(before, around).all() and np.isin(content[quotes[1::2] + 1], around).all()):
        return None
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (starts == ends).any():
        return None
    places = np.flatnonzero(content[:stop] == dialect.separator[0])
    places = places[np.searchsorted(quotes, places) % 2 == 0]
    counts = np.diff(np.searchsorted(places, ends), prepend=0)
    if (counts != len(dialect.names) - 1).any() or len(data) - stop > LONGEST_RECORD:
        return None
    lines = np.diff(np.searchsorted(line_ends, ends, side="right"), prepend=0)
    if ((lines > 1) & (ends - starts > LONGEST_RECORD)).any():
        return None
    numbers = first + np.cumsum(lines) - lines
    rows = _cut(data[:stop], dialect, dialect.quote, len(ends))
    several = np.flatnonzero(lines > 1)
    if len(several) and set(own := own_ends()) != {"\n"}:
        records = [data[starts[place] : ends[place] + 1] for place in several]
        firsts = (np.cumsum(lines) - lines)[several].tolist()
        theirs = [own[at : at + some] for at, some in zip(firsts, lines[several].tolist(), strict=True)]
        rows = _with_own_ends(rows, several, records, theirs, dialect)
    taken = int(lines.sum())
    return Block(rows, numbers, taken=taken, continued=taken - len(ends)), data[stop:]


def _with_own_ends(
    rows: pl.DataFrame, places: np.ndarray, records: list[bytes], own_ends: list[list[str]], dialect: Dialect
) -> pl.DataFrame:
    """Rows of which some are records of several lines, with the line ends in their fields as the file has them."""
    # All columns, for the line ends count through all fields of a record.
    every = replace(dialect, wanted=tuple(range(len(dialect.names))))
    found = _cut(b"".join(records), every, dialect.quote, len(records))
    fields = [
        [_joined(field, ends) for field in row]
        for row, ends in zip(found.iter_rows(), map(iter, own_ends), strict=True)
    ]
    columns = dict(zip(dialect.names, zip(*fields, strict=True), strict=True))
    return rows.with_columns(
        rows[name].scatter(places, pl.Series(columns[name], dtype=pl.String)) for name in rows.columns
    )


def _joined(field: str | None, ends: Iterator[str]) -> str | None:
    if field is None:
        return None
    first, *others = field.split("\n")
    return first + "".join(next(ends) + other for other in others)


def _mixed(
    data: bytes,
    content: np.ndarray,
    ends: np.ndarray,
    quotes: np.ndarray,
    first: int,
    dialect: Dialect,
    *,
    is_last: bool,
    cut: bool,
    own_ends: list[str],
) -> tuple[Block, bytes]:
    """The third way."""
    starts = np.concatenate(([0], ends[:-1] + 1))
    with_quotes = np.unique(np.searchsorted(ends, quotes))
    found = read_quoted(data, starts, ends, with_quotes, dialect, is_last=is_last, cut=cut, own_ends=own_ends)
    plain = np.ones(len(ends), bool)
    plain[found.taken_lines] = False
    plain[found.stop :] = False
    some = content[np.repeat(plain, ends + 1 - starts)].tobytes()
    plain_content = np.frombuffer(some, np.uint8)
    plain_ends = np.flatnonzero(plain_content == LINE_FEED)
    is_cut = cut and bool(plain[-1])
    block = _plain(some, plain_content, plain_ends, first + np.flatnonzero(plain), dialect, cut=is_cut)
    texts = {dialect.names[place]: [row[place] or None for row in found.rows] for place in dialect.wanted}
    rows = pl.concat([block.rows, pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))])
    numbers = np.concatenate((block.lines, first + np.asarray(found.row_lines, np.int64)))
    order = np.argsort(numbers, kind="stable")
    rejected = [*block.rejected, *(replace(one, line=first + one.line) for one in found.rejected)]
    stop = int(starts[found.stop]) if found.stop < len(ends) else len(data)
    return Block(
        rows[order] if rows.width else rows,
        numbers[order],
        tuple(sorted(rejected, key=lambda one: one.line)),
        taken=found.stop,
        blank=block.blank,
        continued=found.continued,
    ), data[stop:]


def _cut(data: bytes, dialect: Dialect, quote: bytes | None, height: int) -> pl.DataFrame:
    """The wanted columns of records that are known to be whole."""
    columns = [dialect.names[place] for place in dialect.wanted]
    if not height or not columns:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    # Under a header of ours, for polars takes the number of columns from the first line, and a line that begins as
    # packed bytes do ("x^") for packed bytes.
    header = dialect.separator.join(b"column_%d" % place for place in range(len(dialect.names)))
    schema = {f"column_{place}": pl.String() for place in range(len(dialect.names))}
    rows = pl.read_csv(
        header + b"\n" + data,
        schema=schema,
        columns=[f"column_{place}" for place in dialect.wanted],
        separator=dialect.separator.decode(),
        quote_char=quote.decode() if quote else None,
        truncate_ragged_lines=True,
        infer_schema=False,
    )
    rows.columns = columns
    if quote:
        rows = rows.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in columns)
    return rows


def _not_text(data: bytes, starts: np.ndarray, ends: np.ndarray) -> Iterator[int]:
    """Places of lines that are no UTF-8."""
    at = 0
    while at < len(ends):
        try:
            data[starts[at] :].decode()
        except UnicodeDecodeError as error:
            at += int(np.searchsorted(ends[at:], starts[at] + error.start))
            yield at
            at += 1
        else:
            return


def _without_header(
    chunks: Iterator[Chunk], separator: bytes, quote: bytes | None, name: str
) -> tuple[Iterator[Chunk], _Header, list[str]]:
    """The chunks after the first record, which names the columns."""
    lines = blank = 0
    rejected: list[Rejected] = []
    for chunk in chunks:
        lines += len(chunk.too_long)
        rejected += chunk.too_long
        text = chunk.data.lstrip(b"\n")
        blank += len(chunk.data) - len(text)
        lines += len(chunk.data) - len(text)
        if not text:
            continue
        fields, taken = first_record(text, separator, quote, name)
        end = 0
        for _ in range(taken):
            end = text.index(b"\n", end) + 1
        header = _Header(lines + taken, blank, tuple(rejected))
        rest = replace(chunk, data=text[end:], first=lines + taken + 1, lines=text[end:].count(b"\n"), too_long=())
        return _chained(rest, chunks), header, fields
    raise EmptyDataError(f"{name} is empty. Expected a header, and rows with at least a user and an item.")


def _chained(first: Chunk, others: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from others
