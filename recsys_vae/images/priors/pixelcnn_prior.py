"""A prior over codes by gated PixelCNNs, one a grid: each sees its own grid's past, the grid above it and the class.

p(c) = p(top) p(bottom | top), each factor a product over codes in raster order. Sampling draws the grids from the
coarsest to the finest.

Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders (2016); its use as a prior over codes:
van den Oord et al. (2017), section 3.3, and for two levels Razavi et al., Generating Diverse High-Fidelity Images with
VQ-VAE-2 (2019), section 3.2.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.priors.code_distribution import CodeDistribution, drawn
from recsys_vae.images.priors.pixelcnn import GatedPixelCNN
from recsys_vae.images.priors.prior_config import PriorConfig


class PixelCNNPrior(CodeDistribution):
    """One gated PixelCNN for each grid.

    Args:
        layout: how the codes lie.
        config: width of stacks and embeddings, layers, kernel, classes.

    Raises:
        ConfigError: an even kernel.
    """

    def __init__(self, layout: CodeLayout, config: PriorConfig) -> None:
        super().__init__(layout, config)
        width, classes = config.prior_width, config.classes
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in layout.sizes)
        self.labels = nn.Embedding(classes, width) if classes else None
        self.networks = nn.ModuleList(
            GatedPixelCNN(
                width,
                size,
                width=width,
                layers=config.prior_layers,
                kernel=config.prior_kernel,
                condition=width if classes or level else 0,
            )
            for level, size in enumerate(layout.sizes)
        )
        self.coarser = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in layout.sizes[1:])

    def logits(self, codes: Tensor, y: Tensor | None) -> list[Tensor]:
        """Shape (n, size, h * w) for each grid."""
        grids = self.layout.split(codes)
        return [
            self.networks[level](self._embedded(level, grid), self._condition(level, grids, y)).flatten(2)
            for level, grid in enumerate(grids)
        ]

    def draw(self, n: int, y: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Rows of codes, int64, shape (n, length)."""
        grids: list[Tensor] = []
        for level, (height, width) in enumerate(self.layout.grids):
            grid = torch.zeros(n, height, width, dtype=torch.int64, device=self.fitted.device)
            network = cast(GatedPixelCNN, self.networks[level])
            choose, embed = partial(drawn, generator=generator), partial(self._embedded, level)
            grids.append(network.fill(grid, choose, self._condition(level, grids, y), embed))
        return self.layout.join(grids)

    def _embedded(self, level: int, grid: Tensor) -> Tensor:
        """Codes (n, rows, w) as vectors (n, width, rows, w)."""
        vectors: Tensor = self.embeddings[level](grid)
        return vectors.movedim(-1, 1)

    def _condition(self, level: int, grids: list[Tensor], y: Tensor | None) -> Tensor | None:
        """What a grid is conditional on: the class and the next coarser grid, (n, width) or (n, width, h, w)."""
        of_class: Tensor | None = self.labels(y) if self.labels is not None else None
        if not level:
            return of_class
        features = self.coarser[level - 1](self._embedded(level - 1, grids[level - 1]))
        above = functional.interpolate(features, size=self.layout.grids[level])
        return above if of_class is None else above + of_class[:, :, None, None]
