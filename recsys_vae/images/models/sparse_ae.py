"""The sparse autoencoder: a code that may be wider than the image, of which little is in use at a time.

    loss = -log p(x | g(z)) + beta w R(z)

    l1     z = relu(f(x)),     R = sum_j |z_j|, averaged over images
    kl     z = sigmoid(f(x)),  R = sum_j KL(Bernoulli(t) || Bernoulli(m_j)), m_j the mean of z_j over the batch
    top-k  z = relu(f(x)) with all but its k largest entries set to 0, R = 0

The KL holds each unit to the target t on average over images, so its gradient depends on the batch; top-k leaves each
image k units at most, and needs no weight.

Source: Ng, Sparse autoencoder, CS294A lecture notes (2011), for kl; Makhzani & Frey, k-Sparse Autoencoders (ICLR 2014),
for top-k.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.autoencoder import Autoencoder, AutoencoderConfig
from recsys_vae.images.protocol import Loss

SPARSITIES = ("l1", "kl", "top-k")
IN_USE = 0.01
"""Activation above which a unit counts as in use."""


@dataclass(frozen=True)
class SparseAutoencoderConfig(AutoencoderConfig):
    """Settings of the sparse autoencoder.

    Attributes:
        hidden: widths of hidden layers before the code; none by default, so that a unit is a picture.
        latent: width of the code.
        sparsity: l1, kl or top-k.
        weight: of the regularizer of l1 and kl.
        target: mean activation that kl holds each unit to, between 0 and 1.
        k: units that top-k leaves to each image.
    """

    hidden: str = ""
    latent: int = 256
    sparsity: str = "l1"
    weight: float = 0.1
    target: float = 0.05
    k: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparsity not in SPARSITIES:
            raise UnknownNameError("kind of sparsity", self.sparsity, SPARSITIES)
        if self.weight < 0 or not 0 < self.target < 1:
            raise ConfigError(
                f"weight is at least 0 and target lies between 0 and 1, got {self.weight} and {self.target}."
            )
        if self.k < 1 or (self.sparsity == "top-k" and self.k > self.latent):
            raise ConfigError(f"k is at least 1 and at most latent, {self.latent}; got {self.k}.")


class SparseAutoencoder(Autoencoder):
    """An autoencoder whose code is held to few units.

    Args:
        shape: channels, height, width.
        config: its settings.
    """

    config: SparseAutoencoderConfig

    def __init__(self, shape: Shape, config: SparseAutoencoderConfig) -> None:
        super().__init__(shape, config)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Activations of the code's units, at least 0, shape (n, latent)."""
        before = super().encode(x)
        if self.config.sparsity == "kl":
            return torch.sigmoid(before)
        z = torch.relu(before)
        return largest(z, self.config.k) if self.config.sparsity == "top-k" else z

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """Reconstruction and `beta * weight` times the regularizer."""
        z = self.encode(x)
        reconstruction = self.cost(self.decode(z), x)
        regularizer = self._regularizer(z.float())
        return Loss(reconstruction + beta * self.config.weight * regularizer, reconstruction, regularizer)

    def watch(self, x: Tensor, y: Tensor | None = None) -> dict[str, float]:
        """Share of the code that an image uses, and units that no image uses."""
        in_use = self.encode(x) > IN_USE
        return {"share_in_use": float(in_use.float().mean()), "dead_units": float((~in_use.any(dim=0)).sum())}

    def _regularizer(self, z: Tensor) -> Tensor:
        if self.config.sparsity == "l1":
            return z.sum(dim=1).mean()
        if self.config.sparsity == "kl":
            return bernoulli_kl(self.config.target, z.mean(dim=0)).sum()
        return z.new_zeros(())


def largest(z: Tensor, k: int) -> Tensor:
    """Each row with all but its k largest entries set to 0, shape (n, d)."""
    values, columns = z.topk(k, dim=1)
    return torch.zeros_like(z).scatter(1, columns, values)


def bernoulli_kl(target: float, means: Tensor) -> Tensor:
    """KL(Bernoulli(target) || Bernoulli(mean)) in nats of each mean; finite at means of 0 and 1."""
    means = means.clamp(1e-6, 1 - 1e-6)
    return target * (target / means).log() + (1 - target) * ((1 - target) / (1 - means)).log()
