"""Sums of gradients over processes in a fixed order: a binary tree, whose levels are sums of two.

A sum of two numbers is the same in either order, so that both processes of a pair, and in the end all, have the same
bits: those of one process that adds up all of them likewise.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from recsys_vae.training.parallel import Group, exchange, sparse_rows


class TreeSum:
    """The pairs of a group, made by all of its processes at the same time.

    Args:
        group: as many processes as a power of two.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._pairs: list[distributed.ProcessGroup] = []
        with exchange():
            for bit in (1 << level for level in range(group.size.bit_length() - 1)):
                for first in (rank for rank in range(group.size) if not rank & bit):
                    pair = distributed.new_group([first, first | bit])
                    if group.rank in (first, first | bit):
                        self._pairs.append(pair)

    def of(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Sums of each gradient over the processes; dense ones may be overwritten, sparse ones are coalesced."""
        dense = [gradient for gradient in gradients if gradient is not None and not gradient.is_sparse]
        for pair in self._pairs:
            self._group.add_dense(dense, pair)
        return [self._rows(one) if one is not None and one.is_sparse else one for one in gradients]

    def _rows(self, gradient: Tensor) -> Tensor:
        return gradient if self._group.size == 1 else rows_added_up(self._group.gather_rows(gradient), gradient.shape)


def rows_added_up(parts: Sequence[tuple[Tensor, Tensor]], shape: torch.Size) -> Tensor:
    """Sum, in the tree, of sparse gradients of one shape.

    Args:
        parts: rows, ascending, shape (m,), and values, shape (m, ...), of each, as many as a power of two.
    """
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        sums = [sparse_rows(torch.cat([a, b]), torch.cat([va, vb]), shape) for (a, va), (b, vb) in pairs]
        parts = [(one.indices().squeeze(0), one.values()) for one in sums]
    return sparse_rows(*parts[0], shape)
