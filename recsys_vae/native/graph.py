"""Polynomials of a sparse matrix's Gram matrix, and the largest entries of rows, compiled (graph.cpp)."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Float32Array, Int64Array


def suits() -> bool:
    """Whether there are compiled loops."""
    return library() is not None


@dataclass(frozen=True, eq=False)
class Compressed:
    """A sparse matrix as the loops read it: they look a few entries ahead, so zeros follow the last one."""

    starts: Int64Array
    columns: NDArray[np.int32]
    values: Float32Array

    @classmethod
    def of(cls, matrix: csr_array) -> "Compressed":
        """A copy of a matrix, shape (n, m)."""
        more = int(loaded().recsys_graph_padding())
        columns = np.concatenate([matrix.indices, np.zeros(more, np.int32)]).astype(np.int32, copy=False)
        return cls(matrix.indptr.astype(np.int64), columns, matrix.data.astype(np.float32))

    def arguments(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]:
        """Valid as long as this is."""
        return address(self.starts), address(self.columns), address(self.values), ctypes.c_int64(len(self.starts) - 1)


class GramLoops:
    """P = X^T X for sparse X, shape (n_rows, n_columns); it is never formed."""

    def __init__(self, matrix: csr_array, transposed: csr_array) -> None:
        self._matrix, self._transposed = Compressed.of(matrix), Compressed.of(transposed)
        self._n_columns = matrix.shape[1]

    def polynomial(self, weights: list[float], dense: Float32Array) -> Float32Array:
        """sum_k weights[k] P^k times columns, shape (n_columns, n) like them."""
        dense, factors = np.ascontiguousarray(dense, dtype=np.float32), np.array(weights, dtype=np.float32)
        found = np.empty_like(dense)
        loaded().recsys_gram_polynomial(
            *self._matrix.arguments(),
            *self._transposed.arguments(),
            address(factors),
            ctypes.c_int(len(factors) - 1),
            address(dense),
            ctypes.c_int64(dense.shape[1]),
            address(found),
            ctypes.c_int(threads()),
        )
        return found

    def rows(self, weights: list[float], rows: range) -> Float32Array:
        """Rows of P sum_k weights[k] P^k, shape (len(rows), n_columns)."""
        factors = np.array(weights, dtype=np.float32)
        found = np.empty((len(rows), self._n_columns), dtype=np.float32)
        loaded().recsys_gram_rows(
            *self._matrix.arguments(),
            *self._transposed.arguments(),
            address(factors),
            ctypes.c_int(len(factors) - 1),
            ctypes.c_int64(rows.start),
            ctypes.c_int64(len(rows)),
            address(found),
            ctypes.c_int(threads()),
        )
        return found


def largest_entries(
    rows: Float32Array, column_scale: Float32Array, row_scale: Float32Array, kept: int
) -> tuple[NDArray[np.int32], Float32Array]:
    """Columns, ascending, and values of the entries of largest magnitude in each row, shapes (n, kept).

    Of equals the first ones.

    Args:
        rows: shape (n, m).
        column_scale: factors of the columns, shape (m,), by which entries are multiplied before they are compared.
        row_scale: those of the rows, shape (n,).
        kept: at most m.
    """
    n, m = rows.shape
    columns, values = np.empty((n, kept), dtype=np.int32), np.empty((n, kept), dtype=np.float32)
    rows, column_scale, row_scale = (np.ascontiguousarray(array) for array in (rows, column_scale, row_scale))
    loaded().recsys_largest_entries(
        address(rows),
        ctypes.c_int64(n),
        ctypes.c_int64(m),
        address(column_scale),
        address(row_scale),
        ctypes.c_int64(kept),
        address(columns),
        address(values),
        ctypes.c_int(threads()),
    )
    return columns, values
