"""The leading spectrum of a large sparse Gram matrix, which is never formed."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import Float32Array

STEPS = 10
"""Blocks that the search space holds: more bring the trailing vectors closer."""
WARM_STEPS = 6
"""Blocks where the search begins within the vectors of a similar matrix."""
KEPT = 0.9
"""Length that vectors keep when what lies in a space is taken from them, if hardly anything does."""
NEGLIGIBLE = 1e-6
"""Eigenvalues below this share of the largest are float32's noise; their vectors are left out."""


def leading_spectrum(
    matrix: csr_array, rank: int, start: Float32Array | None = None
) -> tuple[NDArray[np.float64], Float32Array]:
    """The largest eigenvalues of X^T X, descending, shape (r,), and their vectors, shape (n_columns, r); r <= rank.

    Block Krylov iteration: Rayleigh-Ritz on the span of K, GK, G^2 K ... for G = X^T X and a random block K half as
    wide as what is wanted. X is read twice a block, where ARPACK reads it twice a vector. A matrix that is not larger
    than that span is decomposed whole.

    Args:
        start: vectors of a similar matrix, shape (n_columns, n), from which few blocks lead to those of this one.

    Source: Musco & Musco, Randomized Block Krylov Methods for Stronger and Faster Approximate Singular Value
    Decomposition, NeurIPS 2015, algorithm 2.
    """
    block = max(rank // 2, 1)
    whole = min(matrix.shape) <= block * STEPS
    values, vectors = _decompose(matrix) if whole else _search(Gram(matrix), *_start(matrix.shape[1], rank, start))
    kept = min(rank, int((values > NEGLIGIBLE * values.max(initial=0.0)).sum()))
    return values[:kept], np.ascontiguousarray(vectors[:, :kept], dtype=np.float32)


class Gram:
    """X^T X as an operator on dense matrices: two sparse products, float32."""

    def __init__(self, matrix: csr_array) -> None:
        transposed = csr_array(matrix.T)
        self._matrix, self._transposed = matrix, transposed
        self._rows = SparseRows.from_csr(matrix)
        self._columns = SparseRows.from_csr(transposed)

    @property
    def width(self) -> int:
        """Number of columns of X."""
        return len(self._columns)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """X^T X `dense`, shape (width, n)."""
        return _product(self._columns, _product(self._rows, dense))

    def columns(self, chosen: range) -> Tensor:
        """Some columns of X^T X, shape (width, n): by products of sparse matrices, as most entries are 0."""
        found = (self._transposed[chosen.start : chosen.stop] @ self._matrix).toarray()
        return torch.from_numpy(found).T.contiguous()


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
    """The larger Ritz values, descending, and their vectors, of the Krylov space of a block: twice its width."""
    block = start.shape[1]
    space, projected = torch.empty(gram.width, steps * block), torch.empty(steps * block, steps * block)
    space[:, :block] = torch.linalg.qr(start)[0]
    for end in range(block, steps * block + 1, block):
        found, last = space[:, :end], slice(end - block, end)
        image = gram @ space[:, last].contiguous()
        projected[:end, last] = found.T @ image
        if end < steps * block:
            space[:, end : end + block] = _orthogonal(image.addmm_(found, projected[:end, last], alpha=-1), found)
    upper = projected.double().triu()
    values, rotation = torch.linalg.eigh(upper + upper.triu(1).T)
    wanted = rotation[:, -2 * block :].flip(1).float()
    return values.flip(0)[: 2 * block].numpy(), (space @ wanted).numpy()


def _orthogonal(block: Tensor, space: Tensor) -> Tensor:
    """An orthonormal basis of what a block, orthogonal to a space but for rounding, adds to it.

    Again once: the first time leaves float32's errors in. And once more where the block adds nothing: these are all
    that is left of it then, and what is left of them is no longer a basis.
    """
    block = torch.linalg.qr(block)[0]
    for _ in range(2):
        block, kept = torch.linalg.qr(block - space @ (space.T @ block))
        if kept.diagonal().abs().min() > KEPT:
            break
    return block
