"""How one raw value is read: ids, numbers and times, out of whatever type a log has them in.

Each function takes a column and the type it has, and gives null where the value cannot be read; none fails on a row.
"""

from difflib import get_close_matches

import polars as pl

ISO_FORMATS = ("%+", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
"""RFC 3339 with an offset; the rest are taken as UTC."""

EPOCH_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (float("inf"), 0.001))
"""(below this magnitude, microseconds a unit): seconds up to the year 5138, then milli-, micro- and nanoseconds."""

_UTC = pl.Datetime("us", "UTC")


def as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as text; an empty text is null."""
    text = column if dtype == pl.String else column.cast(pl.String, strict=False)
    return pl.when(text != "").then(text)


def read_id(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Ids are texts; a whole number that a tool has turned into a float (12.0) is 12 again."""
    if dtype.is_float():
        whole = column.is_finite() & (column == column.floor())
        column = pl.when(whole).then(column.cast(pl.Int64, strict=False))
        return column.cast(pl.String)
    return as_text(column, dtype)


def read_number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A number, as Float32."""
    return _number(column, dtype).cast(pl.Float32)


def read_count(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A whole number from 0 that fits in 32 bits."""
    number = _number(column, dtype)
    return pl.when(number == number.floor()).then(number.cast(pl.UInt32, strict=False))


def read_time(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A time in UTC, microseconds: ISO 8601 text, a date or datetime column, or an epoch whose unit its size tells."""
    if isinstance(dtype, pl.Datetime):
        known = column if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return known.cast(_UTC, strict=False)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    epoch = _from_epoch(_number(column, dtype))
    if dtype.is_numeric():
        return epoch
    text = column.cast(pl.String, strict=False).str.strip_chars()
    return pl.coalesce(epoch, *(_from_iso(text, pattern) for pattern in ISO_FORMATS))


def guess(name: str, found: list[str]) -> str:
    """The column of a log that is probably meant by `name`, else a placeholder."""
    plain = {_plain(column): column for column in found}
    stem = name.removesuffix("_id")
    close = [key for key in plain if stem in key] or get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else "COLUMN"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    plain = dtype.is_numeric() or dtype == pl.Boolean
    return (column if plain else column.cast(pl.String, strict=False).str.strip_chars()).cast(pl.Float64, strict=False)


def _from_epoch(number: pl.Expr) -> pl.Expr:
    scale = pl.lit(None, dtype=pl.Float64)
    for limit, microseconds in reversed(EPOCH_UNITS):
        scale = pl.when(number.abs() < limit).then(microseconds).otherwise(scale)
    return (number * scale).round().cast(pl.Int64, strict=False).cast(_UTC)


def _from_iso(text: pl.Expr, pattern: str) -> pl.Expr:
    if pattern == "%+":
        return text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
    if pattern == "%Y-%m-%d":
        return text.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return text.str.to_datetime(pattern, time_unit="us", strict=False).dt.replace_time_zone("UTC")
