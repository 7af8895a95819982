"""Interactions: who interacted with what, as a frozen sparse matrix with its two id maps."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.histories import binarise, check_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError
from recsys_vae.frames import columns_of


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

    @classmethod
    def from_frame(cls, frame: Any, *, user: str, item: str, weight: str | None = None) -> "Interactions":
        """Build from a frame, polars or pandas, of one row an interaction; duplicates add up.

        Args:
            user: column of the users' ids, strings or whole numbers.
            item: column of the items' ids, strings or whole numbers.
            weight: column of weights > 0; every row counts 1 when None.

        Raises:
            SchemaError: a column is missing.
            DataError: an id is null or neither a string nor a whole number, or a weight is not finite or not above 0.
        """
        users, items, *weights = columns_of(frame, *filter(None, (user, item, weight)))
        user_ids, item_ids = IdMap.from_labels(users), IdMap.from_labels(items)
        values = read_weights(weights[0]) if weights else np.ones(len(users), np.float32)
        return cls.from_rows(user_ids.find(users), item_ids.find(items), values, user_ids, item_ids)

    @classmethod
    def from_matrix(cls, matrix: Any) -> "Interactions":
        """Build from a sparse matrix of scipy, shape (n_users, n_items), whose rows and columns are the ids 0, 1, 2 ...

        Raises:
            DataError: a weight is not above 0.
        """
        copied = csr_array(matrix, dtype=np.float32, copy=True)
        copied.sum_duplicates()
        copied.eliminate_zeros()
        return cls(copied, IdMap.of_positions(copied.shape[0]), IdMap.of_positions(copied.shape[1]))

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


def read_weights(column: pl.Series) -> NDArray[np.float32]:
    """A column of weights, shape (n,).

    Raises:
        DataError: one is null, not finite, or not above 0.
    """
    if not column.dtype.is_numeric() or column.null_count():
        raise DataError(f"Weights are numbers above 0; column {column.name!r} holds {column.dtype} or nulls.")
    values = column.to_numpy().astype(np.float32)
    if len(values) and not (values.min() > 0 and values.max() < np.inf):
        worst = values.max() if values.min() > 0 else values.min()
        raise DataError(f"Weights are finite and above 0; column {column.name!r} has {worst}. Leave these rows out.")
    return values
