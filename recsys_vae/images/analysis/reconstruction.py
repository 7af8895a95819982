"""What a model makes of images, batch by batch: pixel means, whatever its likelihood."""

from collections.abc import Iterator

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.likelihood import pixel_means
from recsys_vae.images.protocol import ImageModule

BATCH = 500


def batches(x: Tensor, y: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Images and labels, some at a time.

    Raises:
        ConfigError: batches of no image.
    """
    if size < 1:
        raise ConfigError(f"A batch has at least one image, got {size}.")
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield x[rows], None if y is None else y[rows]


def means(model: ImageModule, outputs: Tensor) -> Tensor:
    """Expected pixels in [0, 1] of what `decode` or `forward` gave, in its shape."""
    return pixel_means(model.config.likelihood, outputs)


@torch.no_grad()
def reconstruct(model: ImageModule, x: Tensor, y: Tensor | None = None, *, batch: int = BATCH) -> Tensor:
    """Pixel means of each image after encoding and decoding, shape (n, c, h, w); deterministic.

    Args:
        model: in evaluation mode.
        x: images in [0, 1], shape (n, c, h, w).
        y: labels, shape (n,), where the model is conditional.
        batch: images at once.
    """
    return torch.cat([means(model, model.forward(part, labels)) for part, labels in batches(x, y, batch)])
