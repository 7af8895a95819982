"""Metadata of items from a table: Parquet, CSV or NDJSON, one row an item, a column a field.

A column `hidden` of true and false hides items; other columns are fields. In a CSV a column holds what the store knows
it to hold; an unknown one numbers, or true and false, where all of its values are such (`0123` is a code), else text.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SEPARATOR
from recsys_vae.errors import ConfigError, DataError, SchemaError, first_line
from recsys_vae.frames import read_table
from service.schemas.items import MAX_FIELDS, RESERVED
from service.store.item_records import FLAG, NUMBER, NUMBERS, TEXTS, ItemChange
from service.store.item_rows import read_all

BATCH_ROWS: Final = 2_000
"""Rows of a transaction: few enough that others get their turn within a fraction of a second."""
HIDDEN: Final = "hidden"
NUMBERS_ONLY: Final = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"
READERS: Final[dict[str, Callable[[Path], pl.DataFrame]]] = {
    ".parquet": read_table,
    ".csv": partial(pl.read_csv, infer_schema=False, glob=False),
    ".ndjson": pl.read_ndjson,
    ".jsonl": pl.read_ndjson,
}


@dataclass(frozen=True)
class ItemTable:
    """A table of items.

    Attributes:
        path: of the file.
        frame: its rows; the id is text, in a column `item_id`.
        numbers: columns of text that hold numbers to the store.
    """

    path: Path
    frame: pl.DataFrame
    numbers: frozenset[str] = frozenset()

    @classmethod
    def read(
        cls, path: Path, *, id_column: str = ITEM, sets: Sequence[str] = (), kinds: Mapping[str, str]
    ) -> "ItemTable":
        """Read a file by what its name ends in.

        Args:
            path: of the file.
            id_column: that holds the ids.
            sets: columns of texts that hold several values with `|` between them.
            kinds: of the fields that the store knows.

        Raises:
            ConfigError: it is of another kind, or a column is named that it does not have.
            SchemaError: it lacks the column of the ids, has too many, or one of a type that items cannot have.
            DataError: it cannot be read.
        """
        if path.suffix not in READERS:
            raise ConfigError(f"{path} ends in none of {', '.join(READERS)}, by which its format is known.")
        try:
            frame = READERS[path.suffix](path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path} cannot be read: {first_line(error)}") from error
        frame = _with_ids(frame, path, id_column)
        for name in sets:
            if name not in frame.columns:
                raise ConfigError(f"{path} has no column {name!r}; there are: {', '.join(frame.columns)}.")
        told = dict(kinds) | dict.fromkeys(sets, TEXTS)
        is_text = path.suffix == ".csv"
        frame = frame.with_columns(_typed(frame[name], told.get(name), is_text) for name in frame.columns)
        wanted = (name for name in frame.columns if told.get(name) == NUMBER and frame[name].dtype == pl.String)
        return cls(path, frame, frozenset(wanted))

    def batches(self, *, replaces: bool, as_of: datetime | None) -> Iterator[list[ItemChange | str]]:
        """The change that each row asks for, or why it is none.

        Args:
            replaces: whether fields that the table does not have, or has no value for, are removed.
            as_of: time of the table; now when None.
        """
        fixed = {"op": "replace" if replaces else "merge"} | ({} if as_of is None else {"timestamp": as_of})
        for piece in self.frame.iter_slices(BATCH_ROWS):
            yield read_all([_row(row, self.numbers) | fixed for row in piece.iter_rows(named=True)])


def _with_ids(frame: pl.DataFrame, path: Path, id_column: str) -> pl.DataFrame:
    if id_column not in frame.columns:
        raise SchemaError(
            f"{path} has no column {id_column!r}; there are: {', '.join(frame.columns)}. Name it by --id."
        )
    if id_column != ITEM:
        frame = frame.drop(ITEM, strict=False).rename({id_column: ITEM})
    frame = frame.drop([name for name in RESERVED if name != ITEM], strict=False)
    if len(frame.columns) - 1 > MAX_FIELDS:
        raise SchemaError(f"{path} has {len(frame.columns) - 1} columns, and items take {MAX_FIELDS} at a time.")
    return frame.with_columns(pl.col(ITEM).cast(pl.String))


def _typed(column: pl.Series, kind: str | None, is_text: bool) -> pl.Series:
    """A column with values that JSON has."""
    dtype = column.dtype
    if column.name == ITEM:
        return column
    if dtype == pl.String:
        return _from_text(column, kind, is_text)
    if dtype.is_temporal() and dtype not in (pl.Duration, pl.Time):
        is_naive = isinstance(dtype, pl.Datetime) and dtype.time_zone is None
        named = column.dt.replace_time_zone("UTC") if is_naive else column
        return pl.Series(column.name, [None if one is None else one.isoformat() for one in named])
    if dtype in (pl.Categorical, pl.Enum) or dtype == pl.Decimal:
        return column.cast(pl.Float64 if dtype == pl.Decimal else pl.String)
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if inner.is_numeric() or inner in (pl.Boolean, pl.String, pl.Null):
        return column
    raise SchemaError(f"Column {column.name!r} holds {dtype}, which metadata of items cannot be.")


def _from_text(column: pl.Series, kind: str | None, is_text: bool) -> pl.Series:
    if kind in (TEXTS, NUMBERS):
        several = column.str.split(SEPARATOR)
        return several if kind == TEXTS else several.cast(pl.List(pl.Float64))
    given = column.drop_nulls()
    is_unknown = kind is None and is_text and len(given) > 0
    if (is_unknown or kind == FLAG or column.name == HIDDEN) and given.is_in(["true", "false"]).all():
        return column.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    if (is_unknown or kind == NUMBER) and given.str.contains(NUMBERS_ONLY).all():
        whole = column.cast(pl.Int64, strict=False)
        return column.cast(pl.Float64, strict=False) if whole.null_count() > column.null_count() else whole
    return column


def _row(row: dict[str, Any], numbers: frozenset[str]) -> dict[str, Any]:
    fields = {name: value for name, value in row.items() if name not in (ITEM, HIDDEN) and value is not None}
    hidden = row.get(HIDDEN)
    fields |= {name: _number(fields[name]) for name in numbers if name in fields}
    return {"item_id": row[ITEM], "fields": fields} | ({} if hidden is None else {"hidden": hidden})


def _number(text: str) -> float | str:
    """What the store is asked to take: what is no number it rejects by itself, and the other rows count."""
    return float(text) if re.match(NUMBERS_ONLY, text) else text
