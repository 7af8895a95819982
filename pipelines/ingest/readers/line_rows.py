"""Files that are no tables: a transformer makes rows of their lines."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block, Rejected, plain_raw
from pipelines.ingest.readers.dialect import NOT_TEXT
from pipelines.ingest.readers.layout import LineTransformer
from pipelines.ingest.readers.streams import Chunk


class LineRows:
    """A file of lines that is open."""

    def __init__(self, chunks: Iterator[Chunk], transformer: LineTransformer) -> None:
        self._chunks, self._transformer = chunks, transformer

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are made."""
        return self._transformer.columns

    def __iter__(self) -> Iterator[Block]:
        for chunk in self._chunks:
            if chunk.too_long:
                none = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
                yield replace(Block(none, np.empty(0, np.int64)), rejected=chunk.too_long, taken=len(chunk.too_long))
            if chunk.data:
                yield self._parse(chunk)

    def _parse(self, chunk: Chunk) -> Block:
        lines = chunk.data.split(b"\n")[:-1]
        texts: list[str] = []
        numbers: list[int] = []
        rejected: list[Rejected] = []
        for number, line in enumerate(lines, chunk.first):
            if not line or line.isspace():
                continue
            try:
                texts.append(line.decode())
                numbers.append(number)
            except UnicodeDecodeError:
                rejected.append(Rejected(number, plain_raw(line), NOT_TEXT))
        blank = len(lines) - len(texts) - len(rejected)
        made = self._transformer(pl.Series(texts, dtype=pl.String), pl.Series(numbers, dtype=pl.UInt64))
        return Block(
            made.rows,
            made.lines.cast(pl.Int64).to_numpy(),
            tuple(sorted([*rejected, *made.rejected], key=lambda one: one.line)),
            taken=len(lines),
            structure=made.structure,
            blank=blank,
            continued=made.lines.n_unique() - made.rows.height,
        )
