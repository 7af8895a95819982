"""Attributes: which values each item has in a column of the items' metadata, as a sparse matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.protocols import Float32Array, Int64Array

Float64Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Attributes:
    """The values of items in one column.

    Attributes:
        matrix: 1 where an item has a value, shape (n_items, n_values); rows of items without one are empty.
        values: what the columns of the matrix stand for.
    """

    matrix: csr_array
    values: tuple[Any, ...]

    @classmethod
    def of(cls, column: pl.Series) -> "Attributes":
        """Of a column with a value, a list of values, or nothing (null, NaN) an item."""
        return cls.of_cells([several(cell) for cell in column.to_list()])

    @classmethod
    def of_cells(cls, cells: Sequence[Sequence[Any]]) -> "Attributes":
        """Of the values of each item, none of them twice."""
        numbers: dict[Any, int] = {}
        columns = [numbers.setdefault(value, len(numbers)) for cell in cells for value in cell]
        starts = np.cumsum([0, *map(len, cells)])
        ones = np.ones(len(columns), dtype=np.float32)
        matrix = csr_array((ones, np.array(columns, dtype=np.int64), starts), shape=(len(cells), len(numbers)))
        matrix.sort_indices()
        return cls(matrix, tuple(numbers))

    @cached_property
    def shares(self) -> csr_array:
        """p(value | item): the same, each row divided by the number of its values; shape (n_items, n_values)."""
        lengths = np.diff(self.matrix.indptr)
        data = (1.0 / np.repeat(lengths, lengths)).astype(np.float32)
        return csr_array((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape)

    @cached_property
    def directions(self) -> csr_array:
        """The same with rows of length 1, whose inner products are cosines; shape (n_items, n_values)."""
        return unit_rows(self.matrix)


def several(cell: Any) -> list[Any]:
    """The values in a cell, each once; null and NaN are none."""
    found = cell if isinstance(cell, list) else [cell]
    return [value for value in dict.fromkeys(found) if value is not None and value == value]  # noqa: PLR0124 - NaN


def numbers_of(column: pl.Series) -> Float64Array:
    """A number an item, shape (n_items,); NaN where there is none.

    Raises:
        ConfigError: the column holds no numbers.
    """
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise ConfigError(f"Column {column.name!r} of the items holds {column.dtype}; expected numbers.")
    found: Float64Array = column.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
    return found


def column_of(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of the items' metadata.

    Raises:
        UnknownNameError: there is no such column.
    """
    if name not in table.columns:
        raise UnknownNameError("column of the items", name, table.columns)
    return table[name]


def unit_rows(matrix: csr_array) -> csr_array:
    """Rows divided by their Euclidean length; empty ones stay."""
    lengths = np.diff(matrix.indptr)
    squared = np.bincount(
        np.repeat(np.arange(len(lengths)), lengths), weights=matrix.data.astype(np.float64) ** 2, minlength=len(lengths)
    )
    scale: Float32Array = (1.0 / np.sqrt(np.where(squared > 0, squared, 1.0))).astype(np.float32)
    return csr_array((matrix.data * np.repeat(scale, lengths), matrix.indices, matrix.indptr), shape=matrix.shape)


def indicators(rows: Int64Array, n_items: int) -> csr_array:
    """Lists of item rows, -1 for nothing, as a matrix of ones, shape (len(rows), n_items)."""
    filled = rows >= 0
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(filled, axis=1))])
    ones = np.ones(int(starts[-1]), dtype=np.float32)
    return csr_array((ones, rows[filled], starts), shape=(len(rows), n_items))
