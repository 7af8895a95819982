"""What VQ-VAE and VQ-VAE-2 share: the loss, the codes of images, the prior over them, and sampling.

-log p(x | q(z)) + beta * commitment * |z - sg(q(z))|^2, with the codebook following by moving averages (quantizer.py).
The prior is no part of this loss: it is fitted afterwards to the codes of the training images, all else being fixed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from recsys_vae.errors import ConfigError, ModelError
from recsys_vae.images.layers.checks import Shape, check_images, check_shape
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.layers.likelihood import check_likelihood, negative_log_likelihood, pixel_means
from recsys_vae.images.layers.quantizer import Quantized, Quantizer, codebook_use, perplexity
from recsys_vae.images.priors.code_distribution import CodeDistribution
from recsys_vae.images.priors.code_prior import create_prior
from recsys_vae.images.priors.prior_config import PriorConfig
from recsys_vae.images.protocol import Loss


@dataclass(frozen=True)
class VectorQuantizedConfig(PriorConfig):
    """Settings of every vector-quantized model.

    Attributes:
        width: dimensions of a code vector.
        channels: of the feature maps after the first halving, and inside the residual blocks; doubled at each further
            halving.
        halvings: of height and width, rounded up, from the image to the finest grid of codes.
        blocks: residual blocks on each grid, in encoder and decoder.
        commitment: weight of the commitment, beta in the paper.
        decay: share of the past in the codebook's moving averages.
        revive_below: a code is dead when its average count falls below this share of an equal share.
        likelihood: gaussian for grey or coloured pixels, bernoulli for binary ones.
        deviation: of the Gaussian, in units of pixels.
    """

    width: int = 16
    channels: int = 32
    halvings: int = 2
    blocks: int = 2
    commitment: float = 0.25
    decay: float = 0.99
    revive_below: float = 0.02
    likelihood: str = "gaussian"
    deviation: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_likelihood(self.likelihood)
        if min(self.width, self.channels) < 1 or min(self.blocks, self.commitment) < 0:
            raise ConfigError(
                "width and channels are at least 1, blocks and commitment at least 0; got "
                f"{self.width}, {self.channels}, {self.blocks} and {self.commitment}."
            )
        if not self.deviation > 0:
            raise ConfigError(f"deviation is above 0, got {self.deviation}.")


class VectorQuantized(nn.Module, ABC):
    """An autoencoder whose code is one or several grids of numbers of code vectors.

    Attributes:
        shape: channels, height and width of an image.
        config: its settings; `add_prior` replaces them by ones that name the prior.
        layout: how the codes of an image lie.
        quantizers: one a grid, the coarsest first.
        prior: over the codes; None until one is added.
    """

    def __init__(self, shape: Shape, config: VectorQuantizedConfig, layout: CodeLayout) -> None:
        super().__init__()
        self.shape, self.config, self.layout = check_shape(shape), config, layout
        self.quantizers = nn.ModuleList(
            Quantizer(size, config.width, decay=config.decay, revive_below=config.revive_below) for size in layout.sizes
        )
        self.prior: CodeDistribution | None = create_prior(config, layout)

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self._quantizers()[0].codebook.device

    @abstractmethod
    def quantized(self, x: Tensor, *, learn: bool) -> list[Quantized]:
        """Images after quantization, by grid; `learn` moves the codebooks."""

    @abstractmethod
    def merged(self, values: list[Tensor]) -> Tensor:
        """What the decoder takes, shape (n, d, h, w), from the code vectors of each grid."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Means or logits of the pixels, as the images' shape, from what `encode` gives."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Code vectors of each image, shape (n, d, h, w); labels are not used."""
        parts = self.quantized(check_images(x, self.shape), learn=False)
        return self.merged([part.values for part in parts])

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The reconstruction, in the units of `decode`."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, y: Tensor | None = None, *, beta: float = 1.0) -> Loss:
        """-log p(x | z) + beta * commitment * squared distance to the codes; moves the codebooks in training mode."""
        parts = self.quantized(check_images(x, self.shape), learn=self.training)
        outputs = self.decode(self.merged([part.values for part in parts]))
        config = self.config
        reconstruction = negative_log_likelihood(config.likelihood, outputs, x, config.deviation).mean()
        distance = torch.stack([part.commitment for part in parts]).sum()
        return Loss(reconstruction + beta * config.commitment * distance, reconstruction, distance)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The codes of images, int64, shape (n, layout.length)."""
        return self.layout.join([part.codes for part in self.quantized(check_images(x, self.shape), learn=False)])

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Means or logits of the pixels from codes, int64, shape (n, layout.length).

        Raises:
            DataError: another shape or type, or a number that is no code.
        """
        grids = self.layout.split(codes)
        return self.decode(self.merged([q.vectors(grid) for q, grid in zip(self._quantizers(), grids, strict=True)]))

    def add_prior(self, prior: str, **settings: Any) -> CodeDistribution:
        """Attach a fresh prior, replacing one that is there, and return it; it still has to be fitted.

        Args:
            prior: pixelcnn or transformer.
            settings: of `PriorConfig`, by name.

        Raises:
            ConfigError: no such prior, or a setting out of its range.
        """
        config = replace(self.config, prior=prior, **settings)
        made = create_prior(config, self.layout)
        if made is None:
            raise ConfigError("A prior to add is pixelcnn or transformer, got none.")
        self.config, self.prior = config, made.to(self.device)
        return self.prior

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """New images as pixel means in [0, 1], from codes that the prior draws, shape (n, channels, height, width).

        Raises:
            ModelError: no prior is fitted, or labels are given to one that is conditional on none.
        """
        if self.prior is None or not self.prior.fitted:
            raise ModelError(
                "This model has no fitted prior over its codes, so it cannot sample; reconstruction works. Fit one to "
                "the codes of the training images: `recsys images fit-prior`, or model.add_prior('pixelcnn') and "
                "recsys_vae.images.training.code_prior.fit_prior."
            )
        outputs = self.decode_codes(self.prior.sample(n, y, generator))
        return pixel_means(self.config.likelihood, outputs)

    def begin_epoch(self, epoch: int) -> None:
        """Count the use of the codebooks from here on."""
        for quantizer in self._quantizers():
            quantizer.begin_epoch()

    def watch(self, x: Tensor, y: Tensor | None = None) -> dict[str, float]:
        """Use and perplexity of each codebook over the images trained on since the epoch began."""
        found: dict[str, float] = {}
        for level, quantizer in enumerate(self._quantizers()):
            suffix = f"_{level}" if len(self.quantizers) > 1 else ""
            if quantizer.usage.any():
                found[f"codebook_use{suffix}"] = codebook_use(quantizer.usage)
                found[f"perplexity{suffix}"] = perplexity(quantizer.usage)
        return found

    def _quantizers(self) -> list[Quantizer]:
        return [quantizer for quantizer in self.quantizers if isinstance(quantizer, Quantizer)]
