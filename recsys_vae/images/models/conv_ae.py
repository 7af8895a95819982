"""The convolutional autoencoder: the same objective, with layers that know where pixels lie.

    z = W f(x),  loss = -log p(x | g(z))

f are convolutions that halve height and width, g their mirror of transposed convolutions; one linear layer each makes
the code, so that its width can be that of a dense model or of PCA. Weights are shared over places: fewer of them, and
a stroke is the same stroke wherever it is.

Source: Masci et al., Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction (ICANN 2011); strides in
place of pooling as in Radford, Metz & Chintala (2016); residual blocks as in van den Oord et al. (2017), section 4.1.
"""

from dataclasses import dataclass

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.blocks import ConvDecoder, ConvEncoder
from recsys_vae.images.layers.checks import Shape, check_shape
from recsys_vae.images.layers.likelihood import GAUSSIAN, check_likelihood
from recsys_vae.images.models.autoencoder import Deterministic, check_latent


@dataclass(frozen=True)
class ConvAutoencoderConfig:
    """Settings of the convolutional autoencoder.

    Attributes:
        channels: of the first convolution; each further one has twice as many.
        halvings: how often height and width are halved.
        residual_blocks: where they are smallest, in the encoder and in the decoder.
        latent: width of the code.
        likelihood: gaussian (squared error) or bernoulli.
    """

    channels: int = 32
    halvings: int = 2
    residual_blocks: int = 0
    latent: int = 32
    likelihood: str = GAUSSIAN

    def __post_init__(self) -> None:
        check_likelihood(self.likelihood)
        check_latent(self.latent)
        if self.channels < 1 or self.halvings < 1 or self.residual_blocks < 0:
            raise ConfigError(
                "channels and halvings are at least 1 and residual_blocks at least 0, got "
                f"{self.channels}, {self.halvings} and {self.residual_blocks}."
            )


class ConvAutoencoder(Deterministic):
    """Strided convolutions, a linear code, transposed convolutions.

    Args:
        shape: channels, height, width.
        config: its settings.

    Raises:
        ConfigError: the images are too small to be halved that often.
    """

    def __init__(self, shape: Shape, config: ConvAutoencoderConfig) -> None:
        check_shape(shape)
        size = (config.channels, config.halvings, config.latent, config.residual_blocks)
        super().__init__(shape, config, ConvEncoder(shape, *size), ConvDecoder(shape, *size))
