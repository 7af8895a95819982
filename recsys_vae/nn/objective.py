"""What a training step minimises: its parts, its weights, and the contract of a likelihood."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from recsys_vae.nn.softmax import exact_nll
from recsys_vae.nn.sparse_layers import SparseRows


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


class Likelihood(Protocol):
    """A way to compute the multinomial likelihood of a linear output layer, over all items or a sample of them."""

    def __call__(self, hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
        """Negative log-likelihood of each row in nats, shape (n,); hidden has shape (n, output.in_features)."""
        ...


@dataclass(frozen=True)
class Objective:
    """How a step weighs what it minimises; the same for every model.

    Attributes:
        kl_weight: beta of this step.
        generator: source of dropout and sampling noise.
        free_bits: nats of KL that each latent dimension may use unpunished (see `latent.free_bits`); 0 for none.
        likelihood: how the multinomial likelihood is computed.
    """

    kl_weight: float
    generator: torch.Generator | None = None
    free_bits: float = 0.0
    likelihood: Likelihood = field(default=exact_nll)
