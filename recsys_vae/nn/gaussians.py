"""Diagonal Gaussians over latent codes: the one implementation behind every variational model.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (2014), appendix B.
"""

import math
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

    def kl_to(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self || other) of each latent dimension in nats, shape (n, d); `other` may have a single row."""
        gap = self.log_variance - other.log_variance
        return 0.5 * (gap.exp() + (self.mean - other.mean).square() / other.log_variance.exp() - 1.0 - gap)

    def times(self, other: "DiagonalGaussian", weight: Tensor) -> "DiagonalGaussian":
        """The normalised product of both densities, `other` to the power of `weight`, shape (n, d).

        Precisions add up and means are averaged by them; where the weight is 0 it is this distribution.

        Args:
            other: as many rows.
            weight: at least 0, shape (n, 1).
        """
        own, others = torch.exp(-self.log_variance), weight * torch.exp(-other.log_variance)
        precision = own + others
        return DiagonalGaussian((own * self.mean + others * other.mean) / precision, -precision.log())

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of each coordinate of z, shape (n, d); its sum over d is that of a row."""
        squares = (z - self.mean).square() / self.log_variance.exp()
        return -0.5 * (math.log(2 * math.pi) + self.log_variance + squares)


def free_bits(kl: Tensor, floor: float = 0.0) -> Tensor:
    """KL averaged over rows and summed over latents, each latent counted with at least `floor` nats; a scalar.

    Below the floor a dimension has no gradient, so nothing pushes it to collapse (Kingma et al., Improving Variational
    Inference with Inverse Autoregressive Flow, 2016, appendix C.8). With floor 0 it is the plain KL.

    Args:
        kl: nats by row and latent, shape (n, d).
    """
    return kl.mean(dim=0).clamp(min=floor).sum() if floor else kl.sum(dim=1).mean()


def log_mixture(z: Tensor, parts: DiagonalGaussian) -> Tensor:
    """Log density of codes under the mixture of k Gaussians with equal shares, shape (n,).

    Computed from two (n, d) x (d, k) products in float32: no array of n * k * d numbers is made.

    Args:
        z: codes, shape (n, d).
        parts: k rows.
    """
    with torch.autocast(z.device.type, enabled=False):
        centre = parts.mean.detach().mean(dim=0)  # small numbers cancel less
        z, means, precisions = z.float() - centre, parts.mean - centre, torch.exp(-parts.log_variance)
        squares = z.square() @ precisions.T - 2 * z @ (means * precisions).T + (means.square() * precisions).sum(dim=1)
        log_volumes = (parts.log_variance + math.log(2 * math.pi)).sum(dim=1)
        return torch.logsumexp(-0.5 * (squares + log_volumes), dim=1) - math.log(len(means))


def nearest_gaussian(parts: DiagonalGaussian) -> DiagonalGaussian:
    """The Gaussian with the mean and the variances of the mixture of the rows of `parts`, shape (1, d)."""
    mean = parts.mean.mean(dim=0, keepdim=True)
    variance = (parts.log_variance.exp() + (parts.mean - mean).square()).mean(dim=0, keepdim=True)
    return DiagonalGaussian(mean, variance.log())


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """How many latent dimensions say anything about a user: those whose posterior mean varies between users.

    Source: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders (ICLR 2016), section 5.2.

    Args:
        means: posterior means, shape (n, d).
        threshold: variance over the n rows above which a dimension is active.
    """
    return int((means.var(dim=0, correction=0) > threshold).sum())
