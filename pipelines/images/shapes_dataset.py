"""Generated shapes: binary images of which every factor is known, to measure disentanglement on.

Each combination of shape, scale, rotation and place occurs once, in the manner of dSprites (Matthey et al. 2017).
Rotations span a quarter turn, after which a square has turned into itself: so no two combinations are the same picture
(at 32 pixels eight of the smallest are, by the grain of the pixels).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.images.data.image_set import ImageSet

KINDS = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "rotation", "x", "y")
LEVELS = (len(KINDS), 4, 8, 8, 8)
"""Values that each factor takes."""
SMALLEST, LARGEST = 32, 64
"""Sides of an image, in pixels."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Images and what they were made from.

    Attributes:
        images: bytes 0 and 255, shape (6144, 1, size, size); labels are the kinds of shape.
        factors: number of the value of each factor, in the order of `FACTORS`, int64 of shape (6144, 5).
    """

    images: ImageSet
    factors: Tensor


@cache
def generated_shapes(size: int = 32) -> Shapes:
    """All shapes as images of `size` by `size` pixels, in the order in which the last factor changes fastest.

    Raises:
        ConfigError: the size is not between 32 and 64.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"Images of shapes are {SMALLEST} to {LARGEST} pixels wide, got {size}.")
    factors = np.indices(LEVELS).reshape(len(LEVELS), -1).T
    drawn = np.concatenate([_draw(size, rows) for rows in np.array_split(factors, 32)])
    labels = torch.from_numpy(factors[:, 0].copy())
    images = ImageSet(torch.from_numpy(drawn.astype(np.uint8) * 255).unsqueeze(1), labels)
    return Shapes(images, torch.from_numpy(factors.copy()))


def _draw(size: int, factors: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pixels lie in the shape, by their centres, shape (n, size, size)."""
    kind, scale, rotation, column, row = factors.T[:, :, None, None]
    radius = size * (0.125 + 0.125 * scale / (LEVELS[1] - 1))
    angle = 0.5 * np.pi * rotation / LEVELS[2]
    v, u = np.mgrid[:size, :size] + 0.5
    u, v = (u - _centre(size, column)) / radius, (_centre(size, row) - v) / radius
    u, v = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    square = np.maximum(abs(u), abs(v)) <= 0.5**0.5
    ellipse = u**2 + (v / 0.5) ** 2 <= 1
    a, b = 1.3 * u, 1.3 * v
    heart = (a**2 + b**2 - 1) ** 3 <= a**2 * b**3
    return np.asarray(np.where(kind == 0, square, np.where(kind == 1, ellipse, heart)))


def _centre(size: int, place: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the middle of a shape lies on an axis, so that the largest fits."""
    return np.asarray(size * (0.25 + 0.5 * place / (LEVELS[3] - 1)))
