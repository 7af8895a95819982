"""LinearAutoencoder: what the models with one dense item-item matrix have in common."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of
from recsys_vae.data.histories import binarise, check_histories
from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array, Tensors


class LinearAutoencoder(ABC):
    """scores = X B, where no item explains itself: diag(B) = 0.

    B minimises ||X - XB||^2 + sum_i penalty_i ||B_i||^2 under that constraint. In closed form,

        P = (X^T X + diag(penalty))^-1,   B_ij = -P_ij / P_jj for i != j.

    Subclasses say what is penalised. B is dense, shape (n_items, n_items), so catalogues up to some 50,000 items fit.
    """

    config: Any

    def __init__(self, n_items: int, config: Any) -> None:
        self.config = config
        self._n_items = n_items
        self._weights: Float32Array = np.zeros((0, 0), dtype=np.float32)

    @abstractmethod
    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Penalty of each item's row of B, shape (n_items,), above 0; `counts` are the users of each item."""

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    def fit(self, interactions: csr_array) -> None:
        """Solve for B on the binarised interactions, shape (n_users, n_items)."""
        check_histories(interactions, self.n_items)
        binary = binarise(interactions)
        gram = (binary.T @ binary).toarray(order="F").astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.penalty(gram.diagonal())
        precision = _inverse(gram)
        diagonal = precision.diagonal().copy()
        precision /= -diagonal
        np.fill_diagonal(precision, 0.0)
        self._weights = precision.astype(np.float32, order="C")

    def score(self, histories: csr_array) -> Float32Array:
        """X B for the binarised histories, shape (n, n_items)."""
        check_histories(histories, self.n_items)
        if not self._weights.size:
            raise DataError("This model has not been fitted: call fit first.")
        return np.asarray(binarise(histories) @ self._weights, dtype=np.float32)

    def tensors(self) -> Tensors:
        """The matrix B."""
        return {"weights": self._weights}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over B.

        Raises:
            DataError: it is of another catalogue, or not finite.
        """
        self._weights = floats_of(tensors, "weights", (self.n_items, self.n_items))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix by Cholesky: half the work of a general one; overwrites it."""
    factor, failed = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    if failed:
        raise DataError("The Gram matrix is not positive definite: raise l2.")
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse, -1)
    inverse = np.tril(inverse)
    inverse += lower.T
    return np.asarray(inverse)
