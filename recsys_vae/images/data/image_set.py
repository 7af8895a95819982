"""ImageSet: images with or without labels, in memory, as bytes where they came as bytes."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import torch
from torch import Tensor

from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.images.layers.checks import Shape


class Examples(Protocol):
    """What a model can learn from: images, or codes of images for a prior over codes."""

    @property
    def y(self) -> Tensor | None:
        """Labels, int64, shape (n,)."""

    def __len__(self) -> int: ...

    def inputs(self, rows: Tensor) -> Tensor:
        """The examples of some rows as a model takes them."""

    def fingerprint(self) -> str:
        """A hash of all of them, in hexadecimal."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one shape.

    Attributes:
        x: uint8 in 0 to 255 or float32 in [0, 1], shape (n, channels, height, width).
        y: labels, int64 from 0, shape (n,); None where there are none.
    """

    x: Tensor
    y: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                "Images are uint8 or float32 of shape (n, channels, height, width), got "
                f"{self.x.dtype} of shape {tuple(self.x.shape)}."
            )
        if not len(self.x):
            raise EmptyDataError("There is no image.")
        if self.x.dtype == torch.float32 and not (float(self.x.min()) >= 0 and float(self.x.max()) <= 1):
            raise DataError("Pixels of type float32 lie in [0, 1]; divide them by their range, or give bytes.")
        if self.y is not None and (self.y.dtype != torch.int64 or self.y.shape != (len(self.x),)):
            raise DataError(
                f"Labels are int64 of shape ({len(self.x)},), got {self.y.dtype} of shape {tuple(self.y.shape)}."
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes that the labels name; 0 without labels."""
        return 0 if self.y is None else int(self.y.max()) + 1

    def floats(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """Images of some rows as float32 in [0, 1]."""
        chosen = self.x[rows]
        return chosen.float() / 255.0 if chosen.dtype == torch.uint8 else chosen

    def inputs(self, rows: Tensor) -> Tensor:
        """What a model is given of some rows: `floats`."""
        return self.floats(rows)

    def only(self, rows: Tensor | slice) -> "ImageSet":
        """The images of some rows, by number, flag or slice, with their labels."""
        return ImageSet(self.x[rows], None if self.y is None else self.y[rows])

    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels and labels, in hexadecimal."""
        digest = sha256(repr((tuple(self.x.shape), self.x.dtype)).encode())
        for tensor in (self.x,) if self.y is None else (self.x, self.y):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()
