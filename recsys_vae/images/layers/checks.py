"""Checks at the entrances of the image models."""

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError, DataError

Shape = tuple[int, int, int]
"""Channels, height, width."""


def check_shape(shape: Shape) -> Shape:
    """The shape as it came.

    Raises:
        ConfigError: it is not (channels, height, width), each at least 1.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ConfigError(f"The shape of an image is (channels, height, width), each at least 1; got {tuple(shape)}.")
    return shape


def check_images(x: Tensor, shape: Shape) -> Tensor:
    """The images as they came, float of shape (n, channels, height, width) with n at least 1.

    Raises:
        DataError: another shape or type.
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != shape or not len(x):
        expected = ", ".join(map(str, shape))
        raise DataError(f"Images of shape (n, {expected}) with n at least 1 are expected, got {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise DataError(f"Images are float in [0, 1], got {x.dtype}. Convert bytes by ImageSet.floats.")
    return x


def check_labels(y: Tensor | None, n: int, classes: int) -> Tensor | None:
    """The labels, int64 of shape (n,); None for a model without classes.

    Raises:
        DataError: the model has classes and there are no labels, or not one in [0, classes) an image.
    """
    if not classes:
        return None
    if y is None:
        raise DataError(f"This model is conditional on {classes} classes: give a label for each image.")
    if y.shape != (n,) or y.dtype != torch.int64:
        raise DataError(f"Labels are int64 of shape ({n},), got {y.dtype} of shape {tuple(y.shape)}.")
    if y.numel() and (int(y.min()) < 0 or int(y.max()) >= classes):
        raise DataError(f"Labels lie in 0 to {classes - 1}, got {int(y.min())} to {int(y.max())}.")
    return y
