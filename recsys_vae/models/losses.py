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


def multinomial_nll(logits: Tensor, targets: SparseRows) -> Tensor:
    """Negative multinomial log-likelihood of each row in nats, shape (n,), without its constant (Liang et al., eq. 2).

    -sum_i x_i log softmax(logits)_i = (sum_i x_i) logsumexp(logits) - sum_i x_i logits_i: one logsumexp a row, and the
    positives only. The backward pass writes one (n, n_items) array and no other.

    Args:
        logits: shape (n, n_items).
        targets: n rows, the counts x.
    """
    rows = targets.row_numbers()
    result: Tensor = _MultinomialNLL.apply(logits, rows, targets.indices, targets.values)  # type: ignore[no-untyped-call]
    return result


class _MultinomialNLL(torch.autograd.Function):
    """Forward and backward written out; autograd's own would make three passes over (n, n_items) arrays."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
        log_normaliser = torch.logsumexp(logits, dim=1).float()
        totals = values.new_zeros(len(logits)).index_add_(0, rows, values)
        positives = values.new_zeros(len(logits)).index_add_(0, rows, values * logits[rows, columns])
        ctx.save_for_backward(logits, log_normaliser, totals, rows, columns, values)
        return totals * log_normaliser - positives

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        logits, log_normaliser, totals, rows, columns, values = ctx.saved_tensors
        # d nll / d logit_j = (sum x) softmax_j - x_j
        gradient = torch.sub(logits, log_normaliser.to(logits.dtype).unsqueeze(1))
        gradient.exp_().mul_((totals * upstream).to(logits.dtype).unsqueeze(1))
        gradient.index_put_((rows, columns), (-values * upstream[rows]).to(logits.dtype), accumulate=True)
        return gradient, None, None, None
