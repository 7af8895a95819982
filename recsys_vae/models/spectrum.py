"""The leading spectrum of a large sparse Gram matrix, which is never formed."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from recsys_vae.native import graph
from recsys_vae.native.graph import GramLoops, Scales, SparseProduct
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import Float32Array

STEPS = 10
"""Blocks that the search space holds: more bring the trailing vectors closer."""
WARM_STEPS = 6
"""Blocks where the search begins within the vectors of a similar matrix."""
DRIFT, PROBES = 1e-6, 4
"""Part of a block that may lie in the space before it, and mixtures by which it is guessed."""
KEPT = 0.9
"""Length that vectors keep when what lies in a space is taken from them, if hardly anything does."""
BLOCK = 64
"""Columns that torch multiplies at once: so many of 40,000 items stay in the processor's cache."""
CONDITION = 1e-3
"""Lengths in a block that differ by more are too far apart for the Cholesky factor of its Gram matrix, even where it is
decomposed again."""
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
    values, vectors = _decompose(matrix) if whole else _search(matrix, rank, start)
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
        if self._loops:
            return torch.from_numpy(self._loops.polynomial(weights, dense.numpy()))
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
    def _loops(self) -> GramLoops | None:
        return GramLoops(self._matrix, self._scales) if graph.suits() else None

    def neighbours(
        self,
        weights: list[float],
        vectors: Float32Array,
        taken: Float32Array,
        scale: Float32Array,
        kept: int,
    ) -> tuple[NDArray[np.int32], Float32Array]:
        """As `GramLoops.neighbours`, in an order made for it; only where there is compiled code."""
        return GramLoops(self._matrix, self._scales, vectors).neighbours(weights, vectors, taken, scale, kept)

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
        return torch.randn(width, block, generator=generator).double(), STEPS
    mixed = torch.randn(similar.shape[1], block, generator=generator)
    return (torch.from_numpy(similar) @ mixed).double(), WARM_STEPS


def _search(
    matrix: csr_array, rank: int, similar: Float32Array | None
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The larger Ritz values of X^T X, descending, and their vectors, of the Krylov space of a block: twice its width.

    The image of a block is, but for rounding, orthogonal to all blocks but itself, the one before and the next. What
    rounding adds grows from block to block, in float64 hardly beyond 1e-7: in float32 each block would have to be made
    orthogonal to all before it, which is as much work, and less exact.
    """
    X, transposed = _operator(matrix), _operator(csr_array(matrix.T))
    start, steps = _start(matrix.shape[1], rank, similar)
    width, block = start.shape
    space, projected = torch.empty(width, steps * block), np.zeros((steps * block, steps * block))
    before, last = torch.empty(0, block, dtype=torch.float64), _basis(start)[0]
    del start
    for end in range(block, steps * block + 1, block):
        here, following = slice(end - block, end), slice(end, end + block)
        space[:, here] = last
        halfway = X @ last.numpy()
        projected[here, here] = _gram(halfway)
        if end == steps * block:
            break
        image = torch.from_numpy(transposed @ halfway)
        image.addmm_(last, torch.from_numpy(projected[here, here]), alpha=-1)
        if len(before):
            image.addmm_(before, torch.from_numpy(projected[end - 2 * block : end - block, here]), alpha=-1)
        before, (last, projected[here, following]) = last, _orthogonal(image, space[:, :end], before)
        del image, halfway  # before the next ones are made
    del before, last
    values, rotation = _largest_pairs(projected, 2 * block)
    return values, (space @ torch.from_numpy(rotation)).numpy()


def _operator(matrix: csr_array) -> csr_array | SparseProduct:
    """What multiplies in float64."""
    return SparseProduct(matrix) if graph.suits() else matrix.astype(np.float64)


def _largest_pairs(upper: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The n largest eigenvalues, descending, of the matrix whose upper half is given, and their vectors."""
    size = len(upper)
    values, vectors = eigh(
        upper, lower=False, subset_by_index=(size - n, size - 1), overwrite_a=True, check_finite=False
    )
    return values[::-1], np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)


def _gram(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """B^T B, shape (n, n), with half the work of a product."""
    half = dsyrk(1.0, block.T)  # the upper one, zeros below
    return np.asarray(half + np.triu(half, 1).T)


def _orthogonal(image: Tensor, space: Tensor, room: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
    """An orthonormal basis of what an image, orthogonal to a space but for rounding, adds to it, and image^T times it.

    Where rounding has grown, what lies in the space is taken out again. And again where the image adds nothing: these
    are all that is left of it then, and what is left of them is no longer a basis.

    Args:
        image: shape (n, m).
        space: orthonormal, shape (n, k).
        room: of the shape of the image if there is any, for the basis.
    """
    block, lower, _ = _basis(image, room)
    if _drift(block, space) < DRIFT:
        return block, lower
    for _ in range(3):
        taken = space @ (space.T @ block.float())
        block, _, kept = _basis(block.sub_(taken))
        if kept.min() > KEPT:
            break
    return block, (image.T @ block).numpy()


def _drift(block: Tensor, space: Tensor) -> float:
    """About the largest part of a basis that lies in a space, by some random mixtures of it."""
    mixed = torch.randn(block.shape[1], PROBES, generator=torch.Generator().manual_seed(0)) / block.shape[1] ** 0.5
    return float(((block @ mixed.double()).T.float().contiguous() @ space).norm(dim=1).max())


def _basis(block: Tensor, room: Tensor | None = None) -> tuple[Tensor, NDArray[np.float64], Tensor]:
    """Q and R^T of the QR decomposition, and the magnitudes of R's diagonal: by Cholesky where that is exact enough, as
    it is several times as fast: where the lengths on that diagonal are alike, to a factor of `CONDITION`.

    Source: Yamamoto et al., Roundoff error analysis of the CholeskyQR2 algorithm, ETNA 44, 2015.
    """
    lower, failed = torch.linalg.cholesky_ex(torch.from_numpy(_gram(block.numpy())))
    lengths = lower.diagonal()
    if failed or lengths.min() < CONDITION * lengths.max():
        block, upper = torch.linalg.qr(block)
        return block, upper.T.numpy(), upper.diagonal().abs()
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=torch.float64), upper=False)
    out = room if room is not None and len(room) else torch.empty_like(block)
    return torch.mm(block, inverse.T, out=out), lower.numpy(), lengths
