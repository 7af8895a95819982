"""Many small ridge regressions over rows of one matrix; compiled (ridge.cpp), else by torch, slower.

    x = argmin sum_k D_k x_k^2 + sum_i w_i (t_i / w_i - <x, y_i>)^2
      = D^-1/2 (I + B^T B)^-1 B^T r = D^-1/2 B^T (I + B B^T)^-1 r,       B = W^1/2 Y D^-1/2,   r = W^-1/2 t

Of the two systems the smaller one is solved: a row with fewer entries than dimensions costs what its entries do. Both
are I + M^T M, whose Cholesky factor has no pivot below 1.

Or block by block of the dimensions, once each, exact given the others: as y x of the others is taken from the targets,
a block is a regression like the whole (Rendle, Krichene, Zhang & Koren, iALS++: Speeding up Matrix Factorization with
Subspace Optimization, 2021, alg. 2). A block costs its width squared an entry, so all of them cost less than the whole.
"""

import ctypes
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recsys_vae.extras import Deferred
from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Float32Array, Int64Array

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")

NUMBERS = 1 << 22
"""Numbers that torch gathers at once."""
CACHE_LINE = 64
"""Bytes."""


@dataclass(frozen=True, eq=False)
class Regressions:
    """Regressions over rows of a matrix.

    Attributes:
        starts: where the entries of each begin, shape (n + 1,) int64.
        rows: of the matrix, one an entry, shape (nnz,) int32.
        weights: w, above 0, shape (nnz,) float32.
        targets: t, shape (nnz,) float32.
        penalties: what is added to every `base`, shape (n,) float32; the sum D is above 0.
    """

    starts: Int64Array
    rows: np.ndarray
    weights: Float32Array
    targets: Float32Array
    penalties: Float32Array

    def __len__(self) -> int:
        return len(self.penalties)

    def solve(
        self, vectors: Float32Array, base: Float32Array, start: Float32Array | None = None, block: int = 0
    ) -> Float32Array:
        """The solutions x, shape (n, d); zeros where there are no entries.

        Args:
            vectors: y, shape (., d) float32.
            base: D without the penalties, shape (d,) float32.
            start: what blocks begin with, shape (n, d) float32; None: every regression is solved exactly.
            block: dimensions solved for at once, beginning with `start`; a regression of fewer entries is solved
                exactly, and all are where it is 0 or at least d.
        """
        d = vectors.shape[1]
        block = d if start is None or not block else min(block, d)
        # Exact solutions overwrite what stands there.
        out = np.empty((len(self), d), np.float32) if start is None else start.astype(np.float32, order="C")
        if library() is None:
            return self.solved_by_torch(vectors, base, out, block)
        vectors, base = on_cache_lines(vectors), np.ascontiguousarray(base)
        loaded().recsys_ridge(
            address(vectors),
            ctypes.c_int64(d),
            ctypes.c_int64(block),
            address(base),
            ctypes.c_int64(len(self)),
            *map(address, (self.starts, self.rows, self.weights, self.targets, self.penalties)),
            address(out),
            ctypes.c_int(threads()),
        )
        return out

    def solved_by_torch(self, vectors: Float32Array, base: Float32Array, x: Float32Array, block: int) -> Float32Array:
        """The same without compiled code, in the place of x, with blocks of 1 to d dimensions."""
        d = vectors.shape[1]
        is_blocked = (np.diff(self.starts) >= block) & (block < d)
        self._solve_exactly(np.flatnonzero(~is_blocked), vectors, base, x)
        blocked = np.flatnonzero(is_blocked)
        if not len(blocked):
            return x
        left = self.targets - self.weights * self._products(vectors, x)
        for first in range(0, d, block):
            part = slice(first, first + block)
            wanted = left + self.weights * self._products(vectors[:, part], x[:, part])
            replace(self, targets=wanted)._solve_exactly(blocked, vectors[:, part], base[part], x[:, part])
            left = wanted - self.weights * self._products(vectors[:, part], x[:, part])
        return x

    def _products(self, vectors: Float32Array, x: Float32Array) -> Float32Array:
        """<x, y_i> of every entry, shape (nnz,)."""
        owners = np.repeat(np.arange(len(self)), np.diff(self.starts))
        found = np.empty(len(self.rows), np.float32)
        step = max(1, NUMBERS // vectors.shape[1])
        for first in range(0, len(found), step):
            some = slice(first, first + step)
            found[some] = np.einsum("ij,ij->i", vectors[self.rows[some]], x[owners[some]])
        return found

    def _solve_exactly(self, order: Int64Array, vectors: Float32Array, base: Float32Array, x: Float32Array) -> None:
        """Those of some regressions, into x: rows of like length together, their systems one batch."""
        lengths = np.diff(self.starts)
        x[order] = 0
        order = order[np.argsort(lengths[order], kind="stable")]
        order = order[lengths[order] > 0]
        given = torch.from_numpy(np.ascontiguousarray(vectors))
        while len(order):
            # Ascending, so the last one is the longest, and what all of a batch are filled up to.
            longest = max(int(lengths[order[-1]]), vectors.shape[1])
            chosen, order = np.split(order[::-1], [max(1, NUMBERS // (longest * vectors.shape[1]))])
            x[chosen], order = self._batch(chosen, given, torch.from_numpy(base)).numpy(), order[::-1]

    def _batch(self, chosen: Int64Array, vectors: "Tensor", base: "Tensor") -> "Tensor":
        entries, held = self._padded(chosen)
        weights = torch.from_numpy(self.weights[entries] * held).unsqueeze(2)
        roots = weights.sqrt()
        targets = torch.from_numpy(np.where(held, self.targets[entries] / np.sqrt(self.weights[entries]), 0))
        scale = (base + torch.from_numpy(self.penalties[chosen])[:, None]).rsqrt().unsqueeze(1)
        B = vectors[torch.from_numpy(self.rows[entries].astype(np.int64))] * roots * scale
        r = targets.unsqueeze(2)
        if B.shape[1] < B.shape[2]:
            found = B.mT @ torch.cholesky_solve(r, _factor(B @ B.mT))
        else:
            found = torch.cholesky_solve(B.mT @ r, _factor(B.mT @ B))
        return found.squeeze(2) * scale.squeeze(1)

    def _padded(self, chosen: Int64Array) -> tuple[Int64Array, np.ndarray]:
        """Places of the entries of some regressions, filled up to the longest, and which are no filling; 2-D."""
        starts, lengths = self.starts[chosen], np.diff(self.starts)[chosen]
        places = np.arange(lengths.max())
        held = places < lengths[:, None]
        return np.where(held, starts[:, None] + places, starts[:, None]), held


def on_cache_lines(vectors: Float32Array) -> Float32Array:
    """These vectors, or a copy of them that begins where a cache line does.

    Large arrays of numpy begin 16 bytes into a line, so that every read of 64 bytes is one of two lines: an eighth of
    the time of a half-step at 128 dimensions.
    """
    if vectors.flags.c_contiguous and vectors.ctypes.data % CACHE_LINE == 0:
        return vectors
    room = np.empty(vectors.nbytes + CACHE_LINE, dtype=np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    aligned = room[start : start + vectors.nbytes].view(np.float32).reshape(vectors.shape)
    aligned[...] = vectors
    return aligned


def _factor(products: "Tensor") -> "Tensor":
    """Cholesky's factor of I + products, positive definite as it is."""
    products.diagonal(dim1=-2, dim2=-1).add_(1)
    factor: Tensor = torch.linalg.cholesky(products)
    return factor
