"""VQ-VAE-2: two grids of codes, a coarse one for what is global and a fine one for the details given it.

features = encoder(x);  top = q_t(f_t(features));  bottom = q_b(f_b(features, d_t(top)));  x' = decoder(bottom, u(top)).
The fine codes are chosen knowing the coarse ones (d_t), and the decoder sees both, the coarse ones spread out to the
fine grid (u). The prior is p(top) p(bottom | top).

Source: Razavi, van den Oord & Vinyals, Generating Diverse High-Fidelity Images with VQ-VAE-2 (NeurIPS 2019), section 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys_vae.images.layers.blocks import deepest, downsampling, grid_of
from recsys_vae.images.layers.checks import Shape, check_shape
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.layers.grid_layers import cropped, decoder, encoder, to_vectors
from recsys_vae.images.layers.quantizer import Quantized
from recsys_vae.images.models.vector_quantized import VectorQuantized, VectorQuantizedConfig


@dataclass(frozen=True)
class VQVAE2Config(VectorQuantizedConfig):
    """Settings of VQ-VAE-2; those that it shares are told in `VectorQuantizedConfig` and `PriorConfig`.

    Attributes:
        top_codes: size of the coarse grid's codebook; that grid is halved once more than the fine one.
        bottom_codes: size of the fine grid's.
    """

    top_codes: int = 64
    bottom_codes: int = 32


class VQVAE2(VectorQuantized):
    """An autoencoder of two grids of codes.

    Raises:
        ConfigError: the images are too small for so many halvings and one more.
    """

    def __init__(self, shape: Shape, config: VQVAE2Config) -> None:
        fine, coarse = (grid_of(check_shape(shape), config.halvings + more) for more in (0, 1))
        super().__init__(shape, config, CodeLayout((coarse, fine), (config.top_codes, config.bottom_codes)))
        features, blocks, width = deepest(config.channels, config.halvings), config.blocks, config.width
        self.encoder = downsampling(shape[0], config.channels, config.halvings, blocks)
        self.to_top = nn.Sequential(nn.ReLU(), encoder(features, features, 1, blocks, width=width))
        self.from_top = decoder(width, features, 1, blocks, channels_out=features)
        self.to_bottom = to_vectors(2 * features, width)
        self.spread = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.decoder = decoder(2 * width, config.channels, config.halvings, blocks, channels_out=shape[0])

    def quantized(self, x: Tensor, *, learn: bool) -> list[Quantized]:
        """Images after quantization: the coarse part, then the fine one."""
        features = self.encoder(x)
        top: Quantized = self.quantizers[0](self.to_top(features), learn=learn)
        given = torch.cat([features, cropped(self.from_top(top.values), self.layout.grids[1])], dim=1)
        return [top, self.quantizers[1](self.to_bottom(given), learn=learn)]

    def merged(self, values: list[Tensor]) -> Tensor:
        """Fine code vectors beside the coarse ones spread out, shape (n, 2 * width, h, w)."""
        top, bottom = values
        return torch.cat([bottom, cropped(self.spread(top), self.layout.grids[1])], dim=1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Means or logits of the pixels from vectors of shape (n, 2 * width, h, w); labels are not used."""
        return cropped(self.decoder(z), self.shape[1:])
