"""Gradients of layers on sparse rows, of several leaves of a batch at once, where they are compiled.

A leaf's sums are computed as if the layer's weight did not learn, by a `DeferredSums`, which notes of what rows they
are. Once the gradients of the sums are known, `joint_gradient` makes the weight's of all leaves in one pass: the bits
of as many gradients, added up in a binary tree, of which none is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys_vae.native import row_gradient
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, weighted_sums


@dataclass(frozen=True, eq=False)
class Summed:
    """What a layer was asked.

    Attributes:
        weight: the layer's.
        rows: that were added up.
        sums: what came of it, through which gradients are asked for, shape (n, d).
    """

    weight: nn.Parameter
    rows: SparseRows
    sums: Tensor


class DeferredSums:
    """Weighted sums of one leaf; of a layer that is called a second time autograd takes care.

    Attributes:
        calls: that were deferred, one a layer, in their order.
    """

    def __init__(self) -> None:
        self.calls: list[Summed] = []

    def __call__(self, layer: SparseLinear, rows: SparseRows) -> Tensor | None:
        """Sums that know nothing of the layer's weight, shape (n, d); None where they are not deferred."""
        weight = layer.weight
        if not (torch.is_grad_enabled() and weight.requires_grad) or any(one.weight is weight for one in self.calls):
            return None
        if layer.sparse_gradient or not row_gradient.suits(weight):
            return None
        sums = weighted_sums(weight.detach(), rows).requires_grad_()
        self.calls.append(Summed(weight, rows, sums))
        return sums


@torch.no_grad()
def joint_gradient(leaves: Sequence[Summed], upstream: Sequence[Tensor | None]) -> Tensor:
    """Gradient of the weight, of its shape.

    Args:
        leaves: calls of one layer, one a leaf; as many as a power of two.
        upstream: gradients of the sums, shapes (n, d); None where there is none.
    """
    borders = [0]
    for leaf in leaves:
        borders.append(borders[-1] + len(leaf.rows))
    pulled = [torch.zeros_like(leaf.sums) if one is None else one for leaf, one in zip(leaves, upstream, strict=True)]
    numbered = [leaf.rows.row_numbers() + start for leaf, start in zip(leaves, borders, strict=False)]
    return row_gradient.row_gradient(
        torch.cat(pulled),
        torch.cat([leaf.rows.indices for leaf in leaves]),
        torch.cat(numbered),
        torch.cat([leaf.rows.values for leaf in leaves]),
        borders,
        len(leaves[0].weight),
    )
