"""Rank-k updates of a linear autoencoder: the matrix B that a fit would give, without inverting again.

    A' = A + U^T U - D^T D,   P = A^-1:   P' = P - Z^T Z + Y^T Y
    K = I + U P U^T = L L^T,  Z = L^-1 U P;       Q = P - Z^T Z,  I - D Q D^T = M M^T,  Y = M^-1 D Q

What comes is added before what goes is taken, so that A stays positive definite all along. P is never formed: off the
diagonal P_ij = -B_ij P_jj, so that B and the diagonal of P are all that has to be kept of a fit. P is symmetric, hence
half of it is computed, block by block, from B into B'. A new item is one whose row of P is 0 but for 1 / penalty; one
that is gone has come to be such a one.

An update is checked against the interactions, not believed: for some columns p of P', the step P' (e - A' p) of
iterative refinement says how far p is from the inverse's own column.

Sources: Woodbury, Inverting Modified Matrices, 1950; Higham, Accuracy and Stability of Numerical Algorithms, ch. 12.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.extras import Deferred
from recsys_vae.protocols import Float32Array, Int64Array

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")

BLOCK, TILE = 2048, 128
"""Rows and columns that are computed at once, and that are transposed at once."""
PROBES = 32
"""Columns that are checked."""
WORTH_IT = 0.7
"""Share of a fit's work up to which an update is made."""
SINGLE = 3
"""How much faster float32, in which an update computes, is than float64, in which a fit does."""


class UnstableUpdateError(ArithmeticError):
    """What goes is nearly all that an item had: the difference cannot be computed to float32."""


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """B and the diagonal of P: all of P.

    Attributes:
        weights: B, shape (n, n).
        diagonal: of P, shape (n,).
    """

    weights: Float32Array
    diagonal: NDArray[np.float64]

    def times(self, rows: csr_array) -> Float32Array:
        """R P, shape (k, n), for sparse rows R."""
        product = np.asarray(rows.toarray(), dtype=np.float32)
        product -= rows @ self.weights
        product *= self.diagonal.astype(np.float32)
        return product


def is_worth_it(n_items: int, rank: int) -> bool:
    """Whether a rank-k update takes less than inverting a matrix of n items, by their operations."""
    share = rank / n_items
    return (share + share**2 + share**3) / SINGLE < WORTH_IT


def extended(system: LinearSystem, places: Int64Array, n_items: int, penalty: NDArray[np.float64]) -> LinearSystem:
    """The same over more items, of which nobody has touched the new ones.

    Args:
        places: where the items are among all, ascending.
        n_items: of all.
        penalty: of an item without users, shape (n_items,).
    """
    if len(places) == n_items:
        return system
    weights = np.zeros((n_items, n_items), dtype=np.float32)
    for place, row in zip(places, system.weights, strict=True):
        weights[place, places] = row
    diagonal = 1 / penalty
    diagonal[places] = system.diagonal
    return LinearSystem(weights, diagonal)


def restricted(system: LinearSystem, places: Int64Array) -> LinearSystem:
    """The same over some of the items; nobody may have touched the others."""
    if len(places) == len(system.diagonal):
        return system
    weights = np.empty((len(places), len(places)), dtype=np.float32)
    for row, place in zip(weights, places, strict=True):
        np.take(system.weights[place], places, out=row)
    return LinearSystem(weights, system.diagonal[places])


def updated(system: LinearSystem, added: csr_array, removed: csr_array) -> LinearSystem:
    """The system after rows U were added to the interactions and rows D removed.

    Args:
        added: U, shape (k, n), weights above 0.
        removed: D, likewise; A - D^T D has to be positive definite.

    Raises:
        UnstableUpdateError: it is not, as far as float32 can tell.
    """
    plus = _factor(system.times(added), added, +1)
    projected = system.times(removed)
    if len(plus) and len(projected):
        projected -= _product(_columns(removed, plus), plus)
    minus = _factor(projected, removed, -1)
    diagonal = system.diagonal - _squares(plus) + _squares(minus)
    if not (diagonal > 0).all():
        raise UnstableUpdateError
    return LinearSystem(_merged(system, diagonal, plus, minus), diagonal)


def largest_error(system: LinearSystem, interactions: csr_array, penalty: NDArray[np.float64]) -> float:
    """Largest error of B, as a share of its largest entry, over the most popular items and some others.

    Args:
        interactions: binary, shape (n_users, n): those that B is to have learned from.
        penalty: of each item, shape (n,).
    """
    probes = _probes(interactions)
    columns = -system.weights[:, probes].astype(np.float64) * system.diagonal[probes]
    columns[probes, np.arange(len(probes))] = system.diagonal[probes]
    X = interactions.astype(np.float64)
    residual = -(X.T @ (X @ columns)) - penalty[:, None] * columns
    residual[probes, np.arange(len(probes))] += 1
    step = residual.T - _product(residual.T.astype(np.float32), system.weights)
    refined = columns + (step * system.diagonal).T
    errors = -refined / refined[probes, np.arange(len(probes))] - system.weights[:, probes]
    errors[probes, np.arange(len(probes))] = 0
    smallest, largest = torch.aminmax(torch.from_numpy(system.weights))
    scale = max(abs(float(smallest)), abs(float(largest)))
    return float(np.abs(errors).max() / scale) if scale else 0.0


def _probes(interactions: csr_array) -> Int64Array:
    counts = np.bincount(interactions.indices, minlength=interactions.shape[1])
    popular = np.argsort(-counts, kind="stable")[: PROBES // 2]
    others = np.random.default_rng(0).permutation(len(counts))[: PROBES // 2]
    return np.union1d(popular, others)


def _factor(projected: Float32Array, rows: csr_array, sign: int) -> Float32Array:
    """L^-1 R P, shape (k, n), of R P and R, where L L^T = I + sign R P R^T."""
    if not len(projected):
        return projected
    kernel = torch.from_numpy(_columns(rows, projected)).double().mul_(sign)
    kernel.diagonal().add_(1)
    factor, failed = torch.linalg.cholesky_ex(kernel)
    if failed:
        raise UnstableUpdateError
    solved = torch.linalg.solve_triangular(factor.float(), torch.from_numpy(projected), upper=False)
    return np.asarray(solved.numpy())


def _columns(rows: csr_array, dense: Float32Array) -> Float32Array:
    """R M^T, shape (k, m), of sparse R (k, n) and M (m, n)."""
    return np.asarray(rows @ np.ascontiguousarray(dense.T))


def _product(left: Float32Array, right: Float32Array) -> Float32Array:
    return np.asarray((torch.from_numpy(np.ascontiguousarray(left)) @ torch.from_numpy(right)).numpy())


def _squares(rows: Float32Array) -> NDArray[np.float64]:
    """Sums of squares of the columns, shape (n,)."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), BLOCK):
        total += np.square(rows[start : start + BLOCK], dtype=np.float64).sum(axis=0)
    return total


def _merged(
    system: LinearSystem, diagonal: NDArray[np.float64], plus: Float32Array, minus: Float32Array
) -> Float32Array:
    """B of P - Z^T Z + Y^T Y, whose diagonal is given."""
    n = len(diagonal)
    weights = torch.empty(n, n)
    source = torch.from_numpy(system.weights)
    before = torch.from_numpy(-system.diagonal).float()
    after = torch.from_numpy(-1 / diagonal).float()
    gone, come = torch.from_numpy(plus), torch.from_numpy(minus)
    buffer = torch.empty(min(BLOCK, n), min(BLOCK, n))
    for top in range(0, n, BLOCK):
        rows = slice(top, min(top + BLOCK, n))
        for left in range(0, top + 1, BLOCK):
            columns = slice(left, min(left + BLOCK, n))
            block = buffer[: rows.stop - top, : columns.stop - left]
            torch.mul(source[rows, columns], before[columns], out=block)
            block.addmm_(gone[:, rows].T, gone[:, columns], alpha=-1)
            block.addmm_(come[:, rows].T, come[:, columns])
            torch.mul(block, after[columns], out=weights[rows, columns])
            _mirror(block, after[rows], weights[columns, rows])
    weights.fill_diagonal_(0.0)
    return np.asarray(weights.numpy())


def _mirror(block: "Tensor", scale: "Tensor", out: "Tensor") -> None:
    """The transpose with scaled columns, tile by tile: at once it would miss the processor's cache all along."""
    for top in range(0, len(block), TILE):
        rows = slice(top, top + TILE)
        for left in range(0, block.shape[1], TILE):
            columns = slice(left, left + TILE)
            torch.mul(block[rows, columns].T, scale[rows], out=out[columns, rows])
