"""Gradient of a matrix whose rows are added up as sparse rows weigh them, compiled (row_gradient.cpp)."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.multinomial import address


def suits(weight: Tensor) -> bool:
    """Whether the gradient of it is to be computed here; libraries of earlier sources do not know how."""
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return is_plain and hasattr(library(), "recsys_row_gradient")


def suits_products(left: Tensor, right: Tensor) -> bool:
    """The same for inner products of their rows."""
    return suits(left) and suits(right) and hasattr(library(), "recsys_row_products")


def row_products(left: Tensor, right: Tensor, lefts: Tensor, rights: Tensor) -> Tensor:
    """Inner products of rows `lefts` of one matrix and `rights` of another, shape (nnz,) float32.

    Args:
        left, right: shapes (n, d) and (m, d) float32.
        lefts, rights: shape (nnz,) int64.
    """
    products = torch.empty(len(lefts))
    loaded().recsys_row_products(
        address(left),
        address(right),
        ctypes.c_int64(left.shape[1]),
        address(lefts.contiguous()),
        address(rights.contiguous()),
        ctypes.c_int64(len(lefts)),
        address(products),
        ctypes.c_int(threads()),
    )
    return products


def row_gradient(
    upstream: Tensor, columns: Tensor, rows: Tensor, values: Tensor, borders: Sequence[int], n_columns: int
) -> Tensor:
    """The gradient, shape (n_columns, d) float32: a sum of the leaves' own, in a binary tree.

    Args:
        upstream: gradients of the sums, shape (n, d) float32.
        columns, rows: of the entries of the sparse rows, rows ascending, shape (nnz,) int64.
        values: likewise, float32.
        borders: where leaves of the rows begin, and the last one's end; as many leaves as a power of two.
        n_columns: rows of the matrix.
    """
    gradient = torch.empty(n_columns, upstream.shape[1])
    of_leaves = torch.tensor(borders, dtype=torch.int64)
    given = (columns.contiguous(), rows.contiguous(), values.contiguous())
    loaded().recsys_row_gradient(
        address(upstream.contiguous()),
        ctypes.c_int64(upstream.shape[1]),
        *(address(tensor) for tensor in given),
        ctypes.c_int64(len(columns)),
        address(of_leaves),
        ctypes.c_int64(len(borders) - 1),
        address(gradient),
        ctypes.c_int64(n_columns),
        ctypes.c_int(threads()),
    )
    return gradient
