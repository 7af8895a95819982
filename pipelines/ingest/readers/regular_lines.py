"""Lines without quotes that all have the fields of the header, cut by the compiled loops: most blocks of most logs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block, FieldColumn
from pipelines.ingest.readers.dialect import Dialect
from recsys_vae.native.tables import FieldTable, TextCodes, tables


def read_regular(data: bytes, lines: int, first: int, dialect: Dialect) -> Block | None:
    """Read whole lines, numbers as numbers; None where a line needs a closer look, or nothing is compiled.

    Args:
        data: UTF-8 without quotes, ends with a line feed.
        lines: how many there are.
        first: number of the first of them.
    """
    library = tables()
    if library is None or not lines or not dialect.wanted:
        return None
    wanted = list(dialect.wanted)
    fields = FieldTable(library, data, dialect.separator[0], len(dialect.names), wanted, lines)
    if not fields.regular:
        return None
    rows: dict[str, pl.Series] = {}
    texts: dict[str, FieldColumn] = {}
    for slot, place in enumerate(wanted):
        name = dialect.names[place]
        numbers = fields.whole_numbers(slot) or fields.decimals(slot)
        if numbers is None:
            texts[name] = _Texts(fields, slot)
        else:
            rows[name] = _series(name, *numbers)
    return Block(pl.DataFrame(rows), np.arange(first, first + lines), taken=lines, texts=texts)


@dataclass(frozen=True)
class _Texts:
    """A column of the fields of some lines."""

    fields: FieldTable
    slot: int

    def series(self) -> pl.Series:
        """As text; empty ones are null."""
        texts = text_series(*self.fields.texts(self.slot))
        return texts.set(texts == "", None) if "" in texts else texts

    def codes(self, known: TextCodes) -> np.ndarray:
        """As numbers of its texts."""
        return self.fields.codes(self.slot, known)


def text_series(data: np.ndarray, offsets: np.ndarray) -> pl.Series:
    """Texts that stand one after the other in UTF-8, (n + 1) offsets between them."""
    if len(offsets) == 1:
        return pl.Series([], dtype=pl.String)
    import pyarrow as pa

    found = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
    return pl.Series(pl.from_arrow(found), dtype=pl.String)


def _series(name: str, numbers: Any, known: Any) -> pl.Series:
    found = pl.Series(name, numbers)
    return found if known is None else found.set(pl.Series(~known), None)
