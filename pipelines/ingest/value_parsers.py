"""How one raw value is read: ids, numbers and times, out of whatever type a log has them in.

Each function takes a column and the type it has, and gives null where the value cannot be read; none fails on a row.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

import polars as pl

from pipelines.ingest.ids import read_ids
from pipelines.ingest.times import UTC_MICROSECONDS, Unit, read_times, why_no_times


def as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as text; an empty text is null."""
    text = column if dtype == pl.String else column.cast(pl.String, strict=False)
    return pl.when(text != "").then(text)


def read_id(column: pl.Expr, _: pl.DataType, *, without_zeros: bool = True) -> pl.Expr:
    """Ids are texts; a whole number that a tool has turned into a float (12.0) is 12 again."""
    return _by_values(column, partial(read_ids, without_zeros=without_zeros), pl.String())


def read_number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A number, as Float32."""
    return _number(column, dtype).cast(pl.Float32)


def read_count(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A whole number from 0 that fits in 32 bits."""
    number = _number(column, dtype)
    return pl.when(number == number.floor()).then(number.cast(pl.UInt32, strict=False))


def read_time(column: pl.Expr, _: pl.DataType, *, unit: Unit | None = None) -> pl.Expr:
    """A time in UTC, microseconds; numbers count `unit`, or what most of them look like."""
    return _by_values(column, partial(read_times, unit=unit), UTC_MICROSECONDS)


def why_no_time(text: pl.Expr, *, unit: Unit | None = None) -> pl.Expr:
    """Why a text that `read_time` gives null for is no time, in words after "NAME is ..."; null: it is just none."""
    return _by_values(text, partial(why_no_times, unit=unit), pl.String())


def _by_values(column: pl.Expr, read: Callable[[pl.Series], pl.Series], dtype: pl.DataType) -> pl.Expr:
    return column.map_batches(read, return_dtype=dtype, is_elementwise=True)


def guess(name: str, found: list[str]) -> str:
    """The column of a log that is probably meant by `name`, else a placeholder."""
    plain = {_plain(column): column for column in found}
    stem = name.removesuffix("_id")
    close = [key for key in plain if stem in key] or get_close_matches(_plain(name), plain, n=1)
    if not close and name != stem and "id" in plain:
        close = ["id"]
    return plain[close[0]] if close else "COLUMN"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    plain = dtype.is_numeric() or dtype == pl.Boolean
    return (column if plain else column.cast(pl.String, strict=False).str.strip_chars()).cast(pl.Float64, strict=False)
