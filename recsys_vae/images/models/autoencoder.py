"""The autoencoder: a code in the middle that is too narrow to copy the image through.

    z = f(x),  loss = -log p(x | g(z))

f and g are stacks of linear layers with ReLU between them: with the default configuration 784-128-64-32-64-128-784 on
images of 28 x 28. With linear f and g and squared error the optimum is PCA (Bourlard & Kamp 1988; Baldi & Hornik
1989), which makes PCA with as many components the baseline.

Source: Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 313 (2006).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from recsys_vae.errors import ConfigError, ModelError
from recsys_vae.images.layers.blocks import dense_decoder, dense_encoder, widths
from recsys_vae.images.layers.checks import Shape, check_images, check_shape
from recsys_vae.images.layers.likelihood import GAUSSIAN, check_likelihood, negative_log_likelihood
from recsys_vae.images.protocol import Loss


class Likely(Protocol):
    """A configuration that names a likelihood."""

    @property
    def likelihood(self) -> str:
        """Bernoulli or gaussian."""


class Deterministic(nn.Module):
    """What autoencoders without a distribution over their codes have in common.

    Args:
        shape: channels, height, width.
        config: of the model.
        encoder: images to codes (n, latent).
        decoder: codes to outputs of the images' shape.
    """

    def __init__(self, shape: Shape, config: Likely, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.shape = check_shape(shape)
        self.config = config
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes of images, shape (n, latent); labels are passed over.

        Raises:
            DataError: the images have another shape than the model.
        """
        z: Tensor = self.encoder(check_images(x, self.shape))
        return z

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels, as the images' shape."""
        outputs: Tensor = self.decoder(z)
        return outputs

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The reconstruction, in the units of `decode`."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """The reconstruction alone: there is nothing for `beta` to weigh."""
        reconstruction = self.cost(self(x), x)
        return Loss(reconstruction, reconstruction, torch.zeros_like(reconstruction))

    def cost(self, outputs: Tensor, x: Tensor) -> Tensor:
        """-log p(x | z) in nats an image, averaged over the batch."""
        return negative_log_likelihood(self.config.likelihood, outputs, x).mean()

    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Raises ModelError: there is no distribution to draw codes from."""
        raise ModelError(
            f"{type(self).__name__} has no distribution over its codes to draw new images from. Train a VAE, or decode "
            "codes that lie between those of real images (interpolate)."
        )


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings of the autoencoder.

    Attributes:
        hidden: widths of the encoder's hidden layers, as `128-64`; the decoder mirrors them.
        latent: width of the code.
        likelihood: gaussian (squared error) or bernoulli.
    """

    hidden: str = "128-64"
    latent: int = 32
    likelihood: str = GAUSSIAN

    def __post_init__(self) -> None:
        widths(self.hidden)
        check_likelihood(self.likelihood)
        check_latent(self.latent)


def check_latent(latent: int) -> None:
    """Raise ConfigError where a code would have no width."""
    if latent < 1:
        raise ConfigError(f"latent, the width of the code, is at least 1, got {latent}.")


class Autoencoder(Deterministic):
    """Linear layers with ReLU between them.

    Args:
        shape: channels, height, width.
        config: its settings.
    """

    def __init__(self, shape: Shape, config: AutoencoderConfig) -> None:
        check_shape(shape)
        hidden = widths(config.hidden)
        encoder = dense_encoder(shape, hidden, config.latent)
        super().__init__(shape, config, encoder, dense_decoder(shape, hidden, config.latent))
