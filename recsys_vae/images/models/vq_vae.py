"""VQ-VAE: an image as a grid of codes, each the nearest of K learned vectors to what the encoder says there.

x -> z = encoder(x), a grid of vectors -> q(z), each vector replaced by its nearest code (quantizer.py) -> decoder.
The posterior is deterministic and the prior uniform while the autoencoder is trained, so the KL is the constant
h w log K: no term of the loss, and nothing that could collapse. A learned prior replaces the uniform one afterwards.

Source: van den Oord et al., Neural Discrete Representation Learning (NeurIPS 2017).
"""

from dataclasses import dataclass

from torch import Tensor

from recsys_vae.images.layers.blocks import grid_of
from recsys_vae.images.layers.checks import Shape, check_shape
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.layers.grid_layers import cropped, decoder, encoder
from recsys_vae.images.layers.quantizer import Quantized
from recsys_vae.images.models.vector_quantized import VectorQuantized, VectorQuantizedConfig


@dataclass(frozen=True)
class VQVAEConfig(VectorQuantizedConfig):
    """Settings of VQ-VAE; those that it shares are told in `VectorQuantizedConfig` and `PriorConfig`.

    Attributes:
        codes: size of the codebook, K.
    """

    codes: int = 128


class VQVAE(VectorQuantized):
    """An autoencoder of one grid of codes.

    Raises:
        ConfigError: the images are too small for so many halvings.
    """

    def __init__(self, shape: Shape, config: VQVAEConfig) -> None:
        grid = grid_of(check_shape(shape), config.halvings)
        super().__init__(shape, config, CodeLayout((grid,), (config.codes,)))
        sizes = (config.channels, config.halvings, config.blocks)
        self.encoder = encoder(shape[0], *sizes, width=config.width)
        self.decoder = decoder(config.width, *sizes, channels_out=shape[0])

    def quantized(self, x: Tensor, *, learn: bool) -> list[Quantized]:
        """Images after quantization, one part."""
        return [self.quantizers[0](self.encoder(x), learn=learn)]

    def merged(self, values: list[Tensor]) -> Tensor:
        """The code vectors, shape (n, width, h, w)."""
        return values[0]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Means or logits of the pixels from vectors of shape (n, width, h, w); labels are not used."""
        return cropped(self.decoder(z), self.shape[1:])
