"""Pixels: how grey images become what a model sees. Every figure about a model says which of the three it is.

- static: each pixel is drawn once as Bernoulli(p), p its grey value, with a fixed seed. Salakhutdinov & Murray, On the
  Quantitative Analysis of Deep Belief Networks (2008), made "binarised MNIST" so; the draw here is our own.
- dynamic: each pixel is drawn anew each time the image is seen (Burda, Grosse & Salakhutdinov 2016, section 5).
- grayscale: as they came.

Never thresholded: that is another data set, several nats easier.
"""

import torch
from torch import Tensor

from recsys_vae.errors import UnknownNameError
from recsys_vae.images.data.image_set import ImageSet

STATIC, DYNAMIC, GRAYSCALE = "static", "dynamic", "grayscale"
PIXELS = (STATIC, DYNAMIC, GRAYSCALE)
STATIC_SEED = 0
"""Of the draw that every figure labelled static rests on, whatever the seed of the training."""
AT_ONCE = 1 << 12


def check_pixels(name: str) -> None:
    """Raise UnknownNameError where there is no such treatment of pixels."""
    if name not in PIXELS:
        raise UnknownNameError("treatment of pixels", name, PIXELS)


def static(images: ImageSet, seed: int = STATIC_SEED) -> ImageSet:
    """Binary images, each pixel drawn once: bytes 0 and 255; images that are binary already stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.bernoulli(images.floats(slice(start, start + AT_ONCE)), generator=generator).to(torch.uint8) * 255
        for start in range(0, len(images), AT_ONCE)
    ]
    return ImageSet(torch.cat(drawn), images.y)


def prepared(images: ImageSet, pixels: str) -> ImageSet:
    """The set as training or evaluation holds it: drawn where static; dynamic images are drawn later, by `seen`.

    Raises:
        UnknownNameError: there is no such treatment of pixels.
    """
    check_pixels(pixels)
    return static(images) if pixels == STATIC else images


def seen(x: Tensor, pixels: str, generator: torch.Generator | None = None) -> Tensor:
    """Images of a batch as the model sees them, float in [0, 1], any shape: drawn anew where dynamic."""
    return torch.bernoulli(x, generator=generator) if pixels == DYNAMIC else x
