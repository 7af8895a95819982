"""What the variational models have in common: a posterior over codes, a prior, and bounds on log p(x).

    log p(x)  >=  E_q[log p(x | z)] - KL(q(z | x) || p(z))                          the evidence lower bound, ELBO
    log p(x)  >=  E[log (1/k) sum_i p(x, z_i) / q(z_i | x)],  z_i ~ q(z | x)        the importance-weighted bound

`loss` is minus the first, its KL in closed form and one draw of z an image; with `importance_samples` = k > 1 it is
minus the second, which rises with k and equals the first, in expectation, at k = 1.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), eq. 10; Burda, Grosse & Salakhutdinov,
Importance Weighted Autoencoders (ICLR 2016), eq. 8; free bits: Kingma et al., Improving Variational Inference with
Inverse Autoregressive Flow (NeurIPS 2016), appendix C.8.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.checks import Shape, check_images, check_shape
from recsys_vae.images.layers.likelihood import check_likelihood, negative_log_likelihood, pixel_means
from recsys_vae.images.protocol import Loss
from recsys_vae.nn.gaussians import DiagonalGaussian, active_units, free_bits


class Code(Protocol):
    """A distribution over the codes of n images, independent over d latent variables."""

    @property
    def mean(self) -> Tensor:
        """Shape (n, d, ...)."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One differentiable draw an image, as the shape of the mean."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log probability of each latent variable, shape (..., n, d)."""

    def kl_to(self, other: Self) -> Tensor:
        """KL(self || other) of each latent variable in nats, shape (n, d); `other` may have a single row."""


@dataclass(frozen=True)
class VariationalConfig:
    """Settings of every variational model.

    Attributes:
        latent: dimensions of the code.
        likelihood: "bernoulli" or "gaussian".
        deviation: standard deviation of a pixel under the Gaussian likelihood.
        free_bits: nats that each latent variable may hold for free in training; 0 is the plain ELBO.
        importance_samples: draws an image in the bound that `loss` maximises; 1 is the ELBO.
    """

    latent: int = 20
    likelihood: str = "bernoulli"
    deviation: float = 1.0
    free_bits: float = 0.0
    importance_samples: int = 1

    def __post_init__(self) -> None:
        check_likelihood(self.likelihood)
        if self.latent < 1 or self.importance_samples < 1:
            raise ConfigError(
                f"A code has at least one dimension and a bound at least one sample; got latent {self.latent}, "
                f"importance_samples {self.importance_samples}."
            )
        if not self.deviation > 0:
            raise ConfigError(f"deviation is above 0, got {self.deviation}.")
        if self.free_bits < 0:
            raise ConfigError(f"Free bits are nats a latent variable, at least 0; got {self.free_bits}.")
        if self.free_bits and self.importance_samples > 1:
            raise ConfigError(
                "Free bits floor the KL of the ELBO, which the importance-weighted bound does not have: set one of "
                f"free_bits ({self.free_bits}) and importance_samples ({self.importance_samples}) back to 0 and 1."
            )


class Variational(nn.Module, ABC):
    """An image model whose code z is drawn from a posterior q(z | x) that a prior p(z) holds together."""

    def __init__(self, shape: Shape, config: VariationalConfig) -> None:
        super().__init__()
        self.shape = check_shape(shape)
        self.config = config

    @abstractmethod
    def posterior(self, x: Tensor, y: Tensor | None = None) -> Code:
        """q(z | x), a row an image."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels, shape (n, channels, height, width)."""

    def prior(self, n: int = 1) -> Code:
        """p(z), n equal rows: N(0, I) unless a model says otherwise."""
        zeros = torch.zeros(n, self.config.latent, device=next(self.parameters()).device)
        return DiagonalGaussian(zeros, zeros)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean of the posterior, shape (n, d)."""
        return self.posterior(check_images(x, self.shape), y).mean

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode the mean code."""
        return self.decode(self.encode(x, y), y)

    def reconstruction(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """-log p(x | z) of each image in nats, shape (n,)."""
        return negative_log_likelihood(self.config.likelihood, self.decode(z, y), x, self.config.deviation)

    def penalty(self, kl: Tensor) -> Tensor:
        """What the KL, a scalar in nats, costs in the loss before the schedule's weight."""
        return kl

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """Minus the bound on log p(x); `beta` weighs the KL, or log p(z) - log q(z | x) within the weighted bound.

        Free bits shape the training only: in evaluation the regularizer is the KL itself.
        """
        posterior = self.posterior(check_images(x, self.shape), y)
        divergence = posterior.kl_to(self.prior())
        if self.config.importance_samples > 1:
            return self._importance_weighted(x, y, posterior, divergence.sum(dim=1).mean(), beta)
        kl = free_bits(divergence, self.config.free_bits if self.training else 0.0)
        reconstruction = self.reconstruction(x, posterior.sample(), y).mean()
        return Loss(reconstruction + beta * self.penalty(kl), reconstruction, kl)

    def _importance_weighted(self, x: Tensor, y: Tensor | None, posterior: Code, kl: Tensor, beta: float) -> Loss:
        reconstruction, log_ratio = self.joint(x, y, posterior, self.config.importance_samples)
        total = -log_mean_exp(beta * log_ratio - reconstruction).mean()
        return Loss(total, reconstruction.mean(), kl)

    def joint(
        self, x: Tensor, y: Tensor | None, posterior: Code, samples: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """-log p(x | z) and log p(z) - log q(z | x) of several codes an image, each of shape (samples, n).

        Args:
            posterior: q(z | x) of the images.
            samples: codes drawn an image.
        """
        z = torch.stack([posterior.sample(generator) for _ in range(samples)])
        log_ratio = self.prior().log_prob(z).sum(dim=-1) - posterior.log_prob(z).sum(dim=-1)
        repeated = x.repeat(samples, 1, 1, 1), None if y is None else y.repeat(samples)
        reconstruction = self.reconstruction(repeated[0], z.flatten(0, 1), repeated[1])
        return reconstruction.view(samples, -1), log_ratio

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Pixel means of codes drawn from the prior, shape (n, channels, height, width)."""
        return pixel_means(self.config.likelihood, self.decode(self.prior(n).sample(generator), y))

    @torch.no_grad()
    def latent_kl(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """KL(q(z_d | x) || p(z_d)) of each latent variable in nats, averaged over images, shape (d,)."""
        return self.posterior(check_images(x, self.shape), y).kl_to(self.prior()).mean(dim=0)

    @torch.no_grad()
    def watch(self, x: Tensor, y: Tensor | None = None) -> dict[str, float]:
        """How much of its code the model uses: active units, and nats by latent variable; 0 where q has collapsed."""
        kl = self.latent_kl(x, y)
        return {
            "active_units": float(active_units(self.encode(x, y).flatten(1))),
            "latent_kl_mean": kl.mean().item(),
            "latent_kl_median": kl.median().item(),
            "latent_kl_max": kl.max().item(),
        }


def gaussian(outputs: Tensor) -> DiagonalGaussian:
    """The diagonal Gaussian of an encoder's outputs (n, 2 d): means, then log-variances, in float32."""
    mean, log_variance = outputs.float().chunk(2, dim=1)
    return DiagonalGaussian(mean, log_variance)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """Log of the mean of exp over the first dimension, shape (n,) from (k, n)."""
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
