"""Frames: tables of Parquet by their literal path, and columns of a frame, polars or pandas, as polars series.

Polars takes a path for a pattern: a folder named `shop[1]` would not be found, or another one would. Tables are read by
way of here, which takes it for what it is. Neither pandas nor pyarrow is imported.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recsys_vae.errors import DataError, SchemaError


def scan_table(path: Path | Sequence[Path]) -> pl.LazyFrame:
    """The rows of a file of Parquet, or of several one after the other, lazily."""
    return pl.scan_parquet(path if isinstance(path, Path) else list(path), glob=False)


def read_table(path: Path) -> pl.DataFrame:
    """The rows of a file of Parquet."""
    return pl.read_parquet(path, glob=False)


def columns_in(path: Path) -> list[str]:
    """Names of the columns of a file of Parquet."""
    return scan_table(path).collect_schema().names()


def is_frame(data: object) -> bool:
    """Whether it is a polars frame, eager or lazy, or a pandas one."""
    return isinstance(data, pl.DataFrame | pl.LazyFrame) or _is_pandas(data)


def columns_of(frame: Any, *names: str) -> list[pl.Series]:
    """The named columns, in that order.

    Raises:
        DataError: it is no frame, or a column holds values of several types.
        SchemaError: a column is missing.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not is_frame(frame):
        raise DataError(f"Expected a polars or pandas frame, got {type(frame).__name__}.")
    present = list(frame.columns)
    if missing := [name for name in names if name not in present]:
        raise SchemaError(f"The frame has no column {missing[0]!r}; it has: {', '.join(map(str, present))}.")
    return [frame[name] if isinstance(frame, pl.DataFrame) else _from_pandas(frame[name], name) for name in names]


def _from_pandas(column: Any, name: str) -> pl.Series:
    is_plain = getattr(column.dtype, "kind", "O") in "iufbM" and not column.hasnans
    try:
        return pl.Series(name, column.to_numpy() if is_plain else column.where(column.notna(), None).tolist())
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"Column {name!r} holds values of several types: {error}") from error


def _is_pandas(data: object) -> bool:
    kind = type(data)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"
