"""How one raw value is read: ids, numbers and times, out of whatever type a log has them in.

Each function takes a column and the type it has, and gives null where the value cannot be read; none fails on a row.
"""

from difflib import get_close_matches

import polars as pl

from recsys_vae.dates import DATE_FORMATS, FIRST_YEAR, LAST_YEAR, NO_EPOCHS

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
    """A time in UTC, microseconds: a date or datetime column, ISO 8601 text, a date as one number, or an epoch.

    The size of an epoch tells its unit.
    """
    if isinstance(dtype, pl.Datetime):
        known = column if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return known.cast(_UTC, strict=False)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    number = _number(column, dtype)
    epoch = pl.when(~_is_no_epoch(number)).then(_from_epoch(number))
    numeric = [*_from_digits(column, dtype, number), epoch]
    if dtype.is_numeric():
        return pl.coalesce(numeric)
    text = pl.when(number.is_null()).then(column.cast(pl.String, strict=False)).str.strip_chars()
    return pl.coalesce(*numeric, *(_from_pattern(text, pattern) for pattern in ISO_FORMATS))


def why_no_time(text: pl.Expr) -> pl.Expr:
    """Why a text that `read_time` gives null for is no time, in words after "NAME is ..."; null: it is just none."""
    counts = f"{', '.join(map(str, NO_EPOCHS[:-1]))} or {NO_EPOCHS[-1]}"
    words = f"a number of {counts} digits, but no calendar date from {FIRST_YEAR} to {LAST_YEAR}"
    return pl.when(_is_no_epoch(_number(text, pl.String()))).then(pl.lit(words))


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


def _whole(column: pl.Expr, dtype: pl.DataType, number: pl.Expr) -> pl.Expr:
    """A whole number as Int64, exact beyond what a float holds; null where it is none."""
    if dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    rounded = pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
    if dtype.is_numeric():
        return rounded
    return pl.coalesce(column.cast(pl.String, strict=False).str.strip_chars().cast(pl.Int64, strict=False), rounded)


def _is_no_epoch(number: pl.Expr) -> pl.Expr:
    """Whether a number has as many digits before its point as dates have and epochs of logs have not."""
    return pl.any_horizontal(number.abs().is_between(10 ** (n - 1), 10**n, closed="left") for n in NO_EPOCHS)


def _from_digits(column: pl.Expr, dtype: pl.DataType, number: pl.Expr) -> list[pl.Expr]:
    """Dates written as one number, an expression a format, null where a number is none."""
    units = {10.0 ** (digits - 4): pattern for digits, pattern in DATE_FORMATS.items()}
    is_dated = {u: number.is_between(FIRST_YEAR * u, (LAST_YEAR + 1) * u, closed="left") for u in units}
    is_any = pl.any_horizontal(is_dated.values())
    text = _whole(pl.when(is_any).then(column), dtype, pl.when(is_any).then(number)).cast(pl.String)
    return [_from_pattern(pl.when(is_dated[unit]).then(text), pattern) for unit, pattern in units.items()]


def _from_epoch(number: pl.Expr) -> pl.Expr:
    scale = pl.lit(None, dtype=pl.Float64)
    for limit, microseconds in reversed(EPOCH_UNITS):
        scale = pl.when(number.abs() < limit).then(microseconds).otherwise(scale)
    return (number * scale).round().cast(pl.Int64, strict=False).cast(_UTC)


def _from_pattern(text: pl.Expr, pattern: str) -> pl.Expr:
    if pattern == "%+":
        return text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
    if "%H" in pattern:
        return text.str.to_datetime(pattern, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    return text.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
