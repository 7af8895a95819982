"""Metadata of items: which columns requests can speak of, and how what they say is read for a column's type."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from service.errors import FieldError

Value = str | int | float | bool


def as_comparable(column: pl.Series) -> pl.Series | None:
    """The same values in a type that requests can speak of; None where there is none."""
    kind = element_type(column)
    if kind in (pl.Categorical, pl.Enum):
        return column.cast(pl.List(pl.String) if isinstance(column.dtype, pl.List) else pl.String)
    if kind == pl.Decimal and column.dtype == kind:
        return column.cast(pl.Float64)
    if isinstance(column.dtype, pl.Datetime):
        named = column.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else column
        return named.cast(pl.Datetime("us", "UTC"))
    if column.dtype not in (kind, pl.List(kind)):
        return None
    return column if kind.is_integer() or kind.is_float() or kind in (pl.String, pl.Boolean, pl.Date) else None


def element_type(column: pl.Series) -> pl.DataType:
    """Type of a column's values; of their elements where they are lists."""
    kind = column.dtype
    while isinstance(kind, pl.List):
        kind = pl.Series(dtype=kind.inner).dtype
    return kind


def fitting(value: Value, kind: pl.DataType, name: str, field: str) -> Any:
    """A value of a request as the column `name`, of this type, has it.

    Raises:
        FieldError: it does not fit.
    """
    converted = next((read(value) for fits, read in READERS if fits(kind)), None)
    if converted is None:
        raise FieldError(field, f"column {name!r} holds {kind}, which {value!r} does not fit")
    return converted


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Value) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(value: Value) -> datetime | None:
    """Where no zone is named, UTC is meant."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time if time is None else time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


READERS: tuple[tuple[Callable[[pl.DataType], bool], Callable[[Value], object]], ...] = (
    (lambda kind: kind == pl.String, _text),
    (lambda kind: kind == pl.Boolean, _flag),
    (lambda kind: kind.is_numeric(), _number),
    (lambda kind: kind == pl.Date, _date),
    (lambda kind: kind == pl.Datetime, _time),
)
