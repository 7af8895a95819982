"""PixelCNN-VAE: a VAE whose decoder sees the pixels before, and so can do without the code.

    log p(x | z) = sum over pixels i of log p(x_i | x_1 ... x_(i-1), z)

A decoder that models log p(x) by itself makes the KL all cost: the bound is best at q(z | x) = p(z), and the posterior
collapses to the prior. What it cannot see it must be told: with a small receptive field (few layers, a small kernel)
the pixels nearby come from the decoder and the whole picture from the code.

The code reaches each pixel through a map of its own, a location-dependent bias. The map starts at 0: the decoder begins
as a PixelCNN without a code, and the code comes in only if it earns its KL.

Source: Gulrajani et al., PixelVAE: A Latent Variable Model for Natural Images (ICLR 2017), section 3; Chen et al.,
Variational Lossy Autoencoder (ICLR 2017), sections 2 and 3; layers: van den Oord et al., Conditional Image Generation
with PixelCNN Decoders (NeurIPS 2016).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.blocks import mlp
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.layers.likelihood import negative_log_likelihood, pixel_means
from recsys_vae.images.models.variational import Variational, VariationalConfig, gaussian
from recsys_vae.images.priors.pixelcnn import GatedPixelCNN
from recsys_vae.nn.gaussians import DiagonalGaussian


@dataclass(frozen=True)
class PixelCNNVAEConfig(VariationalConfig):
    """Widths; `decoder_layers` and `kernel` set how far the decoder sees.

    Attributes:
        hidden: width of the hidden layer of the encoder, and of the one between code and map.
        width: channels of the PixelCNN.
        decoder_layers: gated layers of the PixelCNN; each sees kernel // 2 pixels further, and the first one more.
        kernel: odd side of its convolutions.
        map_channels: channels of the map that carries the code to the pixels.
    """

    hidden: int = 200
    width: int = 16
    decoder_layers: int = 4
    kernel: int = 3
    map_channels: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.map_channels) < 1:
            raise ConfigError(f"Widths are at least 1; got hidden {self.hidden}, map_channels {self.map_channels}.")


class PixelCNNVAE(Variational):
    """A dense encoder and a gated PixelCNN that is given the code as a map."""

    config: PixelCNNVAEConfig

    def __init__(self, shape: Shape, config: PixelCNNVAEConfig) -> None:
        super().__init__(shape, config)
        channels, *sides = shape
        self.encoder = mlp([math.prod(shape), config.hidden, 2 * config.latent])
        self.to_map = mlp([config.latent, config.hidden, config.map_channels * math.prod(sides)])
        for parameter in self.to_map[-1].parameters():
            nn.init.zeros_(parameter)
        self.pixelcnn = GatedPixelCNN(
            channels,
            channels,
            width=config.width,
            layers=config.decoder_layers,
            kernel=config.kernel,
            condition=config.map_channels,
        )

    def posterior(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """Mean and log-variance, the two halves of the encoder's outputs."""
        return gaussian(self.encoder(x.flatten(1)))

    def outputs(self, x: Tensor, z: Tensor) -> Tensor:
        """Logits or means of each pixel given the code and the pixels of x before it, as the shape of x."""
        parameters: Tensor = self.pixelcnn(x, self._map(z))
        return parameters

    def reconstruction(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """-log p(x | z) of each image in nats, shape (n,); every pixel is given the true ones before it."""
        return negative_log_likelihood(self.config.likelihood, self.outputs(x, z), x, self.config.deviation)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means, each pixel given the likeliest values of those before it: nothing is drawn."""
        return self.outputs(self._filled(z, self._likeliest), z)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Images whose pixels are drawn one after the other under codes from the prior: values rather than means."""
        return self._filled(self.prior(n).sample(generator), lambda outputs: self._drawn(outputs, generator))

    def _map(self, z: Tensor) -> Tensor:
        bias: Tensor = self.to_map(z).view(-1, self.config.map_channels, *self.shape[1:])
        return bias

    def _filled(self, z: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        return self.pixelcnn.fill(z.new_zeros(len(z), *self.shape), draw, self._map(z))

    def _likeliest(self, outputs: Tensor) -> Tensor:
        means = pixel_means(self.config.likelihood, outputs)
        return means.round() if self.config.likelihood == "bernoulli" else means

    def _drawn(self, outputs: Tensor, generator: torch.Generator | None) -> Tensor:
        means = pixel_means(self.config.likelihood, outputs)
        if self.config.likelihood == "bernoulli":
            return torch.bernoulli(means, generator=generator)
        noise = torch.empty_like(means).normal_(generator=generator)
        return (means + self.config.deviation * noise).clamp(0.0, 1.0)
