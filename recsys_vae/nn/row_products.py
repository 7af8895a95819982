"""Inner products of chosen rows of two matrices, and gradients of such sums; compiled where that suits."""

from collections.abc import Sequence

from torch import Tensor

from recsys_vae.native import row_gradient as compiled


def row_products(left: Tensor, right: Tensor, lefts: Tensor, rights: Tensor) -> Tensor:
    """Inner product of a row of each matrix for each entry, shape (nnz,) float32.

    Args:
        left, right: shapes (n, d) and (m, d) float32.
        lefts, rights: rows of each entry, shape (nnz,) int64.
    """
    if compiled.suits_products(left, right):
        return compiled.row_products(left.contiguous(), right.contiguous(), lefts, rights)
    return (left[lefts] * right[rights]).sum(dim=1)


def row_gradient(
    upstream: Tensor, columns: Tensor, rows: Tensor, values: Tensor, borders: Sequence[int], n_columns: int
) -> Tensor:
    """As the compiled `native.row_gradient`; of one leaf where it is not compiled."""
    if compiled.suits(upstream):
        return compiled.row_gradient(upstream, columns, rows, values, borders, n_columns)
    assert len(borders) == 2
    return upstream.new_zeros(n_columns, upstream.shape[1]).index_add_(0, columns, upstream[rows] * values.unsqueeze(1))
