"""CodeSet: the codes of a set of images, which a prior over codes learns from."""

from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models.vector_quantized import VectorQuantized

AT_ONCE = 500
"""Images that are encoded together."""


@dataclass(frozen=True, eq=False)
class CodeSet:
    """Rows of codes with the labels of their images: the `Examples` of a prior.

    Attributes:
        codes: int64, shape (n, length), as `CodeLayout` orders them.
        y: labels, int64, shape (n,); None where there are none.
    """

    codes: Tensor
    y: Tensor | None = None

    @classmethod
    def of(cls, model: VectorQuantized, images: ImageSet) -> "CodeSet":
        """The codes that a model in evaluation mode gives to images, in float32 on the model's device."""
        device = model.device
        starts = range(0, len(images), AT_ONCE)
        parts = [model.codes(images.floats(slice(start, start + AT_ONCE)).to(device)).cpu() for start in starts]
        return cls(torch.cat(parts), images.y)

    def __len__(self) -> int:
        return len(self.codes)

    def inputs(self, rows: Tensor) -> Tensor:
        """Codes of some rows, int64, shape (n, length)."""
        return self.codes[rows]

    def fingerprint(self) -> str:
        """SHA-256 of codes and labels, in hexadecimal."""
        digest = sha256(repr(tuple(self.codes.shape)).encode())
        for tensor in (self.codes,) if self.y is None else (self.codes, self.y):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()
