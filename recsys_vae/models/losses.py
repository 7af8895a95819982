"""The multinomial likelihood over the catalogue."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recsys_vae.models.layers import SparseRows


@dataclass(frozen=True)
class Loss:
    """What one training step minimises, and its parts; scalars in nats a user, averaged over the batch.

    Attributes:
        total: to be minimised, nll + kl weight * kl + penalties.
        nll: negative log-likelihood, summed over items.
        kl: divergence from the prior, summed over latents, not weighted; 0 for models without one.
    """

    total: Tensor
    nll: Tensor
    kl: Tensor


def multinomial_nll_(logits: Tensor, targets: SparseRows) -> Tensor:
    """Negative multinomial log-likelihood of each row in nats, shape (n,), without its constant (Liang et al., eq. 2).

    -sum_i x_i log softmax(logits)_i. The logits are overwritten, as the name's ending says: with their log-softmax, in
    the backward pass with their gradient. No second (n, n_items) array is made.

    Args:
        logits: shape (n, n_items); the output of a layer, used nowhere else.
        targets: n rows, the counts x.
    """
    # A bfloat16 log-probability of -8 is off by up to 0.03: products may be computed in it, the likelihood may not.
    logits, rows = logits.float(), targets.row_numbers()
    result: Tensor = _MultinomialNLL.apply(logits, rows, targets.indices, targets.values)  # type: ignore[no-untyped-call]
    return result


class _MultinomialNLL(torch.autograd.Function):
    """Forward and backward written out; autograd's own would pass over several (n, n_items) arrays in main memory."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
        log_softmax = torch.log_softmax(logits, dim=1, out=logits)
        ctx.save_for_backward(rows, columns, values)
        ctx.log_softmax = log_softmax
        return -values.new_zeros(len(logits)).index_add_(0, rows, values * log_softmax[rows, columns])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        # d nll / d logit_j = (sum x) softmax_j - x_j
        rows, columns, values = ctx.saved_tensors
        totals = values.new_zeros(len(upstream)).index_add_(0, rows, values)
        gradient: Tensor = ctx.log_softmax
        ctx.log_softmax = None
        gradient.exp_().mul_((totals * upstream).unsqueeze(1))
        gradient.index_put_((rows, columns), -values * upstream[rows], accumulate=True)
        return gradient, None, None, None
