"""Polynomials of sparse Gram matrices and the largest entries of their rows, compiled (graph.cpp, neighbours.cpp)."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Float32Array, Int64Array

SAMPLE = 8
"""Of so many items one comes first: what others have in common with these tells how large their largest entries are."""
TASTES = 32
"""Leading vectors that are looked at to tell which rows are alike."""
GROUP = 128
"""Items that are compared with all others at once."""
SLACK, LEAST_SLACK = 4, 64
"""Places of a row beyond what is kept, as a share and at least: when they are full, the smallest entries go."""

Arguments = tuple[ctypes.c_void_p | ctypes.c_int64 | ctypes.c_int | None, ...]
Scales = tuple[NDArray[np.float64], NDArray[np.float64]]
"""r and c of a matrix diag(r) B diag(c) with B of ones, shapes (n_rows,) and (n_columns,)."""


def _ordered(counts: NDArray[np.integer], tastes: Float32Array) -> NDArray[np.intp]:
    """Rows with most entries first; among those with about as many, to a factor of 2, rows of one taste together."""
    like = np.abs(tastes).argmax(axis=1)
    return np.lexsort((-counts, like, -np.log2(counts.clip(1)).astype(np.int64)))


def _with_sample(columns: NDArray[np.intp], sampled: int) -> NDArray[np.intp]:
    """Columns with a sample of them first, in random order: as many of these as are seen first are a sample too."""
    first = np.random.default_rng(0).permutation(sampled) * SAMPLE
    return np.concatenate([columns[first], np.delete(columns, first)])


def suits() -> bool:
    """Whether there are compiled loops."""
    return library() is not None


@dataclass(frozen=True, eq=False)
class Compressed:
    """A sparse matrix B as the loops read it, and the squares of its rows' factors; without values it holds ones."""

    starts: Int64Array
    columns: NDArray[np.int32]
    values: Float32Array | None
    factors: Float32Array

    @classmethod
    def of(cls, matrix: csr_array, factors: NDArray[np.float64] | None) -> "Compressed":
        """A copy of a matrix, shape (n, m); with factors, shape (n,), its values are passed by."""
        values = matrix.data.astype(np.float32) if factors is None else None
        squares = np.ones(matrix.shape[0]) if factors is None else factors**2
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), values, squares.astype(np.float32))

    def arguments(self) -> Arguments:
        """Valid as long as this is."""
        values = None if self.values is None else address(self.values)
        return (
            address(self.starts),
            address(self.columns),
            values,
            address(self.factors),
            ctypes.c_int64(len(self.starts) - 1),
        )


class SparseProduct:
    """A sparse matrix, shape (n, m), that dense ones are multiplied with in float64."""

    def __init__(self, matrix: csr_array) -> None:
        self._shape = matrix.shape
        self._starts, self._columns = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
        self._values = matrix.data.astype(np.float64)

    def __matmul__(self, dense: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product with a matrix of shape (m, k)."""
        dense, found = np.ascontiguousarray(dense), np.empty((self._shape[0], dense.shape[1]))
        loaded().recsys_sparse_product(
            address(self._starts),
            address(self._columns),
            address(self._values),
            ctypes.c_int64(self._shape[0]),
            ctypes.c_int64(self._shape[1]),
            address(dense),
            ctypes.c_int64(dense.shape[1]),
            address(found),
            ctypes.c_int(threads()),
        )
        return found


class GramLoops:
    """P = X^T X for sparse X, shape (n_rows, n_columns); it is never formed.

    Rows and columns are ordered so that those lie together which are read often, or one after the other.

    Args:
        matrix: X.
        scales: factors of its rows and columns whose products are all entries, if there are any.
        vectors: leading vectors of P, shape (n_columns, r), by which like columns are told, if they are known.
    """

    def __init__(self, matrix: csr_array, scales: Scales | None = None, vectors: Float32Array | None = None) -> None:
        lengths, counts = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=matrix.shape[1])
        tastes = np.zeros((matrix.shape[1], 1), np.float32) if vectors is None else vectors[:, :TASTES]
        rows, columns = _ordered(lengths, matrix @ tastes), _ordered(counts, tastes)
        self._sampled = len(columns) // SAMPLE // GROUP * GROUP
        self._order = _with_sample(columns, self._sampled).astype(np.int64)
        places = np.empty_like(self._order)
        places[self._order] = np.arange(len(places))
        ordered = matrix[rows]
        ordered = csr_array((ordered.data, places[ordered.indices], ordered.indptr), shape=matrix.shape)
        ordered.sort_indices()
        left, right = (None, None) if scales is None else (scales[0][rows], scales[1][self._order])
        self._matrix, self._transposed = Compressed.of(ordered, left), Compressed.of(csr_array(ordered.T), right)
        self._scale = (np.ones(len(places)) if right is None else right).astype(np.float32)

    def polynomial(self, weights: list[float], dense: Float32Array) -> Float32Array:
        """sum_k weights[k] P^k times columns, shape (n_columns, n) like them."""
        dense, factors = np.ascontiguousarray(dense, dtype=np.float32), np.array(weights, dtype=np.float32)
        found = np.empty_like(dense)
        loaded().recsys_gram_polynomial(
            *self._arguments(factors),
            address(dense),
            ctypes.c_int64(dense.shape[1]),
            address(found),
            ctypes.c_int(threads()),
        )
        return found

    def neighbours(
        self,
        weights: list[float],
        vectors: Float32Array,
        taken: Float32Array,
        scale: Float32Array,
        kept: int,
    ) -> tuple[NDArray[np.int32], Float32Array]:
        """Columns, ascending, and values of the entries of largest magnitude in each row, shapes (n_columns * kept,).

        Of P sum_k weights[k] P^k - V diag(t) V^T, columns multiplied by factors, rows divided by them; of equals the
        first ones.

        Args:
            weights: of the powers.
            vectors, taken: V, shape (n_columns, r), and t, shape (r,).
            scale: those factors, shape (n_columns,).
            kept: entries of a row, at most n_columns.
        """
        n, room = len(self._order), kept + max(kept // SLACK, LEAST_SLACK)
        columns, values = np.empty(n * room, dtype=np.int32), np.empty(n * room, dtype=np.float32)
        factors = np.array(weights, dtype=np.float32)
        vectors, taken, scale = (np.ascontiguousarray(a, dtype=np.float32) for a in (vectors, taken, scale))
        loaded().recsys_graph_neighbours(
            *self._arguments(factors),
            address(vectors),
            ctypes.c_int64(vectors.shape[1]),
            address(taken),
            address(scale),
            ctypes.c_int64(self._sampled),
            ctypes.c_int64(kept),
            ctypes.c_int64(room),
            address(columns),
            address(values),
            ctypes.c_int(threads()),
        )
        for array in (columns, values):
            array.resize(n * kept, refcheck=False)  # in place: the rest is given back
        return columns, values

    def _arguments(self, weights: Float32Array) -> Arguments:
        """The matrix and a polynomial; valid as long as both are."""
        return (
            *self._matrix.arguments(),
            *self._transposed.arguments(),
            address(self._order),
            address(self._scale),
            address(weights),
            ctypes.c_int(len(weights) - 1),
        )
