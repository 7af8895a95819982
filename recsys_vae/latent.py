"""Diagonal Gaussians over latent codes: the one implementation behind every variational model.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (2014), appendix B.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiagonalGaussian:
    """A batch of normal distributions with independent coordinates.

    Attributes:
        mean: shape (n, d).
        log_variance: shape (n, d), natural logarithm.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One reparameterised draw a row, shape (n, d): mean + standard deviation * noise, noise of deviation 1."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl_to_standard_normal(self) -> Tensor:
        """KL(self || N(0, I)) in nats, shape (n,): summed over latents, never averaged."""
        return 0.5 * (self.log_variance.exp() + self.mean.square() - 1.0 - self.log_variance).sum(dim=1)
