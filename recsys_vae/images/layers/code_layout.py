"""How the codes of an image lie: one or several grids, the coarsest first, flattened into one row of numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_vae.errors import DataError


@dataclass(frozen=True)
class CodeLayout:
    """Grids of codes, from the coarsest to the finest.

    Attributes:
        grids: height and width of each.
        sizes: number of codes in the codebook of each.
    """

    grids: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]

    @property
    def lengths(self) -> list[int]:
        """Codes of each grid."""
        return [height * width for height, width in self.grids]

    @property
    def length(self) -> int:
        """Codes of an image."""
        return sum(self.lengths)

    @property
    def bits(self) -> float:
        """Bits of an image when every code is written with the same number of them: sum of h w log2 K."""
        return sum(length * math.log2(size) for length, size in zip(self.lengths, self.sizes, strict=True))

    def split(self, codes: Tensor) -> list[Tensor]:
        """The grids, each int64 of shape (n, h, w), of rows of codes.

        Args:
            codes: int64, shape (n, length), row by row of each grid, the coarsest first.

        Raises:
            DataError: another shape or type, or a number that is no code.
        """
        if codes.dtype != torch.int64 or codes.ndim != 2 or codes.shape[1] != self.length:
            raise DataError(
                f"Codes are int64 of shape (n, {self.length}), got {codes.dtype} of shape {tuple(codes.shape)}."
            )
        parts = torch.split(codes, self.lengths, dim=1)
        for part, size in zip(parts, self.sizes, strict=True):
            if part.numel() and (int(part.min()) < 0 or int(part.max()) >= size):
                raise DataError(f"Codes lie in 0 to {size - 1}, got {int(part.min())} to {int(part.max())}.")
        return [part.reshape(-1, *grid) for part, grid in zip(parts, self.grids, strict=True)]

    def join(self, grids: list[Tensor]) -> Tensor:
        """Rows of codes, shape (n, length), of grids, each of shape (n, h, w): the inverse of `split`."""
        return torch.cat([grid.flatten(1) for grid in grids], dim=1)
