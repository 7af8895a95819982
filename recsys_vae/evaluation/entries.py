"""Entries of a sparse matrix: pick some, draw some at random, keep some columns. What every split is cut with."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.protocols import BoolArray, Int64Array

AT_ONCE = 1 << 20
"""Cells that are looked for at a time."""


def row_lengths(matrix: csr_array) -> Int64Array:
    """Number of entries of each row, shape (n_rows,)."""
    lengths: Int64Array = np.diff(matrix.indptr).astype(np.int64)
    return lengths


def entry_rows(matrix: csr_array) -> Int64Array:
    """Row of each entry, in storage order, shape (nnz,)."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), row_lengths(matrix))


def entry_keys(matrix: csr_array) -> Int64Array:
    """One number a cell, ascending in a canonical matrix, shape (nnz,): row * n_columns + column."""
    keys: Int64Array = entry_rows(matrix) * matrix.shape[1] + matrix.indices
    return keys


def contains(matrix: csr_array, keys: Int64Array) -> BoolArray:
    """Whether each cell, numbered as in `entry_keys`, is filled in a canonical matrix; shape of `keys`."""
    found, present = np.zeros(keys.shape, dtype=np.bool_), entry_keys(matrix)
    for start in range(0, len(keys) if present.size else 0, AT_ONCE):
        _, found[start : start + AT_ONCE] = _looked_up(present, keys[start : start + AT_ONCE])
    return found


def find_entries(matrix: csr_array, keys: Int64Array) -> Int64Array:
    """Storage place of each cell, numbered as in `entry_keys`, or -1 where it is empty; shape of `keys`."""
    present = entry_keys(matrix)
    if not present.size:
        return np.full(keys.shape, -1, dtype=np.int64)
    places, are_there = _looked_up(present, keys)
    return np.where(are_there, places, -1)


def _looked_up(present: Int64Array, keys: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Where each key stands among those that are present, at least one and ascending, and whether it does."""
    places = np.minimum(np.searchsorted(present, keys), present.size - 1)
    return places, present[places] == keys


def pick(matrix: csr_array, chosen: BoolArray) -> csr_array:
    """The matrix with only the chosen entries, same shape.

    Args:
        chosen: shape (nnz,), in storage order.
    """
    before = np.concatenate([[0], np.cumsum(chosen)])
    indptr = before[matrix.indptr].astype(matrix.indptr.dtype)
    return csr_array((matrix.data[chosen], matrix.indices[chosen], indptr), shape=matrix.shape)


def draw(matrix: csr_array, wanted: NDArray[np.integer], rng: np.random.Generator) -> BoolArray:
    """Choose `wanted[row]` entries of each row at random, without replacement; shape (nnz,), in storage order."""
    rows = entry_rows(matrix)
    order = np.lexsort((rng.random(matrix.nnz), rows))
    place_in_row = np.arange(matrix.nnz) - matrix.indptr[rows]
    chosen = np.zeros(matrix.nnz, dtype=np.bool_)
    chosen[order] = place_in_row < wanted[rows]
    return chosen


def seen_columns(matrix: csr_array) -> Int64Array:
    """Columns that hold an entry, ascending."""
    return np.flatnonzero(np.bincount(matrix.indices, minlength=matrix.shape[1]))


def keep_columns(matrix: csr_array, columns: Int64Array) -> csr_array:
    """The matrix over some of its columns, shape (n_rows, len(columns)).

    Args:
        columns: ascending, without duplicates.
    """
    new_number = np.full(matrix.shape[1], -1, dtype=matrix.indices.dtype)
    new_number[columns] = np.arange(columns.size)
    kept = pick(matrix, new_number[matrix.indices] >= 0)
    return csr_array((kept.data, new_number[kept.indices], kept.indptr), shape=(matrix.shape[0], columns.size))
