"""Histories: what users have interacted with, in the three forms that it takes on its way to a model.

History       as received: item id -> weight, least recent first; of a request, of the event store, of both.
HistoryRows   as rows of one catalogue, which need not hold every item.
histories     as a matrix, `csr_array` float32, shape (n, n_items), one row a user: what models, indexes and tiers take.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.errors import DataError
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array

History: TypeAlias = Mapping[str, float]
"""Item id -> weight, least recent first; above 0 for the item, below 0 against it."""


class HistoryRows(NamedTuple):
    """A history as rows of a catalogue.

    Attributes:
        rows: of each item, least recent first; -1 where the catalogue does not hold it.
        ascending: the same rows, ascending.
        weights: of `ascending`.
        has_dislikes: whether a weight is below 0.
    """

    rows: Int64Array
    ascending: Int64Array
    weights: Float32Array
    has_dislikes: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the catalogue holds every item."""
        return not len(self.ascending) or bool(self.ascending[0] >= 0)

    def known(self) -> "HistoryRows":
        """The items that the catalogue holds."""
        if self.is_known:
            return self
        held = self.ascending >= 0
        return self._replace(rows=self.rows[self.rows >= 0], ascending=self.ascending[held], weights=self.weights[held])

    @property
    def disliked(self) -> Int64Array:
        """Rows of the items with a weight below 0, ascending."""
        return self.ascending[self.weights < 0]

    @property
    def liked(self) -> Int64Array:
        """Rows of the other items, least recent first."""
        return self.rows[~np.isin(self.rows, self.disliked)] if self.has_dislikes else self.rows

    @property
    def places(self) -> Float32Array:
        """Of the items of `ascending` in time, from 1 for the least recent."""
        return (np.argsort(self.rows) + 1).astype(np.float32)


def binary_histories(users: NDArray[np.integer], items: NDArray[np.integer], n_users: int, n_items: int) -> csr_array:
    """Histories of weight 1, shape (n_users, n_items), from one entry an interaction, in any order.

    Args:
        users: row of the user, shape (n,).
        items: row of the item, shape (n,); -1 for one that the catalogue does not hold, which is left out.
    """
    known = items >= 0
    ones = np.ones(int(known.sum()), dtype=np.float32)
    matrix = csr_array((ones, (users[known], items[known])), shape=(n_users, n_items))
    matrix.sum_duplicates()
    return binarise(matrix)


def binarise(matrix: csr_array) -> csr_array:
    """The same pattern, every weight 1; the index arrays are shared, not copied."""
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def empty_histories(n: int, n_items: int) -> csr_array:
    """`n` users without any history, shape (n, n_items)."""
    return csr_array((n, n_items), dtype=np.float32)


def only_rows(matrix: csr_array, chosen: BoolArray) -> csr_array:
    """The matrix with the chosen rows as they are and the others empty."""
    if chosen.all():
        return matrix
    lengths = np.diff(matrix.indptr)
    stays = np.repeat(chosen, lengths)
    starts = np.concatenate([[0], np.cumsum(np.where(chosen, lengths, 0))])
    return csr_array((matrix.data[stays], matrix.indices[stays], starts), shape=matrix.shape)


def check_histories(matrix: csr_array, n_items: int, *, signed: bool = False) -> None:
    """Check the contract of a matrix of histories, shape (n, n_items).

    Args:
        signed: weights below 0 are allowed: they speak against an item (`data.signals`).

    Raises:
        DataError: not a float32 `csr_array` of that width in canonical form with finite weights > 0.
    """
    if not isinstance(matrix, csr_array) or matrix.dtype != np.float32:
        raise DataError(f"Histories are a scipy csr_array of float32, got {type(matrix).__name__} of {matrix.dtype}.")
    if matrix.shape[1] != n_items:
        raise DataError(
            f"Histories are {matrix.shape[1]} items wide, expected {n_items}: they belong to another catalogue."
        )
    if not matrix.has_canonical_format:
        raise DataError("Histories hold duplicates or unsorted indices. Call sum_duplicates() on the matrix first.")
    if signed and matrix.nnz and not (np.isfinite(matrix.data).all() and matrix.data.all()):
        raise DataError("Histories hold weights that are 0, infinite or NaN. Leave these entries out.")
    if not signed and matrix.nnz and not (matrix.data.min() > 0 and matrix.data.max() < np.inf):
        raise DataError("Histories hold weights <= 0, infinite or NaN. Leave these entries out.")
