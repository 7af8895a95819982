"""ItemColumns: what is known of items beside their scores, as arrays: numbers, and which values they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.attributes import Attributes, column_of, numbers_of
from recsys_vae.data.columns import ITEM, POPULARITY
from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array

MOST_VALUES = 1000
"""Values of a column, on average at least two items each, up to which it says what items have in common."""


@dataclass(frozen=True, eq=False)
class ItemColumns:
    """Columns of the items of a catalogue.

    Attributes:
        numbers: shape (n_items,) each, by name; NaN where one is not known.
        shares: p(value | item), shape (n_items, n_values) each, by name; empty rows where nothing is known.
    """

    numbers: Mapping[str, Float32Array]
    shares: Mapping[str, csr_array]

    @classmethod
    def of(
        cls, table: pl.DataFrame, counted: Mapping[str, Float32Array], numbers: Sequence[str], kinds: Sequence[str]
    ) -> "ItemColumns":
        """Chosen columns of a table of items.

        Args:
            table: a row an item, in row order.
            counted: numbers that are not in the table, by name.
            numbers: names of the columns of numbers, those that are counted among them.
            kinds: names of the columns of values.

        Raises:
            DataError: a column is missing, or holds something else.
        """
        if missing := [name for name in (*numbers, *kinds) if name not in (*counted, *table.columns)]:
            raise DataError(f"The items have no column {missing[0]!r}, by which the second stage ranks.")
        if wrong := [name for name in numbers if name not in counted and not _is_number(table[name])]:
            raise DataError(f"Column {wrong[0]!r} of the items holds no numbers, by which the second stage ranks.")
        found = {name: counted[name] if name in counted else _as_numbers(table[name]) for name in numbers}
        return cls(found, {name: Attributes.of(column_of(table, name)).shares for name in kinds})


def number_columns(table: pl.DataFrame) -> list[str]:
    """Names of the metadata that are numbers or dates, and not all the same."""
    columns = [table[name] for name in table.columns if name not in (ITEM, POPULARITY) and _is_number(table[name])]
    return [column.name for column in columns if column.drop_nulls().n_unique() > 1]


def value_columns(table: pl.DataFrame) -> list[str]:
    """Names of the metadata that are values which items share."""
    columns = [
        table[name] for name in table.columns if name != ITEM and table[name].dtype in (pl.String, pl.List(pl.String))
    ]
    return [column.name for column in columns if _is_shared(column)]


def _is_shared(column: pl.Series) -> bool:
    values = column.explode() if column.dtype == pl.List else column
    values = values.drop_nulls()
    return 1 < values.n_unique() <= min(MOST_VALUES, len(values) // 2)


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype == pl.Boolean or column.dtype.is_temporal()


def _as_numbers(column: pl.Series) -> Float32Array:
    if column.dtype in (pl.Date, pl.Datetime):
        column = column.dt.epoch("d")
    with np.errstate(over="ignore"):
        found = numbers_of(column).astype(np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))
