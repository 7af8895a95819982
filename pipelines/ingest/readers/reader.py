"""Opening a log by its layout; whatever it is, blocks of rows come out, each with its account of lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block, Rejected, Tally
from pipelines.ingest.readers.delimited import read_delimited
from pipelines.ingest.readers.json_array import JsonArray
from pipelines.ingest.readers.json_lines import JsonLines
from pipelines.ingest.readers.layout import Kind, Layout
from pipelines.ingest.readers.line_rows import LineRows
from pipelines.ingest.readers.streams import PACKED, Chunk, Text, ahead, chunks, texts
from recsys_vae.errors import DataError

Part = TypeVar("Part", Chunk, Text)


class _Format(Protocol):
    """A file that is open."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Block]: ...


class LogReader:
    """A log that is open; it is read once, by iterating.

    Attributes:
        path: where it lies.
        layout: how it is laid out.
        tally: what has been read so far.
    """

    def __init__(self, path: Path, layout: Layout, form: _Format, source: "_Source") -> None:
        self.path, self.layout = path, layout
        self.tally = Tally()
        self._form, self._source = form, source

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the file; of JSON, whose every row names its own, those that were met so far."""
        return self._form.columns or tuple(self.tally.columns)

    def __iter__(self) -> Iterator[Block]:
        """Blocks of rows, each of whose lines is accounted for.

        Raises:
            DataError: an account does not add up, or the file is no text.
        """
        blocks = iter(self._form)
        for block in ahead(blocks) if self.path.stat().st_size > PACKED else blocks:
            self.tally.add(block.check(self.path.name))
            yield block
        if self._source.lines not in (0, self.tally.lines):
            raise DataError(
                f"{self.path.name} holds {self._source.lines:,} lines, and {self.tally.lines:,} were read: nothing is "
                "taken of it. This is a fault of the reader: please report it with the file."
            )
        if self._source.damage:
            # What could not be unpacked is no line, and counts as one record that was rejected.
            reason = f"the rest of the file is lost: {self._source.damage}"
            lost = Rejected(self.tally.lines + 1, "", reason)
            block = Block(pl.DataFrame(), np.empty(0, np.int64), (lost,), taken=1)
            self.tally.add(block.check(self.path.name))
            yield block


def open_log(path: Path, layout: Layout, wanted: Sequence[str] | None = None, *, numbers: bool = False) -> LogReader:
    """Open a log.

    Args:
        wanted: names of the columns that are read, where the file has them; None: all. Values of JSON come as text
            where they are named, nested ones being rejected; with None, nested values keep their types.
        numbers: whether columns may come as numbers, or as bytes (`Block.texts`), where that is sooner.

    Raises:
        DataError: there is no such file, it cannot be opened, or it is a pointer of Git LFS.
        EmptyDataError: it is empty.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check its name, and the folder that it is looked for in.")
    source = _Source()
    return LogReader(path, layout, _open(path, layout, wanted, source, numbers=numbers), source)


@dataclass
class _Source:
    """What is known of the lines of a file before they are read: how many were cut, and what cannot be unpacked."""

    lines: int = 0
    damage: str = ""

    def watch(self, parts: Iterator[Part]) -> Iterator[Part]:
        """The same parts, noted as they pass."""
        for part in parts:
            if isinstance(part, Chunk):
                self.lines += part.lines + len(part.too_long)
            self.damage = self.damage or part.damage
            yield part


def _open(path: Path, layout: Layout, wanted: Sequence[str] | None, source: _Source, *, numbers: bool) -> _Format:
    if layout.kind is Kind.PARQUET:
        from pipelines.ingest.readers.parquet import Parquet  # brings Arrow, which other formats do without

        return Parquet(path, wanted)
    if layout.kind is Kind.JSON_ARRAY:
        return JsonArray(source.watch(texts(path, layout.encoding, layout.compression)), wanted, path.name)
    lines = source.watch(chunks(path, layout.encoding, layout.compression))
    if layout.kind is Kind.JSON_LINES:
        return JsonLines(lines, wanted, numbers=numbers)
    if layout.make_transformer is not None:
        return LineRows(lines, layout.make_transformer())
    return read_delimited(lines, layout, wanted, path.name, numbers=numbers)
