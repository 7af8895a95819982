"""Interactions: who interacted with what, as a frozen sparse matrix with its two id maps."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError


@dataclass(frozen=True, eq=False)
class Interactions:
    """Users by items, in canonical form.

    Attributes:
        matrix: `csr_array` float32, shape (n_users, n_items): no duplicates, sorted indices, weights > 0.
        users: external ids of the rows.
        items: external ids of the columns.

    Raises:
        DataError: the matrix is not in that form, or does not fit the id maps.
    """

    matrix: csr_array
    users: IdMap
    items: IdMap

    def __post_init__(self) -> None:
        check_histories(self.matrix, len(self.items))
        if self.matrix.shape[0] != len(self.users):
            raise DataError(f"The matrix has {self.matrix.shape[0]} rows for {len(self.users)} user ids.")

    @classmethod
    def from_rows(
        cls, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer], weights: NDArray[np.floating],
        users: IdMap, items: IdMap,
    ) -> "Interactions":  # fmt: skip
        """Build from one entry an interaction, in any order; duplicates add up.

        Args:
            user_rows: shape (nnz,), rows of `users`.
            item_rows: shape (nnz,), rows of `items`.
            weights: shape (nnz,), > 0.
        """
        entries = (np.asarray(weights, dtype=np.float32), (user_rows, item_rows))
        matrix = csr_array(entries, shape=(len(users), len(items)), dtype=np.float32)
        matrix.sum_duplicates()
        return cls(matrix, users, items)

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of columns."""
        return len(self.items)

    @property
    def density(self) -> float:
        """Share of the cells that are filled, 0 to 1."""
        cells = self.n_users * self.n_items
        return float(self.matrix.nnz / cells) if cells else 0.0

    def binarised(self) -> "Interactions":
        """The same interactions, every weight 1."""
        return Interactions(binarise(self.matrix), self.users, self.items)

    def item_counts(self) -> NDArray[np.int64]:
        """Number of users of each item, shape (n_items,)."""
        return np.bincount(self.matrix.indices, minlength=self.n_items).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over ids and entries, in hexadecimal: equal data, equal fingerprint, whatever engine read it."""
        digest = sha256((self.users.fingerprint() + self.items.fingerprint()).encode())
        digest.update(np.ascontiguousarray(self.matrix.indptr, dtype="<i8").data)
        digest.update(np.ascontiguousarray(self.matrix.indices, dtype="<i4").data)
        digest.update(np.ascontiguousarray(self.matrix.data, dtype="<f4").data)
        return digest.hexdigest()


def binarise(matrix: csr_array) -> csr_array:
    """The same pattern, every weight 1; the index arrays are shared, not copied."""
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def check_histories(matrix: csr_array, n_items: int) -> None:
    """Check the contract of a matrix of histories, shape (n, n_items).

    Raises:
        DataError: not a float32 `csr_array` of that width in canonical form with weights > 0.
    """
    if not isinstance(matrix, csr_array) or matrix.dtype != np.float32:
        raise DataError(f"Histories are a scipy csr_array of float32, got {type(matrix).__name__} of {matrix.dtype}.")
    if matrix.shape[1] != n_items:
        raise DataError(
            f"Histories are {matrix.shape[1]} items wide, expected {n_items}: they belong to another catalogue."
        )
    if not matrix.has_canonical_format:
        raise DataError("Histories hold duplicates or unsorted indices. Call sum_duplicates() on the matrix first.")
    if matrix.nnz and not matrix.data.min() > 0:
        raise DataError("Histories hold weights <= 0 or NaN. Leave these entries out.")


def empty_histories(n: int, n_items: int) -> csr_array:
    """`n` users without any history, shape (n, n_items)."""
    return csr_array((n, n_items), dtype=np.float32)
