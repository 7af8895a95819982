"""VAE: the variational autoencoder, with dense layers.

    z ~ N(0, I),  x_i ~ Bernoulli(sigmoid(f_i(z)))  or  N(f_i(z), deviation^2)
    q(z | x) = N(mu(x), diag sigma^2(x)),  z = mu + sigma * noise,  noise ~ N(0, I)
    maximise  E_q[log p(x | z)] - KL(q(z | x) || N(0, I))

The draw is a function of noise that has no parameters, so that the gradient passes through it to mu and sigma: the
reparameterization trick.

Source: Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), sections 2.4 and 3, appendix C.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from recsys_vae.images.layers.blocks import mlp, widths
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.variational import Variational, VariationalConfig, gaussian
from recsys_vae.nn.gaussians import DiagonalGaussian


@dataclass(frozen=True)
class VAEConfig(VariationalConfig):
    """Widths; the defaults are those of PyTorch's example, 784-400-20-400-784.

    Attributes:
        hidden: widths of the encoder's hidden layers, joined by hyphens; the decoder has them in reverse.
    """

    hidden: str = "400"

    def __post_init__(self) -> None:
        super().__post_init__()
        widths(self.hidden)


class VAE(Variational):
    """Dense encoder and decoder, mirrors of each other."""

    config: VAEConfig

    def __init__(self, shape: Shape, config: VAEConfig, *, context: int = 0) -> None:
        """Fresh weights.

        Args:
            shape: channels, height, width.
            context: numbers that encoder and decoder are given, beside the pixels and beside the code.
        """
        super().__init__(shape, config)
        pixels, hidden = math.prod(shape), widths(config.hidden)
        self.encoder = mlp([pixels + context, *hidden, 2 * config.latent])
        self.decoder = mlp([config.latent + context, *hidden[::-1], pixels])

    def posterior(self, x: Tensor, y: Tensor | None = None) -> DiagonalGaussian:
        """Mean and log-variance, the two halves of the encoder's outputs."""
        return gaussian(self.encoder(x.flatten(1)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels, shape (n, channels, height, width)."""
        outputs: Tensor = self.decoder(z).view(-1, *self.shape)
        return outputs
