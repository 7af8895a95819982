"""Lines without quotes that all have the fields of the header, cut by the compiled loops: most blocks of most logs."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block
from pipelines.ingest.readers.dialect import Dialect
from recsys_vae.native.tables import (
    LEFT_OUT,
    FieldTable,
    LineColumns,
    TextCodes,
    gather_texts,
    is_text,
    kind_of,
    read_json_lines,
    read_lines,
    tables,
)


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
    found = _at_once(library, data, lines, dialect) or _by_columns(library, data, lines, dialect)
    return None if found is None else block_of(library, data, lines, first, dialect.names, found)


def read_regular_json(data: bytes, lines: int, first: int, wanted: Sequence[str]) -> Block | None:
    """Read whole lines, each a JSON object with plain values, likewise; keys that no line has are no columns."""
    library = tables()
    if library is None or not lines or not wanted or not is_text(data):
        return None
    read = read_json_lines(library, data, wanted, lines)
    if read is None:
        return None
    found, absent = read
    # What stands somewhere else than as a key is for the parser to tell.
    if any(f'"{wanted[place]}"'.encode() in data for place in absent):
        return None
    return block_of(library, data, lines, first, wanted, found)


def block_of(
    library: ctypes.CDLL, data: bytes, lines: int, first: int, names: Sequence[str], found: LineColumns
) -> Block:
    """The columns of some lines as a block.

    Args:
        first: number of the first line in its file.
        names: of the columns, by place.
    """
    rows = {names[place]: _series(names[place], *pair) for place, pair in found.numbers.items()}
    texts = {names[place]: _Texts(library, data, *pair) for place, pair in found.texts.items()}
    return Block(pl.DataFrame(rows), np.arange(first, first + lines), taken=lines, texts=texts)


def _at_once(library: ctypes.CDLL, data: bytes, lines: int, dialect: Dialect) -> LineColumns | None:
    """Columns of the kinds that the first line's fields have; None where another line's are of others."""
    fields = data[: data.index(b"\n")].split(dialect.separator)
    if len(fields) != len(dialect.names) or not all(fields[place] for place in dialect.wanted):
        return None
    kinds = [LEFT_OUT] * len(fields)
    for place in dialect.wanted:
        kinds[place] = kind_of(fields[place])
    return read_lines(library, data, dialect.separator[0], kinds, lines)


def _by_columns(library: ctypes.CDLL, data: bytes, lines: int, dialect: Dialect) -> LineColumns | None:
    """The same, each column of the kind that all its fields have; None where a line has other fields."""
    wanted = list(dialect.wanted)
    fields = FieldTable(library, data, dialect.separator[0], len(dialect.names), wanted, lines)
    if not fields.regular:
        return None
    found = LineColumns({}, {})
    for slot, place in enumerate(wanted):
        numbers = fields.whole_numbers(slot) or fields.decimals(slot)
        if numbers is None:
            found.texts[place] = fields.texts(slot)
        else:
            found.numbers[place] = numbers
    return found


@dataclass(frozen=True)
class _Texts:
    """A column of the fields of some lines."""

    library: ctypes.CDLL
    data: bytes
    starts: np.ndarray
    sizes: np.ndarray

    def series(self) -> pl.Series:
        """As text; empty ones are null."""
        texts = text_series(*gather_texts(self.library, self.data, self.starts, self.sizes))
        return texts.set(texts == "", None) if "" in texts else texts

    def codes(self, known: TextCodes) -> np.ndarray:
        """As numbers of its texts."""
        return known.add(self.data, self.starts, self.sizes)


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
