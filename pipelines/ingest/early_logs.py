"""Early logs: what was read of a log while nobody knew what it is, as the blocks that its reader would have made."""

import codecs
import ctypes
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pipelines.ingest.early_reading import EarlyLines, EarlyTable
from pipelines.ingest.readers import Block, Compression, Kind, Layout
from pipelines.ingest.readers.blocks import Tally
from pipelines.ingest.readers.delimited import empty_block, read_delimited
from pipelines.ingest.readers.dialect import Dialect
from pipelines.ingest.readers.regular_lines import block_of
from pipelines.ingest.readers.streams import Chunk, ahead, chunks
from recsys_vae.errors import DataError
from recsys_vae.native.tables import LineColumns


class EarlyLog:
    """A log that was begun early, in the place of the `LogReader` that `open_log` gives of it.

    Attributes:
        path: where it lies.
        layout: how it is laid out.
        tally: what has been read so far.
    """

    def __init__(self, path: Path, layout: Layout, wanted: Sequence[str], table: EarlyTable) -> None:
        self.path, self.layout, self.tally = path, layout, Tally()
        self._table, self._wanted = table, wanted

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the file."""
        return self._table.header.names

    def __iter__(self) -> Iterator[Block]:
        """Blocks of rows, each of whose lines is accounted for.

        Raises:
            DataError: an account does not add up, or the file cannot be read.
        """
        names = self._table.header.names
        wanted = tuple(place for place, name in enumerate(names) if name in self._wanted)
        mark = self._table.header.separator
        header = replace(empty_block(Dialect(mark, None, names, wanted, mark)), taken=1, structure=1)
        plain = (_block(self._table.library, one, names, wanted) for one in self._table.lines())
        for block in chain([header], plain, self._rest()):
            self.tally.add(block.check(self.path.name))
            yield block

    def _rest(self) -> Iterator[Block]:
        """What was not read early, as its reader reads it."""
        if self._table.is_whole:
            return
        layout = replace(self.layout, header=False, columns=self._table.header.names)
        rest = ahead(_after(chunks(self.path, self.layout.encoding, Compression.NONE), self._table.read))
        lines = 0

        def counted() -> Iterator[Chunk]:
            nonlocal lines
            for chunk in rest:
                lines += chunk.lines + len(chunk.too_long)
                yield chunk

        before = self.tally.lines
        yield from ahead(iter(read_delimited(counted(), layout, self._wanted, self.path.name, numbers=True)))
        if lines != self.tally.lines - before:
            raise DataError(
                f"{self.path.name} holds {lines:,} lines after line {before:,}, and {self.tally.lines - before:,} were "
                "read: nothing is taken of it. This is a fault of the reader: please report it with the file."
            )


def is_as_begun(table: EarlyTable, layout: Layout) -> bool:
    """Whether a file that is laid out so was read early as its reader reads it."""
    header = table.header
    return (
        layout.kind is Kind.DELIMITED
        and layout.header
        and layout.columns in ((), header.names)
        and layout.separator.encode() == header.separator
        and layout.quote in (None, '"')
        and layout.compression in (None, Compression.NONE)
        and codecs.lookup(layout.encoding).name in ("utf-8", "ascii")
    )


def _after(found: Iterator[Chunk], size: int) -> Iterator[Chunk]:
    """The lines that follow so many bytes, none of which is a carriage return."""
    for chunk in found:
        if size >= len(chunk.data) and not chunk.is_last and not chunk.too_long:
            size -= len(chunk.data)
            continue
        before = chunk.data[:size].count(b"\n")
        yield replace(chunk, data=chunk.data[size:], first=chunk.first + before, lines=chunk.lines - before)
        size = 0


def _block(library: ctypes.CDLL, found: EarlyLines, names: Sequence[str], wanted: Collection[int]) -> Block:
    """The wanted columns of lines; all were read."""
    numbers, texts = found.columns.numbers, found.columns.texts
    chosen = LineColumns(
        {place: column for place, column in numbers.items() if place in wanted},
        {place: column for place, column in texts.items() if place in wanted},
    )
    return block_of(library, found.data, found.lines, found.first, names, chosen)
