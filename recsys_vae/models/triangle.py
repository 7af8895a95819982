"""Triangle: the lower half of a symmetric matrix in float64, inverted in the memory of the whole one in float32.

    A = L L^T (Cholesky),  M = L^-1,  A^-1 = M^T M

The half lies in rows of blocks, one after the other, each as long as it reaches:

    A_00
    A_10 A_11
    A_20 A_21 A_22

so that n^2 / 2 numbers of 8 bytes take the place of n^2 of 4. Each of the three steps overwrites one row of blocks
after the other, by products as long as the row, n^3 / 3 multiplications and additions each; between two products a
process can be interrupted. Last, the rows are spread over the same memory from the end, in float32, and mirrored.

Source: Golub & Van Loan, Matrix Computations, 4th ed., sec. 4.2.9 (block Cholesky).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.errors import DataError
from recsys_vae.extras import Deferred
from recsys_vae.protocols import Float32Array

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")

BLOCK, TILE = 256, 128
"""Rows that are computed at once, and rows and columns that are transposed, or counted from sparse rows, at once."""
SCRATCH = 6
"""Matrices of BLOCK rows in float32 that are held beside the matrix, at most."""


class Triangle:
    """The lower half of a symmetric matrix of n rows, in float64."""

    def __init__(self, n: int) -> None:
        self.n = n
        # The first row of blocks is the low one: the last is spread over memory that no other row is left in.
        first = n % BLOCK or min(n, BLOCK)
        self._stops = list(range(first, n + 1, BLOCK))
        self._starts = [0, *self._stops[:-1]]
        sizes = [(stop - start) * stop for start, stop in zip(self._starts, self._stops, strict=True)]
        self._offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._memory = torch.empty(max(n * n, 2 * int(self._offsets[-1])))
        self._scratch = torch.empty(min(n, BLOCK) * n, dtype=torch.float64)

    @staticmethod
    def needed_bytes(n: int) -> int:
        """Memory that a matrix of n rows takes, from the Gram matrix to the inverse."""
        return 4 * n * (n + SCRATCH * min(n, BLOCK))

    @classmethod
    def gram(cls, inputs: csr_array) -> "Triangle":
        """X^T X of sparse X, shape (m, n)."""
        made, columns = cls(inputs.shape[1]), csr_array(inputs.T)
        for rows, block in zip(made._ranges(), made._rows(), strict=True):
            reached = inputs[:, : rows.stop]
            for start in range(rows.start, rows.stop, TILE):
                few = columns[start : min(start + TILE, rows.stop)] @ reached
                out = block[start - rows.start : start - rows.start + few.shape[0]].numpy()
                few.astype(np.float64).toarray(out=out)
        return made

    def diagonal(self) -> NDArray[np.float64]:
        """Shape (n,)."""
        parts = [block[:, rows.start :].diagonal() for rows, block in zip(self._ranges(), self._rows(), strict=True)]
        return np.asarray(torch.cat([torch.empty(0, dtype=torch.float64), *parts]).numpy())

    def add_to_diagonal(self, values: NDArray[np.float64]) -> None:
        """Add values, shape (n,)."""
        for rows, block in zip(self._ranges(), self._rows(), strict=True):
            block[:, rows.start :].diagonal().add_(torch.from_numpy(values[rows.start : rows.stop]))

    def invert(self) -> None:
        """Put the inverse in the place of a positive definite matrix.

        Raises:
            DataError: it is none.
        """
        for k in range(len(self._stops)):
            self._factor(k)
        for k in range(len(self._stops)):
            self._invert_factor(k)
        for k in range(len(self._stops)):
            self._multiply(k)

    def spread(self, scale: NDArray[np.float64]) -> Float32Array:
        """The whole matrix, its columns multiplied by `scale`, shape (n, n), in the same memory: the half is lost."""
        n, whole = self.n, self._memory[: self.n * self.n].view(self.n, self.n)
        factors = torch.from_numpy(scale).float()
        for k in reversed(range(len(self._stops))):
            below, held = self._range(k), self._free(k).copy_(self._row(k))
            whole[below.start : below.stop, : below.stop] = held
        for top in range(0, n, TILE):
            rows = slice(top, min(top + TILE, n))
            for left in range(0, top + 1, TILE):
                columns = slice(left, min(left + TILE, n))
                tile = whole[rows, columns]
                if left == top:
                    tile.copy_(tile.tril() + tile.tril(-1).T)
                else:
                    whole[columns, rows] = tile.T * factors[rows]
                tile *= factors[columns]
        return np.asarray(whole.numpy())

    def _factor(self, k: int) -> None:
        """Row k of L: L_kj = (A_kj - sum_i<j L_ki L_ji^T) L_jj^-T."""
        row = self._row(k)
        for j in range(k + 1):
            columns, other = self._range(j), self._row(j)
            tile = row[:, columns.start : columns.stop]
            tile.addmm_(row[:, : columns.start], other[:, : columns.start].T, alpha=-1)
            corner = other[:, columns.start :]
            if j < k:
                tile.copy_(torch.linalg.solve_triangular(corner.T, tile, upper=True, left=False))
                continue
            factor, failed = torch.linalg.cholesky_ex(tile)
            if failed:
                raise DataError("The Gram matrix is not positive definite: raise l2.")
            tile.copy_(factor)

    def _invert_factor(self, k: int) -> None:
        """Row k of M: M_kj = -M_kk sum_j<=i<k L_ki M_ij, and M_kk = L_kk^-1."""
        row, rows = self._row(k), self._range(k)
        corner = row[:, rows.start :]
        corner.copy_(torch.linalg.solve_triangular(corner, torch.eye(len(corner), dtype=torch.float64), upper=False))
        total = self._free(k)[:, : rows.start].zero_()
        for i in range(k):
            some = self._range(i)
            total[:, : some.stop].addmm_(row[:, some.start : some.stop], self._row(i))
        row[:, : rows.start].addmm_(corner, total, beta=0, alpha=-1)

    def _multiply(self, k: int) -> None:
        """Row k of A^-1: sum_i>=k M_ik^T M_ij."""
        rows, total = self._range(k), self._free(k)
        torch.mm(self._row(k)[:, rows.start :].T, self._row(k), out=total)
        for i in range(k + 1, len(self._stops)):
            below = self._row(i)
            total.addmm_(below[:, rows.start : rows.stop].T, below[:, : rows.stop])
        self._row(k).copy_(total)

    def _range(self, k: int) -> range:
        return range(self._starts[k], self._stops[k])

    def _ranges(self) -> Iterator[range]:
        return map(self._range, range(len(self._stops)))

    def _row(self, k: int) -> "Tensor":
        """Row k of blocks, shape (height, columns that it reaches)."""
        start, stop = (int(self._offsets[one]) for one in (k, k + 1))
        return self._memory[2 * start : 2 * stop].view(torch.float64).view(len(self._range(k)), self._stops[k])

    def _rows(self) -> "Iterator[Tensor]":
        return map(self._row, range(len(self._stops)))

    def _free(self, k: int) -> "Tensor":
        """Scratch of the shape of row k."""
        height, width = len(self._range(k)), self._stops[k]
        return self._scratch[: height * width].view(height, width)
