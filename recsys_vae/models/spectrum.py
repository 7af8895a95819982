"""The leading spectrum of a large sparse Gram matrix, which is never formed."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from recsys_vae.native import graph
from recsys_vae.native.graph import GramLoops, Scales
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import Float32Array

STEPS = 10
"""Blocks that the search space holds: more bring the trailing vectors closer."""
WARM_STEPS = 6
"""Blocks where the search begins within the vectors of a similar matrix."""
KEPT = 0.9
"""Length that vectors keep when what lies in a space is taken from them, if hardly anything does."""
BLOCK = 64
"""Columns that torch multiplies at once: so many of 40,000 items stay in the processor's cache."""
CONDITION = 1e-2
"""Lengths in a block that differ by more are too far apart for the Cholesky factor of its Gram matrix, even where it is
decomposed again."""
NEGLIGIBLE = 1e-6
"""Eigenvalues below this share of the largest are float32's noise; their vectors are left out."""


def leading_spectrum(
    matrix: csr_array, rank: int, start: Float32Array | None = None, scales: Scales | None = None
) -> tuple[NDArray[np.float64], Float32Array]:
    """The largest eigenvalues of X^T X, descending, shape (r,), and their vectors, shape (n_columns, r); r <= rank.

    Block Krylov iteration: Rayleigh-Ritz on the span of K, GK, G^2 K ... for G = X^T X and a random block K half as
    wide as what is wanted. X is read twice a block, where ARPACK reads it twice a vector. A matrix that is not larger
    than that span is decomposed whole.

    Args:
        start: vectors of a similar matrix, shape (n_columns, n), from which few blocks lead to those of this one.
        scales: factors of rows and columns whose products are all entries of X, if there are any.

    Source: Musco & Musco, Randomized Block Krylov Methods for Stronger and Faster Approximate Singular Value
    Decomposition, NeurIPS 2015, algorithm 2.
    """
    block = max(rank // 2, 1)
    whole = min(matrix.shape) <= block * STEPS
    values, vectors = _decompose(matrix) if whole else _search(Gram(matrix, scales), *_start(matrix.shape[1], rank, start))
    kept = min(rank, int((values > NEGLIGIBLE * values.max(initial=0.0)).sum()))
    return values[:kept], np.ascontiguousarray(vectors[:, :kept], dtype=np.float32)


class Gram:
    """P = X^T X and its polynomials as operators on dense matrices: two sparse products a power, float32."""

    def __init__(self, matrix: csr_array, scales: Scales | None = None) -> None:
        self._matrix, self._scales = matrix, scales

    @property
    def width(self) -> int:
        """Number of columns of X."""
        return int(self._matrix.shape[1])

    def __matmul__(self, dense: Tensor) -> Tensor:
        """P `dense`, shape (width, n)."""
        return self.polynomial([0.0, 1.0], dense)

    def polynomial(self, weights: list[float], dense: Tensor) -> Tensor:
        """sum_k weights[k] P^k `dense`, shape (width, n)."""
        if self.loops:
            return torch.from_numpy(self.loops.polynomial(weights, dense.numpy()))
        total = dense * weights[-1]
        for weight in weights[-2::-1]:
            total = _product(self._torch[1], _product(self._torch[0], total))
            if weight:
                total.add_(dense, alpha=weight)
        return total

    def rows(self, weights: list[float], chosen: range) -> Tensor:
        """Some rows of P sum_k weights[k] P^k, shape (n, width); the first product is of sparse matrices."""
        first = (csr_array(self._matrix.T)[chosen.start : chosen.stop] @ self._matrix).toarray()
        blocks = torch.split(torch.from_numpy(first).T, BLOCK, dim=1)
        return torch.cat([self.polynomial(weights, block.contiguous()).T for block in blocks])

    @cached_property
    def loops(self) -> GramLoops | None:
        """The same in compiled code, where there is any."""
        return GramLoops(self._matrix, self._scales) if graph.suits() else None

    @cached_property
    def _torch(self) -> tuple[SparseRows, SparseRows]:
        return SparseRows.from_csr(self._matrix), SparseRows.from_csr(csr_array(self._matrix.T))


def _product(rows: SparseRows, dense: Tensor) -> Tensor:
    return functional.embedding_bag(
        rows.indices, dense, rows.offsets, mode="sum", per_sample_weights=rows.values, include_last_offset=True
    )


def _decompose(matrix: csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All eigenpairs above noise, through the smaller of the two Gram matrices."""
    X = matrix.astype(np.float64)
    n, width = X.shape
    values, vectors = np.linalg.eigh((X.T @ X if width <= n else X @ X.T).toarray())
    order = np.flatnonzero(values > NEGLIGIBLE * values.max(initial=0.0))[::-1]
    values, vectors = values[order], vectors[:, order]
    return values, vectors if width <= n else X.T @ vectors / np.sqrt(values)


def _start(width: int, rank: int, similar: Float32Array | None) -> tuple[Tensor, int]:
    """The block that a search begins at, and how many of them it spans."""
    generator, block = torch.Generator().manual_seed(0), max(rank // 2, 1)
    if similar is None:
        return torch.randn(width, block, generator=generator), STEPS
    mixed = torch.randn(similar.shape[1], block, generator=generator)
    return torch.from_numpy(similar) @ mixed, WARM_STEPS


def _search(gram: Gram, start: Tensor, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The larger Ritz values, descending, and their vectors, of the Krylov space of a block: twice its width.

    The image of a block is, but for rounding, orthogonal to all blocks but itself, the one before and the next.
    """
    block = start.shape[1]
    space, projected = torch.empty(gram.width, steps * block), torch.zeros(steps * block, steps * block)
    space[:, :block] = torch.linalg.qr(start)[0]
    for end in range(block, steps * block + 1, block):
        last, near = slice(end - block, end), slice(max(end - 2 * block, 0), end)
        image = gram @ space[:, last].contiguous()
        projected[near, last] = space[:, near].T @ image
        if end < steps * block:
            image.addmm_(space[:, near], projected[near, last], alpha=-1)
            space[:, end : end + block] = _orthogonal(image, space[:, :end])
    values, rotation = _largest_pairs(projected, 2 * block)
    return values, (space @ torch.from_numpy(rotation)).numpy()


def _largest_pairs(upper: Tensor, n: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The n largest eigenvalues, descending, of the matrix whose upper half is given, and their vectors."""
    matrix, size = upper.double().numpy(), len(upper)
    values, vectors = eigh(
        matrix, lower=False, subset_by_index=(size - n, size - 1), overwrite_a=True, check_finite=False
    )
    return values[::-1], np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)


def _orthogonal(block: Tensor, space: Tensor) -> Tensor:
    """An orthonormal basis of what a block, orthogonal to a space but for rounding, adds to it.

    Again once: the first time leaves float32's errors in. And again where the block adds nothing: these are all
    that is left of it then, and what is left of them is no longer a basis.
    """
    block = _basis(block, CONDITION)[0]
    for _ in range(3):
        block, kept = _basis(block.addmm_(space, space.T @ block, alpha=-1), KEPT)
        if kept.min() > KEPT:
            break
    return block


def _basis(block: Tensor, condition: float) -> tuple[Tensor, Tensor]:
    """Q of the QR decomposition and the magnitudes of R's diagonal: by Cholesky where that is exact enough, as it is
    several times as fast: where the lengths on that diagonal are alike, to a factor of `condition`.

    Source: Yamamoto et al., Roundoff error analysis of the CholeskyQR2 algorithm, ETNA 44, 2015.
    """
    lower, failed = torch.linalg.cholesky_ex((block.T @ block).double())
    lengths = lower.diagonal()
    if failed or lengths.min() < condition * lengths.max():
        block, upper = torch.linalg.qr(block)
        return block, upper.diagonal().abs()
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=torch.float64), upper=False)
    return block @ inverse.T.float(), lengths
