"""beta-VAE: a VAE that pays more for its code, so that each latent takes up one factor of variation.

    minimise  -E_q[log p(x | z)] + beta KL(q(z | x) || N(0, I))
    or, with a capacity,  -E_q[log p(x | z)] + gamma |KL(q(z | x) || N(0, I)) - C|,  C rising from 0

A large beta leaves room only for what explains most of the pixels, one latent for each; the price is blur. With a
capacity C the code may hold C nats for free, and C grows, so that factors come in one after the other and sharpness
comes back.

Source: Higgins et al., beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (ICLR 2017),
eq. 4; Burgess et al., Understanding disentangling in beta-VAE (2018), eq. 8.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.vae import VAE, VAEConfig


@dataclass(frozen=True)
class BetaVAEConfig(VAEConfig):
    """Widths and the price of the code.

    Attributes:
        beta: price of a nat of KL; with a capacity, gamma: the price of a nat away from it.
        capacity: final nats of KL that are asked for; 0 for the beta-VAE without.
        capacity_epochs: epochs over which the capacity rises linearly from 0.
    """

    latent: int = 10
    hidden: str = "256-256"
    beta: float = 4.0
    capacity: float = 0.0
    capacity_epochs: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0 or self.capacity < 0 or self.capacity_epochs < 1:
            raise ConfigError(
                f"A beta-VAE has beta and capacity of at least 0, and at least one epoch to reach the capacity; got "
                f"beta {self.beta}, capacity {self.capacity}, capacity_epochs {self.capacity_epochs}."
            )
        if self.importance_samples > 1:
            raise ConfigError("beta prices the KL of the ELBO: a beta-VAE has importance_samples 1.")


class BetaVAE(VAE):
    """A dense VAE with a price on its code."""

    config: BetaVAEConfig
    allowed: Tensor

    def __init__(self, shape: Shape, config: BetaVAEConfig) -> None:
        super().__init__(shape, config)
        self.register_buffer("allowed", torch.tensor(0.0))

    def begin_epoch(self, epoch: int) -> None:
        """Raise the capacity: epochs count from 0, and in epoch `capacity_epochs` it is reached."""
        self.allowed.fill_(self.config.capacity * min(1.0, epoch / self.config.capacity_epochs))

    def penalty(self, kl: Tensor) -> Tensor:
        """The KL, or its distance from the capacity, at the price of beta."""
        return self.config.beta * ((kl - self.allowed).abs() if self.config.capacity else kl)
