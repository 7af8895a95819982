"""Conditional VAE: labels go into encoder and decoder, so that the code is left with what the label does not say.

    log p(x | y)  >=  E_q(z | x, y)[log p(x | z, y)] - KL(q(z | x, y) || N(0, I))

On digits z becomes the handwriting: one z decoded under ten labels writes ten digits in one hand.

Source: Kingma et al., Semi-Supervised Learning with Deep Generative Models (NeurIPS 2014), model M2 with every label
known; Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative Models (NeurIPS
2015).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.checks import Shape, check_labels
from recsys_vae.images.models.vae import VAE, VAEConfig
from recsys_vae.nn.gaussians import DiagonalGaussian


@dataclass(frozen=True)
class ConditionalVAEConfig(VAEConfig):
    """Widths and classes.

    Attributes:
        classes: labels are 0 to classes - 1; with 0 classes it is the VAE without labels.
    """

    classes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 0:
            raise ConfigError(f"The number of classes is at least 0, got {self.classes}.")


class ConditionalVAE(VAE):
    """A dense VAE that is given the label, one-hot, beside the pixels and beside the code."""

    config: ConditionalVAEConfig

    def __init__(self, shape: Shape, config: ConditionalVAEConfig) -> None:
        super().__init__(shape, config, context=config.classes)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """q(z | x, y)."""
        return super().posterior(self._with_labels(x.flatten(1), y))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels under z and y."""
        return super().decode(self._with_labels(z, y))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Pixel means given labels, shape (n, channels, height, width); labels drawn uniformly where none are given."""
        if y is None and self.config.classes:
            device = next(self.parameters()).device
            y = torch.randint(self.config.classes, (n,), generator=generator, device=device)
        return super().sample(n, y, generator)

    def _with_labels(self, vectors: Tensor, y: Tensor | None) -> Tensor:
        labels = check_labels(y, len(vectors), self.config.classes)
        if labels is None:
            return vectors
        return torch.cat([vectors, functional.one_hot(labels, self.config.classes)], dim=1)
