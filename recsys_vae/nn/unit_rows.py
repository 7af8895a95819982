"""Rows of length 1 and their Gram matrix, for tables so large that passes over them and products of them count.

torch's own gradients of the two take twice the products and three times the passes.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

SHORTEST = 1e-12
"""Length that shorter rows are taken to have."""
BLOCK = 128
"""Columns of a Gram matrix that are made at once; what lies below the diagonal is copied from above it."""

ROWS = 512
"""Rows of a table that are worked on at once."""


def unit_rows(table: Tensor) -> Tensor:
    """Each row over its length, shape (n, d)."""
    found: Tensor = _UnitRows.apply(table)  # type: ignore[no-untyped-call]
    return found


def gram(table: Tensor) -> Tensor:
    """A^T A of a table A, shape (d, d)."""
    found: Tensor = _Gram.apply(table)  # type: ignore[no-untyped-call]
    return found


class _UnitRows(torch.autograd.Function):
    """u = w / |w|,  dw = (du - u <u, du>) / |w|."""

    @staticmethod
    def forward(ctx: Any, table: Tensor) -> Tensor:
        rows, lengths = torch.empty_like(table), table.new_empty(len(table), 1)
        for whole, length, row in _parts(table, lengths, rows):
            torch.linalg.vector_norm(whole, dim=1, keepdim=True, out=length).clamp_(min=SHORTEST)
            torch.div(whole, length, out=row)
        ctx.save_for_backward(rows, lengths)
        return rows

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        rows, lengths = ctx.saved_tensors
        gradient = torch.empty_like(upstream)
        for above, row, length, found in _parts(upstream, rows, lengths, gradient):
            along = (row * above).sum(dim=1, keepdim=True)
            torch.addcmul(above, row, along, value=-1, out=found).div_(length)
        return gradient


def _parts(*tables: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of tables that stay in the processor's cache, from the first to the last."""
    return zip(*(torch.split(table, ROWS) for table in tables), strict=True)


class _Gram(torch.autograd.Function):
    """G = A^T A,  dA = A (dG + dG^T)."""

    @staticmethod
    def forward(ctx: Any, table: Tensor) -> Tensor:
        width = table.shape[1]
        found = table.new_empty(width, width)
        for start in range(0, width, BLOCK):
            end = min(start + BLOCK, width)
            found[start:end, start:] = table[:, start:end].T @ table[:, start:]
            found[end:, start:end] = found[start:end, end:].T
        ctx.save_for_backward(table)
        return found

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (table,) = ctx.saved_tensors
        product: Tensor = table @ (upstream + upstream.T)
        return product
