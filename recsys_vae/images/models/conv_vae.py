"""Convolutional VAE: the VAE's bound, with strided convolutions in place of its dense layers.

    q(z | x) = N(mu(x), diag sigma^2(x)) from convolutions that halve the picture,  p(x | z) from their mirror

Weights are shared over the picture, so that more of them go into what strokes look like and fewer into where they are.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), eq. 10; convolutional encoder and decoder:
Salimans, Kingma & Welling, Markov Chain Monte Carlo and Variational Inference (ICML 2015), section 4.2.
"""

from dataclasses import dataclass

from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.blocks import ConvDecoder, ConvEncoder
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.variational import Variational, VariationalConfig, gaussian
from recsys_vae.nn.gaussians import DiagonalGaussian


@dataclass(frozen=True)
class ConvVAEConfig(VariationalConfig):
    """Widths.

    Attributes:
        channels: of the first convolution; each further one doubles them.
        halvings: strided convolutions.
        residual_blocks: at the smallest grid, in encoder and in decoder.
    """

    channels: int = 16
    halvings: int = 2
    residual_blocks: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1 or self.residual_blocks < 0:
            raise ConfigError(
                f"A convolutional VAE has at least one channel and no fewer than 0 residual blocks; got channels "
                f"{self.channels}, residual_blocks {self.residual_blocks}."
            )


class ConvVAE(Variational):
    """Convolutional encoder and decoder, mirrors of each other."""

    config: ConvVAEConfig

    def __init__(self, shape: Shape, config: ConvVAEConfig) -> None:
        super().__init__(shape, config)
        grid = config.channels, config.halvings
        self.encoder = ConvEncoder(shape, *grid, 2 * config.latent, config.residual_blocks)
        self.decoder = ConvDecoder(shape, *grid, config.latent, config.residual_blocks)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """Mean and log-variance, the two halves of the encoder's outputs."""
        return gaussian(self.encoder(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels, shape (n, channels, height, width)."""
        outputs: Tensor = self.decoder(z)
        return outputs
