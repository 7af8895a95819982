"""The denoising autoencoder: it sees a corrupted image and answers for the clean one.

    x' ~ C(x' | x),  loss = -log p(x | g(f(x')))

Copying is of no use any more, whatever the width of the code: what makes a pixel likely given the others has to be
learned. In training every image is corrupted anew each time; in use the input is taken for noisy as it is.

Source: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders (ICML 2008); Vincent et
al., Stacked Denoising Autoencoders (JMLR 11, 2010).
"""

from dataclasses import dataclass

from torch import Tensor

from recsys_vae.images.layers.checks import Shape, check_images
from recsys_vae.images.layers.corruption import check_noise, corrupt
from recsys_vae.images.models.conv_ae import ConvAutoencoder, ConvAutoencoderConfig
from recsys_vae.images.protocol import Loss


@dataclass(frozen=True)
class DenoisingAutoencoderConfig(ConvAutoencoderConfig):
    """Settings of the denoising autoencoder: those of the convolutional one, and the noise.

    Attributes:
        latent: width of the code; wider than without noise, as it need not keep the model from copying.
        noise: gaussian, masking or salt-and-pepper (see `corruption`).
        level: its deviation, or the probability that a pixel is hit.
    """

    latent: int = 128
    noise: str = "gaussian"
    level: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.noise, self.level)


class DenoisingAutoencoder(ConvAutoencoder):
    """A convolutional autoencoder that learns from corrupted images.

    Args:
        shape: channels, height, width.
        config: its settings.
    """

    config: DenoisingAutoencoderConfig

    def __init__(self, shape: Shape, config: DenoisingAutoencoderConfig) -> None:
        super().__init__(shape, config)

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """Cost of the clean image given a corrupted one; there is nothing for `beta` to weigh."""
        noisy = corrupt(check_images(x, self.shape), self.config.noise, self.config.level)
        reconstruction = self.cost(self(noisy), x)
        return Loss(reconstruction, reconstruction, reconstruction.new_zeros(()))
