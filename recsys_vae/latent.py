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
        """KL(self || N(0, I)) of each latent dimension in nats, shape (n, d); its sum over d is the KL of a row."""
        return 0.5 * (self.log_variance.exp() + self.mean.square() - 1.0 - self.log_variance)


def free_bits(kl: Tensor, floor: float = 0.0) -> Tensor:
    """KL averaged over rows and summed over latents, each latent counted with at least `floor` nats; a scalar.

    Below the floor a dimension has no gradient, so nothing pushes it to collapse (Kingma et al., Improving Variational
    Inference with Inverse Autoregressive Flow, 2016, appendix C.8). With floor 0 it is the plain KL.

    Args:
        kl: nats by row and latent, shape (n, d).
    """
    return kl.mean(dim=0).clamp(min=floor).sum() if floor else kl.sum(dim=1).mean()
